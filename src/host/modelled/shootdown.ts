/**
 * A vCPU of an SMP guest that changes mappings: it computes, then interrupts all its siblings and spins until each of them
 * has flushed its TLB. A sibling that is preempted answers when it runs again. One unit of work is one shoot-down.
 */
import { DOING_KERNEL } from '../../core/runnable.ts';
import { NS_PER_US } from '../../core/units.ts';
import { defineDemand, type ModelledVcpu, type Step } from './demand.ts';
import { SimpleGate } from './gate.ts';
import { pauseLoopParams, setPauseLoop } from './pause-loop.ts';

export const shootdown = defineDemand({
  name: 'shootdown',
  summary: 'SMP guest: TLB shoot-downs, each of which waits for all other vCPUs of the VM',
  params: {
    gap_us: { kind: 'integer', min: 1, default: 500, meaning: 'mean CPU time between two shoot-downs (exponential)' },
    flush_us: { kind: 'integer', min: 1, default: 2, meaning: 'CPU time of the handler on each sibling' },
    ...pauseLoopParams,
  },
  make({ gap_us, flush_us, ...loops }, random, vm) {
    const vcpus = vm.shared<ModelledVcpu[]>('vcpus', () => []);
    let self: ModelledVcpu;
    let phase = 0;
    const broadcast = (): Step => {
      const gate = new SimpleGate(self);
      let left = vcpus.length - 1;
      const acknowledge = (): void => {
        left--;
        if (left === 0) gate.open();
      };
      for (const [number, vcpu] of vcpus.entries()) {
        if (vcpu === self) continue;
        self.signal({ kind: 'ipi', to: number, why: 'shootdown' });
        vcpu.interrupt(flush_us * NS_PER_US, null, acknowledge);
      }
      if (left === 0) gate.open();
      return { kind: 'wait', gate, spin: Infinity };
    };
    return {
      attach(vcpu) {
        self = vcpu;
        vcpus.push(vcpu);
        setPauseLoop(vcpu, loops);
      },
      next(): Step {
        switch (phase++ % 3) {
          case 0:
            return { kind: 'compute', time: Math.max(random.exponential(gap_us * NS_PER_US), 1), units: 0 };
          case 1:
            return broadcast();
          default:
            return { kind: 'compute', time: 1_000, doing: DOING_KERNEL };
        }
      },
    };
  },
});
