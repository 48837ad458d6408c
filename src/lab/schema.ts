/**
 * What a scenario file may contain. The JSON Schema for editors and the TypeScript types come from here too.
 * Invariant: parsing only fills defaults and normalises the spelling of quantities, so that the result, written as
 * YAML, is again a scenario with the same meaning; units are converted in sweep.ts.
 */
import { z } from 'zod';
import { HYPERVISORS, namesOf, PRESET_NAMES, SCHEDULERS } from './catalog.ts';
import { METRICS } from './metrics/index.ts';
import { cacheRefill, haltPolling } from './schema-host.ts';
import { AXIS_PATTERN, DASHED, enumOf, NAME_PATTERN, nameOf, paramsObject, quantity, SNAKE } from './schema-parts.ts';
import { hostThread, pcpusOfPool, vm } from './schema-vms.ts';

/** Physical CPUs of a host; those with executed guests have fewer, see checks.ts. */
export const PCPUS_MAX = 4096;

function schedulerSchema() {
  const policies = SCHEDULERS.map(({ name, summary, params }) =>
    z.strictObject({ policy: z.literal(name).describe(summary), ...paramsObject(params).shape }),
  );
  return z.discriminatedUnion('policy', policies as [(typeof policies)[0], ...typeof policies]);
}

/** A scheduler with its parameters filled in. */
export const schedulerObject = schedulerSchema();

/** A file of the user; what parameters it has is known when it is loaded. */
const ownScheduler = z
  .looseObject({
    module: z.string().min(1).describe('Path of a JavaScript or TypeScript file, relative to the scenario'),
    export: z.string().min(1).default('default').describe('Name of the export that is the scheduler'),
    sha256: nameOf(/^[0-9a-f]{64}$/, 'a SHA-256 of 64 lower-case hexadecimal digits')
      .optional()
      .describe('Hash of the file, which must have it; scenarios in results say so which text made them'),
  })
  .describe('A scheduler of your own, with its parameters; see docs/how-to-add.md')
  .meta({ chosenBy: 'module' });

const topology = z
  .strictObject({
    sockets: z.int().min(1).max(64).default(1).describe('Processors'),
    cores_per_socket: z.int().min(1).max(1024).default(1).describe('Cores of each'),
    threads_per_core: z
      .int()
      .min(1)
      .max(8)
      .default(1)
      .describe('Hardware threads of each core; each is a physical CPU'),
    nodes_per_socket: z
      .int()
      .min(1)
      .max(1024)
      .optional()
      .describe('Memory nodes of each processor, with equal numbers of its cores; default: 1'),
  })
  .describe('Where the physical CPUs sit; their number follows. Default: one socket of cores with one thread each');

const pool = z
  .strictObject({
    name: nameOf(NAME_PATTERN, DASHED).describe('Its name; default is that of the physical CPUs in no pool'),
    pcpus: pcpusOfPool.describe('Its physical CPUs: a number, "first-last", or a list of these'),
    scheduler: z
      .union([enumOf(namesOf(SCHEDULERS)), schedulerObject, ownScheduler])
      .optional()
      .describe('Its scheduler: the name of a policy, or a mapping with its parameters; default: host.scheduler'),
  })
  .describe('Physical CPUs with a scheduler of their own');

const host = z
  .strictObject({
    preset: enumOf(PRESET_NAMES).default('broadwell').describe('CPU model: what instructions and exits cost'),
    pcpus: z.int().min(1).max(PCPUS_MAX).default(1).describe('Number of physical CPUs'),
    topology: topology.optional(),
    frequency: z
      .union([z.literal('auto'), quantity('frequency')])
      .default('auto')
      .describe('Clock of each physical CPU; auto: that of the preset. Lower it for a scale model of a long run'),
    memory: quantity('size').default('512 MiB').describe('Machine memory for all VMs together'),
    scheduler: z
      .union([enumOf(namesOf(SCHEDULERS)), schedulerObject, ownScheduler])
      .default('credit')
      .describe('Who runs next: the name of a policy, or a mapping with its parameters'),
    quantum: quantity('duration').default('20 us').describe('How far one pCPU may run ahead of the others'),
    hypervisor: enumOf(namesOf(HYPERVISORS))
      .optional()
      .describe(
        'Kind of hypervisor: type-0 (partitions, no scheduler), type-1 (the default), type-2 (a process of a host OS)',
      ),
    pools: z
      .array(pool)
      .min(1)
      .max(64)
      .optional()
      .describe('CPU pools; each VM runs in one of them. Physical CPUs in none of them are the pool default'),
    cache_refill: cacheRefill.optional(),
    halt_polling: haltPolling.optional(),
    io_units: z
      .int()
      .min(0)
      .max(1000)
      .optional()
      .describe('Sets of PC devices that type-0 can give to VMs, one each; default: as many as physical CPUs'),
    processes: z.array(hostThread).max(1000).optional().describe('Processes of the host OS; type-2 only'),
    threads: z
      .array(hostThread)
      .max(1000)
      .optional()
      .describe('Threads of the hypervisor itself, such as device models, that run beside the vCPUs; type-1 only'),
  })
  .describe('The physical machine');

