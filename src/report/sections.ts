/**
 * The parts of report.html below the charts: what ended how, where guests noticed, tables, machine, reproduction, glossary.
 * Invariant: each section is empty when it has nothing to say.
 */
import { METRICS } from '../lab/metrics/index.ts';
import type { VmOutcome } from '../lab/rows.ts';
import { scenarioText } from '../lab/scenario.ts';
import { formatQuantity, quantity } from '../lab/units.ts';
import { findPreset } from '../vmm/presets/index.ts';
import { techniqueLabels, techniqueName } from './cases.ts';
import { grouped, listed } from './format.ts';
import { distinct, groupBy, num, type Row, text } from './frame.ts';
import { explainHole } from './holes.ts';
import { details, element, escapeHtml, type Html, paragraph, type TableCell, type TableColumn, table } from './html.ts';
import { frame, isPoint, type Results, runOf } from './results.ts';

/** How each VM ended, where it did not simply complete. */
export function endingsSection(results: Results): Html {
  const rows = frame(results, 'runs').rows.filter((run) => text(run, 'detail') !== '');
  if (rows.length === 0) return '';
  const columns: TableColumn[] = [{ title: 'run', numeric: true }, { title: 'outcome' }, { title: 'what happened' }];
  const cells = rows.map((run): TableCell[] => [
    { text: text(run, 'run_id') },
    { text: text(run, 'outcome'), className: text(run, 'outcome') === 'failed' ? 'bad' : '' },
    { text: text(run, 'detail'), className: 'wrap' },
  ]);
  return element('h2', 'Runs with something to say') + table(columns, cells);
}

/** The instructions that misbehaved, each with the reason. */
export function divergenceSection(results: Results): Html {
  const rows = frame(results, 'divergences').rows;
  if (rows.length === 0) return '';
  const vms = new Map(frame(results, 'vms').rows.map((row) => [vmKey(row), row]));
  const places = [...groupBy(rows, (row) => `${text(row, 'address')} ${text(row, 'mnemonic')}`).values()];
  const items = places.slice(0, 40).map((group) => {
    const [first] = group as [Row];
    const where = `<code>${escapeHtml(text(first, 'mnemonic'))}</code> at <code>${escapeHtml(text(first, 'address'))}</code>`;
    const who = distinct(group.map((row) => whose(vms.get(vmKey(row)) ?? row)));
    const why = explainHole(text(first, 'mnemonic'));
    const times = group.reduce((sum, row) => sum + (num(row, 'count') ?? 1), 0);
    return (
      `<li>${where} (bytes <code>${escapeHtml(text(first, 'bytes'))}</code>), ` +
      `${grouped(times)} time${times === 1 ? '' : 's'} in ${escapeHtml(listed(who.slice(0, 4)))}` +
      `${who.length > 4 ? ' and others' : ''}. On the bare machine: <em>${escapeHtml(text(first, 'expected'))}</em>; here: ` +
      `<em>${escapeHtml(text(first, 'seen'))}</em>.${why === undefined ? '' : `<p class="why">${escapeHtml(why)}</p>`}</li>`
    );
  });
  return [
    element('h2', 'Where the guest could tell'),
    paragraph(
      'Trap-and-emulate needs every instruction that touches the state of the machine to trap when the kernel runs without ' +
        'privilege. On IA-32 some do not: they quietly do something else. These did, on the emulated processor as on a real one:',
    ),
    element('ol', items.join('\n')),
  ].join('\n');
}

/** What the demonstrations of the holes asked, and the answer under each technique. */
export function holesSection(results: Results): Html {
  const rows = frame(results, 'holes').rows;
  if (rows.length === 0) return '';
  const label = techniqueLabels(results);
  const techniques = distinct(rows.map(label));
  const columns: TableColumn[] = [
    { title: 'instruction' },
    { title: 'what is looked at' },
    { title: 'bare machine', doc: 'In hex' },
    ...techniques.map((title) => ({ title, doc: 'What is seen, in hex, and the verdict' })),
  ];
  const questions = [...groupBy(rows, (row) => `${text(row, 'instruction')}\n${text(row, 'what')}`).values()];
  const cells = questions.map((group): TableCell[] => {
    const [first] = group as [Row];
    const answers = techniques.map((technique): TableCell => {
      const row = group.find((item) => label(item) === technique);
      if (row === undefined) return { text: '' };
      const verdict = text(row, 'verdict');
      return { text: `${text(row, 'seen')}, ${verdict}`, className: verdict === 'differs' ? 'bad' : 'good' };
    });
    return [
      { text: text(first, 'instruction') },
      { text: text(first, 'what'), className: 'wrap' },
      { text: text(first, 'expected') },
      ...answers,
    ];
  });
  return element('h2', 'The holes, one question at a time') + table(columns, cells);
}

