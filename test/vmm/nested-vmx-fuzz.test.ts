/**
 * A hostile VMM as a guest: before every entry some fields of its control structure are overwritten with odd values.
 * Whatever becomes of it, hvsim goes on, the VM ends in an outcome or runs out of time, and the bare machine and
 * nested virtualization, interpreted and compiled, agree.
 */
import { afterEach, describe, expect, it } from 'vitest';
import { Streams } from '../../src/core/rng.ts';
import { VmxUnit } from '../../src/machine/vmx/unit.ts';
import { guest, type RunEnd, type RunOptions, runVm } from './run-vm.ts';

const image = guest('vmm');
const enter = VmxUnit.prototype.enter;
afterEach(() => {
  VmxUnit.prototype.enter = enter;
});

const even = (first: number, last: number): number[] =>
  Array.from({ length: (last - first) / 2 + 1 }, (_, n) => first + 2 * n);
/**
 * Guest-state area, controls, and where the next exit leads. Not CR3: page tables where there is no memory read as all ones
 * on the bare machine (#PF), and an instruction fetched through them is undefined (#UD) under nested paging.
 */
const FIELDS = [
  ...even(0x0800, 0x080e),
  ...even(0x4000, 0x4018),
  ...even(0x4800, 0x4826),
  0x6800,
  ...even(0x6804, 0x6826),
  0x2800,
  0x2801,
  0x6c14,
  0x6c16,
];
const VALUES = [
  0, 1, 2, 8, 0x10, 0x80, 0x93, 0x202, 0x302, 0x20002, 0x3002, 0xffff, 0x1000, 0x80000b06, 0x80000020, 0x80000000, -1,
];

function run(seed: number, way: Partial<RunOptions>): RunEnd {
  const random = new Streams(seed).stream('fields');
  VmxUnit.prototype.enter = function (cpu, launch) {
    for (let n = random.below(3); n > 0; n--) {
      const field = FIELDS[random.below(FIELDS.length)]!;
      const isWild = random.below(4) === 0;
      this.vmwrite(cpu, field, isWild ? random.uint32() | 0 : VALUES[random.below(VALUES.length)]!);
    }
    return enter.call(this, cpu, launch);
  };
  return runVm({
    image,
    append: 'all n=20',
    technique: 'native',
    paging: 'native',
    guestVmx: 'plain',
    seconds: 0.002,
    ...way,
  });
}

/** Page tables of the guest, all three in a row. */
const TABLES = [0x109, 0x10b] as const;
const ACCESSED_DIRTY = 0x60;

/**
 * Addresses of words of guest memory that differ. An access to addresses without memory marks the guest's page tables on
 * the bare machine; nested paging leaves the guest before it does, and the VMM answers without them.
 */
function differences(a: RunEnd, b: RunEnd): number[] {
  const found: number[] = [];
  for (let gfn = 0; gfn < a.vm.physmap.ramFrames && found.length < 10; gfn++) {
    const ignored = gfn >= TABLES[0] && gfn <= TABLES[1] ? ACCESSED_DIRTY : 0;
    for (let at = gfn * 4096; at < (gfn + 1) * 4096; at += 4) {
      if (((a.vm.physmap.read32(at) ^ b.vm.physmap.read32(at)) & ~ignored) !== 0) found.push(at);
    }
  }
  return found;
}

const NESTED = { technique: 'hardware-assisted', paging: 'nested', taggedTlb: true } as const;
const SEEDS = Number(process.env['SEEDS'] ?? 20);

describe('a VMM with a broken control structure', () => {
  it(`ends like on the bare machine, ${SEEDS} times`, () => {
    const outcomes = new Map<string, number>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      const [bare, nested] = [run(seed, {}), run(seed, NESTED)];
      const { kind } = bare.vm.outcome!;
      outcomes.set(kind, (outcomes.get(kind) ?? 0) + 1);
      for (const [way, end] of [
        [{}, bare],
        [NESTED, nested],
      ] as const) {
        const twin = run(seed, { ...way, cpuEngine: 'interpreter' });
        expect(twin.digest, `seed ${seed}`).toBe(end.digest);
        expect(twin.state, `seed ${seed}`).toEqual(end.state);
        expect(twin.memoryHash, `seed ${seed}`).toBe(end.memoryHash);
      }
      // Where time ran out for one of them they stand at different places.
      if (kind === 'time-limit' || nested.vm.outcome!.kind === 'time-limit') continue;
      expect(nested.vm.outcome, `seed ${seed}`).toEqual(bare.vm.outcome);
      expect(nested.vm.consoleText(), `seed ${seed}`).toBe(bare.vm.consoleText());
      expect(differences(bare, nested), `seed ${seed}`).toEqual([]);
      expect(nested.state, `seed ${seed}`).toEqual(bare.state);
    }
    // It is no test of anything if they all end alike.
    expect([...outcomes.keys()].length).toBeGreaterThan(1);
  }, 600_000);
});
