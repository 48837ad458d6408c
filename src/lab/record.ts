/**
 * Makes a recording from a run of one VM.
 * Invariant: a recorded run is the run without the recorder, to the cycle.
 */
import { assert, UserError } from '../core/errors.ts';
import { Recorder } from '../host/replay/recorder.ts';
import type { Recording } from '../host/replay/recording.ts';
import { type BuildOptions, buildWorld, finishWorld } from './build.ts';
import { collect } from './collect.ts';
import type { ResolvedRun } from './plan.ts';
import type { RunRecord } from './rows.ts';

/**
 * Executes the only VM of `run` and records it.
 * @throws UserError when there is more than one vCPU, or more below it than the bare hardware
 */
export function recordRun(run: ResolvedRun, options: BuildOptions = {}): { record: RunRecord; recording: Recording } {
  const [plan, ...others] = run.vms;
  assert(plan !== undefined && others.length === 0, 'one VM is recorded, alone on its host');
  if (plan.vcpus !== 1) {
    throw new UserError(`VM ${plan.name}: found ${plan.vcpus} vCPUs, expected 1: a recording has one vCPU`);
  }
  const { hypervisor = 'type-1' } = run.host;
  if (hypervisor !== 'type-1') {
    throw new UserError(`VM ${plan.name}: found hypervisor ${hypervisor}, expected type-1: only under it is recorded`);
  }
  const recorder = new Recorder();
  const world = buildWorld(run, { ...options, recorder });
  const [{ vm }] = world.vms as [(typeof world.vms)[0]];
  const outcome = finishWorld(world, (how) => recorder.close(how, world.dispatcher.now));
  const recording: Recording = {
    header: {
      guest: plan.guest,
      imageSha256: vm.spec.image.sha256,
      workload: plan.workload,
      technique: plan.technique,
      paging: plan.paging,
      preset: run.host.preset,
      frequencyHz: run.host.frequencyHz,
      memoryBytes: plan.memoryBytes,
      durationNs: run.durationNs,
      reasons: recorder.reasons,
    },
    ops: recorder.ops,
  };
  return { record: collect(world, outcome), recording };
}
