/**
 * A vCPU that computes, sleeps for a fixed time, and so on: a guest that waits for each of its requests to be answered.
 * Unlike `periodic`, whoever keeps it waiting delays everything that follows.
 */
import { NS_PER_US } from '../../core/units.ts';
import { defineDemand } from './demand.ts';

export const io = defineDemand({
  name: 'io',
  summary: 'computes for a while, then sleeps for a while, in turn',
  params: {
    work_us: { kind: 'integer', min: 1, default: 100, meaning: 'CPU time between two waits' },
    wait_us: { kind: 'integer', min: 1, default: 9_900, meaning: 'time of each wait' },
  },
  make({ work_us, wait_us }) {
    let worked = false;
    return {
      next(now) {
        worked = !worked;
        if (worked) return { kind: 'compute', time: work_us * NS_PER_US };
        return { kind: 'sleep-until', time: now + wait_us * NS_PER_US };
      },
    };
  },
});
