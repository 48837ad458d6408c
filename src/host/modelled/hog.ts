/** A vCPU that never blocks, or that ends after a given amount of work. */
import { NS_PER_US } from '../../core/units.ts';
import { defineDemand } from './demand.ts';

export const hog = defineDemand({
  name: 'hog',
  summary: 'computes without a pause, for ever or for a given time',
  params: {
    work_us: { kind: 'integer', min: 1, meaning: 'CPU time after which it ends; default never' },
  },
  make({ work_us }) {
    let started = false;
    return {
      next() {
        if (started) return { kind: 'end' };
        started = true;
        return { kind: 'compute', time: work_us === undefined ? Infinity : work_us * NS_PER_US };
      },
    };
  },
});
