/**
 * The binary translator: what it copies and what it does not, the structure of Adams & Agesen's isPrime example, precise
 * state, full caches, code that changes, adaptation. That translated guests give the results of real machines is the
 * business of equivalence.test.ts, regressions.test.ts and test/system; here native runs are the expectation.
 */
import { describe, expect, it } from 'vitest';
import { readGuestImage } from '../../src/guest/image.ts';
import { findFunction } from '../../src/guest/symbols.ts';
import { Insn, SEG_CS, SEG_GS } from '../../src/machine/insn.ts';
import { INTERCEPT_PAUSE } from '../../src/machine/isa/row.ts';
import { ISA } from '../../src/machine/isa/table.ts';
import { Adaptation, FAULTS_MAX, HARMLESS_MAX } from '../../src/vmm/translator/adaptation.ts';
import { UNIT_INSNS_MAX } from '../../src/vmm/translator/fetch.ts';
import { CACHE_BASE } from '../../src/vmm/translator/layout.ts';
import type { Lead, UnitListing } from '../../src/vmm/translator/listing.ts';
import { planOf } from '../../src/vmm/translator/plan.ts';
import { guest, type RunEnd, runVm } from './run-vm.ts';

const MIB = 2 ** 20;
const BT = { technique: 'binary-translation', paging: 'shadow' } as const;
const ASSISTED = { technique: 'hardware-assisted', paging: 'shadow' } as const;
const NATIVE = { technique: 'native', paging: 'native' } as const;

const insnOf = (row: (typeof ISA)[number]): Insn => new Insn(row, () => {});
const countOf = (end: RunEnd, reason: string): number =>
  end.vm.exits.sorted().find((row) => row.reason === reason)?.count ?? 0;

describe('what is copied, by the columns of the ISA table', () => {
  it('is never sensitive or privileged, but for reading selectors that are the guest’s own', () => {
    const copied = ISA.filter((row) => row.class !== 'user' && planOf(insnOf(row), true) === 'ident');
    expect(copied.map(({ mnemonic, operands }) => `${mnemonic} ${operands.join()}`).sort()).toEqual([
      'MOV Ev,Sw',
      'PUSH DS',
      'PUSH ES',
      'PUSH FS',
    ]);
  });

  it('reads no selector of CS, SS or GS', () => {
    const row = ISA.find(({ opcode }) => opcode === '8C')!;
    const plans = [0, 1, 2, 3, 4, 5].map((seg) => {
      const insn = insnOf(row);
      insn.b = seg;
      return planOf(insn, true);
    });
    expect(plans).toEqual(['ident', 'emulate', 'emulate', 'ident', 'ident', 'emulate']);
  });

  it('is nothing that a VMM intercepts, nor what stores the x87 instruction pointer', () => {
    const copied = ISA.filter((row) => planOf(insnOf(row), true) === 'ident');
    expect(copied.filter((row) => (row.intercept & ~INTERCEPT_PAUSE) !== 0)).toEqual([]);
    expect(copied.filter((row) => row.cost === 'float-state')).toEqual([]);
    expect(copied.length).toBeGreaterThan(200);
  });

  it('does not go through segments that translated code has for itself', () => {
    const mov = ISA.find(({ opcode }) => opcode === '8B')!;
    for (const seg of [SEG_CS, SEG_GS]) {
      const insn = insnOf(mov);
      insn.isMemory = true;
      insn.setSegment(seg);
      expect(planOf(insn, true)).toBe('emulate');
    }
  });

  it('sends indirect jumps to the VMM where the code segment has a limit', () => {
    const ret = ISA.find(({ opcode }) => opcode === 'C3')!;
    expect([planOf(insnOf(ret), true), planOf(insnOf(ret), false)]).toEqual(['return', 'leave']);
  });
});