/** All VMs, with short numbers that sort. */
export function tablesSection(results: Results): Html {
  const run = runOf(results);
  const { axes } = results.scenario;
  const vms = METRICS.find((metric) => metric.name === 'vms')!.columns(axes);
  const shown = [
    'run_id',
    'vm',
    'guest',
    'workload',
    'technique',
    'paging',
    'outcome',
    'equivalent',
    'instructions',
    'exits',
    'work_units',
    'slowdown_ratio',
  ];
  const rows = frame(results, 'vms').rows;
  if (rows.length === 0) return '';
  // Modelled VMs have no guest and no instructions: columns that say nothing are left out.
  const telling = shown.filter((name) => rows.some((row) => !['', '0'].includes(text(row, name))));
  const columns: TableColumn[] = telling.map((name) => {
    const doc = vms.find((column) => column.name === name)?.doc ?? '';
    return { title: name.replaceAll('_', ' '), doc, numeric: NUMERIC.has(name), code: name === 'workload' };
  });
  const cellsOf = (row: Row): TableCell[] => telling.map((name) => vmCell(name, row, run(row)));
  const points = rows.filter((row) => isPoint(run(row)));
  const baselines = rows.filter((row) => !isPoint(run(row)));
  const kind = results.scenario.doc.baseline === 'alone' ? 'VMs alone on the host' : 'native twins';
  return [
    element('h2', 'All virtual machines'),
    paragraph('Click on a title to sort. The CSV files beside this page have every column of every table.'),
    points.length <= OPEN_ROWS_MAX
      ? table(columns, points.map(cellsOf))
      : details(`All ${points.length} virtual machines`, table(columns, points.map(cellsOf))),
    baselines.length === 0
      ? ''
      : details(`Baselines: ${baselines.length} ${kind} that hvsim added`, table(columns, baselines.map(cellsOf))),
  ].join('\n');
}

/** Longer tables are folded. */
const OPEN_ROWS_MAX = 60;

const NUMERIC = new Set(['run_id', 'instructions', 'exits', 'work_units', 'slowdown_ratio']);

function vmCell(name: string, row: Row, run: Row): TableCell {
  const value = text(row, name);
  if (name === 'run_id') {
    const labels = Object.entries(run).filter(([, label]) => label !== '');
    return { text: value, value, className: labels.length > 0 ? '' : 'bad' };
  }
  if (name === 'equivalent') {
    return {
      text: value === 'true' ? 'yes' : value === 'false' ? 'no' : '',
      className: value === 'false' ? 'bad' : 'good',
    };
  }
  if (name === 'outcome')
    return { text: value, className: ['completed', 'halted', 'time-limit'].includes(value) ? '' : 'bad' };
  if (name === 'slowdown_ratio') {
    const ratio = num(row, name);
    return { text: ratio === null ? '' : ratio.toFixed(3), value };
  }
  return NUMERIC.has(name) ? { text: value === '' ? '' : grouped(Number(value)), value } : { text: value };
}

