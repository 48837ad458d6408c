/**
 * From the text of a scenario to plain data that is known to be right, with every mistake reported at once.
 *
 *   text ── parseYaml ──► Source ── overrides (--set) ──► data ── head schema ──► axes ── combinations
 *                                                          each combination ── world schema + checks ──► points
 *
 * Invariant: `doc`, written as YAML, parses to an equal Scenario.
 */
import { resolve } from 'node:path';
import { stringify } from 'yaml';
import { checkWorld, type GuestProblem } from './checks.ts';
import { check, unknownKey } from './explain.ts';
import { loadPolicy, type PolicyLoader } from './own-policy.ts';
import { formatPath, isPlainObject, type Path, valueAt, withValue } from './paths.ts';
import { completeOwn } from './policies.ts';
import { type Finding, finding, found, type Place, type Problem, placed, ScenarioError } from './problems.ts';
import type { RecordingLoader } from './recordings.ts';
import {
  type Head,
  headSchema,
  isOwn,
  PCPUS_MAX,
  type Pool,
  type ScenarioDoc,
  type ScenarioInput,
  type Scheduler,
  schedulerObject,
  type World,
  worldSchema,
} from './schema.ts';
import { dataSource, parseYaml, type Source } from './source.ts';
import { didYouMean } from './suggest.ts';
import { applyCombination, type Combination, combinations, type Dimension, dimensionsOf, targetOf } from './sweep.ts';
import { quantity } from './units.ts';

/** One combination of axis values, complete. */
export interface Point {
  /** Axis name -> label of its value. */
  readonly axes: Readonly<Record<string, string>>;
  readonly world: World;
}

export interface Scenario {
  /** The whole experiment with its defaults; written to the results as scenario.yaml. */
  readonly doc: ScenarioDoc;
  readonly axes: readonly string[];
  readonly points: readonly Point[];
}

/** A value from the command line that replaces one of the file. */
export interface Override {
  /** As typed after --set: `vms[0].memory`. */
  readonly path: string;
  readonly value: unknown;
}

export interface ParseOptions {
  readonly overrides?: readonly Override[];
  readonly seeds?: readonly number[];
  /** Kinds of charts there are; without it, chart names are not checked. */
  readonly charts?: readonly string[];
  /** Opens the file of a guest, given as it is written; answers what is wrong with it. Without it, files are not opened. */
  readonly guestProblem?: GuestProblem;
  /** Loads a scheduler that is a file. Without it, paths are relative to the working directory. */
  readonly policyFrom?: PolicyLoader;
  /** Reads the header of a recording. Without it, recordings are not opened. */
  readonly recordingFrom?: RecordingLoader;
}

/** The typed twin of a scenario file. Throws ScenarioError as the file would. */
export function defineScenario(input: ScenarioInput, options: ParseOptions = {}): Scenario {
  return readScenario(dataSource(input, `scenario "${input.name}"`), options);
}

/** Parses the text of a scenario; `name` is what messages call it, usually the file. */
export function parseScenario(text: string, name: string, options: ParseOptions = {}): Scenario {
  return readScenario(parseYaml(text, name), options);
}

/** The scenario as YAML, every default written out. */
export function scenarioText(doc: ScenarioDoc): string {
  return stringify(doc, { lineWidth: 0, aliasDuplicateObjects: false });
}

const HEAD_KEYS = Object.keys(headSchema.shape);
const WORLD_KEYS = Object.keys(worldSchema.shape);

/** Where the values that do not come from the file itself were written. */
interface Origin {
  readonly path: Path;
  readonly place: Place;
}

