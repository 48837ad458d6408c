/**
 * A vCPU that gets a request at fixed times and computes a little for each: an I/O-bound guest, or a real-time task.
 * A request that comes while the one before is not done is lost (`late: skip`) or waits its turn (`late: queue`).
 */
import { divCeil, NS_PER_US } from '../../core/units.ts';
import { defineDemand } from './demand.ts';

export const periodic = defineDemand({
  name: 'periodic',
  summary: 'computes for a while at fixed intervals of time',
  params: {
    work_us: { kind: 'integer', min: 1, default: 100, meaning: 'CPU time per request' },
    period_us: { kind: 'integer', min: 1, default: 10_000, meaning: 'time from request to request' },
    phase_us: { kind: 'integer', min: 0, default: 0, meaning: 'time of the first request' },
    late: {
      kind: 'choice',
      of: ['skip', 'queue'],
      default: 'skip',
      meaning: 'what becomes of requests that come too early',
    },
  },
  make({ work_us, period_us, phase_us, late }) {
    const period = period_us * NS_PER_US;
    let due = phase_us * NS_PER_US;
    let serving = false;
    return {
      next(now) {
        if (serving) {
          due += period;
          if (late === 'skip' && due < now) due += divCeil(now - due, period) * period;
        }
        serving = due <= now;
        if (!serving) return { kind: 'sleep-until', time: due };
        return { kind: 'compute', time: work_us * NS_PER_US, job: { release: due, deadline: due + period } };
      },
    };
  },
});
