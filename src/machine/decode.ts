/**
 * The decoder: bytes at EIP to an Insn, by way of the ISA table.
 * Invariants: never reads beyond 15 bytes; reads the second page of an instruction only if it reaches into it;
 * faults (#UD, #GP for length, #PF for the second page) are raised as the CPU raises them, before anything executes.
 * Source: SDM vol 2, chapter 2 and appendix A.
 */
import { INSN_BYTES_MAX } from './code-cache.ts';
import type { Cpu } from './cpu.ts';
import { VECTOR_GP, VECTOR_UD } from './exits.ts';
import { type Handler, Insn, REG_NONE, SEG_CS, SEG_DS, SEG_SS } from './insn.ts';
import type { Row } from './isa/row.ts';
import { guarded } from './isa/system.ts';
import { OPCODES, type OpcodeEntry } from './isa/table.ts';

/** Reads instruction bytes one after the other across a page boundary. */
class ByteReader {
  length = 0;
  secondFrame = -1;
  private readonly cpu: Cpu;
  private readonly lin: number;
  private readonly firstFrame: number;
  /** Bytes from the first one to the limit of the code segment: each byte is checked before its page is. */
  private readonly available: number;

  constructor(cpu: Cpu, lin: number, firstFrame: number) {
    this.cpu = cpu;
    this.lin = lin;
    this.firstFrame = firstFrame;
    this.available = (cpu.segLimit[SEG_CS]! >>> 0) - ((lin - cpu.segBase[SEG_CS]!) >>> 0) + 1;
  }

  next(): number {
    if (this.length === INSN_BYTES_MAX || this.length >= this.available) this.cpu.raise(VECTOR_GP, 0);
    const offset = (this.lin & 0xfff) + this.length++;
    if (offset < 0x1000) return this.cpu.bytes[this.firstFrame * 4096 + offset]!;
    if (this.secondFrame < 0) this.secondFrame = this.cpu.codeFrame((this.lin & ~0xfff) + 0x1000);
    return this.cpu.bytes[this.secondFrame * 4096 + offset - 0x1000]!;
  }

  signed8(): number {
    return (this.next() << 24) >> 24;
  }

  u16(): number {
    return this.next() | (this.next() << 8);
  }

  i32(): number {
    return this.u16() | (this.u16() << 16);
  }
}

interface Prefixes {
  operand16: boolean;
  address16: boolean;
  segment: number;
  rep: number;
  lock: boolean;
}

const SEGMENT_PREFIX: ReadonlyMap<number, number> = new Map([
  [0x26, 0],
  [0x2e, 1],
  [0x36, 2],
  [0x3e, 3],
  [0x64, 4],
  [0x65, 5],
]);

/** Consumes prefixes; returns the first opcode byte. */
function readPrefixes(reader: ByteReader, is32: boolean, p: Prefixes): number {
  for (;;) {
    const byte = reader.next();
    const segment = SEGMENT_PREFIX.get(byte);
    if (segment !== undefined) p.segment = segment;
    else if (byte === 0x66) p.operand16 = is32;
    else if (byte === 0x67) p.address16 = is32;
    else if (byte === 0xf0) p.lock = true;
    else if (byte === 0xf2 || byte === 0xf3) p.rep = byte;
    else return byte;
  }
}

/** Finds the row of an opcode whose ModRM byte, if any, is already read. */
function chooseRow(entry: OpcodeEntry, modrm: number, p: Prefixes): Row | null {
  if (p.rep === 0xf3 && entry.withRep !== null) return entry.withRep;
  if (entry.registerRow !== null && modrm >= 0xc0) return entry.registerRow;
  if (entry.byModrm !== null && modrm >= 0xc0) {
    const special = entry.byModrm.get(modrm);
    if (special !== undefined) return special;
  }
  return entry.byReg !== null ? entry.byReg[(modrm >> 3) & 7]! : entry.row;
}

/** A row whose opcode says nothing of prefixes is there with any of them (CMPXCHG8B, beside VMCLEAR). */
const withoutPrefix = (row: Row | null): Row | null => (row !== null && row.opcode.startsWith('0F') ? row : null);

/** The entry of an opcode behind 0F: a mandatory prefix chooses its map, F2 and F3 before 66 (SDM vol 2, 2.1.1). */
function chooseEntry(opcode: number, p: Prefixes, has66: boolean): OpcodeEntry {
  const entry = OPCODES.twoByte[opcode]!;
  if (!entry.exact) return entry;
  if (p.rep !== 0) return (p.rep === 0xf3 ? OPCODES.withF3 : OPCODES.withF2)[opcode]!;
  return has66 ? OPCODES.with66[opcode]! : entry;
}

