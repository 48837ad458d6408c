/**
 * Like Hyper-V's core scheduler: virtual processors (VPs) of a VM run in groups of as many as a core has threads, and a core
 * never runs two VMs at once; a VM without SMT has a core for each VP. Which group is next is up to the rules of the
 * classic scheduler; without threads it is the classic scheduler.
 * Invariants: those of core-scheduling.ts; weights, reserves and limits are of the time that groups have cores.
 * Source: Microsoft's "Hyper-V scheduler types"; the rest is our reconstruction.
 */
import type { ParamSet } from '../params.ts';
import { definePolicy } from '../scheduler.ts';
import { CoreScheduling } from './core-scheduling.ts';
import { HyperV, hypervParams, hypervVmParams } from './hyperv-classic.ts';

const vmParams = {
  ...hypervVmParams,
  smt: { kind: 'flag', default: true, meaning: 'the VM has threads, so its VPs share cores; else each VP has a core' },
} as const satisfies ParamSet;

const SUMMARY = 'like Hyper-V core: as classic, by cores, which never run two VMs at once';

/** What decides between groups. */
const groups = definePolicy({
  name: 'hyperv-core',
  summary: SUMMARY,
  params: hypervParams,
  vmParams,
  make: (host, settings) => new HyperV(host, settings),
});

export const hypervCore = definePolicy({
  name: 'hyperv-core',
  summary: SUMMARY,
  origin: 'Hyper-V, default since Windows Server 2019',
  basis: 'our reconstruction',
  traits: { weights: {}, caps: {} },
  params: hypervParams,
  vmParams,
  make: (host, settings) =>
    new CoreScheduling(
      host,
      { granularity: 'core', rendezvous_ns: 0 },
      { policy: groups, make: (below) => groups.make(below, settings) },
      (vm, threads) => (vm.params['smt'] === true ? threads : 1),
    ),
});
