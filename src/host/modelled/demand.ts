/**
 * Modelled vCPUs: no guest code, only a pattern of demand for CPU time.
 * A demand says what it wants next; `ModelledVcpu` lives it on whatever pCPU it is given.
 * Invariant: a demand is asked for its next step exactly when the step before is done, at that local time.
 */
import type { Engine } from '../../core/engine.ts';
import type { RandomStream } from '../../core/rng.ts';
import {
  ACCOUNT_GUEST,
  type Account,
  type Pcpu,
  type Runnable,
  type RunnableHost,
  type RunStop,
} from '../../core/runnable.ts';
import type { Cycles, Ns } from '../../core/units.ts';
import { type ParamSet, type Params, parseParams, type ValuesOf } from '../params.ts';

/** What a modelled vCPU does next. */
export type Step =
  /** Needs this much CPU time; Infinity never ends. */
  | { readonly kind: 'compute'; readonly time: Ns }
  /** Computes until the clock shows that time, however much CPU it gets. */
  | { readonly kind: 'compute-until'; readonly time: Ns }
  /** Blocks until that time; nothing happens if it is over. */
  | { readonly kind: 'sleep-until'; readonly time: Ns }
  | { readonly kind: 'yield' }
  | { readonly kind: 'end' };

export interface Demand {
  next(now: Ns): Step;
}

/** A kind of demand, for scenarios to name. */
export interface DemandModel {
  readonly name: string;
  readonly summary: string;
  readonly params: ParamSet;
  make(params: Params, random: RandomStream): Demand;
}

export function defineDemand<const P extends ParamSet>(description: {
  readonly name: string;
  readonly summary: string;
  readonly params: P;
  readonly make: (params: ValuesOf<P>, random: RandomStream) => Demand;
}): DemandModel {
  const { name, summary, params, make } = description;
  return {
    name,
    summary,
    params,
    make: (values, random) => make(parseParams(`demand ${name}`, params, values), random),
  };
}

export class ModelledVcpu implements Runnable {
  private readonly engine: Engine;
  private readonly demand: Demand;
  private readonly account: Account;
  private wake: () => void = () => undefined;
  private step: Step = { kind: 'sleep-until', time: 0 };
  /** Cycles left of a 'compute' step. */
  private left: Cycles = 0;
  private alarmAt: Ns = -1;
  /** Steps of computing that were completed. */
  completed = 0;
  /** It will not run again: it has done what it wanted, or was taken away. */
  hasEnded = false;
  /** Called when it has done all it wanted. */
  onEnd: (() => void) | null = null;

  /** @param account where its cycles go: that of guests, or that of threads for a process of the host */
  constructor(engine: Engine, demand: Demand, account: Account = ACCOUNT_GUEST) {
    this.engine = engine;
    this.demand = demand;
    this.account = account;
  }

  onAttach(host: RunnableHost): void {
    this.wake = () => host.wake();
  }

  onDispatch(): void {}

  onDeschedule(): void {}

  cyclesToStop(pcpu: Pcpu): Cycles {
    const { step } = this;
    if (step.kind === 'compute') return this.left;
    return step.kind === 'compute-until' ? pcpu.clock.cyclesUntil(step.time) : 0;
  }

  run(pcpu: Pcpu, budget: Cycles): RunStop {
    const end = pcpu.clock.cycles + budget;
    for (;;) {
      const { step } = this;
      const now = pcpu.clock.now;
      switch (step.kind) {
        case 'compute':
        case 'compute-until': {
          const wanted = step.kind === 'compute' ? this.left : pcpu.clock.cyclesUntil(step.time);
          const cycles = Math.min(wanted, end - pcpu.clock.cycles);
          if (cycles > 0) pcpu.spend(this.account, cycles);
          this.left -= cycles;
          if (cycles < wanted) return 'budget';
          this.completed++;
          break;
        }
        case 'sleep-until':
          if (step.time <= now) break;
          if (this.alarmAt !== step.time) {
            this.alarmAt = step.time;
            this.engine.at(step.time, this.wake);
          }
          return 'block';
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

  private advance(pcpu: Pcpu): void {
    this.step = this.demand.next(pcpu.clock.now);
    if (this.step.kind !== 'compute') return;
    this.left = this.step.time === Infinity ? Infinity : pcpu.clock.cyclesIn(this.step.time);
  }
}
