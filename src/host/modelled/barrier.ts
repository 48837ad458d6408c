/**
 * A vCPU of a parallel program in phases (bulk-synchronous): all vCPUs of the VM work, then wait for the slowest.
 * One unit of work is one phase of one vCPU.
 */
import { NS_PER_US } from '../../core/units.ts';
import { defineDemand, type Step } from './demand.ts';
import { SimpleGate } from './gate.ts';

export const barrier = defineDemand({
  name: 'barrier',
  summary: 'SMP guest: all vCPUs of the VM compute, wait for each other, and so on',
  params: {
    phase_us: { kind: 'integer', min: 1, max: 1_000_000, default: 1_000, meaning: 'mean CPU time of a phase' },
    spread_percent: {
      kind: 'integer',
      min: 0,
      max: 100,
      default: 20,
      meaning: 'phases last from that much less to that much more than the mean',
    },
    spin_us: {
      kind: 'integer',
      min: 0,
      max: 1_000_000_000,
      default: 50,
      meaning: 'spins that long at the barrier, then blocks',
    },
  },
  make({ phase_us, spread_percent, spin_us }, random, vm) {
    const waiting = vm.shared<SimpleGate[]>('barrier', () => []);
    const mean = phase_us * NS_PER_US;
    const spread = Math.floor((mean * spread_percent) / 100);
    let gate: SimpleGate;
    let computing = false;
    return {
      attach(vcpu) {
        gate = new SimpleGate(vcpu);
      },
      next(): Step {
        computing = !computing;
        if (computing) return { kind: 'compute', time: Math.max(mean - spread + random.below(2 * spread + 1), 1) };
        waiting.push(gate);
        if (waiting.length === vm.vcpus) for (const other of waiting.splice(0)) other.open();
        return { kind: 'wait', gate, spin: spin_us * NS_PER_US };
      },
    };
  },
});
