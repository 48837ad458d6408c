/**
 * Rules of a scenario about VMs that play a recording: the file, and whether the host is like that of the recording.
 * Invariant: a recording without findings can be played.
 */
import { UserError } from '../core/errors.ts';
import { findKind } from '../host/kinds/index.ts';
import { isBare, type TechniqueName } from '../vmm/technique.ts';
import { PRESETS } from './catalog.ts';
import type { Path } from './paths.ts';
import { type Finding, finding, found } from './problems.ts';
import type { RecordingLoader } from './recordings.ts';
import type { World } from './schema.ts';
import { isReplayed, type ReplayedVmInput } from './schema-vms.ts';
import { formatQuantity, quantity } from './units.ts';

/** @param load opens files; without it they are not looked at */
export function checkReplays(world: World, load: RecordingLoader | undefined): Finding[] {
  return world.vms.flatMap((vm, index) => (isReplayed(vm) ? checkReplay(world, vm, index, load) : []));
}

function checkReplay(world: World, vm: ReplayedVmInput, index: number, load: RecordingLoader | undefined): Finding[] {
  const { host, vms } = world;
  const at: Path = ['vms', index, 'replay'];
  const kind = findKind(host.hypervisor);
  const findings: Finding[] = [];
  if (kind.hostSide !== null) {
    const message = `found ${found(vm.replay)}, but what devices cost under ${kind.name} is not in a recording; expected type-1`;
    findings.push(finding(at, message));
  }
  if (load === undefined) return findings;
  const problem = problemOf(() => load(vm.replay));
  if (problem !== null) return [...findings, finding(at, problem)];
  const header = load(vm.replay);
  const ring = vm.offset === undefined ? null : problemOf(() => load(vm.replay, true));
  if (ring !== null) findings.push(finding(['vms', index, 'offset'], ring));
  if (header.preset !== host.preset) {
    const message = `${vm.replay} was recorded with preset ${header.preset}, but the host has ${host.preset}`;
    findings.push(finding(at, message));
    return findings;
  }
  const preset = PRESETS.find(({ id }) => id === host.preset);
  const hz = host.frequency === 'auto' ? preset?.frequencyHz : quantity('frequency', host.frequency);
  if (header.frequencyHz !== hz) {
    const own = formatQuantity('frequency', header.frequencyHz);
    findings.push(finding(at, `${vm.replay} was recorded at ${own}, but the host has ${found(host.frequency)}`));
  }
  const others = vms.reduce((sum, other) => sum + other.count, 0) - 1;
  if (isBare(header.technique as TechniqueName) && others > 0) {
    const message = `${vm.replay} is of a guest under ${header.technique}, which has the machine for itself; record it under another technique`;
    findings.push(finding(at, message));
  }
  return findings;
}

/** What the user did wrong, if that is why it fails. */
function problemOf(load: () => unknown): string | null {
  try {
    load();
    return null;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}
