/**
 * Type 0: firmware divides the machine into partitions. Each VM has physical CPUs, memory and a set of devices of its own;
 * nothing is shared, nothing is scheduled, and what a partition does not use stays idle. A VM that does not fit is not
 * created.
 * Source: the partitions of mainframes (PR/SM with dedicated processors) and of Jailhouse-like firmware hypervisors.
 */
import { DedicatedSide } from '../../vmm/dedicated-side.ts';
import type { Admission, HypervisorKind, Resources } from './kind.ts';
import { partition } from './partition.ts';

const RESOURCES = ['pcpus', 'memoryBytes', 'ioUnits'] as const satisfies readonly (keyof Resources)[];

export const type0: HypervisorKind = {
  name: 'type-0',
  summary: 'firmware partitions: CPUs, memory and devices dedicated, no scheduler',
  hasProcesses: false,
  policy: partition,
  admit(host, asks) {
    const left = { ...host };
    return asks.map((ask): Admission => {
      const short = RESOURCES.find((resource) => ask[resource] > left[resource]);
      if (short !== undefined) return { resource: short, asked: ask[short], left: left[short] };
      const firstPcpu = host.pcpus - left.pcpus;
      for (const resource of RESOURCES) left[resource] -= ask[resource];
      return { firstPcpu };
    });
  },
  // A context is loaded once, when the partition starts.
  switchCycles: () => 0,
  hostSide: (vcpu) => new DedicatedSide(vcpu),
};