describe('isPrime(49): Adams & Agesen 2006, section 3.1', () => {
  const image = guest('isprime');
  const isPrime = findFunction(image.path, image.bytes, 'isPrime');
  const end = runVm({ image, ...BT });
  const units = end.vm.tables.translators[0]!.list(isPrime.address, isPrime.address + isPrime.bytes);
  const leads = (lead: Lead): (number | null)[] =>
    units.flatMap(({ lines }) =>
      lines.flatMap(({ cache }) => cache.filter((line) => line.lead === lead).map(({ to }) => to)),
    );

  it('has 4 units of at most 12 instructions', () => {
    expect(units.length).toBe(4);
    for (const { lines } of units) expect(lines.length).toBeLessThanOrEqual(UNIT_INSNS_MAX);
  });

  it('has 5 continuations: 2 remain, 2 are elided, 1 became a chaining jump', () => {
    expect([leads('continuation').length, leads('elided').length, leads('chain').length]).toEqual([2, 2, 1]);
    expect(leads('direct')).toEqual([units[1]!.eip]);
  });

  it('has no translation of "return 1", which is never executed', () => {
    // Between the loop and the common end: MOV EAX, 1.
    const never = units[2]!.eip + units[2]!.length;
    expect(units.some(({ eip, length }) => eip <= never && never < eip + length)).toBe(false);
    expect(leads('continuation')).toContain(never);
  });

  it('copies everything but the jumps and the return', () => {
    const changed = units.flatMap(({ lines }: UnitListing) =>
      lines.filter(({ text, cache }) => cache.length !== 1 || cache[0]!.text !== text).map(({ text }) => text),
    );
    expect(changed.map((text) => text.split(' ')[0])).toEqual(['jge', 'je', 'jne', 'ret']);
  });
});

describe('a cache that is too small', () => {
  it.each([
    [2, 4],
    [3, 1],
  ])('%i pages: flushed %i times or more, same results', (translationPages, flushes) => {
    const options = { image: guest('nano'), append: 'mix tasks=3 work=2000 hz=0', memoryBytes: 8 * MIB };
    const native = runVm({ ...options, ...NATIVE });
    for (const cpuEngine of ['interpreter', 'compiled'] as const) {
      const end = runVm({ ...options, ...BT, translationPages, cpuEngine, hotAfter: 2 });
      expect(end.vm.tables.translators[0]!.counts.flushes).toBeGreaterThanOrEqual(flushes);
      expect([end.instructions, end.memoryHash]).toEqual([native.instructions, native.memoryHash]);
      expect(end.state).toEqual(native.state);
    }
  });
});

describe('indirect targets that share a slot of the table', () => {
  const path = new URL('regressions/bin/collide.elf', import.meta.url).pathname;
  const image = readGuestImage(path, 'collide');

  it('have one entry each, however often they take turns', () => {
    const end = runVm({ image, ...BT });
    expect(countOf(end, 'call-out-target')).toBeGreaterThanOrEqual(80_000 - 2);
    expect(end.vm.tables.translators[0]!.counts.flushes).toBe(0);
    expect(end.vm.consoleText()).toBe('K\n');
  });
});

describe('precise state', () => {
  it.each(['mix tasks=3 work=4000 hz=10000', 'faults', 'forkwait n=3'])('%s: no address of the cache', (append) => {
    const inCache = (way: typeof BT | typeof ASSISTED): number[] => {
      const { vm } = runVm({ image: guest('nano'), append, memoryBytes: 8 * MIB, ...way });
      expect(vm.outcome?.kind).toBe('completed');
      const words = Array.from({ length: 2 * MIB }, (_, n) => vm.physmap.read32(4 * n) >>> 0);
      return words.filter((word) => word >= CACHE_BASE >>> 0 && word < (CACHE_BASE >>> 0) + 0x80000);
    };
    // The guest computes numbers of its own that look like some: those are there without a cache, too.
    const chance = inCache(ASSISTED);
    expect(inCache(BT).filter((word) => !chance.includes(word))).toEqual([]);
  });
});

describe('time and counts', () => {
  it('books translated code apart from code that executes directly', () => {
    const end = runVm({ image: guest('nano'), append: 'syscall n=500 hz=0', ...BT });
    const [direct, translated] = [end.spent[0]!, end.spent[1]!];
    expect(direct).toBeGreaterThan(0);
    expect(translated).toBeGreaterThan(0);
    const trapped = runVm({
      image: guest('nano-clean'),
      append: 'syscall n=500 hz=0',
      technique: 'trap-and-emulate',
      paging: 'shadow',
    });
    expect(trapped.spent[1]).toBe(0);
  });

  it('translates each unit once: a longer run asks for no more', () => {
    const units = [1000, 4000].map(
      (n) =>
        runVm({ image: guest('nano'), append: `syscall n=${n} hz=0`, ...BT }).vm.tables.translators[0]!.counts.units,
    );
    expect(units[1]).toBe(units[0]);
  });
});

