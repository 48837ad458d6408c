/**
 * A vCPU of an SMP guest whose vCPUs share one spin lock: it works alone for a while, takes the lock, works inside, lets go.
 * One unit of work is one pass. Preempting the holder makes the others spin (lock-holder preemption); with a ticket lock so
 * does preempting the next in line.
 */
import { DOING_KERNEL, DOING_LOCKED } from '../../core/runnable.ts';
import { NS_PER_US } from '../../core/units.ts';
import { defineDemand, type ModelledVcpu, type Step } from './demand.ts';
import { LOCK_KINDS, Lock } from './gate.ts';
import { pauseLoopParams, setPauseLoop } from './pause-loop.ts';

export const spinlock = defineDemand({
  name: 'spinlock',
  summary: 'SMP guest: takes and releases a spin lock that all vCPUs of the VM share',
  params: {
    lock: { kind: 'choice', of: LOCK_KINDS, default: 'ticket', meaning: 'test-and-set, ticket or paravirtual lock' },
    hold_us: { kind: 'integer', min: 1, default: 20, meaning: 'CPU time inside the lock' },
    gap_us: { kind: 'integer', min: 1, default: 100, meaning: 'mean CPU time between two passes (exponential)' },
    spin_us: {
      kind: 'integer',
      min: 1,
      default: 30,
      meaning: 'a paravirtual lock spins that long, then blocks until it is woken',
    },
    ...pauseLoopParams,
  },
  make({ lock: kind, hold_us, gap_us, spin_us, ...loops }, random, vm) {
    const lock = vm.shared('lock', () => new Lock(kind));
    const spin = kind === 'pv' ? spin_us * NS_PER_US : Infinity;
    let self: ModelledVcpu;
    let phase = 0;
    return {
      attach(vcpu) {
        self = vcpu;
        setPauseLoop(vcpu, loops);
      },
      next(): Step {
        switch (phase++ % 3) {
          case 0:
            if (phase > 1) lock.leave(self);
            return { kind: 'compute', time: Math.max(random.exponential(gap_us * NS_PER_US), 1), units: 0 };
          case 1:
            return { kind: 'wait', gate: lock.enter(self), spin };
          default:
            return { kind: 'compute', time: hold_us * NS_PER_US, doing: DOING_KERNEL | DOING_LOCKED };
        }
      },
    };
  },
});
