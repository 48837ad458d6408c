/** hvsim list: the names that scenarios and options may use, one per line with what they stand for; more about one name. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { type ParamSet, rangeText } from '../host/params.ts';
import { DEMANDS, GUESTS, HYPERVISORS, PRESETS, SCHEDULERS, TECHNIQUES } from '../lab/catalog.ts';
import { METRICS } from '../lab/metrics/index.ts';
import { parseYaml, readTextFile, SCENARIO_BYTES_MAX } from '../lab/source.ts';
import { didYouMean } from '../lab/suggest.ts';
import { formatQuantity } from '../lab/units.ts';
import { CHARTS } from '../report/charts/index.ts';
import { BASIC_EXIT_REASONS } from '../vmm/vmcs/exit-reasons.ts';
import { SVM_EXITS } from '../vmm/vmcs/svm-exit-codes.ts';
import { packageFile } from './package.ts';
import { print } from './terminal.ts';

interface Line {
  readonly name: string;
  readonly summary: string;
}

const KINDS: Readonly<Record<string, () => readonly Line[]>> = {
  guests: () => GUESTS.map(({ name, description }) => ({ name, summary: description })),
  workloads,
  techniques: () => TECHNIQUES,
  hypervisors: () => HYPERVISORS,
  schedulers: () => SCHEDULERS.map(schedulerLine),
  demands: () => DEMANDS.map(demandLine),
  presets: () => PRESETS.map(presetLine),
  exits: () => BASIC_EXIT_REASONS.map(exitLine),
  charts: () => CHARTS,
  tables: () => METRICS.map(({ name, doc }) => ({ name, summary: doc })),
  scenarios,
};

export const LIST_KINDS: readonly string[] = Object.keys(KINDS);

/** Kinds whose members have parts, with the parts of one. */
const PARTS: Readonly<Record<string, (name: string) => readonly string[] | undefined>> = {
  schedulers: (name) => {
    const policy = SCHEDULERS.find((one) => one.name === name);
    if (policy === undefined) return undefined;
    return [
      ...paramLines('host.scheduler', policy.params),
      ...paramLines('vms[].scheduling', policy.vmParams),
      ...paramLines('vms[].vcpu_scheduling', policy.vcpuParams),
    ];
  },
  demands: (name) => {
    const demand = DEMANDS.find((one) => one.name === name);
    return demand === undefined ? undefined : paramLines('vms[].demand', demand.params);
  },
  tables: (name) =>
    METRICS.find((one) => one.name === name)
      ?.columns([])
      .map((column) => `${column.name}: ${column.doc}`),
};

/** @throws UserError for a kind or name that is none */
export function listCommand(kind: string | undefined, name?: string): number {
  if (kind === undefined) {
    for (const name of LIST_KINDS) {
      print(`${name}:`);
      for (const line of linesOf(name)) print(`  ${line}`);
    }
    return 0;
  }
  if (!LIST_KINDS.includes(kind)) {
    const message = `list: found "${kind}", expected one of ${LIST_KINDS.join(', ')}.${didYouMean(kind, LIST_KINDS)}`;
    throw new UserError(message.replace(/\.$/, ''));
  }
  if (name !== undefined) {
    for (const line of partsOf(kind, name)) print(line);
    return 0;
  }
  for (const line of linesOf(kind)) print(line);
  return 0;
}

/** One member of a kind: its line, then its parameters or columns. */
function partsOf(kind: string, name: string): string[] {
  const parts = PARTS[kind];
  if (parts === undefined) {
    throw new UserError(
      `list ${kind} ${name}: only ${Object.keys(PARTS).join(', ')} have more to say about one of them`,
    );
  }
  const entries = KINDS[kind]?.() ?? [];
  const found = entries.find((entry) => entry.name === name);
  const lines = parts(name);
  if (found === undefined || lines === undefined) {
    const names = entries.map((entry) => entry.name);
    const message = `list ${kind}: found "${name}", expected one of ${names.join(', ')}.${didYouMean(name, names)}`;
    throw new UserError(message.replace(/\.$/, ''));
  }
  return [
    `${name}: ${found.summary}`,
    ...(lines.length === 0 ? ['  no parameters'] : lines.map((line) => `  ${line}`)),
  ];
}

