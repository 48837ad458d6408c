/** Partial boosting: a guest that computes and answers requests in one vCPU (section 10.8). */
import { describe, expect, test } from 'vitest';
import type { Runnable, RunnableHost } from '../../../src/core/runnable.ts';
import { quantile } from '../../../src/core/stats.ts';
import { NS_PER_MS, NS_PER_US } from '../../../src/core/units.ts';
import { hog } from '../../../src/host/modelled/index.ts';
import type { Params } from '../../../src/host/params.ts';
import { partialBoost } from '../../../src/host/sched/index.ts';
import { Lab, type LabVm } from '../lab.ts';

const A: LabVm = { demand: hog };
const COMPUTING = 1;
const ANSWERING = 2;

/** Process 1 computes for ever; each event makes process 2 work for 200 us first. */
class Mixed implements Runnable {
  readonly answered: number[] = [];
  private readonly events: number[] = [];
  private host: RunnableHost | null = null;
  private left = 0;

  onAttach(host: RunnableHost): void {
    this.host = host;
  }
  onDispatch(): void {}
  onDeschedule(): void {}

  request(now: number): void {
    this.events.push(now);
    this.host!.wake();
  }

  run(pcpu: Parameters<Runnable['run']>[0], budget: number): 'budget' {
    if (this.events.length > 0 && this.left === 0) {
      this.left = 200 * NS_PER_US;
      this.host!.signal({ kind: 'address-space', id: ANSWERING });
      pcpu.spend(0, 1);
      return 'budget';
    }
    const cycles = this.left > 0 ? Math.min(this.left, budget) : budget;
    pcpu.spend(0, cycles);
    if (this.left === 0) return 'budget';
    this.left -= cycles;
    if (this.left > 0) return 'budget';
    this.answered.push(pcpu.clock.now - this.events.shift()!);
    this.host!.signal({ kind: 'address-space', id: COMPUTING });
    return 'budget';
  }
}

function run(params: Params): { lab: Lab; waits: number[] } {
  const lab = new Lab({ policy: partialBoost, params, vms: [A, A, A] });
  const mixed = new Mixed();
  lab.add(lab.host.addVm({ name: 'mixed' }), mixed);
  const next = (at: number): void => {
    lab.engine.at(at, () => {
      mixed.request(at);
      next(at + 43 * NS_PER_MS);
    });
  };
  next(5 * NS_PER_MS);
  lab.runMs(30_000);
  return { lab, waits: mixed.answered.map((ns) => ns / NS_PER_MS).toSorted((a, b) => a - b) };
}

describe('three hogs and a vCPU that computes and answers', () => {
  test('requests are answered at once when the process is known to be bound by I/O', () => {
    const { lab, waits } = run({});
    expect(waits.length).toBeGreaterThan(650);
    // 0.2 ms of work; a window or two until the interrupt takes effect.
    expect(quantile(waits, 900)).toBeLessThan(0.5);
    expect(lab.note('boost')).toBeGreaterThan(300);
  });

  test('without that knowledge they wait for up to three slices of 30 ms', () => {
    const { lab, waits } = run({ io_burst_us: 10, confidence: 100 });
    expect(lab.note('boost')).toBe(0);
    expect(quantile(waits, 500)).toBeGreaterThan(20);
  });

  test('the boost is partial: the computing process does not profit, shares stay a quarter each', () => {
    const { lab } = run({});
    for (const share of lab.shares()) expect(Math.abs(share - 0.25)).toBeLessThan(0.01);
  });
});