function readScenario(source: Source, options: ParseOptions): Scenario {
  if (!isPlainObject(source.data)) {
    const message = `found ${found(source.data)}, expected a mapping with name, host, vms, ...`;
    throw new ScenarioError([{ place: source.locate([]), path: '', message }]);
  }
  const problems: Problem[] = [];
  const { data, origins } = override(source.data, options, problems);
  const report = (findings: readonly Finding[], extra: readonly Origin[] = []): void => {
    for (const item of findings) problems.push(placed(item, placeOf(source, item, [...origins, ...extra])));
  };

  const unknown = Object.keys(data).filter((key) => !HEAD_KEYS.includes(key) && !WORLD_KEYS.includes(key));
  report(unknown.map((key) => unknownKey([key], key, [...HEAD_KEYS, ...WORLD_KEYS])));
  const head = check(headSchema, pick(data, HEAD_KEYS));
  report(head.findings);
  report(checkCharts(data['charts'], options.charts));
  report(checkTimeline(data['timeline']));

  const axes = dimensionsOf(sweepOf(data), data);
  report(axes.findings);
  const broken = [...axes.findings, ...head.findings].filter((item) => item.path[0] === 'sweep');
  const brokenSweep = broken.length > 0;
  const tooMany = broken.some((item) => item.path.length === 1);
  const dimensions = tooMany ? [] : axes.dimensions.filter(({ name }) => !broken.some((item) => item.path[1] === name));
  const { points, findings } = checkPoints(data, dimensions, source, options);
  for (const item of findings) {
    // What is missing may be what a broken axis sets.
    if (brokenSweep && item.missing === true && namedInSweep(data, item.path)) continue;
    report([item], item.origins);
  }
  if (problems.length > 0 || head.value === undefined) throw new ScenarioError(problems);
  return { doc: resolved(head.value, points, dimensions, data), axes: Object.keys(head.value.sweep), points };
}

/** Applies --set and --seed. */
function override(
  original: Record<string, unknown>,
  options: ParseOptions,
  problems: Problem[],
): { data: Record<string, unknown>; origins: Origin[] } {
  let data: unknown = original;
  const origins: Origin[] = [];
  for (const { path: text, value } of options.overrides ?? []) {
    const place = { source: `--set ${text}` };
    const findings: Finding[] = [];
    const plain = HEAD_KEYS.includes(text) && text !== 'sweep';
    const path = plain ? [text] : targetOf(text, data, [], findings, false);
    problems.push(...findings.map((item) => placed(item, place)));
    if (path === undefined) continue;
    data = withValue(data, path, value);
    origins.push({ path, place });
  }
  if (options.seeds !== undefined) {
    data = withValue(data, ['seeds'], options.seeds);
    origins.push({ path: ['seeds'], place: { source: '--seed' } });
  }
  return { data: isPlainObject(data) ? data : {}, origins };
}

/** The axes that have a usable shape; what is wrong with the others is reported by the head's schema. */
function sweepOf(data: Record<string, unknown>): Head['sweep'] {
  const { sweep } = data;
  if (!isPlainObject(sweep)) return {};
  const axes = Object.entries(sweep).flatMap(([name, axis]) => {
    const { value } = check(headSchema.shape.sweep, { [name]: axis });
    return value === undefined ? [] : Object.entries(value);
  });
  return Object.fromEntries(axes);
}

function namedInSweep(data: Record<string, unknown>, path: Path): boolean {
  return JSON.stringify(data['sweep'] ?? null).includes(String(path.at(-1)));
}

interface PointFinding extends Finding {
  readonly origins: readonly Origin[];
}

/** Validates every combination. A finding that only some of them have names one that has it. */
function checkPoints(
  data: Record<string, unknown>,
  dimensions: readonly Dimension[],
  source: Source,
  options: ParseOptions,
): { points: Point[]; findings: PointFinding[] } {
  const all = combinations(dimensions);
  const points: Point[] = [];
  const found = new Map<string, { item: Finding; combination: Combination; times: number }>();
  for (const combination of all) {
    const { world, findings } = checkPoint(pick(applyCombination(data, combination), WORLD_KEYS), options);
    if (world !== undefined) points.push({ axes: labels(combination), world });
    for (const item of findings) {
      const key = `${formatPath(item.path)}: ${item.message}`;
      const before = found.get(key);
      if (before === undefined) found.set(key, { item, combination, times: 1 });
      else before.times++;
    }
  }
  const findings = [...found.values()].map(({ item, combination, times }) => {
    const origins = combination.flatMap(({ step }) =>
      step.sets.map(({ path, written }) => ({ path, place: source.locate(written) })),
    );
    const isOwnValue = origins.some((origin) => startsWith(item.path, origin.path));
    const names = Object.entries(labels(combination)).map(([axis, label]) => `${axis} = ${label}`);
    const where = times < all.length && !isOwnValue ? ` (with ${names.join(', ')})` : '';
    return { ...item, message: item.message + where, origins };
  });
  return { points, findings };
}

