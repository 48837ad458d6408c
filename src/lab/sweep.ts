/**
 * The axes of an experiment: which combinations of values there are, and what each changes.
 * Order: the first axis changes slowest, as nested loops in the order written.
 */
import { formatPath, isPlainObject, type Path, parsePath, resolvePath, withValue } from './paths.ts';
import { type Finding, finding, found } from './problems.ts';
import type { Axis } from './schema.ts';
import { didYouMean } from './suggest.ts';

/** More combinations than this are refused: a typing mistake, not an experiment. */
export const POINTS_MAX = 10_000;

/** One value of one axis: what it sets, and where it is written. */
export interface Step {
  readonly label: string;
  readonly sets: readonly { readonly path: Path; readonly value: unknown; readonly written: Path }[];
}

export interface Dimension {
  readonly name: string;
  readonly steps: readonly Step[];
}

/** One combination: an index into each axis. */
export type Combination = readonly { readonly axis: string; readonly step: Step }[];

/** Columns of runs.csv that an axis must not hide. */
export const RESERVED_AXES = [
  'run_id',
  'role',
  'seed',
  'outcome',
  'detail',
  'simulated_ns',
  'instructions',
  'events',
  'digest',
];

/** Reads the axes; `data` is the scenario in which they change values. */
export function dimensionsOf(
  sweep: Readonly<Record<string, Axis>>,
  data: unknown,
): { readonly dimensions: readonly Dimension[]; readonly findings: readonly Finding[] } {
  const findings: Finding[] = [];
  const dimensions = Object.entries(sweep).map(([name, axis]) => {
    const at: Path = ['sweep', name];
    if (RESERVED_AXES.includes(name))
      findings.push({ ...finding(at, 'this name is a column of runs.csv'), atKey: true });
    const isWord = axis.path === undefined && isPlaceholder(name, data);
    const steps = axis.values.map((item, index) =>
      isWord && !isPlainObject(item)
        ? { label: String(item), sets: [] }
        : stepOf(axis, item, [...at, 'values', index], data, findings),
    );
    const twice = steps.findIndex((step, index) => steps.findIndex((other) => other.label === step.label) < index);
    if (twice >= 0) {
      findings.push(finding([...at, 'values', twice], `the label ${found(steps[twice]?.label)} stands here twice`));
    }
    return { name, steps };
  });
  const points = dimensions.reduce((product, dimension) => product * dimension.steps.length, 1);
  if (points > POINTS_MAX) {
    findings.push({ ...finding(['sweep'], `${points} combinations, at most ${POINTS_MAX} are run`), atKey: true });
  }
  return { dimensions, findings };
}

/** All combinations, in order. Without axes there is one, the scenario as it stands. */
export function combinations(dimensions: readonly Dimension[]): Combination[] {
  let all: Combination[] = [[]];
  for (const { name, steps } of dimensions) {
    all = all.flatMap((before) => steps.map((step) => [...before, { axis: name, step }]));
  }
  return all;
}

/** The scenario with the values of one combination. Later axes win where two set the same value. */
export function applyCombination(data: unknown, combination: Combination): unknown {
  let changed = data;
  for (const { step } of combination) {
    for (const { path, value } of step.sets) changed = withValue(changed, path, value);
  }
  return withWords(changed, combination);
}

/** Axes may be words of command lines: `{axis}` in a workload stands for the label of its value. */
function withWords(data: unknown, combination: Combination): unknown {
  if (!isPlainObject(data) || !Array.isArray(data['vms'])) return data;
  const vms = data['vms'].map((vm: unknown) => {
    if (!isPlainObject(vm) || typeof vm['workload'] !== 'string') return vm;
    let workload = vm['workload'];
    for (const { axis, step } of combination) workload = workload.replaceAll(`{${axis}}`, step.label);
    return workload === vm['workload'] ? vm : { ...vm, workload };
  });
  return { ...data, vms };
}

/** Some workload of the scenario has `{name}` in it. */
function isPlaceholder(name: string, data: unknown): boolean {
  return isPlainObject(data) && JSON.stringify(data['vms'] ?? null).includes(`{${name}}`);
}

function stepOf(axis: Axis, item: Axis['values'][number], at: Path, data: unknown, findings: Finding[]): Step {
  if (isPlainObject(item) && 'set' in item) {
    const { label, set } = item;
    if (axis.path !== undefined) findings.push(finding(at, '"set" stands in an axis that has a "path"; use "value"'));
    if (Object.keys(set).length === 0) findings.push(finding([...at, 'set'], 'found nothing to set'));
    const sets = Object.entries(set).flatMap(([text, value]) => {
      const written = [...at, 'set', text];
      const path = targetOf(text, data, written, findings, true);
      return path === undefined ? [] : [{ path, value, written }];
    });
    return { label, sets };
  }
  const label = isPlainObject(item) ? item.label : String(item);
  const value = isPlainObject(item) ? item.value : item;
  if (axis.path === undefined) {
    findings.push(
      finding(
        at,
        'the axis has no "path", so each value must be {label, set: {path: value}}, or a workload must have the word {axis}',
      ),
    );
    return { label, sets: [] };
  }
  const path = targetOf(axis.path, data, [...at.slice(0, 2), 'path'], findings, false);
  const written = isPlainObject(item) ? [...at, 'value'] : at;
  return { label, sets: path === undefined ? [] : [{ path, value, written }] };
}

/** The place in the scenario that an axis names. What it may hold is checked later, with each value in it. */
export function targetOf(
  text: string,
  data: unknown,
  written: Path,
  findings: Finding[],
  atKey: boolean,
): Path | undefined {
  const report = (message: string): undefined => {
    findings.push({ path: written, message, atKey });
    return undefined;
  };
  const parsed = parsePath(text);
  if (parsed === undefined) return report(`found ${found(text)}, expected a path such as vms[0].workload`);
  const roots = ['host', 'vms', 'duration'];
  const root = String(parsed[0]);
  if (!roots.includes(root)) {
    return report(
      `found ${found(text)}, expected a path that starts with host, vms or duration.${didYouMean(root, roots)}`.replace(
        /\.$/,
        '',
      ),
    );
  }
  const path = resolvePath(data, parsed);
  if (path === undefined) return report(`found ${found(text)}, but the scenario has no such element`);
  if (formatPath(path) === 'host.scheduler.policy') {
    return report('change host.scheduler as a whole: the parameters belong to one policy');
  }
  return path;
}
