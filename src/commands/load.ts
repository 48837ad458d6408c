/**
 * Scenario files of the command line, read and checked before anything is run.
 * Invariant: with several files, the mistakes of all of them are reported together.
 */
import { dirname, resolve } from 'node:path';
import { UserError } from '../core/errors.ts';
import { refuseForeign } from '../guest/foreign.ts';
import { loadMultiboot } from '../guest/multiboot.ts';
import { guestFor } from '../lab/guests.ts';
import { loadPolicy } from '../lab/own-policy.ts';
import { parsePath } from '../lab/paths.ts';
import { found } from '../lab/problems.ts';
import { Recordings } from '../lab/recordings.ts';
import { type Override, parseScenario, type Scenario } from '../lab/scenario.ts';
import { parseYaml, readTextFile, SCENARIO_BYTES_MAX } from '../lab/source.ts';
import { CHART_NAMES } from '../report/charts/index.ts';
import { findTechnique } from '../vmm/techniques/index.ts';

export interface LoadedScenario {
  readonly file: string;
  readonly scenario: Scenario;
  /** Absolute path of a guest that is written as a path in this file. */
  readonly fileOf: (guest: string) => string;
}

export interface LoadOptions {
  /** As typed: `path=value`. */
  readonly set?: readonly string[];
  readonly seed?: number;
}

export function loadScenarios(files: readonly string[], options: LoadOptions): LoadedScenario[] {
  const overrides = (options.set ?? []).map(parseOverride);
  const messages: string[] = [];
  const loaded: LoadedScenario[] = [];
  for (const file of files) {
    try {
      loaded.push(loadScenario(file, overrides, options.seed));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      messages.push(error.message);
    }
  }
  if (messages.length > 0) throw new UserError(messages.join('\n'));
  return loaded;
}

function loadScenario(file: string, overrides: readonly Override[], seed: number | undefined): LoadedScenario {
  const fileOf = (guest: string): string => resolve(dirname(file), guest);
  const known = new Map<string, string | undefined>();
  const guestProblem = (guest: string, memoryBytes: number, technique: string): string | undefined => {
    const key = `${technique} ${memoryBytes} ${guest}`;
    if (!known.has(key)) known.set(key, problemOf(guest, fileOf(guest), memoryBytes, technique));
    return known.get(key);
  };
  const recordings = new Recordings();
  const scenario = parseScenario(readTextFile(file, 'a scenario', SCENARIO_BYTES_MAX), file, {
    overrides,
    charts: CHART_NAMES,
    guestProblem,
    policyFrom: (module, exportName, sha256) => loadPolicy(fileOf(module), exportName, module, sha256),
    recordingFrom: (written, asRing) => recordings.header(fileOf(written), written, asRing),
    ...(seed === undefined ? {} : { seeds: [seed] }),
  });
  return { file, scenario, fileOf };
}

/** Why a file cannot be booted in so much memory, if it cannot. */
function problemOf(guest: string, file: string, memoryBytes: number, technique: string): string | undefined {
  try {
    const image = guestFor(findTechnique(technique), guest, file);
    refuseForeign(image);
    const { modules = [] } = image;
    loadMultiboot(image, { sizeBytes: memoryBytes, write: () => {}, fill: () => {} }, { modules });
    return undefined;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    // Messages are about the file as the user wrote it.
    return error.message.replaceAll(file, guest);
  }
}

/** `vms[0].memory=64 MiB`: the value is read as YAML, as it would be in the file. */
function parseOverride(typed: string): Override {
  const equals = typed.indexOf('=');
  const path = typed.slice(0, equals).trim();
  if (equals < 1 || parsePath(path) === undefined) {
    throw new UserError(`--set: found ${found(typed)}, expected path=value, such as host.pcpus=2`);
  }
  return { path, value: parseYaml(typed.slice(equals + 1), `--set ${path}`).data };
}
