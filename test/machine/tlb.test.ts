/** The modelled TLB against a naive model: lists of entries per set, the oldest slot overwritten first. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TLB_GLOBAL, TLB_LARGE, TLB_USER, TLB_WRITABLE, Tlb, type TlbGeometry } from '../../src/machine/tlb.ts';

const SPEC = { small: { sets: 2, ways: 2 }, large: { sets: 1, ways: 2 } };

interface Slot {
  key: number;
  asid: number;
  base: number;
  flags: number;
}

/** One array as a list of slots per set and a hand that goes round. */
class NaiveArray {
  readonly sets: (Slot | null)[][];
  readonly hands: number[];
  constructor(geometry: TlbGeometry) {
    this.sets = Array.from({ length: geometry.sets }, () =>
      Array.from({ length: geometry.ways }, (): Slot | null => null),
    );
    this.hands = Array.from({ length: geometry.sets }, () => 0);
  }
  slotsOf(key: number): (Slot | null)[] {
    return this.sets[key % this.sets.length]!;
  }
  find(key: number, asid: number): Slot | undefined {
    return this.slotsOf(key).find((slot) => slot !== null && slot.key === key && slot.asid === asid) ?? undefined;
  }
  insert(slot: Slot): void {
    const slots = this.slotsOf(slot.key);
    const same = slots.findIndex((s) => s !== null && s.key === slot.key && s.asid === slot.asid);
    const set = slot.key % this.sets.length;
    const at = same >= 0 ? same : this.hands[set]!;
    if (same < 0) this.hands[set] = (at + 1) % slots.length;
    slots[at] = slot;
  }
  removeIf(test: (slot: Slot) => boolean): void {
    for (const slots of this.sets) {
      slots.forEach((slot, i) => {
        if (slot !== null && test(slot)) slots[i] = null;
      });
    }
  }
}

class NaiveTlb {
  readonly small = new NaiveArray(SPEC.small);
  readonly large = new NaiveArray(SPEC.large);
  lookup(page: number, asid: number): { frame: number; flags: number } | null {
    const small = this.small.find(page, asid);
    if (small !== undefined) return { frame: small.base, flags: small.flags };
    const large = this.large.find(Math.floor(page / 1024), asid);
    return large === undefined ? null : { frame: large.base + (page % 1024), flags: large.flags };
  }
  insert(page: number, asid: number, frame: number, flags: number): void {
    if ((flags & TLB_LARGE) === 0) this.small.insert({ key: page, asid, base: frame, flags });
    else this.large.insert({ key: Math.floor(page / 1024), asid, base: frame - (page % 1024), flags });
  }
  invalidate(page: number, asid: number): void {
    this.small.removeIf((slot) => slot.asid === asid && slot.key === page);
    this.large.removeIf((slot) => slot.asid === asid && slot.key === Math.floor(page / 1024));
  }
  flush(test: (slot: Slot) => boolean): void {
    this.small.removeIf(test);
    this.large.removeIf(test);
  }
}

const page = fc.constantFrom(0, 1, 2, 3, 5, 1023, 1024, 1025, 2048, 0xfffff);
const asid = fc.integer({ min: 0, max: 1 });
const flags = fc.constantFrom(0, TLB_USER, TLB_WRITABLE | TLB_GLOBAL, TLB_LARGE, TLB_LARGE | TLB_GLOBAL);
const step = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant('insert' as const), page, asid, flags) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('invalidate' as const), page, asid, fc.constant(0)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('flush' as const), page, asid, fc.integer({ min: 0, max: 1 })) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('flush-all' as const), page, asid, fc.constant(0)) },
);

test('agrees with the naive model, and reports every entry that goes away', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const tlb = new Tlb(SPEC);
      const naive = new NaiveTlb();
      // What a front table would hold: every page looked up since its entry last went away.
      const front = new Set<number>();
      tlb.onEvict = (first, pages) => {
        for (let p = first; p < first + pages; p++) front.delete(p);
      };
      let frame = 0x1000;
      for (const [kind, p, a, argument] of steps) {
        frame += 2048;
        if (kind === 'insert') {
          tlb.insert(p, a, frame + (p % 1024), argument);
          naive.insert(p, a, frame + (p % 1024), argument);
        } else if (kind === 'invalidate') {
          tlb.invalidatePage(p, a);
          naive.invalidate(p, a);
        } else if (kind === 'flush') {
          tlb.flushAsid(a, argument === 1);
          naive.flush((slot) => slot.asid === a && (argument === 1 || (slot.flags & TLB_GLOBAL) === 0));
        } else {
          tlb.flushAll();
          naive.flush(() => true);
        }
        for (const q of [0, 1, 2, 3, 5, 1023, 1024, 1025, 2048, 0xfffff]) {
          for (const b of [0, 1]) {
            const found = tlb.lookup(q, b) ? { frame: tlb.hitFrame, flags: tlb.hitFlags } : null;
            expect(found).toEqual(naive.lookup(q, b));
          }
          const isKnown = naive.lookup(q, 0) !== null;
          expect(front.has(q) && !isKnown).toBe(false);
          if (isKnown) front.add(q);
        }
      }
    }),
    { numRuns: 300 },
  );
});

describe('replacement', () => {
  test('is first in, first out: a hit does not make an entry younger', () => {
    const tlb = new Tlb(SPEC);
    tlb.insert(0, 0, 10, 0);
    tlb.insert(2, 0, 12, 0);
    tlb.lookup(0, 0);
    tlb.insert(4, 0, 14, 0);
    expect([0, 2, 4].map((p) => tlb.lookup(p, 0))).toEqual([false, true, true]);
  });

  test('a large page needs one entry and answers for all of its pages', () => {
    const tlb = new Tlb(SPEC);
    tlb.insert(1024 + 5, 0, 2048 + 5, TLB_LARGE);
    expect(tlb.lookup(1024 + 900, 0)).toBe(true);
    expect(tlb.hitFrame).toBe(2048 + 900);
    expect(tlb.lookup(2048, 0)).toBe(false);
    tlb.invalidatePage(1024 + 700, 0);
    expect(tlb.lookup(1024 + 900, 0)).toBe(false);
  });
});

test.each([[{ sets: 3, ways: 1 }], [{ sets: 0, ways: 1 }], [{ sets: 1, ways: 0 }], [{ sets: 1, ways: 257 }]])(
  'a geometry of %o is refused',
  (small) => {
    expect(() => new Tlb({ small, large: SPEC.large })).toThrow('is not valid');
  },
);
