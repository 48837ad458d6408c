/**
 * Interrupt delivery and IRET for compiled code, in WebAssembly: flat-transfer.ts on the words of the CPU's block.
 * Invariants: a transfer is made as a whole, with the effects of flat-transfer.ts in every bit, or nothing is touched
 * and 0 returned; then the interpreter makes it. What is rare there (TF, VM, NT, AC, RF in the wrong place, a pending
 * interrupt that the new IF admits, segments that IRET would clear) is always the interpreter's.
 * Source: SDM vol 3, 6.12; SDM vol 2, INT n and IRET.
 */
import { BLOCK_ATTRIBUTES, BLOCK_BASES, BLOCK_LIMITS, BLOCK_SELECTORS } from '../cpu-core.ts';
import {
  FLAG_AC,
  FLAG_CF,
  FLAG_IF,
  FLAG_IOPL,
  FLAG_NT,
  FLAG_RF,
  FLAG_TF,
  FLAG_VIF,
  FLAG_VIP,
  FLAG_VM,
  FLAG_ZF,
  FLAGS_ARITHMETIC,
  FLAGS_FIXED,
} from '../flags.ts';
import {
  DPL_BITS,
  FLAT_CODE_HIGH,
  FLAT_DATA_HIGH,
  FLAT_LOW,
  GATE_32,
  GATE_IS_TRAP,
  GATE_MASK,
} from '../flat-transfer.ts';
import { SEG_CS, SEG_SS } from '../insn.ts';
import { FLAGS_FREE } from '../interrupts.ts';
import { FRONT_BANK_BYTES, FRONT_ENTRY_WORDS, MMU_INTERRUPT_CYCLES } from '../mmu.ts';
import { ATTR_CODE, ATTR_DPL, ATTR_EXPAND_DOWN, ATTR_PRESENT, SEG_TR } from '../segments.ts';
import {
  above,
  add,
  and,
  below,
  type Code,
  call,
  eq,
  give,
  i32,
  load,
  lt,
  mul,
  ne,
  not,
  ones,
  or,
  Routine,
  select,
  shl,
  shr,
  store,
  sub,
  when,
  xor,
} from './expression.ts';
import {
  AT_COUNT,
  AT_CPL,
  AT_EIP,
  AT_FIRST,
  AT_FRONT,
  AT_GDT_BASE,
  AT_GDT_LIMIT,
  AT_GUARDED,
  AT_GUARDED_OUTER,
  AT_GUARDED_RING0,
  AT_IDT_BASE,
  AT_IDT_LIMIT,
  AT_KIND,
  AT_LEFT,
  AT_MMU,
  AT_MODE,
  AT_PENDING,
  AT_RESUME,
  AT_SECOND,
  AT_SYSTEM_FLAGS,
  AT_SYSTEM_FRONT,
  AT_TRANSFERRED,
  DEFERRED_NONE,
} from './layout.ts';
import { Body } from './wasm.ts';

export interface TransferContext {
  /** Byte address of the word that holds the block of the CPU at work. */
  readonly currentAt: number;
  /** Function indices. */
  readonly locate: number;
  readonly descriptor: number;
  readonly enter: number;
  readonly carries: number;
  readonly result: number;
}

type Finished = ReturnType<Routine['finish']>;

/** ESP in the block. */
const AT_ESP = 16;
const NOT_FOUND = -1;
/** 32-bit code; with user mode in bit 0 (mmu.ts: codeTags). */
const MODE_32 = 2;

/** EFLAGS images with one of these are the interpreter's; the flags in force have none of TF, VM, and NT is refused. */
const RARE_FLAGS = FLAG_VM | FLAG_TF | FLAG_NT | FLAG_AC;

const dpl = (high: Code): Code => and(shr(high, 13), 3);
const word = (index: number): number => 4 * index;

/** (bank, linear address, bytes, 4 for a write or 0) -> address in machine memory, or -1: the front lacks the page. */
export function locateRoutine(): Finished {
  const r = new Routine(4);
  const [bank, lin, bytes, write] = [r.parameter(0), r.parameter(1), r.parameter(2), r.parameter(3)];
  const at = r.local();
  return r.finish(new Body(), [
    at.set(add(bank, and(shr(lin, 8), FRONT_BANK_BYTES - FRONT_ENTRY_WORDS * 4))),
    when(and(lin, 3), [give(NOT_FOUND)]),
    when(ne(load(add(at, write)), and(sub(add(lin, bytes), 1), ~0xfff)), [give(NOT_FOUND)]),
    give(add(lin, load(at, 8))),
  ]);
}

