/** A vCPU with random bursts of work and random pauses (exponential), drawn from its own stream. */
import { NS_PER_US } from '../../core/units.ts';
import { defineDemand } from './demand.ts';

export const interactive = defineDemand({
  name: 'interactive',
  summary: 'computes and thinks in turn, for exponentially distributed times',
  params: {
    burst_us: { kind: 'integer', min: 1, default: 2_000, meaning: 'mean CPU time of a burst' },
    think_us: { kind: 'integer', min: 1, default: 20_000, meaning: 'mean time of a pause' },
  },
  make({ burst_us, think_us }, random) {
    let computing = true;
    return {
      next(now) {
        computing = !computing;
        if (computing) return { kind: 'compute', time: Math.max(random.exponential(burst_us * NS_PER_US), 1) };
        return { kind: 'sleep-until', time: now + random.exponential(think_us * NS_PER_US) };
      },
    };
  },
});