function checkPoint(
  data: Record<string, unknown>,
  options: ParseOptions,
): { world?: World; findings: readonly Finding[] } {
  const { guestProblem, policyFrom: load = loadAsWritten, recordingFrom } = options;
  const first = check(worldSchema, data);
  if (first.value !== undefined) {
    const { world, findings } = complete(first.value, load);
    const more = checkWorld(world, guestProblem, load, recordingFrom);
    return { world, findings: [...findings, ...checkPcpus(data, world), ...more] };
  }
  // Take out what is wrong and look at the rest, so that a user sees all mistakes at once and not in turns.
  const second = check(worldSchema, repaired(data, first.findings));
  if (second.value === undefined) return { findings: first.findings };
  const { world, findings } = complete(second.value, load);
  const more = [...findings, ...checkWorld(world, guestProblem, load, recordingFrom)];
  const known = first.findings.map((item) => item.path);
  return {
    findings: [...first.findings, ...more.filter((item) => !known.some((path) => startsWith(item.path, path)))],
  };
}

/** A guest of the catalogue that asks for nothing. */
const STAND_IN_GUEST = 'hello';

/** The data without the values that are wrong, and with stand-ins for those that are missing. */
function repaired(data: unknown, findings: readonly Finding[]): unknown {
  let result = data;
  for (const { path } of findings) {
    const standIns: Record<string, unknown> = { name: `unnamed-${path.at(-2)}`, guest: STAND_IN_GUEST };
    const key = String(path.at(-1));
    result = withValue(result, path, path[0] === 'vms' && path.length === 3 ? standIns[key] : undefined);
  }
  return withoutUndefined(result);
}

function labels(combination: Combination): Record<string, string> {
  return Object.fromEntries(combination.map(({ axis, step }) => [axis, step.label]));
}

/** A path is taken as it is written, where nobody says what it is relative to. */
const loadAsWritten: PolicyLoader = (module, exportName, sha256) =>
  loadPolicy(resolve(module), exportName, module, sha256);

/** `scheduler: credit` stands for that policy with its defaults; a topology says how many pCPUs there are. */
function complete(world: World, load: PolicyLoader): { readonly world: World; readonly findings: readonly Finding[] } {
  const { scheduler, topology, pcpus, pools } = world.host;
  const own = completeScheduler(scheduler, load, ['host', 'scheduler']);
  const parts = (pools ?? []).map((pool, index) => completePool(pool, load, ['host', 'pools', index, 'scheduler']));
  const host = {
    ...world.host,
    pcpus: topology === undefined ? pcpus : sizeOf(topology),
    scheduler: own.scheduler,
    ...(pools === undefined ? {} : { pools: parts.map(({ pool }) => pool) }),
  };
  return { world: { ...world, host }, findings: [own, ...parts].flatMap(({ findings }) => findings) };
}

function completePool(
  pool: Pool,
  load: PolicyLoader,
  at: Path,
): { readonly pool: Pool; readonly findings: readonly Finding[] } {
  if (pool.scheduler === undefined) return { pool, findings: [] };
  const { scheduler, findings } = completeScheduler(pool.scheduler, load, at);
  return { pool: { ...pool, scheduler }, findings };
}

function completeScheduler(
  scheduler: Scheduler,
  load: PolicyLoader,
  at: Path,
): { readonly scheduler: Exclude<Scheduler, string>; readonly findings: readonly Finding[] } {
  if (typeof scheduler === 'string') return { scheduler: schedulerObject.parse({ policy: scheduler }), findings: [] };
  return isOwn(scheduler) ? completeOwn(scheduler, load, at) : { scheduler, findings: [] };
}

function sizeOf(topology: NonNullable<World['host']['topology']>): number {
  return topology.sockets * topology.cores_per_socket * topology.threads_per_core;
}