/** (block, selector, FLAT_CODE_HIGH or FLAT_DATA_HIGH) -> high word of its flat GDT descriptor, or 0. */
export function descriptorRoutine(context: TransferContext): Finished {
  const r = new Routine(3);
  const [block, selector, kind] = [r.parameter(0), r.parameter(1), r.parameter(2)];
  const [offset, at, high] = [r.local(), r.local(), r.local()];
  return r.finish(new Body(), [
    offset.set(and(selector, 0xfff8)),
    when(or(or(not(offset), and(selector, 4)), above(add(offset, 7), load(block, AT_GDT_LIMIT))), [give(0)]),
    at.set(call(context.locate, load(block, AT_SYSTEM_FRONT), add(load(block, AT_GDT_BASE), offset), 8, 0)),
    when(eq(at, i32(NOT_FOUND)), [give(0)]),
    when(ne(load(at), i32(FLAT_LOW)), [give(0)]),
    high.set(load(at, 4)),
    when(ne(and(high, ~DPL_BITS), kind), [give(0)]),
    give(high),
  ]);
}

const setFlat = (block: Code, seg: number, selector: Code, high: Code): readonly Code[] => [
  store(block, BLOCK_SELECTORS + word(seg), selector),
  store(block, BLOCK_BASES + word(seg), 0),
  store(block, BLOCK_LIMITS + word(seg), -1),
  store(block, BLOCK_ATTRIBUTES + word(seg), and(shr(high, 8), 0xf0ff)),
];

/** (block, code selector, ring, descriptor high word) -> 0: loads CS and CPL, and what depends on them. */
export function enterRoutine(): Finished {
  const r = new Routine(4);
  const [block, selector, ring, high] = [r.parameter(0), r.parameter(1), r.parameter(2), r.parameter(3)];
  const isUser = eq(ring, i32(3));
  return r.finish(new Body(), [
    ...setFlat(block, SEG_CS, or(and(selector, 0xfffc), ring), high),
    store(block, AT_CPL, ring),
    store(block, AT_MODE, or(isUser, i32(MODE_32))),
    store(block, AT_FRONT, add(load(block, AT_SYSTEM_FRONT), mul(isUser, FRONT_BANK_BYTES))),
    store(block, AT_GUARDED, select(ring, load(block, AT_GUARDED_OUTER), load(block, AT_GUARDED_RING0))),
    store(block, AT_TRANSFERRED, 1),
    give(0),
  ]);
}

/** EFLAGS as a push would store it, given result and carry vector (flags.ts). */
function eflags(block: Code, result: Code, carries: Code): Code {
  const parity = xor(and(ones(and(xor(result, shr(carries, 8)), 0xff)), 1), i32(1));
  const bits = [
    shr(carries, 31),
    shl(parity, 2),
    shl(and(shr(carries, 3), 1), 4),
    shl(not(result), 6),
    shl(shr(xor(result, shl(carries, 31)), 31), 7),
    shl(shr(xor(carries, shl(carries, 1)), 31), 11),
    load(block, AT_SYSTEM_FLAGS),
  ];
  return bits.reduce((all, bit) => or(all, bit), i32(FLAGS_FIXED));
}

