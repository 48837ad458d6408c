/**
 * A vCPU that is one stage of a pipeline: it waits for an item from the vCPU before it, works on it, and wakes the next.
 * The first vCPU makes an item whenever fewer than `depth` are under way. One unit of work is one item at one stage; the
 * last stage measures how long each item was under way.
 */
import { NS_PER_US, type Ns } from '../../core/units.ts';
import { defineDemand, type Step } from './demand.ts';
import { SimpleGate } from './gate.ts';

interface Stage {
  readonly gate: SimpleGate;
  /** Items that wait here, by the time at which they were made. */
  readonly items: Ns[];
}

export const pipeline = defineDemand({
  name: 'pipeline',
  summary: 'SMP guest: each vCPU is a stage that hands its items to the next one, which it wakes up',
  params: {
    work_us: { kind: 'integer', min: 1, default: 200, meaning: 'CPU time per item and stage' },
    depth: { kind: 'integer', min: 1, max: 1_000, default: 1, meaning: 'items under way at the same time' },
  },
  make({ work_us, depth }, _random, vm) {
    const stages = vm.shared<Stage[]>('stages', () => []);
    let number = 0;
    let stage: Stage;
    let item: Ns | null = null;
    const handOn = (made: Ns): void => {
      const next = stages[(number + 1) % stages.length];
      next.items.push(made);
      next.gate.open();
    };
    return {
      attach(vcpu) {
        number = stages.length;
        stage = { gate: new SimpleGate(vcpu), items: number === 0 ? Array.from<Ns>({ length: depth }).fill(0) : [] };
        stages.push(stage);
      },
      next(now): Step {
        if (item !== null) handOn(item);
        item = null;
        const taken = stage.items.shift();
        if (taken === undefined) return { kind: 'wait', gate: stage.gate, spin: 0 };
        // Items go round: at the first stage a new one takes the place of one that is done.
        item = number === 0 ? now : taken;
        const last = number === stages.length - 1;
        const job = last ? { job: { release: item, deadline: Infinity } } : {};
        return { kind: 'compute', time: work_us * NS_PER_US, ...job };
      },
    };
  },
});
