/**
 * References of page walks that a guest really makes, against the closed form (n+1)(m+1)-1 of a walk over n guest and m nested
 * levels (Bhargava et al., ASPLOS 2008, section 2): the probe touches 2048 pages in turn, and every touch misses the TLB.
 */
import { describe, expect, it } from 'vitest';
import type { ExecutedVcpu } from '../../../src/vmm/vcpu.ts';
import type { NestedLevels, VmxOptions } from '../../../src/vmm/vmx-options.ts';
import { guest, runVm } from '../run-vm.ts';

const PROBE = guest('probe');
const PAGES = 2048;

interface Way {
  readonly technique?: 'native';
  readonly paging: 'native' | 'shadow' | 'nested';
  readonly large?: boolean;
  readonly vmx?: Partial<VmxOptions>;
}

/** References of one touch: two more passes over pages that all are mapped by then, so nothing else is in the difference. */
function referencesPerTouch({ technique, paging, large, vmx }: Way): number {
  const [few, many] = [2, 4].map((passes) => {
    const { vm } = runVm({
      image: PROBE,
      append: `touch n=${passes * PAGES} pages=${PAGES} large=${large === true ? 1 : 0}`,
      technique: technique ?? 'hardware-assisted',
      paging,
      taggedTlb: paging === 'nested',
      ...(vmx === undefined ? {} : { vmx }),
    });
    expect(vm.outcome).toMatchObject({ kind: 'completed', exitCode: 0 });
    return (vm.cpus[0] as ExecutedVcpu).guestView().walkReferences;
  }) as [number, number];
  return (many - few) / (2 * PAGES);
}

const closedForm = (n: number, m: number): number => (n + 1) * (m + 1) - 1;

describe.each([4, 3, 2] as const)('%i nested levels', (nestedLevels: NestedLevels) => {
  it('4 KiB pages in both dimensions', () => {
    expect(referencesPerTouch({ paging: 'nested', vmx: { nestedLevels } })).toBe(closedForm(2, nestedLevels));
  });

  it('guest pages of 4 MiB over nested pages of 4 KiB: one guest level, and the TLB holds 4 KiB', () => {
    const way = { paging: 'nested', large: true, vmx: { nestedLevels } } as const;
    expect(referencesPerTouch(way)).toBe(closedForm(1, nestedLevels));
  });

  it('large nested pages: one nested level less', () => {
    const vmx = { nestedLevels, nestedLargePages: true };
    expect(referencesPerTouch({ paging: 'nested', vmx })).toBe(closedForm(2, nestedLevels - 1));
  });

  it('large in both dimensions: the TLB holds 4 MiB, and nothing misses', () => {
    expect(referencesPerTouch({ paging: 'nested', large: true, vmx: { nestedLevels, nestedLargePages: true } })).toBe(
      0,
    );
  });
});

it('the published numbers', () => {
  expect([closedForm(4, 4), closedForm(2, 4), closedForm(2, 2), closedForm(2, 3), closedForm(3, 3)]).toEqual([
    24, 14, 8, 11, 15,
  ]);
});

describe('one dimension', () => {
  it('native and shadow walks make two references', () => {
    expect(referencesPerTouch({ technique: 'native', paging: 'native' })).toBe(2);
    expect(referencesPerTouch({ paging: 'shadow' })).toBe(2);
  });

  it('the bare machine holds pages of 4 MiB in its TLB; a shadow splits them', () => {
    expect(referencesPerTouch({ technique: 'native', paging: 'native', large: true })).toBe(0);
    expect(referencesPerTouch({ paging: 'shadow', large: true })).toBe(2);
  });
});

describe('walk caches', () => {
  const walk = (pageWalkEntries: number, nestedTlbEntries: number, paging: 'nested' | 'shadow' = 'nested') =>
    referencesPerTouch({ paging, vmx: { walkCaches: { pageWalkEntries, nestedTlbEntries } } });

  it('a nested TLB leaves out the translation of both tables: 1 + 1 + 4', () => {
    expect(walk(0, 16)).toBe(6);
  });

  it('a page-walk cache that holds all upper entries leaves the two leaves', () => {
    expect(walk(24, 0)).toBe(2);
    expect(walk(24, 16)).toBe(2);
  });

  it('a page-walk cache of one entry is thrashed by the four and more that a walk wants', () => {
    expect(walk(1, 0)).toBe(14);
  });

  it('a shadow walk saves its directory entry', () => {
    expect(walk(24, 0, 'shadow')).toBe(1);
  });
});