describe('adaptation', () => {
  it('goes to simulation after some faults, and back after many harmless accesses, each in a row', () => {
    const adaptation = new Adaptation();
    const eip = 0x1000;
    for (let n = 1; n < FAULTS_MAX; n++) expect(adaptation.faulted(eip)).toBe(false);
    expect(adaptation.faulted(eip)).toBe(true);
    expect(adaptation.simulated.has(eip)).toBe(true);
    for (let n = 1; n < HARMLESS_MAX; n++) expect(adaptation.accessed(eip, false)).toBe(false);
    // One that had to be starts the count anew.
    expect(adaptation.accessed(eip, true)).toBe(false);
    for (let n = 1; n < HARMLESS_MAX; n++) expect(adaptation.accessed(eip, false)).toBe(false);
    expect(adaptation.accessed(eip, false)).toBe(true);
    expect(adaptation.simulated.size).toBe(0);
    expect(HARMLESS_MAX).toBeGreaterThan(2 * FAULTS_MAX);
  });

  it('lets page-table writes of a kernel fault a few times only', () => {
    const run = (n: number): RunEnd =>
      runVm({
        image: guest('nano'),
        append: `ptemod n=${n} hz=0`,
        memoryBytes: 8 * MIB,
        ...BT,
        preset: 'pentium4-672',
      });
    const [short, long] = [run(500), run(1500)];
    // Two stores per change, simulated; natively both pages would fault.
    expect(countOf(long, 'simulate') - countOf(short, 'simulate')).toBeGreaterThanOrEqual(1000);
    expect(countOf(long, 'trace') - countOf(short, 'trace')).toBeLessThanOrEqual(10);
    expect(countOf(long, 'hidden-fault') - countOf(short, 'hidden-fault')).toBeLessThanOrEqual(2100);
  });

  describe('of one store in a kernel, to a page table (T) or to plain memory (H)', () => {
    const path = new URL('regressions/bin/adapt.elf', import.meta.url).pathname;
    const image = readGuestImage(path, 'adapt');
    const run = (append: string, way: typeof BT | typeof NATIVE = BT): RunEnd => runVm({ image, append, ...way });
    const none = run('');
    /** What the stores add: faults, simulated accesses. */
    const counts = (append: string): readonly number[] => {
      const end = run(append);
      expect(end.vm.consoleText()).toBe(`${append.length}\n`);
      return ['trace', 'simulate'].map((reason) => countOf(end, reason) - countOf(none, reason));
    };
    const T = 'T'.repeat(10);
    const H = (n: number): string => 'H'.repeat(n);

    // Worked out by hand for thresholds of 3 faults and 32 harmless accesses in a row.
    it.each<readonly [string, string, readonly number[]]>([
      ['copied while it faults seldom', 'TT', [2, 0]],
      ['the third fault has it translated anew', 'TTT', [3, 0]],
      ['from then on simulated', T, [3, 7]],
      ['and to plain memory, too', `${T}${H(20)}`, [3, 27]],
      ['one that had to be starts the count of harmless ones anew', `${T}${H(20)}T${H(20)}T`, [3, 7 + 20 + 1 + 20 + 1]],
      ['the last of 32 harmless ones in a row has it copied again', `${T}${H(20)}T${H(32)}`, [3, 7 + 20 + 1 + 32]],
      ['and then it costs nothing', `${T}${H(20)}T${H(32)}${H(50)}`, [3, 60]],
      ['until it faults three times more', `${T}${H(20)}T${H(40)}TTTTTT`, [6, 60 + 3]],
      ['plain memory alone never changes it', H(100), [0, 0]],
      ['taking turns does not change it at every turn', 'TH'.repeat(40), [3, 80 - 3 - 2]],
    ])('%s', (_what, append, expected) => {
      expect(counts(append)).toEqual(expected);
    });

    it('by one more translation each time, and with the results of the bare machine', () => {
      const units = ['TTT', 'TTTT', `TTTT${H(32)}`, `TTTT${H(33)}`].map(
        (append) => run(append).vm.tables.translators[0]!.counts.units,
      );
      const [copied, simulated, ended, again] = units;
      expect([simulated! - copied!, again! - ended!]).toEqual([1, 1]);
      const append = `${T}${H(20)}T${H(40)}TTTTTT`;
      const [here, native] = [run(append), run(append, NATIVE)];
      expect([here.instructions, here.memoryHash, here.state]).toEqual([
        native.instructions,
        native.memoryHash,
        native.state,
      ]);
    });
  });
});