const scalar = z.union([z.string(), z.number(), z.boolean()]);
const axisValue = z.union([
  scalar,
  z.strictObject({ label: z.string().min(1).max(60), value: z.unknown() }),
  z.strictObject({ label: z.string().min(1).max(60), set: z.record(z.string(), z.unknown()) }),
]);
const axis = z
  .strictObject({
    path: z.string().optional().describe('The value that changes, such as vms[0].workload or host.pcpus'),
    values: z
      .array(axisValue)
      .min(1)
      .max(1000)
      .describe('Plain values, or {label, value}, or {label, set: {path: value, ...}} to change several at once'),
  })
  .describe('One dimension of the experiment; becomes a column of runs.csv');

const chart = z.union([
  z.string(),
  z.strictObject({
    chart: z.string().describe('Kind of chart; see: hvsim list charts'),
    title: z.string().max(120).optional().describe('Replaces the usual title'),
  }),
]);

/** The physical machine and what runs on it: the part of a scenario that axes may change. */
export const worldSchema = z.strictObject({
  duration: quantity('duration').default('60 s').describe('Bound of simulated time: a run ends here at the latest'),
  host: host.prefault({}),
  vms: z.array(vm).min(1).max(1000).describe('The virtual machines'),
});

/** The experiment around it. */
export const headSchema = z.strictObject({
  name: nameOf(NAME_PATTERN, DASHED).describe('Names the folder of results'),
  title: z.string().max(120).optional().describe('Title of the report'),
  question: z.string().max(2000).optional().describe('What the experiment is to find out; shown in the report'),
  sweep: z
    .record(nameOf(AXIS_PATTERN, SNAKE), axis)
    .default({})
    .describe('Axes of the experiment; every combination of their values is run'),
  seeds: z.array(z.int().min(0).max(4294967295)).min(1).max(1000).default([1]).describe('One run per seed'),
  baseline: z
    .enum(['native', 'alone', 'none'])
    .default('native')
    .describe(
      'native: also run each VM alone on the bare machine, for slowdown and equivalence; alone: run it alone on the same host, for the speed-ups of metrics: [scheduling]',
    ),
  compare: z
    .literal('state')
    .optional()
    .describe('state: compare final registers and memory with the bare machine too, and audit all translations'),
  metrics: z
    .array(z.enum(['scheduling']))
    .max(1)
    .optional()
    .describe('More tables. scheduling: shares, waits, jobs and spinning, in scheduling-*.csv'),
  timeline: z
    .strictObject({
      from: quantity('duration').default('0 ns').describe('Start of the window'),
      to: quantity('duration').describe('Its end'),
    })
    .optional()
    .describe('Record what every vCPU does in this window of each run, in gantt.csv; chart gantt draws it'),
  tables: z
    .union([z.literal('runs'), z.array(enumOf(namesOf(METRICS))).min(1)])
    .optional()
    .describe(
      'For large experiments. runs: only tables with one row per run are written; a list: runs and these; default: all tables',
    ),
  charts: z.array(chart).default([]).describe('Charts of the report; see: hvsim list charts'),
});

export const scenarioSchema = z.strictObject({ ...headSchema.shape, ...worldSchema.shape }).meta({
  title: 'hvsim scenario',
  description: 'An experiment: virtual machines on a physical machine, and what varies.',
});

/** What is written: defaults may be left out. */
export type ScenarioInput = z.input<typeof scenarioSchema>;
export type World = z.output<typeof worldSchema>;
export type Head = z.output<typeof headSchema>;
export type Axis = z.output<typeof axis>;
export type OwnScheduler = z.output<typeof ownScheduler>;
export type Pool = z.output<typeof pool>;
export type Scheduler = World['host']['scheduler'];

export const isOwn = (scheduler: Scheduler): scheduler is OwnScheduler =>
  typeof scheduler !== 'string' && 'module' in scheduler;
/** A complete scenario: every default filled in, except what an axis sets. */
export type ScenarioDoc = Head & World;

/** JSON Schema (draft-7) for editors; chart names are known to the caller only. */
export function scenarioJsonSchema(charts: readonly string[]): unknown {
  const schema = z.toJSONSchema(scenarioSchema, { io: 'input', target: 'draft-7' }) as JsonSchema;
  const chartNames = { type: 'string', enum: [...charts] };
  const chartForms = schema.properties['charts']?.items?.anyOf;
  if (charts.length > 0 && chartForms !== undefined) {
    Object.assign(chartForms[0] ?? {}, chartNames);
    Object.assign(chartForms[1]?.properties['chart'] ?? {}, chartNames);
  }
  return schema;
}

interface JsonSchema {
  readonly properties: Record<string, JsonSchema | undefined>;
  readonly items?: JsonSchema;
  readonly anyOf?: JsonSchema[];
}
