/**
 * What the options of trap-and-emulate do: the ring of the guest's kernel, and page tables out of sync. That results stay those
 * of the bare machine is in equivalence.test.ts and hostile.test.ts; here are their costs and that they are in force.
 */
import { describe, expect, it } from 'vitest';
import { guest, type RunEnd, type RunOptions, runVm } from './run-vm.ts';

function run(append: string, options: Partial<RunOptions> = {}): RunEnd {
  const image = guest('nano-clean');
  return runVm({ image, append: `${append} hz=0`, technique: 'trap-and-emulate', paging: 'shadow', ...options });
}

const count = (end: RunEnd, reason: string): number =>
  end.vm.exits.sorted().find((row) => row.reason === reason)?.count ?? 0;

describe('page faults', () => {
  const end = run('pgfault n=100');

  it('that the guest is meant to see are counted apart: one for each page touched, and few more', () => {
    expect(count(end, 'true-fault')).toBeGreaterThanOrEqual(100);
    expect(count(end, 'true-fault')).toBeLessThan(105);
  });

  it('that only fill the shadow, and writes to page tables, have names of their own', () => {
    expect(count(end, 'hidden-fault')).toBeGreaterThan(100);
    expect(count(end, 'trace')).toBeGreaterThanOrEqual(100);
    expect(count(end, 'page-fault')).toBe(0);
  });
});

describe('ring 3', () => {
  it('shows in the low bits of CS, where ring 1 shows as 1', () => {
    const text = (ring: 1 | 3): string =>
      runVm({
        image: guest('hole-mov-from-seg'),
        technique: 'trap-and-emulate',
        paging: 'shadow',
        ring,
      }).vm.consoleText();
    expect(text(1)).toContain('CS: expected 8, seen 9,');
    expect(text(3)).toContain('CS: expected 8, seen b,');
  });

  it('costs more where the guest changes between kernel and user programs', () => {
    const [one, three] = [run('syscall n=300'), run('syscall n=300', { ring: 3 })];
    expect(three.simulatedNs).toBeGreaterThan(one.simulatedNs);
    expect(three.memoryHash).toBe(one.memoryHash);
  });
});

describe('page tables out of sync', () => {
  it('save traces where one table is written again and again', () => {
    const [traced, lagging] = [run('ptemod n=300'), run('ptemod n=300', { outOfSync: true })];
    expect(count(traced, 'out-of-sync')).toBe(0);
    expect(count(lagging, 'out-of-sync')).toBeGreaterThan(0);
    expect(count(lagging, 'trace')).toBeLessThan(count(traced, 'trace') / 2);
    expect(lagging.simulatedNs).toBeLessThan(traced.simulatedNs);
    expect(lagging.memoryHash).toBe(traced.memoryHash);
  });
});
