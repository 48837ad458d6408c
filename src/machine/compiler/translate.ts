/**
 * Data TLB misses and INVLPG for compiled code, in WebAssembly: what CpuCore.fillFront, GuestWalker.walk, Tlb and
 * Mmu do in the usual case, on the same words of machine memory. The usual case is a plain walker, small pages to fill,
 * tables and pages without FRAME_* flags, and a budget that covers the walk; everything else is TypeScript's.
 * Invariants: either everything is done as TypeScript would, counts included, or nothing but setting accessed bits
 * that the repeated walk sets anyway; a page fault is only noted (AT_MISSED*).
 */
import {
  FRONT_BANK_BYTES,
  FRONT_ENTRIES,
  MMU_ASID,
  MMU_DTLB_LARGE,
  MMU_DTLB_SMALL,
  MMU_FILLED,
  MMU_FILLED_COUNT,
  MMU_ITLB_LARGE,
  MMU_ITLB_SMALL,
  MMU_KERNEL_BANK,
  MMU_MAP,
  MMU_MAP_FRAMES,
  MMU_REFERENCE_CYCLES,
  NO_TAG,
} from '../mmu.ts';
import {
  ACCESS_PRESENT,
  ACCESS_USER,
  ACCESS_WRITE,
  CR0_WP,
  CR4_PGE,
  CR4_PSE,
  PDE_LARGE,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_GLOBAL,
  PTE_PRESENT,
  PTE_USER,
  PTE_WRITABLE,
} from '../paging.ts';
import { ABSENT } from '../physmap.ts';
import {
  ARRAY_CHAIN_MASK,
  ARRAY_CHAINS,
  ARRAY_ENTRIES,
  ARRAY_LIVE,
  ARRAY_NEXT,
  ARRAY_SET_MASK,
  ARRAY_WAYS,
  ENTRY_ASID,
  ENTRY_FLAGS,
  ENTRY_FRAME,
  ENTRY_LINK,
  ENTRY_PAGE,
  ENTRY_WORDS,
  TLB_DIRTY,
  TLB_GLOBAL,
  TLB_KERNEL_WRITABLE,
  TLB_USER,
  TLB_WRITABLE,
} from '../tlb.ts';
import {
  add,
  and,
  below,
  type Code,
  call,
  eq,
  give,
  i32,
  load,
  load8,
  loop,
  lt,
  mul,
  ne,
  not,
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
  AT_CPL,
  AT_CR0,
  AT_CR3,
  AT_CR4,
  AT_FILLS,
  AT_MISSED,
  AT_MISSED_ERROR,
  AT_MISSED_LIN,
  AT_MISSED_REFERENCES,
  AT_MISSES,
  AT_MMU,
  AT_REFERENCES,
} from './layout.ts';
import { Body } from './wasm.ts';

/** What the routines need to know of their module and machine. */
export interface TranslateContext {
  /** Byte address of the word that holds the block of the CPU at work. */
  readonly currentAt: number;
  readonly frameFlagsAt: number;
  /** Function indices: TypeScript's versions, and the routines here. */
  readonly fill: number;
  readonly invalidate: number;
  readonly find: number;
  readonly clear: number;
  readonly dropFront: number;
}

type Finished = ReturnType<Routine['finish']>;

const FRONT_SLOT_MASK = FRONT_ENTRIES - 1;
const EMPTY = -1;

/** Byte address of an entry of the array with this head. */
const entryAt = (head: Code, slot: Code): Code => add(load(head, 4 * ARRAY_ENTRIES), mul(slot, 4 * ENTRY_WORDS));

/** Byte address of the word with the first slot of the chain of a page number (tlb.ts: hash). */
const chainAt = (head: Code, page: Code): Code =>
  add(load(head, 4 * ARRAY_CHAINS), shl(and(xor(page, shr(page, 7)), load(head, 4 * ARRAY_CHAIN_MASK)), 2));

/** (head, page, asid) -> slot or -1. */
export function findRoutine(): Finished {
  const r = new Routine(3);
  const [head, page, asid] = [r.parameter(0), r.parameter(1), r.parameter(2)];
  const [slot, at] = [r.local(), r.local()];
  return r.finish(new Body(), [
    slot.set(load(chainAt(head, page))),
    loop(not(lt(slot, 0)), [
      at.set(entryAt(head, slot)),
      when(and(eq(load(at, 4 * ENTRY_PAGE), page), eq(load(at, 4 * ENTRY_ASID), asid)), [give(slot)]),
      slot.set(load(at, 4 * ENTRY_LINK)),
    ]),
    give(-1),
  ]);
}

