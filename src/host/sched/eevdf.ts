/**
 * EEVDF, the fair scheduler of Linux since 6.6: of those that have not had more than their share, the earliest virtual
 * deadline runs. The rules are in linux/eevdf-queue.ts, the rest of the kernel's scheduler in linux/linux.ts.
 * Source: Stoica & Abdel-Wahab 1995; kernel/sched/fair.c of Linux 6.12 (facts only; own code), golden vectors in the test.
 */
import { NS_PER_US } from '../../core/units.ts';
import type { ParamSet } from '../params.ts';
import { definePolicy } from '../scheduler.ts';
import { EevdfQueue } from './linux/eevdf-queue.ts';
import { Linux } from './linux/linux.ts';
import { eevdfThreadParams, hostParams, protection, vmParams } from './linux/params.ts';
import { scalingFactor } from './linux/weights.ts';

const params = {
  base_slice_us: {
    kind: 'integer',
    min: 100,
    max: 100_000,
    default: 700,
    meaning: 'length of a request (before scaling)',
  },
  run_to_parity: { kind: 'flag', default: true, meaning: 'who was picked runs until its request is served' },
  preempt_short: { kind: 'flag', default: true, meaning: 'a waking vCPU with shorter requests may break that' },
  delay_dequeue: {
    kind: 'flag',
    default: true,
    meaning: 'who had too much before it slept makes up for it in the queue',
  },
  place_lag: { kind: 'flag', default: true, meaning: 'what a sleeper was owed, or owed, is remembered' },
  ...hostParams,
  ...protection('fair-server'),
} as const satisfies ParamSet;

export const eevdf = definePolicy({
  name: 'eevdf',
  summary: 'Linux EEVDF: earliest eligible virtual deadline, groups, cpu.max; fifo, rr and deadline vCPUs above it',
  origin: 'Linux 6.12',
  basis: 'source',
  traits: { weights: { groups: true }, caps: { groups: true } },
  params,
  vmParams,
  vcpuParams: eevdfThreadParams,
  make(host, settings) {
    const pcpus = host.topology.length;
    const factor = settings.scaling === 'none' ? 1 : settings.scaling === 'linear' ? pcpus : scalingFactor(pcpus);
    const tunables = {
      slice: settings.base_slice_us * factor * NS_PER_US,
      tick: Math.round(1_000_000_000 / settings.hz),
      runToParity: settings.run_to_parity,
      preemptShort: settings.preempt_short,
      delayDequeue: settings.delay_dequeue,
      placeLag: settings.place_lag,
      wakeupPreemption: settings.wakeup_preemption,
    };
    return new Linux(host, settings, () => new EevdfQueue(tunables));
  },
});
