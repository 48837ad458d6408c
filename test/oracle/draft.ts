/**
 * A case under construction: machine code in its parts, registers, flags, segments and memory, and the choices of
 * operands that have to agree with each other (an address in registers, a value behind it).
 * Invariant: a register bit is given a meaning once; who comes later keeps what is there.
 * Source of encodings: SDM vol 2, chapter 2 and tables 2-1 to 2-3.
 */
import { assert } from '../../src/core/errors.ts';
import type { RandomStream } from '../../src/core/rng.ts';
import {
  baseOfSelector,
  type Case,
  CODE_AT,
  CODE_END,
  DATA_AT,
  DATA_END,
  DATA_RO_AT,
  NOTHING_AT,
  NOTHING_BYTES,
  type Patch,
  SEL,
  SEL_CODE,
  SEL_DATA,
} from './layout.ts';
import { flagsIn } from './values.ts';

export type Width = 8 | 16 | 32;

export const EAX = 0;
export const ECX = 1;
export const EDX = 2;
export const EBX = 3;
export const ESP = 4;
export const EBP = 5;
export const ESI = 6;
export const EDI = 7;

export const ES = 0;
export const CS = 1;
export const SS = 2;
export const DS = 3;
export const FS = 4;
export const GS = 5;
const SEGMENT_PREFIX = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65] as const;

const BASE16 = [EBX, EBX, EBP, EBP, ESI, EDI, EBP, EBX] as const;
const INDEX16 = [ESI, EDI, ESI, EDI, -1, -1, -1, -1] as const;

/** Segments that a case may hold in SS: writable data only. */
const STACK_SELECTORS = [SEL.data16, SEL.data32, SEL.wrap16, SEL.expandDown, SEL.small] as const;
const DATA_SELECTORS = [...STACK_SELECTORS, SEL.readOnly, SEL.code32, 0] as const;
const is16BitStack = (selector: number): boolean => selector === SEL.data16 || selector === SEL.wrap16;

export class Draft {
  readonly rng: RandomStream;
  readonly regs = new Int32Array(8);
  private readonly meant = new Int32Array(8);
  eflags: number;
  readonly segments = [SEL_DATA, SEL_CODE, SEL_DATA, SEL_DATA, 0, 0];
  private readonly memory = new Map<number, number>();

  /** CS.D of the case. */
  code32 = true;
  width: Width = 32;
  address16 = false;
  readonly prefixes: number[] = [];
  opcode: readonly number[] = [];
  /** ModRM with what follows it, empty without. */
  modrm: number[] = [];
  immediate: number[] = [];
  codeAt = CODE_AT;