/** Register index in the view of its width (see Insn). */
function registerIndex(n: number, width: number): number {
  if (width === 32) return n;
  if (width === 16) return n * 2;
  return n < 4 ? n * 4 : (n - 4) * 4 + 1;
}

/** ModRM memory operand with 32-bit addressing (SDM vol 2, tables 2-2 and 2-3). */
function readAddress32(reader: ByteReader, insn: Insn, modrm: number): void {
  const mod = modrm >> 6;
  let base = modrm & 7;
  if (base === 4) {
    const sib = reader.next();
    base = sib & 7;
    const index = (sib >> 3) & 7;
    if (index !== 4) {
      insn.index = index;
      insn.scale = sib >> 6;
    }
    if (base === 5 && mod === 0) {
      insn.disp = reader.i32();
      return;
    }
  } else if (base === 5 && mod === 0) {
    insn.disp = reader.i32();
    return;
  }
  insn.base = base;
  if (base === 4 || base === 5) insn.setSegment(SEG_SS);
  if (mod === 1) insn.disp = reader.signed8();
  else if (mod === 2) insn.disp = reader.i32();
}

/** Base and index registers of 16-bit addressing, by ModRM.rm (SDM vol 2, table 2-1). */
const BASE16 = [3, 3, 5, 5, 6, 7, 5, 3];
const INDEX16 = [6, 7, 6, 7, REG_NONE, REG_NONE, REG_NONE, REG_NONE];

function readAddress16(reader: ByteReader, insn: Insn, modrm: number): void {
  const mod = modrm >> 6;
  const rm = modrm & 7;
  insn.addressMask = 0xffff;
  if (mod === 0 && rm === 6) {
    insn.disp = reader.u16();
    return;
  }
  insn.base = BASE16[rm]!;
  insn.index = INDEX16[rm]!;
  if (insn.base === 5) insn.setSegment(SEG_SS);
  if (mod === 1) insn.disp = reader.signed8();
  else if (mod === 2) insn.disp = reader.u16();
}

/** Width of an operand from the second letter of its notation. */
function operandWidth(notation: string, insn: Insn): number {
  switch (notation[1]) {
    case 'b':
      return 8;
    case 'w':
      return 16;
    case 'd':
      return 32;
    default:
      return insn.width;
  }
}

/** Reads or derives one operand into the Insn. `first` tells the a-slot from the b-slot. */
function readOperand(
  reader: ByteReader,
  insn: Insn,
  notation: string,
  first: boolean,
  opcode: number,
  p: Prefixes,
): void {
  const assign = (index: number): void => {
    if (first) insn.a = index;
    else insn.b = index;
  };
  const width = operandWidth(notation, insn);
  switch (notation[0]) {
    case 'E':
      if (!insn.isMemory) assign(registerIndex(insn.modrm & 7, width));
      return;
    case 'G':
      if (notation === 'GS') return;
      assign(registerIndex((insn.modrm >> 3) & 7, width));
      return;
    case 'Z':
      assign(registerIndex(opcode & 7, width));
      return;
    case 'R':
      assign(insn.modrm & 7);
      return;
    case 'P':
    case 'V':
      assign((insn.modrm >> 3) & 7);
      return;
    case 'Q':
    case 'N':
    case 'W':
    case 'U':
      if (!insn.isMemory) assign(insn.modrm & 7);
      return;
    case 'C':
    case 'D':
    case 'S':
      if (!/^(CL|CS|DX|DS|SS|ST.)$/.test(notation)) assign((insn.modrm >> 3) & 7);
      return;
    case 'I':
      readImmediate(reader, insn, notation, first);
      return;
    case 'J':
      insn.imm = notation === 'Jb' ? reader.signed8() : insn.width === 32 ? reader.i32() : (reader.u16() << 16) >> 16;
      return;
    case 'A':
      if (notation !== 'Ap') return;
      insn.imm = insn.width === 32 ? reader.i32() : reader.u16();
      insn.imm2 = reader.u16();
      return;
    case 'O':
      insn.isMemory = true;
      insn.disp = p.address16 ? reader.u16() : reader.i32();
      return;
    case 'B':
      insn.isMemory = true;
      insn.base = 3;
      return;
    case '1':
      insn.imm = 1;
      return;
    default:
      return;
  }
}

