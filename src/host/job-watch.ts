/**
 * Stands between the dispatcher and an executed vCPU, and notes how long its jobs take, by the same rule as a replayed one:
 * a job is what is done between two waits if units of work were completed in it, and counts from the wake-up.
 * Invariants: it changes nothing; alone on a pCPU, the jobs of a guest and of its recording are the same, to the nanosecond.
 */
import { type Pcpu, type Runnable, type RunnableHost, type RunStop, withWake } from '../core/runnable.ts';
import { Samples } from '../core/samples.ts';
import type { Cycles, Ns } from '../core/units.ts';
import type { ExecutedVm } from '../vmm/vm.ts';

/** In front of the only vCPU of an executed VM. */
export class JobWatch implements Runnable {
  jobs = 0;
  readonly responseTimes = new Samples();
  /** A guest has no deadlines that could be seen from outside, and does not tell spinning from other work. */
  readonly missed = 0;
  readonly tardiness: Ns = 0;
  readonly spun: Cycles = 0;
  private readonly inner: Runnable;
  private readonly vm: ExecutedVm;
  /** It has answered `block`, and not gone on since. */
  private rests = false;
  /** When it was woken since; -1: not yet. */
  private wokenAt: Ns = -1;
  private release: Ns = 0;
  private unitsBefore = 0;

  /** @param inner the only vCPU of `vm`, or who stands in front of it */
  constructor(inner: Runnable, vm: ExecutedVm) {
    this.inner = inner;
    this.vm = vm;
  }

  /** Units of work that the guest has reported. */
  get completed(): number {
    return this.vm.workUnits;
  }

  get doing(): number {
    return this.inner.doing ?? 0;
  }

  onAttach(host: RunnableHost): void {
    const wake = (): void => {
      if (this.rests && this.wokenAt < 0) this.wokenAt = this.vm.clock.local();
      host.wake();
    };
    this.inner.onAttach(withWake(host, wake));
  }

  onDispatch(pcpu: Pcpu): void {
    this.inner.onDispatch(pcpu);
  }

  onDeschedule(pcpu: Pcpu): void {
    this.inner.onDeschedule(pcpu);
  }

  run(pcpu: Pcpu, budget: Cycles): RunStop {
    if (this.rests) {
      this.rests = false;
      this.release = this.wokenAt >= 0 ? this.wokenAt : pcpu.clock.now;
      this.wokenAt = -1;
    }
    const stop = this.inner.run(pcpu, budget);
    if (stop === 'block') {
      this.endJob(pcpu.clock.now);
      this.rests = true;
    }
    return stop;
  }

  /** It comes to a wait, or its VM has ended by itself. */
  endJob(now: Ns): void {
    const { workUnits } = this.vm;
    if (workUnits === this.unitsBefore) return;
    this.unitsBefore = workUnits;
    this.jobs++;
    this.responseTimes.push(now - this.release);
  }
}
