/** vSlicer: the order and the waits of the reference (section 10.6), worked out by hand. */
import { expect, test } from 'vitest';
import { NS_PER_MS } from '../../../src/core/units.ts';
import { hog, periodic } from '../../../src/host/modelled/index.ts';
import { vslicer } from '../../../src/host/sched/index.ts';
import { Lab, type LabVm, latenciesMs } from '../lab.ts';

const A: LabVm = { demand: hog };
const sensitive = { params: { latency_sensitive: true } };

test('three others and a sensitive one with n = 3: S L1 S L2 S L3, 10 and 30 ms', () => {
  const lab = new Lab({
    policy: vslicer,
    params: { micro_slices: 3 },
    vms: [A, A, A, { ...A, ...sensitive }],
    keepMax: 1000,
  });
  lab.runMs(360);
  const turns = lab.trace.events.filter(({ kind }) => kind === 'running');
  // Three rounds of 3 x (10 + 30) ms; the sensitive one starts before the first of the others.
  expect(turns.map(({ vcpu }) => vcpu)).toEqual([3, 0, 3, 1, 3, 2, 3, 0, 3, 1, 3, 2, 3, 0, 3, 1, 3, 2]);
  expect(turns.map(({ at }) => at / NS_PER_MS)).toEqual(
    turns.map((_, i) => 40 * Math.floor(i / 2) + (i % 2 === 0 ? 0 : 10)),
  );
});

test.each([1, 2, 5, 30])('shares do not depend on n = %i', (micro_slices) => {
  const lab = new Lab({ policy: vslicer, params: { micro_slices }, vms: [A, A, A, { ...A, ...sensitive }] });
  lab.runMs(60_000);
  for (const share of lab.shares()) expect(Math.abs(share - 0.25)).toBeLessThan(0.01);
});

test('the wait after a wake-up falls from all others to one of them', () => {
  const waits = (extra: Partial<LabVm>): number[] => {
    const request: LabVm = { demand: periodic, with: { work_us: 100, period_us: 47_000 }, ...extra };
    const lab = new Lab({ policy: vslicer, vms: [A, A, A, request] });
    lab.runMs(30_000);
    return latenciesMs(lab.host.tasks[3]);
  };
  // Nobody is preempted: at most what is left of one slice of 30 ms. Without micro slices the others take turns first.
  expect(waits(sensitive).length).toBeGreaterThan(500);
  expect(waits(sensitive).at(-1)).toBeLessThanOrEqual(30);
  expect(waits({}).at(-1)).toBeGreaterThan(45);
});
