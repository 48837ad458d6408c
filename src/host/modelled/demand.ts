/**
 * Modelled vCPUs: no guest code, only a pattern of demand for CPU time.
 * A demand says what it wants next; `ModelledVcpu` lives it on whatever pCPU it is given.
 * Invariants: a demand is asked for its next step exactly when the step before is done, at that local time; what vCPUs do
 * to each other (gates, interrupts) happens at the exact nanosecond, since modelled vCPUs are foreseeable.
 */
import type { Engine } from '../../core/engine.ts';
import { fixedWindow, type PauseWindow } from '../../core/pause-window.ts';
import type { RandomStream } from '../../core/rng.ts';
import {
  ACCOUNT_GUEST,
  type Account,
  DOING_KERNEL,
  DOING_NEXT,
  DOING_SPIN,
  type GuestSignal,
  type Pcpu,
  type Runnable,
  type RunnableHost,
  type RunStop,
} from '../../core/runnable.ts';
import { Samples } from '../../core/samples.ts';
import type { Cycles, Ns } from '../../core/units.ts';
import { type ParamSet, type Params, parseParams, type ValuesOf } from '../params.ts';
import { rescaled } from './far-memory.ts';
import type { Gate } from './gate.ts';

/** A piece of work whose time of response counts. */
export interface Job {
  /** When it could have been started. */
  readonly release: Ns;
  /** When it is to be done; Infinity for no deadline. */
  readonly deadline: Ns;
}

/** What a modelled vCPU does next. */
export type Step =
  /** Needs this much CPU time; Infinity never ends. */
  | {
      readonly kind: 'compute';
      readonly time: Ns;
      /** Bits DOING_* meanwhile; default 0. */
      readonly doing?: number;
      /** Units of work that it completes; default 1. */
      readonly units?: number;
      readonly job?: Job;
    }
  /** Computes until the clock shows that time, however much CPU it gets. */
  | { readonly kind: 'compute-until'; readonly time: Ns }
  /** Blocks until that time; nothing happens if it is over. */
  | { readonly kind: 'sleep-until'; readonly time: Ns }
  /** Spins until `gate` lets it pass, and blocks after spinning for `spin` (Infinity: never, 0: at once). */
  | { readonly kind: 'wait'; readonly gate: Gate; readonly spin: Ns }
  | { readonly kind: 'yield' }
  | { readonly kind: 'end' };

/** What a vCPU wants of its CPU, step by step. */
export interface Demand {
  next(now: Ns): Step;
  /** Called once, before the first `next`: the vCPU that lives this demand. */
  attach?(self: ModelledVcpu): void;
}

/** What the demands of one VM have in common. */
export class DemandVm {
  /** Number of its vCPUs. */
  readonly vcpus: number;
  private readonly things = new Map<string, unknown>();

  constructor(vcpus: number) {
    this.vcpus = vcpus;
  }

  /** The thing of that name: made by the first that asks, the same for all. */
  shared<T>(name: string, make: () => T): T {
    if (!this.things.has(name)) this.things.set(name, make());
    return this.things.get(name) as T;
  }
}

/** A kind of demand, for scenarios to name. */
export interface DemandModel {
  readonly name: string;
  readonly summary: string;
  readonly params: ParamSet;
  /** @param vm shared by the vCPUs of a VM; a vCPU without one is alone */
  make(params: Params, random: RandomStream, vm?: DemandVm): Demand;
}

/** Turns a description into a kind of demand: parameters are checked before its `make` sees them. */
export function defineDemand<const P extends ParamSet>(description: {
  readonly name: string;
  readonly summary: string;
  readonly params: P;
  readonly make: (params: ValuesOf<P>, random: RandomStream, vm: DemandVm) => Demand;
}): DemandModel {
  const { name, summary, params, make } = description;
  return {
    name,
    summary,
    params,
    make: (values, random, vm = new DemandVm(1)) => make(parseParams(`demand ${name}`, params, values), random, vm),
  };
}

/** An interrupt that a modelled vCPU has to handle before it goes on. */
interface Interrupt {
  readonly time: Ns;
  /** Cycles of `time` that are left; -1 before it is taken up. */
  left: Cycles;
  readonly job: Job | null;
  readonly done: () => void;
}

