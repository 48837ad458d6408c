/**
 * A vCPU that serves requests which come at random times, whether it is ready or not (open loop), one after the other.
 * A request waits for the one before it; the time from its arrival to its answer is recorded. With `computes` it is a guest
 * that computes all the time and answers requests in between: an interrupt handler in a busy vCPU.
 */
import { NS_PER_US, type Ns } from '../../core/units.ts';
import { defineDemand, type ModelledVcpu, type Step } from './demand.ts';
import type { Gate } from './gate.ts';

export const server = defineDemand({
  name: 'server',
  summary: 'serves requests that come at random times, and records how long each one took',
  params: {
    every_us: { kind: 'integer', min: 1, default: 10_000, meaning: 'mean time between two requests' },
    arrivals: {
      kind: 'choice',
      of: ['random', 'regular'],
      default: 'random',
      meaning: 'requests come at exponentially distributed times, or at equal ones',
    },
    work_us: { kind: 'integer', min: 1, default: 1_000, meaning: 'CPU time per request' },
    work: {
      kind: 'choice',
      of: ['fixed', 'random'],
      default: 'fixed',
      meaning: 'the CPU time is that for each request, or on average (exponential)',
    },
    computes: { kind: 'flag', default: false, meaning: 'computes all the time besides, for requests to interrupt' },
  },
  make({ every_us, arrivals, work_us, work, computes }, random) {
    const queue: Ns[] = [];
    const gap = every_us * NS_PER_US;
    const service = work_us * NS_PER_US;
    const drawn = (mean: Ns, fixed: boolean): Ns => Math.max(fixed ? mean : random.exponential(mean), 1);
    const come = (): boolean => queue.length > 0;
    const request: Gate = { mayPass: come, tryPass: come, isNext: false };
    let arrival = -1;
    let self: ModelledVcpu;
    const arrive = (): void => {
      self.engine.at(arrival, () => {
        const release = arrival;
        if (computes)
          self.interrupt(drawn(service, work === 'fixed'), { release, deadline: Infinity }, () => undefined);
        else {
          queue.push(release);
          self.poke();
        }
        arrival += drawn(gap, arrivals === 'regular');
        arrive();
      });
    };
    return {
      attach(vcpu) {
        self = vcpu;
      },
      next(now): Step {
        if (arrival < 0) {
          arrival = now + drawn(gap, arrivals === 'regular');
          arrive();
        }
        if (computes) return { kind: 'compute', time: Infinity };
        const release = queue.shift();
        if (release === undefined) return { kind: 'wait', gate: request, spin: 0 };
        return { kind: 'compute', time: drawn(service, work === 'fixed'), job: { release, deadline: Infinity } };
      },
    };
  },
});
