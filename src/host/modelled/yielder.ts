/** A vCPU that offers its pCPU after every few microseconds of work, as a guest that spins on a paravirtual lock does. */
import { NS_PER_US } from '../../core/units.ts';
import { defineDemand } from './demand.ts';

export const yielder = defineDemand({
  name: 'yielder',
  summary: 'computes a little, yields, and so on for ever',
  params: { work_us: { kind: 'integer', min: 1, default: 50, meaning: 'CPU time between two yields' } },
  make({ work_us }) {
    let worked = false;
    return {
      next() {
        worked = !worked;
        return worked ? { kind: 'compute', time: work_us * NS_PER_US } : { kind: 'yield' };
      },
    };
  },
});