/** A vCPU that carries out the steps of a demand, as exactly as one that executes code, without executing any. */
export class ModelledVcpu implements Runnable {
  readonly engine: Engine;
  /** Spinning longer than this leaves the guest (pause-loop exiting) and offers the pCPU to others. */
  pauseLoop: PauseWindow = fixedWindow(Infinity);
  /** Percent by which it computes more slowly, by id of the pCPU; null: nowhere. */
  slowness: readonly number[] | null = null;
  /** That of the pCPU where it is, or was. */
  private slower = 0;
  /** Units of work that were completed. */
  completed = 0;
  /** Jobs done, those after their deadlines, and by how much the worst one was late. */
  jobs = 0;
  missed = 0;
  tardiness: Ns = 0;
  /** From the release of each job to its end. */
  readonly responseTimes = new Samples();
  /** Cycles spent on waiting for others. */
  spun: Cycles = 0;

  private readonly demand: Demand;
  private readonly account: Account;
  private host: RunnableHost | null = null;
  private step: Step = { kind: 'sleep-until', time: 0 };
  /** Cycles left of a 'compute' step, of the spinning before a block, and of that before a pause-loop exit. */
  private left: Cycles = 0;
  private spinLeft: Cycles = 0;
  private loopLeft: Cycles = 0;
  /** It has come to its gate at this moment. */
  private fresh = false;
  private alarmAt: Ns = -1;
  /** It will not run again: it has done what it wanted, or was taken away. */
  hasEnded = false;
  /** Called when it has done all it wanted. */
  onEnd: (() => void) | null = null;
  private readonly interrupts: Interrupt[] = [];
  private readonly wake = (): void => this.host?.wake();

  /** @param account where its cycles go: that of guests, or that of threads for a process of the host */
  constructor(engine: Engine, demand: Demand, account: Account = ACCOUNT_GUEST) {
    this.engine = engine;
    this.demand = demand;
    this.account = account;
    demand.attach?.(this);
  }

  onAttach(host: RunnableHost): void {
    this.host = host;
  }

  onDispatch(pcpu: Pcpu): void {
    if (this.pauseLoop.returned()) this.loopLeft = this.loopWindow(pcpu);
    if (this.slowness === null) return;
    const slower = this.slowness[pcpu.id]!;
    this.left = rescaled(this.left, this.slower, slower);
    this.slower = slower;
  }

  onDeschedule(): void {}

  /** Those times one by one; an error when there were too many to keep. */
  get responses(): readonly Ns[] {
    return this.responseTimes.values;
  }

  /** Does it run at this moment? */
  get isRunning(): boolean {
    return this.host?.isRunning() ?? false;
  }

  get doing(): number {
    const { step } = this;
    if (this.interrupts.length > 0) return DOING_KERNEL;
    if (step.kind === 'wait') return DOING_KERNEL | DOING_SPIN | (step.gate.isNext ? DOING_NEXT : 0);
    return step.kind === 'compute' ? (step.doing ?? 0) : 0;
  }

  /** Something that it waits for may have happened: it looks again, at once if it runs. */
  poke(): void {
    this.host?.changed();
    this.host?.wake();
  }

  signal(signal: GuestSignal): void {
    this.host?.signal(signal);
  }

  /** Interrupts it: before anything else it computes for `time`, and then does `done`. */
  interrupt(time: Ns, job: Job | null, done: () => void): void {
    const arrive = (): void => void this.interrupts.push({ time, left: -1, job, done });
    if (this.host === null) arrive();
    else this.host.changed(arrive);
    this.host?.wake();
  }

  cyclesToStop(pcpu: Pcpu): Cycles {
    const { step } = this;
    const first = this.interrupts[0];
    if (first !== undefined) return first.left < 0 ? pcpu.clock.cyclesIn(first.time) : first.left;
    switch (step.kind) {
      case 'compute':
        return this.left;
      case 'compute-until':
        return pcpu.clock.cyclesUntil(step.time);
      case 'wait':
        return step.gate.mayPass() ? 0 : Math.min(this.spinLeft, this.loopLeft);
      default:
        return 0;
    }
  }