/** The number of pCPUs may be written beside the topology, but then it is that of the topology. */
function checkPcpus(data: Record<string, unknown>, { host }: World): Finding[] {
  if (host.topology === undefined) return [];
  const written = valueAt(data, ['host', 'pcpus']);
  const size = sizeOf(host.topology);
  if (size > PCPUS_MAX) {
    return [finding(['host', 'topology'], `${size} physical CPUs, at most ${PCPUS_MAX} are simulated`)];
  }
  if (written === undefined || written === size) return [];
  return [finding(['host', 'pcpus'], `found ${found(written)}, but host.topology has ${size}; leave pcpus out`)];
}

/** The place of a finding: that of the override or axis value it is about, else in the file. */
function placeOf(source: Source, item: Finding, origins: readonly Origin[]): Place {
  const own = origins.findLast((origin) => startsWith(item.path, origin.path));
  return own?.place ?? source.locate(item.path, item.atKey);
}

function startsWith(path: Path, prefix: Path): boolean {
  return prefix.every((part, index) => path[index] === part);
}

/** A window that is no window would record nothing. */
function checkTimeline(timeline: unknown): Finding[] {
  const { value } = check(headSchema.shape.timeline, timeline);
  if (value === undefined || quantity('duration', value.from) < quantity('duration', value.to)) return [];
  return [finding(['timeline', 'to'], `found ${found(value.to)}, expected a time after from, ${value.from}`)];
}

function checkCharts(charts: unknown, known: readonly string[] | undefined): Finding[] {
  if (known === undefined || !Array.isArray(charts)) return [];
  return charts.flatMap((entry: unknown, index) => {
    const name = isPlainObject(entry) ? entry['chart'] : entry;
    if (typeof name !== 'string' || known.includes(name)) return [];
    const path = isPlainObject(entry) ? ['charts', index, 'chart'] : ['charts', index];
    const message = `found ${found(name)}, expected one of ${known.join(', ')}.${didYouMean(name, known)}`;
    return [finding(path, message.replace(/\.$/, ''))];
  });
}

/** The document with defaults; values that an axis sets stand as they were written, or not at all. */
function resolved(
  head: Head,
  points: readonly Point[],
  dimensions: readonly Dimension[],
  data: Record<string, unknown>,
): ScenarioDoc {
  const [first] = points;
  let world: unknown = first?.world;
  for (const { path } of dimensions.flatMap(({ steps }) => steps.flatMap(({ sets }) => sets))) {
    world = withValue(world, path, valueAt(data, path));
  }
  // Words that axes stand for stay as they were written.
  for (const index of first?.world.vms.keys() ?? []) {
    const workload = valueAt(data, ['vms', index, 'workload']);
    if (typeof workload === 'string') world = withValue(world, ['vms', index, 'workload'], workload);
  }
  // What follows from the topology is not written beside it: an axis may change one of them.
  if (axesSet(dimensions, 'topology') || valueAt(data, ['host', 'topology']) !== undefined) {
    world = withValue(world, ['host', 'pcpus'], valueAt(data, ['host', 'pcpus']));
  }
  const { duration, host, vms } = withoutUndefined(world) as World;
  const { name, title, question, ...rest } = head;
  return {
    name,
    ...(title === undefined ? {} : { title }),
    ...(question === undefined ? {} : { question }),
    duration,
    host,
    vms,
    ...rest,
  };
}

/** Some axis changes that key of the host, or something in it. */
function axesSet(dimensions: readonly Dimension[], key: string): boolean {
  return dimensions.some(({ steps }) =>
    steps.some(({ sets }) => sets.some(({ path }) => path[0] === 'host' && (path.length === 1 || path[1] === key))),
  );
}

function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (!isPlainObject(value)) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return Object.fromEntries(entries.map(([key, inner]) => [key, withoutUndefined(inner)]));
}

function pick(data: unknown, keys: readonly string[]): Record<string, unknown> {
  if (!isPlainObject(data)) return {};
  return Object.fromEntries(keys.flatMap((key) => (Object.hasOwn(data, key) ? [[key, data[key]]] : [])));
}
