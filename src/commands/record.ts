/**
 * hvsim record: executes a guest alone on one physical CPU and writes what it did to a file that VMs can play.
 * Invariant: the file appears whole or not at all, and depends on the options only.
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { UserError } from '../core/errors.ts';
import { encodeRecording } from '../host/replay/recording.ts';
import { recordRun } from '../lab/record.ts';
import { formatQuantity } from '../lab/units.ts';
import { grouped, time } from '../report/format.ts';
import type { EngineName } from '../vmm/machine.ts';
import { planOf } from './boot.ts';
import { note } from './terminal.ts';

export interface RecordOptions {
  readonly out: string;
  readonly technique: string;
  readonly paging: string;
  readonly memory: string;
  readonly append: string;
  readonly preset: string;
  readonly maxSeconds: string;
  readonly engine: EngineName;
}

/** Answers 0, also when the guest did not end well: the recording is of what it did. */
export function recordCommand(guest: string, options: RecordOptions): number {
  const run = planOf(guest, { ...options, vcpus: '1', maxInstructions: '1' });
  const { record, recording } = recordRun(run, { engine: options.engine });
  const bytes = encodeRecording(recording);
  writeWhole(options.out, bytes);
  const [vm] = record.vms as [(typeof record.vms)[0]];
  const exits = vm.exits.reduce((sum, { count }) => sum + count, 0);
  note(`outcome       ${vm.outcome}${vm.detail === '' ? '' : `: ${vm.detail}`}`);
  note(`simulated     ${time(record.simulatedNs)}`);
  note(`instructions  ${grouped(vm.instructions)}`);
  note(`exits         ${grouped(exits)}`);
  note(
    `recording     ${options.out}, ${formatQuantity('size', bytes.length)}, ${grouped(recording.ops.length)} operations`,
  );
  return 0;
}

function writeWhole(file: string, bytes: Uint8Array): void {
  const partial = `${file}.partial`;
  try {
    writeFileSync(partial, bytes);
    renameSync(partial, file);
  } catch (error) {
    rmSync(partial, { force: true });
    throw new UserError(`--out: ${file}: cannot be written: ${error instanceof Error ? error.message : String(error)}`);
  }
}