/** The machine that was simulated, with the source of every number. */
export function machineSection(results: Results): Html {
  const { host } = results.scenario.doc;
  const presets = distinct(results.scenario.points.map((point) => point.world.host.preset)).map(findPreset);
  const clocks = distinct(results.scenario.points.map((point) => point.world.host.frequency)).filter(
    (clock) => clock !== 'auto',
  );
  const models = presets.map((preset) => {
    const rows = preset.figures.map((figure): TableCell[] => [
      { text: figure.name },
      { text: grouped(figure.value), value: String(figure.value) },
      { text: figure.unit },
      { text: figure.source, className: 'wrap' },
    ]);
    const columns: TableColumn[] = [
      { title: 'cost' },
      { title: 'value', numeric: true },
      { title: 'unit' },
      { title: 'source' },
    ];
    const summary = `${preset.name}, ${preset.year}: what its instructions, exits and VMM paths cost, and where each number is from`;
    return details(summary, table(columns, rows));
  });
  const scale = clocks.map((clock) => {
    const slower = presets.map((preset) => `${preset.name} has ${formatQuantity('frequency', preset.frequencyHz)}`);
    const text =
      `A scale model: the clock of the machine is set to ${clock} (${listed(slower)}), so that seconds of simulated time are ` +
      `affordable. Costs in cycles are those of the preset, so an exit takes ${scaleText(clock, presets[0]?.frequencyHz)} times ` +
      'as long as on the real machine, measured in seconds. Compare ratios and shapes, not absolute times.';
    return element('p', escapeHtml(text), 'class="note"');
  });
  const policies = distinct(
    results.scenario.points.flatMap(({ world: { host: one } }) =>
      [one.scheduler, ...(one.pools ?? []).map((pool) => pool.scheduler ?? one.scheduler)].map(schedulerName),
    ),
  );
  const cpus = distinct(
    results.scenario.points
      .map((point) => point.world.host.pcpus)
      .sort((a, b) => a - b)
      .map(String),
  );
  const intro = `${listed(cpus, 'or')} physical CPU${cpus.length === 1 && cpus[0] === '1' ? '' : 's'}, ${host.memory} of memory, scheduler${policies.length === 1 ? '' : 's'} ${listed(policies)}.`;
  return [element('h2', 'The machine'), paragraph(intro), ...scale, ...models].join('\n');
}

function schedulerName(scheduler: unknown): string {
  if (typeof scheduler === 'string') return scheduler;
  if (typeof scheduler !== 'object' || scheduler === null) return '';
  return 'policy' in scheduler ? String(scheduler.policy) : 'module' in scheduler ? String(scheduler.module) : '';
}

function scaleText(clock: string, presetHz: number | undefined): string {
  return presetHz === undefined ? '?' : String(Number((presetHz / quantity('frequency', clock)).toFixed(1)));
}

/** How to get the same bytes again. */
export function reproduceSection(results: Results, version: string, digest: string): Html {
  const { doc } = results.scenario;
  return [
    element('h2', 'How to reproduce'),
    paragraph(
      `hvsim ${version} made this page. The same scenario gives the same bytes on any machine, with any number of workers: no ` +
        'file here holds a date, a host name or a measured time.',
    ),
    `<pre><code>hvsim run scenario.yaml --out again\nhvsim compare . again/${escapeHtml(doc.name)}</code></pre>`,
    paragraph(`Seeds: ${doc.seeds.join(', ')}. Fingerprint of all runs together: ${digest}.`),
    details('scenario.yaml, with every default', `<pre><code>${escapeHtml(scenarioText(doc))}</code></pre>`),
  ].join('\n');
}

/** What each file and column means. */
export function glossarySection(results: Results): Html {
  const parts = METRICS.filter(({ name }) => results.frames[name] !== undefined).map((metric) => {
    const columns = metric.columns(results.scenario.axes);
    const items = columns.map(({ name, doc }) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(doc)}</dd>`).join('\n');
    return details(
      `${metric.name}.csv: ${metric.doc.charAt(0).toLowerCase()}${metric.doc.slice(1)}`,
      `<dl class="glossary">\n${items}\n</dl>`,
    );
  });
  const outcomes = Object.entries(OUTCOMES)
    .map(([name, meaning]) => `<dt>${name}</dt><dd>${escapeHtml(meaning)}</dd>`)
    .join('\n');
  const endings = details('How a VM can end', `<dl class="glossary">\n${outcomes}\n</dl>`);
  return [element('h2', 'What the columns mean'), ...parts, endings].join('\n');
}

const OUTCOMES: Readonly<Record<VmOutcome, string>> = {
  completed: 'The guest wrote the exit port, as a program that returns from main.',
  halted: 'The guest halted with interrupts off: nothing can ever wake it.',
  'triple-fault': 'A fault while handling a fault while handling a fault: a real machine would reset.',
  unimplemented: 'The guest used something that the emulated processor lacks; address and bytes are in runs.csv.',
  reset: 'The guest asked for a reset of its machine.',
  stalled: 'It waits, and no event can ever wake it, or the scheduler does not let it run: see detail in runs.csv.',
  'time-limit': 'The bound of simulated time came first.',
};

function vmKey(row: Row): string {
  return `${text(row, 'run_id')}\n${text(row, 'vm')}`;
}

function whose(vm: Row): string {
  const [workload = ''] = text(vm, 'workload').split(' ');
  return `${text(vm, 'guest')} ${workload} under ${techniqueName(vm)}`.replace(/\s+/g, ' ');
}
