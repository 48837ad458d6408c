/**
 * What the dispatcher knows of a vCPU (wake-ups, waits, switches, latencies) is the same for a replayed one as for the
 * executed one, also where a wake-up was for nothing, and where the run was over before the guest.
 */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encodeRecording } from '../../src/host/replay/recording.ts';
import { runWorld } from '../../src/lab/build.ts';
import { planRuns } from '../../src/lab/plan.ts';
import { recordRun } from '../../src/lab/record.ts';
import { Recordings } from '../../src/lab/recordings.ts';
import { parseScenario } from '../../src/lab/scenario.ts';

const folder = mkdtempSync(join(tmpdir(), 'hvsim-replay-wakes-'));

function planOf(vm: string, duration: string): ReturnType<typeof planRuns>['runs'][0] {
  const text = `
name: a
duration: ${duration}
host: { pcpus: 1, memory: 128 MiB, scheduler: credit }
vms: [{ name: vm, ${vm} }]
`;
  const recordings = new Recordings();
  const recordingFrom = (written: string) => recordings.header(written, written);
  return planRuns(parseScenario(text, 'a.yaml', { recordingFrom }), (file) => file).runs[0]!;
}

test.each([
  // Its timer's events come through the hypervisor, some while there is nothing to go on for.
  ['paravirtual', '2 s', 'guest: nano-pv, workload: "web requests=50 hz=1000", technique: paravirtual'],
  ['hardware-assisted', '2 s', 'guest: nano-clean, workload: "web requests=50 hz=1000"'],
  ['binary-translation', '2 s', 'guest: nano, workload: "idle ticks=20 hz=100", technique: binary-translation'],
  ['cut while it waits', '200 ms', 'guest: nano-clean, workload: "web requests=500 hz=1000"'],
  ['halts for good', '1 s', 'guest: wild-haltforever'],
])('%s', (name, duration, vm) => {
  const plan = planOf(vm, duration);
  const executed = runWorld(plan).vms[0]!;
  const file = join(folder, `${name}.hvrec`);
  writeFileSync(file, encodeRecording(recordRun(plan).recording));
  const replayed = runWorld(planOf(`replay: "${file}"`, duration)).vms[0]!;
  expect(replayed.vcpus).toEqual(executed.vcpus);
  expect(replayed.exits).toEqual(executed.exits);
  expect(replayed.instructions).toBe(executed.instructions);
  expect(replayed.elapsedNs).toBe(executed.elapsedNs);
});
