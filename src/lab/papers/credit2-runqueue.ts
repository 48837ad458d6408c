/**
 * Xen's commit 3a782c7603 (2016): time to build Xen with the run queues of credit2 per core and per socket, at low and high load, without
 * and with noise.
 * Invariant: loads are our choice and not fitted; theirs and ours are ratios of the two.
 */
import { definePaper, finding, type Measured, type PaperRow } from './paper.ts';

/** How much faster the build is with a run queue per socket. */
const gain = (m: Measured, load: string): number =>
  m.ofVm({ load, runqueue: 'socket' }, 'build', 'units') / m.ofVm({ load, runqueue: 'core' }, 'build', 'units');

const row = (load: string, core: number, socket: number, cause: string): PaperRow => ({
  row: `${load} load: speed with a queue per socket, of that per core`,
  theirs: core / socket,
  unit: 'of 1',
  tolerance: 0.06,
  claimed: false,
  cause,
  ours: (m) => gain(m, load),
});

export const credit2Runqueue = definePaper({
  id: 'credit2-runqueue',
  short: 'Xen 2016, run queues of credit2',
  title:
    'Faggioli, Xen commit 3a782c7603 (2016): building Xen under credit2 with run queues per core and per socket, which became the default',
  hasScenario: true,
  inputs: '4 or 16 vCPUs that compile, 16 that disturb (our choice); threads of a core do not slow each other down',
  rows: [
    finding('with noise at low load the build is faster with a queue per socket', (m) => gain(m, 'low + noise') > 1.01),
    finding('with noise more is done by all together, and CPUs idle less while others wait', (m) =>
      ['low + noise', 'high + noise'].every((load) => {
        const [core, socket] = ['core', 'socket'].map((runqueue) => ({ load, runqueue }));
        const [more, wasted] = ['units', 'wasted_idle_ns'].map(
          (column) => m.ofRun(socket!, column) / m.ofRun(core!, column),
        );
        return more! > 1.02 && wasted! < 0.1;
      }),
    ),
    row('low', 35.2, 33.43, 'nobody else is there, so every vCPU keeps a CPU of its own with either'),
    row(
      'high',
      18.01,
      18.53,
      'nobody else is there, so every vCPU keeps a CPU of its own with either; neither the lock of a queue nor a shared core costs anything here',
    ),
    row(
      'low + noise',
      45.87,
      39.49,
      'the direction only: with a queue per core CPUs idle for 5 % of the time while others wait (0.4 % with one per socket), until the queues are balanced, which happens when credits are reset; their noise is not known',
    ),
    row(
      'high + noise',
      36.84,
      29.08,
      'what a queue per socket saves, 3 % of the CPUs, goes to those that disturb: they come nearer to the share that their weight gives them, and the build gets 1 % less. Theirs may not have been saturated',
    ),
  ],
});
