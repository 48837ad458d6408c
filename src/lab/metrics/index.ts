/**
 * All tables of the results, in the order of the documentation. A new metric is one file and one line here.
 * Invariant: names are unique; each becomes the file `<name>.csv`.
 */
import { divergences } from './divergences.ts';
import { exits } from './exits.ts';
import { gantt } from './gantt.ts';
import { haltPolling } from './halt-polling.ts';
import { holes } from './holes.ts';
import { memory } from './memory.ts';
import type { Metric } from './metric.ts';
import { pcpus } from './pcpus.ts';
import { requirements } from './requirements.ts';
import { runs } from './runs.ts';
import { schedulingRuns, schedulingVcpus, schedulingVms } from './scheduling.ts';
import { sections } from './sections.ts';
import { throttling } from './throttling.ts';
import { vcpus } from './vcpus.ts';
import { vms } from './vms.ts';

export const METRICS: readonly Metric[] = [
  runs,
  vms,
  vcpus,
  pcpus,
  exits,
  memory,
  divergences,
  sections,
  requirements,
  holes,
  gantt,
  schedulingRuns,
  schedulingVms,
  schedulingVcpus,
  haltPolling,
  throttling,
];
