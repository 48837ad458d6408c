/**
 * All kinds of charts, in the order of `hvsim list charts`. A new one is one file and one line here.
 * Invariant: names are unique; they are what stands under `charts:` in a scenario.
 */
import { agreement } from './agreement.ts';
import type { Chart } from './chart.ts';
import { consolidation } from './consolidation.ts';
import { cycles } from './cycles.ts';
import { equivalence } from './equivalence.ts';
import { exitCosts } from './exit-costs.ts';
import { exits } from './exits.ts';
import { gantt } from './gantt.ts';
import { holes } from './holes.ts';
import { interpretation } from './interpretation.ts';
import { isolation } from './isolation.ts';
import { latency } from './latency.ts';
import { map } from './map.ts';
import { published } from './published.ts';
import { requirements } from './requirements.ts';
import { slowdown } from './slowdown.ts';
import { spinning } from './spinning.ts';
import { throughput } from './throughput.ts';
import { utilization } from './utilization.ts';

export const CHARTS: readonly Chart[] = [
  slowdown,
  cycles,
  exits,
  equivalence,
  utilization,
  latency,
  throughput,
  map,
  exitCosts,
  interpretation,
  holes,
  requirements,
  published,
  gantt,
  consolidation,
  spinning,
  isolation,
  agreement,
];

export const CHART_NAMES: readonly string[] = CHARTS.map((chart) => chart.name);