  run(pcpu: Pcpu, budget: Cycles): RunStop {
    const end = pcpu.clock.cycles + budget;
    for (;;) {
      if (!this.handleInterrupts(pcpu, end)) return 'budget';
      const { step } = this;
      switch (step.kind) {
        case 'compute': {
          if (!this.compute(pcpu, end)) return 'budget';
          this.completed += step.units ?? 1;
          if (step.job !== undefined) this.finish(step.job, pcpu.clock.now);
          break;
        }
        case 'compute-until': {
          const wanted = pcpu.clock.cyclesUntil(step.time);
          const cycles = Math.min(wanted, end - pcpu.clock.cycles);
          pcpu.spend(this.account, cycles);
          if (cycles < wanted) return 'budget';
          this.completed++;
          break;
        }
        case 'sleep-until':
          if (step.time <= pcpu.clock.now) break;
          if (this.alarmAt !== step.time && step.time < Infinity) {
            this.alarmAt = step.time;
            this.engine.at(step.time, this.wake);
          }
          return 'block';
        case 'wait': {
          const stop = this.wait(pcpu, end, step.gate);
          if (stop !== null) return stop;
          break;
        }
        case 'yield':
          this.advance(pcpu);
          return 'yield';
        case 'end':
          this.hasEnded = true;
          this.onEnd?.();
          return 'end';
      }
      this.advance(pcpu);
    }
  }

  /** Answers whether the step is done. */
  private compute(pcpu: Pcpu, end: Cycles): boolean {
    const cycles = Math.min(this.left, end - pcpu.clock.cycles);
    if (cycles > 0) pcpu.spend(this.account, cycles);
    this.left -= cycles;
    return this.left === 0;
  }

  /** Answers null when the gate let it pass. */
  private wait(pcpu: Pcpu, end: Cycles, gate: Gate): RunStop | null {
    if (this.fresh && gate.tryPass()) return null;
    this.fresh = false;
    const cycles = Math.min(this.spinLeft, this.loopLeft, end - pcpu.clock.cycles);
    if (cycles > 0) pcpu.spend(this.account, cycles);
    this.spun += cycles;
    this.spinLeft -= cycles;
    this.loopLeft -= cycles;
    // It has been brought up to the present: only now it may see what others have done meanwhile.
    if (gate.tryPass()) return null;
    if (this.spinLeft === 0) {
      this.pauseLoop.returned();
      return 'block';
    }
    if (this.loopLeft > 0) return 'budget';
    this.pauseLoop.exited();
    this.loopLeft = this.loopWindow(pcpu);
    return 'spin';
  }

  /** Answers whether there are none left. */
  private handleInterrupts(pcpu: Pcpu, end: Cycles): boolean {
    for (;;) {
      const first = this.interrupts[0];
      if (first === undefined) return true;
      if (first.left < 0) first.left = pcpu.clock.cyclesIn(first.time);
      const cycles = Math.min(first.left, end - pcpu.clock.cycles);
      if (cycles > 0) pcpu.spend(this.account, cycles);
      first.left -= cycles;
      if (first.left > 0) return false;
      this.interrupts.shift();
      if (first.job !== null) this.finish(first.job, pcpu.clock.now);
      first.done();
    }
  }

  private finish({ release, deadline }: Job, now: Ns): void {
    this.jobs++;
    this.responseTimes.push(now - release);
    if (now <= deadline) return;
    this.missed++;
    this.tardiness = Math.max(this.tardiness, now - deadline);
  }

  private advance(pcpu: Pcpu): void {
    this.step = this.demand.next(pcpu.clock.now);
    const { step } = this;
    if (step.kind === 'compute') this.left = rescaled(cyclesIn(pcpu, step.time), 0, this.slower);
    if (step.kind !== 'wait') return;
    this.fresh = true;
    this.spinLeft = cyclesIn(pcpu, step.spin);
    this.loopLeft = this.loopWindow(pcpu);
  }

  private loopWindow(pcpu: Pcpu): Cycles {
    return cyclesIn(pcpu, this.pauseLoop.length);
  }
}

const cyclesIn = (pcpu: Pcpu, time: Ns): Cycles => (time === Infinity ? Infinity : pcpu.clock.cyclesIn(time));
