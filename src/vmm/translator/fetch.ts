/**
 * Reads and decodes the guest's kernel code for translation, as its CPU would fetch it: through its own tables, setting
 * accessed bits, within its code segment.
 * Invariant: a unit takes nothing from a page that its first instruction does not lie in, so that no page counts as
 * accessed that the guest may never execute; an instruction that crosses pages is a unit of its own.
 */

import type { Cpu } from '../../machine/cpu.ts';
import { UNWIND } from '../../machine/cpu-core.ts';
import { decode } from '../../machine/decode.ts';
import { type Insn, SEG_CS } from '../../machine/insn.ts';
import { type Plan, planOf } from './plan.ts';

/** Instructions of a unit at most. Source: Adams & Agesen, ASPLOS 2006, section 3.1. */
export const UNIT_INSNS_MAX = 12;

/** A guest instruction of a unit. */
export interface Fetched {
  readonly eip: number;
  readonly insn: Insn;
  readonly bytes: readonly number[];
  readonly plan: Plan;
  /** Machine frame of its first byte. */
  readonly mfn: number;
}

const ENDS_UNIT: ReadonlySet<Plan> = new Set<Plan>([
  'jump',
  'branch',
  'loop',
  'call',
  'return',
  'jump-indirect',
  'call-indirect',
  'leave',
]);

/**
 * The instructions of the unit at `eip`; empty if the first one cannot be fetched or decoded, which is for the guest's
 * CPU to find out. The MMU of `cpu` must know nothing that may be stale.
 */
export function fetchUnit(cpu: Cpu, eip: number): Fetched[] {
  const unit: Fetched[] = [];
  const isUnlimited = cpu.segLimit[SEG_CS] === -1;
  const page = (eip + cpu.segBase[SEG_CS]!) >>> 12;
  for (let at = eip; unit.length < UNIT_INSNS_MAX; ) {
    const lin = (at + cpu.segBase[SEG_CS]!) | 0;
    if (lin >>> 12 !== page) break;
    const found = fetchOne(cpu, at, lin, isUnlimited, unit.length > 0);
    if (found === null) break;
    // An instruction after STI must be in the same unit, for the VMM to know where interrupts wait.
    if (found.plan === 'sti' && unit.length === UNIT_INSNS_MAX - 1) break;
    unit.push(found);
    if (ENDS_UNIT.has(found.plan) || found.insn.secondFrame >= 0) break;
    at = (at + found.insn.length) | 0;
  }
  const last = unit.at(-1);
  if (last?.plan === 'sti') {
    if (unit.length > 1) unit.pop();
    else unit[0] = { ...last, plan: 'emulate' };
  }
  return unit;
}

function fetchOne(cpu: Cpu, eip: number, lin: number, isUnlimited: boolean, isInPage: boolean): Fetched | null {
  const limit = cpu.segLimit[SEG_CS]! >>> 0;
  if (eip >>> 0 > limit) return null;
  // The longest instruction might reach into the next page: look only if this is the first of its unit.
  if (isInPage && (lin & 0xfff) > 0x1000 - 15 && !endsInPage(cpu, lin)) return null;
  try {
    const mfn = cpu.codeFrame(lin);
    const insn = decode(cpu, lin, mfn, true);
    const bytes = bytesOf(cpu, lin, mfn, insn);
    return { eip, insn, bytes, plan: withTarget(cpu, eip, insn, planOf(insn, isUnlimited)), mfn };
  } catch (thrown) {
    if (thrown !== UNWIND) throw thrown;
    return null;
  }
}

/** A direct target beyond the limit of the segment faults in ways that only the guest's CPU knows. */
function withTarget(cpu: Cpu, eip: number, insn: Insn, plan: Plan): Plan {
  if (plan !== 'jump' && plan !== 'branch' && plan !== 'loop' && plan !== 'call') return plan;
  const target = (eip + insn.length + insn.imm) >>> 0;
  return target > cpu.segLimit[SEG_CS]! >>> 0 ? 'leave' : plan;
}

/** Decodes near the end of a page as if the segment ended there: an instruction that crosses raises #GP. */
function endsInPage(cpu: Cpu, lin: number): boolean {
  const limit = cpu.segLimit[SEG_CS]!;
  const last = ((lin | 0xfff) - cpu.segBase[SEG_CS]!) | 0;
  if (last >>> 0 >= limit >>> 0) return true;
  cpu.segLimit[SEG_CS] = last;
  try {
    decode(cpu, lin, cpu.codeFrame(lin), true);
    return true;
  } catch (thrown) {
    if (thrown !== UNWIND) throw thrown;
    return false;
  } finally {
    cpu.segLimit[SEG_CS] = limit;
  }
}

function bytesOf(cpu: Cpu, lin: number, mfn: number, insn: Insn): number[] {
  return Array.from({ length: insn.length }, (_, n) => {
    const offset = (lin & 0xfff) + n;
    return offset < 0x1000 ? cpu.bytes[mfn * 4096 + offset]! : cpu.bytes[insn.secondFrame * 4096 + offset - 0x1000]!;
  });
}
