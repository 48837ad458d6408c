/**
 * Lottery scheduling against probability theory: after n draws a client with win probability p has np wins with standard
 * deviation sqrt(np(1-p)); its first win comes after k quanta with probability (1-p)^k (reference 10.2, row V25).
 */
import { describe, expect, test } from 'vitest';
import { hog, io, yielder } from '../../../src/host/modelled/index.ts';
import { lottery } from '../../../src/host/sched/lottery.ts';
import { Lab, type LabVm, latenciesMs } from '../lab.ts';

const A: LabVm = { demand: hog };

describe('V25: tickets 3:1, 10 000 draws', () => {
  test.each([1, 2, 3, 4, 5])('seed %i: 0.75 within three standard deviations, 0.013', (seed) => {
    const lab = new Lab({
      policy: lottery,
      params: { quantum_ms: 1 },
      seed,
      vms: [
        { ...A, weight: 3 },
        { ...A, weight: 1 },
      ],
    });
    lab.runMs(10_000);
    expect(Math.abs(lab.shares()[0] - 0.75)).toBeLessThan(0.013);
  });
});

test('the spread over seeds is that of a binomial distribution, neither more nor less', () => {
  const n = 400;
  const wins = Array.from({ length: 200 }, (_, seed) => {
    const vms = [7, 2, 1].map((weight) => ({ ...A, weight }));
    const lab = new Lab({ policy: lottery, params: { quantum_ms: 1 }, seed: seed + 1, vms });
    lab.runMs(n);
    return lab.shares()[0] * n;
  });
  const mean = wins.reduce((sum, x) => sum + x, 0) / wins.length;
  const variance = wins.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (wins.length - 1);
  // np = 280, np(1-p) = 84. Standard errors over 200 seeds: 0.65 for the mean, 10 % for the variance.
  expect(Math.abs(mean - 280)).toBeLessThan(3 * 0.65);
  expect(Math.abs(variance / 84 - 1)).toBeLessThan(0.3);
});

test('compensation: half a quantum each time, the same tickets, and yet half of the pCPU', () => {
  const vms: LabVm[] = [{ demand: yielder, with: { work_us: 5_000 } }, A];
  const run = (compensation: boolean): number => {
    const lab = new Lab({ policy: lottery, params: { compensation }, vms });
    lab.runMs(60_000);
    return lab.shares()[0];
  };
  // With 2 : 1 tickets it wins 2/3 of the quanta and uses half of each: 1/3 to 1/3 of the time.
  expect(run(true)).toBeGreaterThan(0.47);
  expect(run(true)).toBeLessThan(0.53);
  // Without: half of the quanta, 5 ms against 10 ms.
  expect(Math.abs(run(false) - 1 / 3)).toBeLessThan(0.03);
});

test('waits after a wake-up have a long tail: (1-p)^k', () => {
  const vms: LabVm[] = [{ demand: io, with: { work_us: 100, wait_us: 10_000 } }, A, A, A];
  const lab = new Lab({ policy: lottery, params: { compensation: false }, vms });
  lab.runMs(200_000);
  const waits = latenciesMs(lab.host.tasks[0]!);
  const beyond = (ms: number): number => waits.filter((wait) => wait > ms).length / waits.length;
  // It wakes at the end of a hog's quantum, before the drawing: it waits for k quanta with probability (3/4)^k 1/4.
  expect(waits.length).toBeGreaterThan(2000);
  for (const k of [1, 2, 3, 5, 11]) expect(Math.abs(beyond(10 * k - 5) - 0.75 ** k)).toBeLessThan(0.03);
});