/** Parameters, a line each, under the place in a scenario where they stand. */
function paramLines(place: string, params: ParamSet): string[] {
  const lines = Object.entries(params).map(([name, param]) => {
    const usual = param.default === undefined ? 'no default' : `default ${param.default}`;
    return `  ${name}: ${param.meaning} (${rangeText(param)}; ${usual})`;
  });
  return lines.length === 0 ? [] : [`${place}:`, ...lines];
}

function linesOf(kind: string): string[] {
  const entries = KINDS[kind]?.() ?? [];
  const width = Math.max(...entries.map(({ name }) => name.length));
  return entries.map(({ name, summary }) => `${name.padEnd(width)}  ${summary.split('\n')[0]}`);
}

/** Workloads of all guests together: those with the same name do the same. */
function workloads(): Line[] {
  const all = new Map<string, string>();
  for (const guest of GUESTS) {
    for (const [name, { description, options }] of Object.entries(guest.workloads)) {
      const defaults = Object.entries(options).map(([option, value]) => `${option}=${value.default}`);
      if (!all.has(name)) all.set(name, `${description}${defaults.length > 0 ? ` [${defaults.join(' ')}]` : ''}`);
    }
  }
  return [...all].map(([name, summary]) => ({ name, summary }));
}

function presetLine({ id, name, year, frequencyHz, vmx }: (typeof PRESETS)[number]): Line {
  const features = `${vmx.nestedPaging ? '' : 'no '}nested paging, ${vmx.taggedTlb ? '' : 'no '}tagged TLB`;
  return { name: id, summary: `${name}, ${year}, ${formatQuantity('frequency', frequencyHz)}; ${features}` };
}

/** A demand with the defaults of its parameters, as workloads have them. */
function demandLine({ name, summary, params }: (typeof DEMANDS)[number]): Line {
  const defaults = Object.entries(params).flatMap(([param, { default: usual }]) =>
    usual === undefined ? [] : [`${param}: ${usual}`],
  );
  return { name, summary: `${summary}${defaults.length === 0 ? '' : ` [${defaults.join(', ')}]`}` };
}

/** A policy, and how much is known about the rules that it follows. */
function schedulerLine({ name, summary, origin, basis }: (typeof SCHEDULERS)[number]): Line {
  return { name, summary: `${summary} [${origin === basis ? basis : `${origin}: ${basis}`}]` };
}

/** A basic exit reason of VT-x, the name under which exits.csv counts it, and what AMD calls it. */
function exitLine({ number, name, reasons, when }: (typeof BASIC_EXIT_REASONS)[number]): Line {
  const amd = reasons.flatMap((reason) => SVM_EXITS[reason] ?? []);
  const codes = amd.map((exit) => `VMEXIT_${exit.name}, 0x${exit.code.toString(16)}`).join('; ');
  const onAmd = codes === '' ? '' : ` (AMD: ${codes})`;
  const counted = reasons.length === 0 ? 'never here' : `counted as ${reasons.join(', ')}${onAmd}`;
  return { name: `${String(number).padStart(2)}  ${name}`, summary: `${counted}: ${when}` };
}

/** The scenarios that come with hvsim. */
function scenarios(): Line[] {
  const folder = packageFile('scenarios');
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'));
  return files
    .sort((a, b) => (a < b ? -1 : 1))
    .map((file) => {
      const path = join(folder, file);
      const data = parseYaml(readTextFile(path, 'a scenario', SCENARIO_BYTES_MAX), path).data as { title?: string };
      return { name: file.replace(/\.yaml$/, ''), summary: data.title ?? '' };
    });
}
