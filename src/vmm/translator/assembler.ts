/**
 * Writes the few IA-32 instructions that translations consist of besides copies of the guest's: 32-bit code at a known
 * address in the translation cache. None of them touches the arithmetic flags unless it says so.
 * Invariants: an instruction never crosses a page, for which NOPs make room; every instruction is noted with its offset,
 * so that the owner can say what the guest's state is before it.
 * Source of encodings: SDM vol 2.
 */
import { assert } from '../../core/errors.ts';
import { PAGE_BYTES } from '../../core/units.ts';
import { SELECTOR_GATE } from './layout.ts';

export const EAX = 0;
export const ECX = 1;
export const EDX = 2;
export const ESP = 4;

/** Bytes of a call-out: a far call through the VMM's gate. */
export const CALL_OUT_BYTES = 7;
/** Bytes of JMP rel32. */
export const JUMP_BYTES = 5;

const GS = 0x65;
const NOP = 0x90;

const le32 = (value: number): number[] => [value, value >> 8, value >> 16, value >> 24].map((b) => b & 0xff);

/** A forward jump whose target is not known yet: where its displacement byte is. */
export interface ShortJump {
  readonly at: number;
}

export class Assembler {
  readonly bytes: number[] = [];
  /** Linear address of the first byte. */
  readonly base: number;
  private readonly note: (offset: number) => void;

  /** @param note told of each instruction's offset before it is written; NOPs that align count as part of it */
  constructor(base: number, note: (offset: number) => void) {
    this.base = base | 0;
    this.note = note;
  }

  /** Linear address of what comes next. */
  get address(): number {
    return (this.base + this.bytes.length) | 0;
  }

  /** Makes sure that `count` bytes fit into the page. */
  alignFor(count: number): void {
    while ((this.address & (PAGE_BYTES - 1)) + count > PAGE_BYTES) {
      this.note(this.bytes.length);
      this.bytes.push(NOP);
    }
  }

  /** One instruction. Returns its offset. */
  emit(...bytes: number[]): number {
    this.alignFor(bytes.length);
    const at = this.bytes.length;
    this.note(at);
    this.bytes.push(...bytes);
    return at;
  }

  nop(): void {
    this.emit(NOP);
  }

  /** MOV [GS:at], r32 */
  store(at: number, reg: number): number {
    return reg === EAX ? this.emit(GS, 0xa3, ...le32(at)) : this.emit(GS, 0x89, 0x05 | (reg << 3), ...le32(at));
  }

  /** MOV r32, [GS:at] */
  load(reg: number, at: number): number {
    return reg === EAX ? this.emit(GS, 0xa1, ...le32(at)) : this.emit(GS, 0x8b, 0x05 | (reg << 3), ...le32(at));
  }

  /** MOVZX r32, byte [GS:at] */
  loadByte(reg: number, at: number): number {
    return this.emit(GS, 0x0f, 0xb6, 0x05 | (reg << 3), ...le32(at));
  }

  /** MOV AL, [GS:at] */
  loadAl(at: number): number {
    return this.emit(GS, 0xa0, ...le32(at));
  }

  /** MOV dword [GS:at], imm32 */
  storeImmediate(at: number, value: number): number {
    return this.emit(GS, 0xc7, 0x05, ...le32(at), ...le32(value));
  }

  /** MOVZX r32, byte [GS:at + base] */
  loadByteAt(reg: number, base: number, at: number): number {
    return this.emit(GS, 0x0f, 0xb6, 0x80 | (reg << 3) | base, ...le32(at));
  }

  /** MOV r32, [GS:at + base*4] */
  loadIndexed4(reg: number, base: number, at: number): number {
    return this.emit(GS, 0x8b, 0x04 | (reg << 3), 0x85 | (base << 3), ...le32(at));
  }

  /** LEA ECX, [ECX + disp]: adds without touching flags. */
  addEcx(value: number): number {
    return this.emit(0x8d, 0x89, ...le32(value));
  }

  /** LEA EAX, [EAX + ECX + disp] */
  addEaxEcx(value: number): number {
    return this.emit(0x8d, 0x84, 0x08, ...le32(value));
  }

  /** LEA ESP, [ESP + disp] */
  addEsp(value: number): number {
    return this.emit(0x8d, 0xa4, 0x24, ...le32(value));
  }

  /** JECXZ to a place that comes later in the same page run: see bind. */
  jumpIfEcxZero(): ShortJump {
    const at = this.emit(0xe3, 0);
    return { at: at + 1 };
  }

  /** Lets a short jump land here. */
  bind(jump: ShortJump): void {
    const distance = this.bytes.length - jump.at - 1;
    assert(distance < 128, 'a short jump is too long');
    this.bytes[jump.at] = distance;
  }

  /** JMP rel32. Returns the offset of the instruction. */
  jump(target: number): number {
    this.alignFor(JUMP_BYTES);
    return this.emit(...jumpBytes(this.address, target));
  }

  /** Jcc rel32 with condition code `cc`. Returns the offset of the instruction. */
  jumpIf(cc: number, target: number): number {
    this.alignFor(6);
    return this.emit(0x0f, 0x80 | cc, ...le32((target - this.address - 6) | 0));
  }

  /** A call-out: the number is for people who read the code. */
  callOut(number: number): number {
    return this.emit(...callOutBytes(number));
  }
}

/** JMP rel32 at `from`. */
export const jumpBytes = (from: number, target: number): number[] => [0xe9, ...le32((target - from - JUMP_BYTES) | 0)];

/** CALLF gate:number */
export const callOutBytes = (number: number): number[] => [
  0x9a,
  ...le32(number),
  SELECTOR_GATE & 0xff,
  SELECTOR_GATE >> 8,
];

/** Displacement bytes that let a rel32 jump whose last byte is before `end` go to `target`. */
export const displacement = (end: number, target: number): number[] => le32((target - end) | 0);
