/** The demands of modelled vCPUs, one line each. */
import { barrier } from './barrier.ts';
import type { DemandModel } from './demand.ts';
import { hog } from './hog.ts';
import { interactive } from './interactive.ts';
import { io } from './io.ts';
import { periodic } from './periodic.ts';
import { pipeline } from './pipeline.ts';
import { server } from './server.ts';
import { shootdown } from './shootdown.ts';
import { spinlock } from './spinlock.ts';
import { tickEvader } from './tick-evader.ts';
import { yielder } from './yielder.ts';

export const demands: readonly DemandModel[] = [
  hog,
  interactive,
  io,
  periodic,
  server,
  tickEvader,
  yielder,
  spinlock,
  barrier,
  shootdown,
  pipeline,
];

export { barrier, hog, interactive, io, periodic, pipeline, server, shootdown, spinlock, tickEvader, yielder };
