/**
 * The packet path of a hosted hypervisor: the steps of Sugerman et al. 2001 add up, and so do ours, from the same paths that
 * executed accesses are charged.
 */
import { describe, expect, it } from 'vitest';
import { packetPath } from '../../src/vmm/hosted/packet-path.ts';
import { HOSTED_OPERATIONS, HOSTED_PATHS, hostedCycles } from '../../src/vmm/hosted/paths.ts';
import { findPreset, presets } from '../../src/vmm/presets/index.ts';

/** Figure 5 and section 3.2 of the paper, in hundredths of a microsecond on a Pentium III of 733 MHz. */
const THEIRS = [57, 445, 123, 1755, 297, 445, 41];

const pc733 = findPreset('pentium3-733');
const sum = (numbers: readonly number[]): number => numbers.reduce((total, n) => total + n, 0);

describe('the packet path', () => {
  it("the paper's steps are its total, its time to the wire, and its time outside of the VMM", () => {
    expect(sum(THEIRS)).toBe(3163);
    expect(sum(THEIRS.slice(0, 4))).toBe(2380);
    expect(sum(THEIRS.slice(1, -1))).toBe(3065);
  });

  it('ours has the same steps, and adds up to its total', () => {
    const steps = packetPath(pc733);
    expect(steps).toHaveLength(THEIRS.length);
    const { trapCycles, returnCycles } = pc733.deprivileged;
    const { vmm } = pc733;
    const inVmm =
      trapCycles +
      returnCycles +
      sum((['trap-dispatch', 'decode', 'io-decode', 'emulate'] as const).map((o) => vmm[o]));
    const outside = sum(
      (
        ['world-switch', 'process-return', 'process-dispatch', 'host-send', 'process-call', 'world-switch'] as const
      ).map((o) => hostedCycles(o, pc733)),
    );
    expect(sum(steps.map(({ cycles }) => cycles))).toBe(inVmm + outside + vmm['device-ide']);
  });

  it('has their shape: the host sends longest, then the two switches, and nearly all is outside of the VMM', () => {
    const cycles = packetPath(pc733).map((step) => step.cycles);
    expect(Math.max(...cycles)).toBe(cycles[3]);
    expect(cycles[1]).toBe(cycles[5]);
    expect(cycles[1]).toBeGreaterThan(cycles[2]!);
    expect(sum(cycles.slice(1, -1)) / sum(cycles)).toBeGreaterThan(0.9);
  });

  it('takes what docs/validation.md says', () => {
    const us = packetPath(pc733).map(({ cycles }) => Math.round((cycles * 100) / 733) / 100);
    expect(us).toEqual([1.42, 2.59, 1.37, 11.17, 0.66, 2.59, 0.41]);
  });
});

describe('hosted paths', () => {
  it('each says why, and costs something on every machine', () => {
    for (const operation of HOSTED_OPERATIONS) {
      expect(HOSTED_PATHS[operation].why.length).toBeGreaterThan(40);
      for (const preset of presets) expect(hostedCycles(operation, preset)).toBeGreaterThan(0);
    }
  });

  it('are the formula: instructions, hardware operations, walks after the exchange of tables', () => {
    const { flags, descriptor, control, segment, far, msr } = pc733.timing.instructions;
    const hardware = 2 * flags + 8 * descriptor + 8 * control + 6 * segment + far + 3 * msr;
    expect(hostedCycles('world-switch', pc733)).toBe(300 + hardware + 14 * 2 * pc733.timing.walkReferenceCycles);
  });
});
