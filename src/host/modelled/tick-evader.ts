/**
 * A vCPU that sleeps whenever the scheduler's tick is due, so that a tick-based accounting never finds it running.
 * Stopping by CPU time it can be delayed past the tick by a rate limit; stopping by the clock it cannot.
 * Source: Zhou et al., "Scheduler vulnerabilities and coordinated attacks in cloud computing", 2011.
 */
import { NS_PER_US } from '../../core/units.ts';
import { defineDemand } from './demand.ts';

export const tickEvader = defineDemand({
  name: 'tick-evader',
  summary: 'computes between two scheduler ticks and sleeps around each of them',
  params: {
    tick_us: { kind: 'integer', min: 1, default: 10_000, meaning: 'period of the ticks to evade' },
    before_us: { kind: 'integer', min: 1, default: 200, meaning: 'goes to sleep that long before a tick' },
    after_us: { kind: 'integer', min: 1, default: 500, meaning: 'wakes up that long after a tick' },
    stops_by: {
      kind: 'choice',
      of: ['cpu-time', 'clock'],
      default: 'cpu-time',
      meaning: 'how it knows that it is time to sleep',
    },
  },
  make({ tick_us, before_us, after_us, stops_by }) {
    const tick = tick_us * NS_PER_US;
    const before = before_us * NS_PER_US;
    const after = after_us * NS_PER_US;
    return {
      next(now) {
        const lastTick = now - (now % tick);
        const wakeAt = lastTick + after;
        const stopAt = lastTick + tick - before;
        if (now < wakeAt) return { kind: 'sleep-until', time: wakeAt };
        if (now >= stopAt) return { kind: 'sleep-until', time: lastTick + tick + after };
        if (stops_by === 'clock') return { kind: 'compute-until', time: stopAt };
        return { kind: 'compute', time: stopAt - wakeAt };
      },
    };
  },
});
