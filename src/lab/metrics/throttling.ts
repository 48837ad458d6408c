/**
 * throttling.csv: what limits of running time per period (cpu.max of `cfs` and `eevdf`) did to VMs, in the terms of `cpu.stat`,
 * for scenarios with `metrics: [scheduling]`.
 */
import type { Throttling } from '../../host/scheduler.ts';
import { metric, ratio, type VmRow, vmKey, vmRows } from './metric.ts';

interface Row extends VmRow {
  readonly of: Throttling;
}

export const throttling = metric<Row>({
  name: 'throttling',
  doc: 'One row per VM with a limit of running time per period, and run.',
  isOptional: true,
  rows: (records) =>
    vmRows(records).flatMap((row) => {
      const of = row.record.scheduling?.vms.find(({ name }) => name === row.vm.name)?.throttling ?? null;
      return of === null || row.record.run.role === 'baseline' ? [] : [{ ...row, of }];
    }),
  columns: [
    ...vmKey<Row>(),
    { name: 'periods', doc: 'Periods in which the VM ran, or was kept from it.', of: ({ of }) => of.periods },
    {
      name: 'throttled_periods',
      doc: 'Periods at whose end it was throttled on some physical CPU.',
      of: ({ of }) => of.throttledPeriods,
    },
    {
      name: 'throttled_ratio',
      doc: 'Throttled periods over periods.',
      of: ({ of }) => ratio(of.throttledPeriods, of.periods),
    },
    {
      name: 'throttled_ns',
      doc: 'How long it was throttled, summed over physical CPUs; the last time counts only if it was over.',
      of: ({ of }) => of.throttledNs,
    },
    {
      name: 'bursts',
      doc: 'Periods in which it used more than its quota, saved from earlier ones.',
      of: ({ of }) => of.bursts,
    },
    { name: 'burst_ns', doc: 'How much more, in all.', of: ({ of }) => of.burstNs },
  ],
});