/** (head, slot in use) -> 0: takes the slot out of its chain. */
export function clearRoutine(): Finished {
  const r = new Routine(2);
  const [head, slot] = [r.parameter(0), r.parameter(1)];
  const [at, link] = [r.local(), r.local()];
  return r.finish(new Body(), [
    at.set(entryAt(head, slot)),
    link.set(chainAt(head, load(at, 4 * ENTRY_PAGE))),
    loop(ne(load(link), slot), [link.set(add(entryAt(head, load(link)), 4 * ENTRY_LINK))]),
    store(link, 0, load(at, 4 * ENTRY_LINK)),
    store(at, 4 * ENTRY_PAGE, EMPTY),
    store(head, 4 * ARRAY_LIVE, sub(load(head, 4 * ARRAY_LIVE), 1)),
    give(0),
  ]);
}

/** (mmu, page) -> 0: the data TLB no longer holds the page. */
export function dropFrontRoutine(): Finished {
  const r = new Routine(2);
  const [mmu, page] = [r.parameter(0), r.parameter(1)];
  const [at, tag] = [r.local(), r.local()];
  const drop = (offset: number): Code =>
    when(eq(load(at, offset), tag), [store(at, offset, NO_TAG), store(at, offset + 4, NO_TAG)]);
  return r.finish(new Body(), [
    at.set(add(load(mmu, MMU_KERNEL_BANK), shl(and(page, FRONT_SLOT_MASK), 4))),
    tag.set(shl(page, 12)),
    drop(0),
    drop(FRONT_BANK_BYTES),
    give(0),
  ]);
}

/** (linear address) -> 1 if a translation of instructions went away. */
export function invalidateRoutine(context: TranslateContext): Finished {
  const r = new Routine(1);
  const lin = r.parameter(0);
  const [mmu, page, asid, head, slot] = [r.local(), r.local(), r.local(), r.local(), r.local()];
  const has = (array: number, key: Code): Code => not(lt(call(context.find, load(mmu, array), key, asid), 0));
  return r.finish(new Body(), [
    mmu.set(load(load(i32(context.currentAt)), AT_MMU)),
    page.set(shr(lin, 12)),
    asid.set(load(mmu, MMU_ASID)),
    when(has(MMU_ITLB_SMALL, page), [give(call(context.invalidate, lin))]),
    when(has(MMU_ITLB_LARGE, shr(page, 10)), [give(call(context.invalidate, lin))]),
    when(has(MMU_DTLB_LARGE, shr(page, 10)), [give(call(context.invalidate, lin))]),
    head.set(load(mmu, MMU_DTLB_SMALL)),
    slot.set(call(context.find, head, page, asid)),
    when(not(lt(slot, 0)), [
      slot.set(add(call(context.dropFront, mmu, page), slot)),
      slot.set(call(context.clear, head, slot)),
    ]),
    give(0),
  ]);
}

