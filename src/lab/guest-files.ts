/**
 * Guests, recordings and schedulers that are files of the user: a copy goes into the results, which so say which code made them and
 * can be run again as they are.
 * Invariant: in the scenario that is written, such a file is `guests/<file name>`, `recordings/<file name>` or
 * `schedulers/<file name>`; a scheduler has the hash of its text beside it.
 */
import { basename } from 'node:path';
import { isGuestPath } from './guests.ts';
import { sha256Of } from './own-policy.ts';
import { isPlainObject } from './paths.ts';
import type { Scenario } from './scenario.ts';
import { isOwn, type ScenarioDoc, type World } from './schema.ts';
import { isExecuted, isReplayed } from './schema-vms.ts';

export interface PortableScenario {
  readonly scenario: Scenario;
  /** Name in the results -> absolute path of the file. */
  readonly files: ReadonlyMap<string, string>;
}

/** The scenario with its own copies of guest files. */
export function withGuestCopies(scenario: Scenario, fileOf: (guest: string) => string): PortableScenario {
  const files = new Map<string, string>();
  const names = new Map<string, string>();
  for (const { world } of scenario.points) {
    const schedulers = [world.host.scheduler, ...(world.host.pools ?? []).map((pool) => pool.scheduler)];
    const used = world.vms.flatMap((vm) => {
      if (isReplayed(vm)) return [['recordings', vm.replay]];
      return isExecuted(vm) && isGuestPath(vm.guest) ? [['guests', vm.guest]] : [];
    });
    for (const one of schedulers) if (one !== undefined && isOwn(one)) used.push(['schedulers', one.module]);
    for (const [folder, guest] of used as [string, string][]) {
      if (names.has(guest)) continue;
      const source = fileOf(guest);
      const known = [...files].find(([, file]) => file === source)?.[0];
      const name = known ?? freeName(folder, basename(source), files);
      files.set(name, source);
      names.set(guest, name);
    }
  }
  if (names.size === 0) return { scenario, files };
  const renamed = (guest: string): string => names.get(guest) ?? guest;
  const points = scenario.points.map((point) => ({
    ...point,
    world: {
      ...point.world,
      host: rename(point.world.host, names, files) as World['host'],
      vms: point.world.vms.map((vm) => {
        if (isReplayed(vm)) return { ...vm, replay: renamed(vm.replay) };
        return isExecuted(vm) ? { ...vm, guest: renamed(vm.guest) } : vm;
      }),
    },
  }));
  return { scenario: { ...scenario, points, doc: renameIn(scenario.doc, names, files) }, files };
}

/** The document with the same renaming, in VMs and in the values of axes. */
function renameIn(
  doc: ScenarioDoc,
  names: ReadonlyMap<string, string>,
  files: ReadonlyMap<string, string>,
): ScenarioDoc {
  const { host, vms, sweep, ...rest } = doc;
  const renamed = {
    host: rename(host, names, files),
    vms: rename(vms, names, files),
    sweep: rename(sweep, names, files),
  };
  return { ...rest, ...renamed } as ScenarioDoc;
}

/** Every text that is the path of a guest file, anywhere in `value`; labels keep what was written. */
function rename(value: unknown, names: ReadonlyMap<string, string>, files: ReadonlyMap<string, string>): unknown {
  if (typeof value === 'string') return names.get(value) ?? value;
  if (Array.isArray(value)) return value.map((item) => rename(item, names, files));
  if (!isPlainObject(value)) return value;
  const renamed = Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, key === 'label' ? inner : rename(inner, names, files)]),
  );
  const { module, export: exportName, sha256: _old, ...rest } = renamed;
  const scheduler = typeof module === 'string' && module.startsWith('schedulers/') ? files.get(module) : undefined;
  if (scheduler === undefined) return renamed;
  return { module, ...(exportName === undefined ? {} : { export: exportName }), sha256: sha256Of(scheduler), ...rest };
}

function freeName(folder: string, base: string, taken: ReadonlyMap<string, string>): string {
  let name = `${folder}/${base}`;
  for (let turn = 2; taken.has(name); turn++) name = `${folder}/${turn}-${base}`;
  return name;
}
