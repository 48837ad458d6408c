/**
 * The ISA table: every row, and the index that the decoder looks opcodes up in.
 * Invariant: no two rows claim the same opcode; an opcode without a row is undefined (#UD).
 */
import { assert } from '../../core/errors.ts';
import { aluRows } from './alu.ts';
import { bitRows } from './bits.ts';
import { controlRows } from './control.ts';
import { dataRows } from './data.ts';
import { ioRows } from './io.ts';
import { mmxRows } from './mmx.ts';
import type { Row } from './row.ts';
import { sseRows } from './sse.ts';
import { sseFloatRows } from './sse-float.ts';
import { stringRows } from './strings.ts';
import { systemRows } from './system.ts';
import { vmxRows } from './vmx.ts';
import { x87Rows } from './x87.ts';

/** All rows, in the order of the files. */
export const ISA: readonly Row[] = [
  ...aluRows,
  ...dataRows,
  ...bitRows,
  ...controlRows,
  ...stringRows,
  ...ioRows,
  ...systemRows,
  ...vmxRows,
  ...x87Rows,
  ...mmxRows,
  ...sseRows,
  ...sseFloatRows,
];

/** What one opcode means: a row, or a choice by ModRM. */
export interface OpcodeEntry {
  row: Row | null;
  /** By ModRM.reg, for '/n' rows. */
  byReg: (Row | null)[] | null;
  /** By whole ModRM byte, for register forms that have a meaning of their own ('0F 01 C1', 'D8 C0+i'). */
  byModrm: Map<number, Row> | null;
  /** With an F3 prefix. */
  withRep: Row | null;
  /** For register forms, where memory forms are another instruction. */
  registerRow: Row | null;
  /** A 66, F2 or F3 before it is part of the opcode: it selects another map. */
  exact: boolean;
  /** A ModRM byte follows the opcode. */
  hasModrm: boolean;
}

/** Operand notations that are encoded in ModRM; fixed registers look alike. */
const MODRM_OPERAND = /^(?!(ES|CS|SS|DS|GS|CL|DX)$)[EGMRCDSPQNVWU]/;

function emptyMap(): OpcodeEntry[] {
  return Array.from({ length: 256 }, () => ({
    row: null,
    byReg: null,
    byModrm: null,
    withRep: null,
    registerRow: null,
    exact: false,
    hasModrm: false,
  }));
}

interface OpcodeMaps {
  readonly oneByte: readonly OpcodeEntry[];
  readonly twoByte: readonly OpcodeEntry[];
  /** Opcodes behind 0F with a mandatory prefix. */
  readonly with66: readonly OpcodeEntry[];
  readonly withF2: readonly OpcodeEntry[];
  readonly withF3: readonly OpcodeEntry[];
}

/** Takes a mandatory prefix ('NP': none) off the parts of an opcode; returns the map that it selects, or null. */
function takePrefix(maps: OpcodeMaps, parts: string[]): readonly OpcodeEntry[] | null {
  const [first, second] = parts;
  if (second !== '0F') return null;
  const map = { NP: maps.twoByte, '66': maps.with66, F2: maps.withF2, F3: maps.withF3 }[first!];
  if (map === undefined) return null;
  parts.shift();
  maps.twoByte[Number.parseInt(parts[1]!, 16)]!.exact = true;
  return map;
}

function place(maps: OpcodeMaps, item: Row): void {
  const parts = item.opcode.split(' ');
  const rep = parts[0] === 'F3' && parts.length === 2 && parts[1] === '90';
  if (rep) parts.shift();
  const map = takePrefix(maps, parts) ?? (parts[0] === '0F' ? maps.twoByte : maps.oneByte);
  if (parts[0] === '0F') parts.shift();
  const [code, ...suffixes] = parts as [string, ...string[]];
  const spans = code.endsWith('+r') ? 8 : 1;
  const first = Number.parseInt(code, 16);
  for (let n = 0; n < spans; n++) {
    const entry = map[first + n]!;
    const suffix = suffixes[0];
    if (rep) entry.withRep = item;
    else if (suffix === undefined) {
      // 90 is NOP by its own row, and the first of XCHG eAX,r.
      if (item.opcode === '90+r' && n === 0) continue;
      if (entry.row !== null && entry.registerRow === null && item.operands.some((o) => o[0] === 'U')) {
        entry.registerRow = item;
        continue;
      }
      assert(entry.row === null, `opcode ${item.opcode} is claimed twice`);
      entry.row = item;
    } else if (suffix.startsWith('/')) {
      entry.byReg ??= Array.from({ length: 8 }, () => null);
      const reg = Number(suffix.slice(1));
      assert(entry.byReg[reg] === null, `opcode ${item.opcode} is claimed twice`);
      entry.byReg[reg] = item;
    } else {
      entry.byModrm ??= new Map();
      const modrm = Number.parseInt(suffix, 16);
      for (let i = 0; i < (suffix.endsWith('+i') ? 8 : 1); i++) {
        assert(!entry.byModrm.has(modrm + i), `opcode ${item.opcode} is claimed twice`);
        entry.byModrm.set(modrm + i, item);
      }
    }
  }
}

function buildMaps(): OpcodeMaps {
  const maps = {
    oneByte: emptyMap(),
    twoByte: emptyMap(),
    with66: emptyMap(),
    withF2: emptyMap(),
    withF3: emptyMap(),
  };
  for (const item of ISA) place(maps, item);
  for (const entry of Object.values(maps).flat()) {
    entry.hasModrm =
      entry.byReg !== null ||
      entry.byModrm !== null ||
      (entry.row?.operands.some((o) => MODRM_OPERAND.test(o)) ?? false);
  }
  return maps;
}

/** One-byte opcodes, opcodes behind 0F, and those with a mandatory prefix. */
export const OPCODES: OpcodeMaps = buildMaps();