/** (linear address, access: 2 for a write and the width in bits from bit 8, cycles left) -> cycles left, or -1. */
export function fillRoutine(context: TranslateContext): Finished {
  const r = new Routine(3);
  const [lin, access, left] = [r.parameter(0), r.parameter(1), r.parameter(2)];
  const [block, mmu, page, user, write] = [r.local(), r.local(), r.local(), r.local(), r.local()];
  const [head, slot, at, flags, frame, needed] = [r.local(), r.local(), r.local(), r.local(), r.local(), r.local()];
  const [tableAt, pde, pte, marked, mfn, scratch] = [r.local(), r.local(), r.local(), r.local(), r.local(), r.local()];

  const inTypeScript = give(call(context.fill, lin, access, left));
  const giveUp = give(-1);
  const flagsOfFrame = (of: Code): Code => load8(of, context.frameFlagsAt);
  /** Sets `mfn` to the machine frame of a guest frame, which `fails` if there is none. */
  const toMachine = (gfn: Code, fails: Code): readonly Code[] => [
    scratch.set(gfn),
    when(not(below(scratch, load(mmu, MMU_MAP_FRAMES))), [fails]),
    mfn.set(load(add(load(mmu, MMU_MAP), shl(scratch, 2)))),
    when(eq(mfn, i32(ABSENT)), [fails]),
  ];
  /** An access of more than a word need not be all that its instruction touches: the interpreter finds the fault. */
  const fault = (references: number, bits: number): readonly Code[] => [
    when(not(below(i32(32), shr(access, 8))), [
      store(block, AT_MISSED, 1),
      store(block, AT_MISSED_LIN, lin),
      store(block, AT_MISSED_ERROR, or(or(write, user), bits)),
      store(block, AT_MISSED_REFERENCES, references),
    ]),
    giveUp,
  ];
  const walk: readonly Code[] = [
    // Paging is on.
    when(not(lt(load(block, AT_CR0), 0)), [inTypeScript]),
    tableAt.set(or(and(load(block, AT_CR3), ~0xfff), and(shr(lin, 20), 0xffc))),
    ...toMachine(shr(tableAt, 12), inTypeScript),
    tableAt.set(or(shl(mfn, 12), and(tableAt, 0xfff))),
    pde.set(load(tableAt)),
    when(not(and(pde, PTE_PRESENT)), fault(1, 0)),
    when(and(and(pde, PDE_LARGE), shl(and(load(block, AT_CR4), CR4_PSE), 3)), [inTypeScript]),
    // The accessed bit of the directory entry is set last, but its frame must allow that.
    when(not(and(pde, PTE_ACCESSED)), [when(flagsOfFrame(mfn), [inTypeScript])]),
    at.set(or(and(pde, ~0xfff), and(shr(lin, 10), 0xffc))),
    ...toMachine(shr(at, 12), inTypeScript),
    at.set(or(shl(mfn, 12), and(at, 0xfff))),
    pte.set(load(at)),
    when(not(and(pte, PTE_PRESENT)), fault(2, 0)),
    // Whether the tables permit the access (paging.ts: permits).
    frame.set(and(pde, pte)),
    when(and(ne(user, i32(0)), not(and(frame, PTE_USER))), fault(2, ACCESS_PRESENT)),
    when(
      and(and(shr(write, 1), not(and(frame, PTE_WRITABLE))), ne(or(user, and(load(block, AT_CR0), CR0_WP)), i32(0))),
      [...fault(2, ACCESS_PRESENT)],
    ),
    marked.set(or(pte, or(i32(PTE_ACCESSED), mul(write, PTE_DIRTY / ACCESS_WRITE)))),
    when(and(ne(marked, pte), ne(flagsOfFrame(mfn), i32(0))), [inTypeScript]),
    ...toMachine(shr(pte, 12), inTypeScript),
    when(and(ne(write, i32(0)), ne(flagsOfFrame(mfn), i32(0))), [giveUp]),
    needed.set(sub(left, mul(load(mmu, MMU_REFERENCE_CYCLES), 2))),
    when(lt(needed, 0), [giveUp]),
    left.set(needed),
    store(block, AT_REFERENCES, add(load(block, AT_REFERENCES), 2)),
    store(block, AT_MISSES, add(load(block, AT_MISSES), 1)),
    when(not(and(pde, PTE_ACCESSED)), [store(tableAt, 0, or(pde, i32(PTE_ACCESSED)))]),
    // After that, since one table may be both.
    when(ne(marked, pte), [store(at, 0, marked)]),
    // Rights (paging.ts: tlbFlags).
    flags.set(
      or(
        or(
          select(and(frame, PTE_WRITABLE), i32(TLB_WRITABLE | TLB_KERNEL_WRITABLE), i32(0)),
          select(and(load(block, AT_CR0), CR0_WP), i32(0), i32(TLB_KERNEL_WRITABLE)),
        ),
        or(
          select(and(frame, PTE_USER), i32(TLB_USER), i32(0)),
          or(
            select(and(marked, PTE_DIRTY), i32(TLB_DIRTY), i32(0)),
            select(and(and(marked, PTE_GLOBAL), shl(and(load(block, AT_CR4), CR4_PGE), 1)), i32(TLB_GLOBAL), i32(0)),
          ),
        ),
      ),
    ),
    frame.set(shr(pte, 12)),
    // Into the TLB: the slot that has the page, or the oldest of its set.
    head.set(load(mmu, MMU_DTLB_SMALL)),
    when(
      lt(slot, 0),
      [
        scratch.set(and(page, load(head, 4 * ARRAY_SET_MASK))),
        at.set(add(load(head, 4 * ARRAY_NEXT), shl(scratch, 2))),
        slot.set(load(at)),
        scratch.set(add(mul(scratch, load(head, 4 * ARRAY_WAYS)), slot)),
        slot.set(add(slot, 1)),
        store(at, 0, select(eq(slot, load(head, 4 * ARRAY_WAYS)), i32(0), slot)),
        slot.set(scratch),
        at.set(entryAt(head, slot)),
        scratch.set(load(at, 4 * ENTRY_PAGE)),
        when(ne(scratch, i32(EMPTY)), [
          scratch.set(call(context.dropFront, mmu, scratch)),
          scratch.set(call(context.clear, head, slot)),
        ]),
        scratch.set(chainAt(head, page)),
        store(at, 4 * ENTRY_LINK, load(scratch)),
        store(scratch, 0, slot),
        store(head, 4 * ARRAY_LIVE, add(load(head, 4 * ARRAY_LIVE), 1)),
        store(at, 4 * ENTRY_PAGE, page),
        store(at, 4 * ENTRY_ASID, load(mmu, MMU_ASID)),
      ],
      [scratch.set(call(context.dropFront, mmu, page)), at.set(entryAt(head, slot))],
    ),
    store(at, 4 * ENTRY_FRAME, frame),
    store(at, 4 * ENTRY_FLAGS, flags),
  ];
  const allowed = eq(and(flags, needed), needed);
  return r.finish(new Body(), [
    block.set(load(i32(context.currentAt))),
    mmu.set(load(block, AT_MMU)),
    when(or(not(load(block, AT_FILLS)), lt(load(mmu, MMU_MAP), 0)), [inTypeScript]),
    when(below(i32(0x1000), add(and(lin, 0xfff), shr(access, 11))), [giveUp]),
    page.set(shr(lin, 12)),
    user.set(select(eq(load(block, AT_CPL), i32(3)), i32(ACCESS_USER), i32(0))),
    write.set(and(access, ACCESS_WRITE)),
    // What a TLB entry must allow (paging.ts: tlbAllows).
    needed.set(
      select(
        user,
        or(i32(TLB_USER), select(write, i32(TLB_WRITABLE | TLB_DIRTY), i32(0))),
        select(write, i32(TLB_KERNEL_WRITABLE | TLB_DIRTY), i32(0)),
      ),
    ),
    head.set(load(mmu, MMU_DTLB_SMALL)),
    slot.set(call(context.find, head, page, load(mmu, MMU_ASID))),
    scratch.set(-1),
    when(
      lt(slot, 0),
      [
        when(load(load(mmu, MMU_DTLB_LARGE), 4 * ARRAY_LIVE), [
          scratch.set(call(context.find, load(mmu, MMU_DTLB_LARGE), shr(page, 10), load(mmu, MMU_ASID))),
          when(not(lt(scratch, 0)), [
            at.set(entryAt(load(mmu, MMU_DTLB_LARGE), scratch)),
            flags.set(load(at, 4 * ENTRY_FLAGS)),
            frame.set(add(load(at, 4 * ENTRY_FRAME), and(page, 0x3ff))),
          ]),
        ]),
      ],
      [
        scratch.set(slot),
        at.set(entryAt(head, slot)),
        flags.set(load(at, 4 * ENTRY_FLAGS)),
        frame.set(load(at, 4 * ENTRY_FRAME)),
      ],
    ),
    when(
      and(not(lt(scratch, 0)), allowed),
      [...toMachine(frame, inTypeScript), when(and(ne(write, i32(0)), ne(flagsOfFrame(mfn), i32(0))), [giveUp])],
      walk,
    ),
    // Into the front table of this privilege (Mmu.fillFront).
    scratch.set(and(page, FRONT_SLOT_MASK)),
    at.set(add(add(load(mmu, MMU_KERNEL_BANK), select(user, i32(FRONT_BANK_BYTES), i32(0))), shl(scratch, 4))),
    page.set(shl(page, 12)),
    store(at, 0, page),
    needed.set(select(user, i32(TLB_WRITABLE | TLB_DIRTY), i32(TLB_KERNEL_WRITABLE | TLB_DIRTY))),
    store(at, 4, select(and(allowed, not(flagsOfFrame(mfn))), page, i32(NO_TAG))),
    store(at, 8, sub(shl(mfn, 12), page)),
    slot.set(load(mmu, MMU_FILLED_COUNT)),
    when(below(slot, i32(FRONT_ENTRIES)), [
      store(add(load(mmu, MMU_FILLED), shl(slot, 2)), 0, scratch),
      store(mmu, MMU_FILLED_COUNT, add(slot, 1)),
    ]),
    give(left),
  ]);
}