function readImmediate(reader: ByteReader, insn: Insn, notation: string, first: boolean): void {
  if (notation === 'Ib') {
    const value = reader.signed8();
    // ENTER Iw,Ib: the second immediate has its own slot.
    if (!first && insn.row.operands[0] === 'Iw') insn.imm2 = value;
    else insn.imm = value;
  } else if (notation === 'Iw') insn.imm = reader.u16();
  else insn.imm = insn.width === 32 ? reader.i32() : reader.u16();
}

/** Cycles of the decoded form: its class, or that of its memory form. */
function costOf(cpu: Cpu, insn: Insn, lock: boolean): number {
  const costs = cpu.codeCache.timing.instructions;
  if (lock) return costs.locked;
  return insn.isMemory ? costs[insn.row.memoryCost] : costs[insn.row.cost];
}

/** Instructions whose operation is wrapped by the privilege and intercept guard. */
const needsGuard = (row: Row): boolean => row.rule !== null || row.intercept !== 0 || row.class === 'sensitive';

/** An instruction that reaches into the next page: that page must still be the one it was decoded from. */
const straddling: Handler = (cpu, insn) => {
  const secondPage = (cpu.eip - 1 + cpu.segBase[1]!) & ~0xfff;
  const same = cpu.codeFrame(secondPage) === insn.secondFrame;
  // As in decode().
  cpu.dropCode();
  if (insn.stale || !same) cpu.refetch(insn);
  else if (needsGuard(insn.row)) guarded(cpu, insn);
  else insn.exec(cpu, insn);
};

const placeholder: Handler = () => {};

/**
 * Decodes the instruction at linear address `lin` in machine frame `mfn`; `is32` is the code segment's D bit.
 * Faults through cpu.raise.
 */
export function decode(cpu: Cpu, lin: number, mfn: number, is32: boolean): Insn {
  const reader = new ByteReader(cpu, lin, mfn);
  const p: Prefixes = { operand16: !is32, address16: !is32, segment: -1, rep: 0, lock: false };
  let opcode = readPrefixes(reader, is32, p);
  let entry = OPCODES.oneByte[opcode]!;
  let base = entry;
  if (opcode === 0x0f) {
    opcode = reader.next();
    base = OPCODES.twoByte[opcode]!;
    entry = chooseEntry(opcode, p, p.operand16 === is32);
  }
  const modrm = entry.hasModrm || base.hasModrm ? reader.next() : 0;
  const row = chooseRow(entry, modrm, p) ?? withoutPrefix(chooseRow(base, modrm, p));
  if (row === null) return cpu.raise(VECTOR_UD);

  const insn = new Insn(row, placeholder);
  insn.modrm = modrm;
  insn.rep = row.string ? p.rep : 0;
  insn.width = row.byte ? 8 : p.operand16 ? 16 : 32;
  insn.addressMask = p.address16 ? 0xffff : -1;
  insn.setSegment(SEG_DS);
  const special = entry.byModrm?.get(modrm) === row;
  if ((entry.hasModrm || base.hasModrm) && modrm < 0xc0 && !/^[RCD]d$/.test(row.operands[0] ?? '')) {
    insn.isMemory = true;
    if (row.operands.some((o) => o[0] === 'N' || o[0] === 'U')) cpu.raise(VECTOR_UD);
    if (p.address16) readAddress16(reader, insn, modrm);
    else readAddress32(reader, insn, modrm);
  } else if (!special && row.operands.some((o) => o[0] === 'M')) cpu.raise(VECTOR_UD);
  for (const [n, notation] of row.operands.entries()) readOperand(reader, insn, notation, n === 0, opcode, p);
  // Whether there is such a control register comes before whether one may use it.
  if (row.operands.includes('Cd') && (0b11101 & (1 << ((modrm >> 3) & 7))) === 0) cpu.raise(VECTOR_UD);
  if (p.segment >= 0) insn.setSegment(p.segment);
  if (p.lock && !(row.lockable && insn.isMemory)) cpu.raise(VECTOR_UD);

  insn.lock = p.lock;
  insn.length = reader.length;
  insn.exec = row.build(insn);
  insn.run = needsGuard(row) ? guarded : insn.exec;
  insn.cycles = costOf(cpu, insn, p.lock);
  insn.counts = cpu.codeCache.countsAt(mfn, lin & 0xfff);
  if (reader.secondFrame >= 0) {
    insn.secondFrame = reader.secondFrame;
    insn.run = straddling;
    cpu.codeCache.addStraddler(reader.secondFrame, insn);
    // The fetch of the second page may have taken the first one's place in the instruction TLB.
    cpu.dropCode();
  }
  insn.plain = insn.run;
  return insn;
}
