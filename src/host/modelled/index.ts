/** The demands of modelled vCPUs, one line each. */
import type { DemandModel } from './demand.ts';
import { hog } from './hog.ts';
import { interactive } from './interactive.ts';
import { io } from './io.ts';
import { periodic } from './periodic.ts';
import { tickEvader } from './tick-evader.ts';
import { yielder } from './yielder.ts';

export const demands: readonly DemandModel[] = [hog, interactive, io, periodic, tickEvader, yielder];

export { hog, interactive, io, periodic, tickEvader, yielder };