/** (vector, error code or -1, 1 for INT n) -> 1 if it was delivered; the frame's EIP is the block's. */
export function deliverRoutine(context: TransferContext): Finished {
  const r = new Routine(3);
  const [vector, error, software] = [r.parameter(0), r.parameter(1), r.parameter(2)];
  const [block, kernel, at, low, high] = [r.local(), r.local(), r.local(), r.local(), r.local()];
  const [selector, code, ring, cpl, inner] = [r.local(), r.local(), r.local(), r.local(), r.local()];
  const [sp, stackSelector, stack, bytes, bottom] = [r.local(), r.local(), r.local(), r.local(), r.local()];
  const [result, carries, left] = [r.local(), r.local(), r.local()];
  const refuse = give(0);
  const flagWords = [load(block, AT_KIND), load(block, AT_FIRST), load(block, AT_SECOND)] as const;
  return r.finish(new Body(), [
    block.set(load(i32(context.currentAt))),
    kernel.set(load(block, AT_SYSTEM_FRONT)),
    cpl.set(load(block, AT_CPL)),
    left.set(sub(load(block, AT_LEFT), load(load(block, AT_MMU), MMU_INTERRUPT_CYCLES))),
    when(lt(left, 0), [refuse]),
    when(above(add(shl(vector, 3), 7), load(block, AT_IDT_LIMIT)), [refuse]),
    at.set(call(context.locate, kernel, add(load(block, AT_IDT_BASE), shl(vector, 3)), 8, 0)),
    when(eq(at, i32(NOT_FOUND)), [refuse]),
    low.set(load(at)),
    high.set(load(at, 4)),
    when(ne(and(high, GATE_MASK), i32(GATE_32)), [refuse]),
    when(and(software, below(dpl(high), cpl)), [refuse]),
    selector.set(shr(low, 16)),
    code.set(call(context.descriptor, block, selector, FLAT_CODE_HIGH)),
    ring.set(dpl(code)),
    when(or(not(code), above(ring, cpl)), [refuse]),
    inner.set(below(ring, cpl)),
    sp.set(load(block, AT_ESP)),
    when(inner, [
      at.set(add(shl(ring, 3), 4)),
      when(
        or(
          not(and(load(block, BLOCK_ATTRIBUTES + word(SEG_TR)), 8)),
          above(add(at, 5), load(block, BLOCK_LIMITS + word(SEG_TR))),
        ),
        [refuse],
      ),
      at.set(call(context.locate, kernel, add(load(block, BLOCK_BASES + word(SEG_TR)), at), 8, 0)),
      when(eq(at, i32(NOT_FOUND)), [refuse]),
      sp.set(load(at)),
      stackSelector.set(and(load(at, 4), 0xffff)),
      stack.set(call(context.descriptor, block, stackSelector, FLAT_DATA_HIGH)),
      when(or(or(not(stack), ne(dpl(stack), ring)), ne(and(stackSelector, 3), ring)), [refuse]),
    ]),
    bytes.set(add(select(inner, i32(20), i32(12)), select(eq(error, i32(-1)), i32(0), i32(4)))),
    bottom.set(sub(sp, bytes)),
    at.set(call(context.locate, select(inner, kernel, load(block, AT_FRONT)), bottom, bytes, 4)),
    when(eq(at, i32(NOT_FOUND)), [refuse]),
    when(ne(error, i32(-1)), [store(at, 0, error), at.set(add(at, 4))]),
    result.set(call(context.result, ...flagWords)),
    carries.set(call(context.carries, ...flagWords)),
    store(at, 0, load(block, AT_EIP)),
    store(at, 4, load(block, BLOCK_SELECTORS + word(SEG_CS))),
    // RF: a fault's frame has it; that of INT n only just after an IRET that loaded it (interrupts.ts: resumes).
    store(
      at,
      8,
      or(
        eflags(block, result, carries),
        shl(or(not(software), eq(load(block, AT_RESUME), sub(load(block, AT_COUNT), 1))), 16),
      ),
    ),
    when(inner, [
      store(at, 12, load(block, AT_ESP)),
      store(at, 16, load(block, BLOCK_SELECTORS + word(SEG_SS))),
      ...setFlat(block, SEG_SS, stackSelector, stack),
    ]),
    at.set(call(context.enter, block, selector, ring, code)),
    store(block, AT_ESP, bottom),
    store(block, AT_EIP, or(and(high, ~0xffff), and(low, 0xffff))),
    store(
      block,
      AT_SYSTEM_FLAGS,
      and(
        load(block, AT_SYSTEM_FLAGS),
        xor(or(i32(FLAG_TF | FLAG_NT | FLAG_VM), select(and(high, GATE_IS_TRAP), i32(0), i32(FLAG_IF))), i32(-1)),
      ),
    ),
    store(block, AT_LEFT, left),
    give(1),
  ]);
}