  constructor(rng: RandomStream) {
    this.rng = rng;
    for (let r = 0; r < 8; r++) this.regs[r] = rng.uint32();
    this.eflags = flagsIn(rng);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.rng.below(list.length)]!;
  }

  /** True in `percent` of the cases. */
  sometimes(percent: number): boolean {
    return this.rng.chance(percent, 100);
  }

  // ---------------------------------------------------------------- code segment and prefixes

  chooseCode(): void {
    const roll = this.rng.below(100);
    const selector =
      roll < 88
        ? SEL_CODE
        : roll < 94
          ? SEL.code16
          : roll < 97
            ? SEL.code16Flat
            : roll < 98
              ? SEL.executeOnly
              : SEL.code32;
    this.useCode(selector);
    this.codeAt = CODE_AT + 0x80 + this.rng.below(0xe00);
    if (this.sometimes(7)) this.moveToEdge();
  }

  private useCode(selector: number): void {
    this.segments[CS] = selector;
    this.code32 = selector !== SEL.code16 && selector !== SEL.code16Flat;
    this.address16 = !this.code32;
  }

  /** Puts the code where it is likely to straddle two pages, or to reach into what is not mapped or past the limit. */
  private moveToEdge(): void {
    const inFirst = 1 + this.rng.below(6);
    const roll = this.rng.below(10);
    if (roll === 9 && this.segments[CS] === SEL_CODE) this.useCode(SEL.codeSmall);
    const edge = roll < 7 || this.segments[CS] === SEL.codeSmall ? CODE_AT + 0x1000 : CODE_END;
    this.codeAt = edge - inFirst;
  }

  /** Operand width in force; adds the prefix that makes it so. */
  setWidth(width: Width): void {
    this.width = width;
    if (width !== 8 && (width === 16) === this.code32) this.prefixes.push(0x66);
  }

  /** Switches to the other address size, by a prefix. */
  flipAddressSize(): void {
    this.address16 = !this.address16;
    this.prefixes.push(0x67);
  }

  // ---------------------------------------------------------------- registers and memory

  isFree(register: number): boolean {
    return this.meant[register] === 0;
  }

  private setBits(register: number, mask: number, value: number): void {
    const open = mask & ~this.meant[register]!;
    this.regs[register] = (this.regs[register]! & ~open) | (value & open);
    this.meant[register]! |= mask;
  }

  /** Gives register `n`, numbered as in ModRM for that width, a value, as far as it has none. */
  setReg(n: number, width: Width, value: number): void {
    if (width === 32) this.setBits(n, -1, value);
    else if (width === 16) this.setBits(n, 0xffff, value);
    else if (n < 4) this.setBits(n, 0xff, value);
    else this.setBits(n - 4, 0xff00, value << 8);
  }

  getReg(n: number, width: Width): number {
    if (width === 32) return this.regs[n]!;
    if (width === 16) return this.regs[n]! & 0xffff;
    return n < 4 ? this.regs[n]! & 0xff : (this.regs[n - 4]! >>> 8) & 0xff;
  }

  /** Puts a little-endian value of `count` bytes into memory where that is writable. */
  store(at: number, count: number, value: number): void {
    for (let i = 0; i < count; i++) {
      const place = (at + i) >>> 0;
      if (place >= DATA_AT && place < DATA_RO_AT) this.memory.set(place, (value >> (8 * Math.min(i, 3))) & 0xff);
    }
  }

  // ---------------------------------------------------------------- addresses

  /** A linear address for an access of `size` bytes: mostly plain, sometimes at an edge or where it faults. */
  target(size: number): number {
    const { rng } = this;
    const across = (edge: number): number => edge - 1 - rng.below(Math.max(size - 1, 1));
    const roll = rng.below(100);
    if (roll < 78) return DATA_AT + rng.below(0x1ff0 - size);
    if (roll < 85) return across(DATA_AT + 0x1000);
    if (roll < 88) return DATA_RO_AT + rng.below(0xff0);
    if (roll < 92) return across(DATA_RO_AT);
    if (roll < 95) return across(DATA_END);
    if (roll < 97) return across(DATA_AT);
    return NOTHING_AT + rng.below(NOTHING_BYTES);
  }

  /** Chooses a segment for a data access whose default is `seg`; returns the one used, prefix included. */
  chooseSegment(seg: number, mayOverride = true): number {
    const roll = this.rng.below(100);
    if (roll < 70 && !this.address16) return seg;
    if (roll < 80 && mayOverride && !this.address16) return this.override(this.pick([ES, CS, SS, DS]));
    const chosen = mayOverride && this.rng.chance(1, 2) ? this.override(this.pick([ES, DS, FS, GS])) : seg;
    if (chosen === CS) return chosen;
    const good = this.address16 ? [SEL.data16, SEL.data32, SEL.wrap16, SEL.small] : STACK_SELECTORS;
    const pool = chosen === SS || this.rng.chance(2, 3) ? good : DATA_SELECTORS;
    this.segments[chosen] = this.pick(pool);
    return chosen;
  }

  override(seg: number): number {
    this.prefixes.push(SEGMENT_PREFIX[seg]!);
    return seg;
  }

  /** Offset of a linear address in a segment, or now and then one that its limit hardly admits. */
  offsetIn(seg: number, lin: number, size: number): number {
    const selector = this.segments[seg]!;
    if (selector === SEL.wrap16 && this.sometimes(25)) return 0xffff - this.rng.below(size);
    if (selector === SEL.data32 && this.sometimes(20)) return 0x2fff - this.rng.below(size);
    if (selector === SEL.small && this.sometimes(50)) return 0x0fff - this.rng.below(size);
    return (lin - baseOfSelector(selector)) | 0;
  }

  /**
   * A ModRM memory operand of `size` bytes with `reg` in its middle field. Chooses segment and addressing form and sets
   * registers so that the operand lies at `lin` (by default one of target()). Returns its linear address.
   */
  memoryOperand(reg: number, size: number, lin = this.target(size)): number {
    // Forms with EBP or ESP as base use SS: decide the form first, then the segment.
    const form = this.address16 ? this.form16() : this.form32();
    const seg = this.chooseSegment(form.base === EBP || form.base === ESP ? SS : DS);
    const offset = this.offsetIn(seg, lin, size);
    this.solve(form, offset);
    const disp = form.dispBytes;
    this.modrm = [(form.mod << 6) | (reg << 3) | form.rm, ...form.sib, ...littleEndian(form.disp, disp)];
    const used = this.address16 ? offset & 0xffff : offset;
    return (baseOfSelector(this.segments[seg]!) + used) | 0;
  }

  private form32(): AddressForm {
    const { rng } = this;
    const kind = rng.below(100);
    let mod = rng.below(3);
    if (kind < 15) return { mod: 0, rm: 5, sib: [], base: -1, index: -1, scale: 0, dispBytes: 4, disp: 0 };
    if (kind < 60) {
      const base = this.pick([EAX, ECX, EDX, EBX, EBP, ESI, EDI]);
      if (mod === 0 && base === EBP) mod = 1;
      return { mod, rm: base, sib: [], base, index: -1, scale: 0, dispBytes: [0, 1, 4][mod]!, disp: 0 };
    }
    const scale = rng.below(4);
    const index = rng.below(8);
    const base = rng.below(8);
    const noBase = base === EBP && mod === 0;
    return {
      mod,
      rm: 4,
      sib: [(scale << 6) | (index << 3) | base],
      base: noBase ? -1 : base,
      index: index === ESP ? -1 : index,
      scale,
      dispBytes: noBase ? 4 : [0, 1, 4][mod]!,
      disp: 0,
    };
  }

  private form16(): AddressForm {
    const rm = this.rng.below(8);
    const mod = this.rng.below(3);
    const direct = mod === 0 && rm === 6;
    const dispBytes = direct ? 2 : [0, 1, 2][mod]!;
    return { mod, rm, sib: [], base: direct ? -1 : BASE16[rm]!, index: INDEX16[rm]!, scale: 0, dispBytes, disp: 0 };
  }

  /** Makes base + index * scale + disp equal the offset: by a free base register, else by the displacement. */
  private solve(form: AddressForm, offset: number): void {
    const width: Width = this.address16 ? 16 : 32;
    const fullBytes = this.address16 ? 2 : 4;
    const { rng } = this;
    if (form.index >= 0) this.setReg(form.index, width, rng.chance(1, 2) ? rng.below(64) : rng.uint32());
    const indexPart = form.index < 0 ? 0 : this.regs[form.index]! << form.scale;
    const solvable = form.base >= 0 && form.base !== form.index && this.isFree(form.base);
    if (solvable) {
      form.disp = form.dispBytes === 0 ? 0 : form.dispBytes === 1 ? signed8(rng.below(256)) : rng.uint32() | 0;
      this.setReg(form.base, width, offset - indexPart - form.disp);
      return;
    }
    // No register is free to carry the rest: the displacement must.
    if (form.base >= 0) this.setReg(form.base, width, rng.uint32());
    if (form.dispBytes !== fullBytes) {
      form.dispBytes = fullBytes;
      form.mod = 2;
    }
    form.disp = offset - indexPart - (form.base < 0 ? 0 : this.regs[form.base]!);
  }

  /** Points ESP so that the first stack access of `size` bytes is at a chosen place; returns its linear address. */
  stack(size: number, isPush: boolean): number {
    if (this.rng.chance(1, 6)) this.segments[SS] = this.pick(STACK_SELECTORS);
    const lin = this.target(size);
    const offset = this.offsetIn(SS, lin, size);
    const pointer = offset + (isPush ? size : 0);
    this.setReg(ESP, is16BitStack(this.segments[SS]!) ? 16 : 32, pointer);
    return (baseOfSelector(this.segments[SS]!) + offset) | 0;
  }

  /** Width of the stack pointer in force. */
  get stackWidth(): Width {
    return is16BitStack(this.segments[SS]!) ? 16 : 32;
  }

  // ---------------------------------------------------------------- code

  get length(): number {
    return this.prefixes.length + this.opcode.length + this.modrm.length + this.immediate.length;
  }

  get eip(): number {
    return this.codeAt - baseOfSelector(this.segments[CS]!);
  }

  finish(): Case {
    const code = Uint8Array.from([...this.prefixes, ...this.opcode, ...this.modrm, ...this.immediate]);
    const inside = code.subarray(0, Math.min(code.length, CODE_END - this.codeAt));
    assert(inside.length > 0, 'a case without code');
    return {
      code: inside,
      codeAt: this.codeAt,
      eip: this.eip,
      regs: this.regs,
      eflags: this.eflags,
      segments: this.segments,
      patches: mergeBytes(this.memory),
    };
  }
}

interface AddressForm {
  mod: number;
  readonly rm: number;
  readonly sib: readonly number[];
  readonly base: number;
  readonly index: number;
  readonly scale: number;
  dispBytes: number;
  disp: number;
}

export const signed8 = (value: number): number => (value << 24) >> 24;

export function littleEndian(value: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => (value >> (8 * i)) & 0xff);
}

const PATCH_BYTES_MAX = 16;

/** Adjacent bytes become one patch. */
function mergeBytes(memory: ReadonlyMap<number, number>): Patch[] {
  const places = [...memory.keys()].sort((a, b) => a - b);
  const patches: Patch[] = [];
  for (let n = 0; n < places.length; ) {
    const at = places[n]!;
    const bytes: number[] = [];
    while (n < places.length && places[n] === at + bytes.length && bytes.length < PATCH_BYTES_MAX) {
      bytes.push(memory.get(places[n]!)!);
      n++;
    }
    patches.push({ at, bytes: Uint8Array.from(bytes) });
  }
  return patches;
}