/** () -> 1 if IRETD was carried out. */
export function returnRoutine(context: TransferContext): Finished {
  const r = new Routine(1);
  const [block, cpl, sp, at, eip] = [r.local(), r.local(), r.local(), r.local(), r.local()];
  const [selector, image, ring, code, flags] = [r.local(), r.local(), r.local(), r.local(), r.local()];
  const [mask, stackSelector, stack, next] = [r.local(), r.local(), r.local(), r.local()];
  const refuse = give(0);
  /** IRET to an outer ring would clear this segment register (segments.ts: dropInnerSegments). */
  const isDropped = (seg: number): Code => {
    const attributes = load(block, BLOCK_ATTRIBUTES + word(seg));
    const isNull = not(and(attributes, ATTR_PRESENT));
    const isConforming = eq(and(attributes, ATTR_CODE | ATTR_EXPAND_DOWN), i32(ATTR_CODE | ATTR_EXPAND_DOWN));
    const isInner = below(shr(and(attributes, ATTR_DPL), 5), ring);
    const isUnused = not(or(attributes, load(block, BLOCK_SELECTORS + word(seg))));
    return and(not(isUnused), or(isNull, and(not(isConforming), isInner)));
  };
  return r.finish(new Body(), [
    block.set(load(i32(context.currentAt))),
    cpl.set(load(block, AT_CPL)),
    sp.set(load(block, AT_ESP)),
    at.set(call(context.locate, load(block, AT_FRONT), sp, 12, 0)),
    when(or(eq(at, i32(NOT_FOUND)), and(load(block, AT_SYSTEM_FLAGS), FLAG_NT)), [refuse]),
    eip.set(load(at)),
    selector.set(and(load(at, 4), 0xffff)),
    image.set(load(at, 8)),
    when(and(image, RARE_FLAGS), [refuse]),
    ring.set(and(selector, 3)),
    code.set(call(context.descriptor, block, selector, FLAT_CODE_HIGH)),
    when(or(or(not(code), below(ring, cpl)), ne(dpl(code), ring)), [refuse]),
    // What EFLAGS becomes, but for the arithmetic flags.
    flags.set(load(block, AT_SYSTEM_FLAGS)),
    mask.set(
      or(
        i32(FLAGS_FREE & ~FLAGS_ARITHMETIC),
        or(
          select(above(cpl, shr(and(flags, FLAG_IOPL), 12)), i32(0), i32(FLAG_IF)),
          select(cpl, i32(0), i32(FLAG_IOPL | FLAG_VIF | FLAG_VIP)),
        ),
      ),
    ),
    next.set(or(and(flags, xor(mask, i32(-1))), and(image, mask))),
    when(and(ne(load(block, AT_PENDING), i32(0)), ne(and(and(next, xor(flags, i32(-1))), FLAG_IF), i32(0))), [refuse]),
    when(
      eq(ring, cpl),
      [store(block, AT_ESP, add(sp, 12))],
      [
        when(ne(and(add(sp, 19), ~0xfff), and(sp, ~0xfff)), [refuse]),
        stackSelector.set(and(load(at, 16), 0xffff)),
        stack.set(call(context.descriptor, block, stackSelector, FLAT_DATA_HIGH)),
        when(or(or(not(stack), ne(dpl(stack), ring)), ne(and(stackSelector, 3), ring)), [refuse]),
        ...[0, 3, 4, 5].map((seg) => when(isDropped(seg), [refuse])),
        store(block, AT_ESP, load(at, 12)),
        ...setFlat(block, SEG_SS, stackSelector, stack),
      ],
    ),
    at.set(call(context.enter, block, selector, ring, code)),
    when(and(image, FLAG_RF), [store(block, AT_RESUME, load(block, AT_COUNT))]),
    store(block, AT_EIP, eip),
    store(block, AT_SYSTEM_FLAGS, next),
    // The arithmetic flags (flags.ts: setArithmeticFlags).
    store(block, AT_KIND, DEFERRED_NONE),
    mask.set(not(and(image, FLAG_ZF))),
    store(block, AT_FIRST, mask),
    flags.set(and(shr(image, 11), 1)),
    store(
      block,
      AT_SECOND,
      or(
        or(shl(and(image, FLAG_CF), 31), shl(xor(and(image, FLAG_CF), flags), 30)),
        or(or(shl(and(shr(image, 4), 1), 3), and(shr(image, 7), 1)), shl(xor(and(shr(image, 2), 1), not(mask)), 8)),
      ),
    ),
    give(1),
  ]);
}
