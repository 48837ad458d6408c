/**
 * What a scenario file may contain. The JSON Schema for editors and the TypeScript types come from here too.
 * Invariant: parsing only fills defaults and normalises the spelling of quantities, so that the result, written as
 * YAML, is again a scenario with the same meaning; units are converted in sweep.ts.
 */
import { z } from 'zod';
import type { Param } from '../host/params.ts';
import { DEMANDS, GUESTS, HYPERVISORS, namesOf, PRESET_NAMES, SCHEDULERS, TECHNIQUES } from './catalog.ts';
import { formatQuantity, parseQuantity, type QuantityKind, quantityPattern } from './units.ts';

export const NAME_PATTERN = /^[a-z0-9][a-z0-9-]{0,39}$/;
/** Axis names become columns of the results, so they look like columns. */
export const AXIS_PATTERN = /^[a-z][a-z0-9_]{0,39}$/;

const PAGINGS = ['auto', 'native', 'shadow', 'nested', 'direct'] as const;

function quantity(kind: QuantityKind) {
  return z
    .string()
    .regex(new RegExp(quantityPattern(kind)), { abort: true })
    .refine((text) => typeof parseQuantity(kind, text) === 'number')
    .overwrite((text) => {
      const value = parseQuantity(kind, text);
      return typeof value === 'number' ? formatQuantity(kind, value) : text;
    })
    .meta({ quantity: kind });
}

/** A name, with what a message says when it is not one. */
function nameOf(pattern: RegExp, expected: string) {
  return z.string().regex(pattern).meta({ expected });
}

const DASHED = 'a name of lower-case letters, digits and dashes';
const SNAKE = 'a name of lower-case letters, digits and underscores';

function enumOf(names: readonly string[]) {
  return z.enum(names as [string, ...string[]]);
}

function paramSchema(param: Param): z.ZodType {
  switch (param.kind) {
    case 'flag':
      return z.boolean().default(param.default).describe(param.meaning);
    case 'choice':
      return enumOf(param.of).default(param.default).describe(param.meaning);
    case 'integer': {
      const least = z.int().min(param.min);
      const range = param.max === undefined ? least : least.max(param.max);
      const value = param.also === undefined ? range : z.union([z.literal(param.also), range]);
      const whole = param.default === undefined ? value.optional() : value.default(param.default);
      return whole.describe(param.meaning);
    }
  }
}

function schedulerSchema() {
  const policies = SCHEDULERS.map(({ name, summary, params }) => {
    const fields = Object.entries(params).map(([key, param]) => [key, paramSchema(param)] as const);
    return z.strictObject({ policy: z.literal(name).describe(summary), ...Object.fromEntries(fields) });
  });
  return z.discriminatedUnion('policy', policies as [(typeof policies)[0], ...typeof policies]);
}

/** A scheduler with its parameters filled in. */
export const schedulerObject = schedulerSchema();

function demandSchema() {
  const models = DEMANDS.map(({ name, summary, params }) => {
    const fields = Object.entries(params).map(([key, param]) => [key, paramSchema(param)] as const);
    return z.strictObject({ model: z.literal(name).describe(summary), ...Object.fromEntries(fields) });
  });
  return z.discriminatedUnion('model', models as [(typeof models)[0], ...typeof models]);
}

/** A demand with its parameters filled in. */
export const demandObject = demandSchema();

const hostProcess = z
  .strictObject({
    name: nameOf(NAME_PATTERN, DASHED).describe('Name of the process; with count > 1, name-1, name-2, ...'),
    count: z.int().min(1).max(1000).default(1).describe('How many of them'),
    demand: z
      .union([enumOf(namesOf(DEMANDS)), demandObject])
      .describe('What it wants of the CPUs: the name of a model, or a mapping with its parameters'),
    weight: z.int().min(1).max(65535).default(256).describe('Share of the CPUs relative to VMs and other processes'),
  })
  .describe('A process of the host OS beside the VMs');

const host = z
  .strictObject({
    preset: enumOf(PRESET_NAMES).default('broadwell').describe('CPU model: what instructions and exits cost'),
    pcpus: z.int().min(1).max(64).default(1).describe('Number of physical CPUs'),
    frequency: z
      .union([z.literal('auto'), quantity('frequency')])
      .default('auto')
      .describe('Clock of each physical CPU; auto: that of the preset. Lower it for a scale model of a long run'),
    memory: quantity('size').default('512 MiB').describe('Machine memory for all VMs together'),
    scheduler: z
      .union([enumOf(namesOf(SCHEDULERS)), schedulerObject])
      .default('credit')
      .describe('Who runs next: the name of a policy, or a mapping with its parameters'),
    quantum: quantity('duration').default('20 us').describe('How far one pCPU may run ahead of the others'),
    hypervisor: enumOf(namesOf(HYPERVISORS))
      .optional()
      .describe(
        'Kind of hypervisor: type-0 (partitions, no scheduler), type-1 (the default), type-2 (a process of a host OS)',
      ),
    io_units: z
      .int()
      .min(0)
      .max(1000)
      .optional()
      .describe('Sets of PC devices that type-0 can give to VMs, one each; default: as many as physical CPUs'),
    processes: z.array(hostProcess).max(1000).optional().describe('Processes of the host OS; type-2 only'),
  })
  .describe('The physical machine');

const vmx = z
  .strictObject({
    hlt_exiting: z.boolean().default(true).describe('HLT leaves the guest; false: the pCPU waits inside it'),
    pause_loop_exiting: z
      .boolean()
      .default(false)
      .describe('A loop of PAUSE at ring 0 that lasts longer than its window leaves the guest, and the vCPU yields'),
    pause_loop_gap: z
      .int()
      .min(1)
      .max(1_000_000)
      .default(128)
      .describe('Cycles between two PAUSEs of one loop, at most'),
    pause_loop_window: z.int().min(1).max(1_000_000_000).default(4096).describe('Cycles that a loop may last'),
    preemption_timer: z
      .boolean()
      .default(false)
      .describe('A slice ends by the VMX-preemption timer, an exit; false: its end costs the context switch only'),
    nested_levels: z
      .union([z.literal(2), z.literal(3), z.literal(4)])
      .default(4)
      .describe('Levels of the nested tables: 4 is EPT; 3 and 2 are AMD nested paging under a 32-bit host'),
    nested_large_pages: z
      .boolean()
      .default(false)
      .describe('Guest memory in aligned runs, mapped by large nested pages: 2 MiB, or 4 MiB with 2 nested levels'),
    page_walk_cache: z.int().min(0).max(1024).default(0).describe('Entries of the page-walk cache; 0: none'),
    nested_tlb: z.int().min(0).max(1024).default(0).describe('Entries of the nested TLB; 0: none'),
    direct_ports: z
      .array(z.int().min(0).max(0xffff))
      .max(65536)
      .default([])
      .describe('I/O ports that the guest reaches without an exit'),
  })
  .describe('More about hardware-assisted virtualization; other techniques ignore it');

const vm = z
  .strictObject({
    name: nameOf(NAME_PATTERN, DASHED).describe('Name in the results; with count > 1, name-1, name-2, ...'),
    count: z.int().min(1).max(1000).default(1).describe('How many VMs of this kind'),
    guest: z
      .string()
      .min(1)
      .meta({ expected: `one of ${namesOf(GUESTS).join(', ')}, or the path of a multiboot ELF file` })
      .describe(`Guest kernel: ${namesOf(GUESTS).join(', ')}, or the path of a multiboot ELF file`),
    workload: z
      .string()
      .max(400)
      .default('')
      .describe("Kernel command line. {seed}: this VM's own random number; {vm}: its number in the run, from 1"),
    technique: enumOf(namesOf(TECHNIQUES)).default('hardware-assisted').describe('How the VM is virtualized'),
    paging: z
      .enum(PAGINGS)
      .default('auto')
      .describe('Who translates guest addresses; auto: the usual for the technique'),
    tagged_tlb: z
      .union([z.literal('auto'), z.boolean()])
      .default('auto')
      .describe('TLB entries survive VM exits (VPID); auto: if the preset has it'),
    ring: z
      .union([z.literal(1), z.literal(3)])
      .optional()
      .describe("trap-and-emulate: ring of the guest's kernel; 1 unless told"),
    out_of_sync: z
      .boolean()
      .optional()
      .describe('shadow paging: page tables are not traced while in use, but followed when the guest flushes'),
    keep_shadows: z
      .boolean()
      .optional()
      .describe('shadow paging: keep the shadows of address spaces that are not in use; true unless told'),
    memory: quantity('size').default('32 MiB').describe('Guest-physical memory'),
    vcpus: z.int().min(1).max(8).default(1).describe('Number of virtual CPUs'),
    weight: z.int().min(1).max(65535).default(256).describe('Share of the CPUs relative to other VMs'),
    cap: z.int().min(0).max(6400).default(0).describe('Upper bound in percent of one physical CPU; 0: none'),
    guest_vmx: z
      .boolean()
      .optional()
      .describe("The guest's CPU has VMX, so that the guest can be a VMM itself; default: no"),
    vmcs_shadowing: z
      .boolean()
      .optional()
      .describe('With guest_vmx under a VMM: hardware answers VMREAD and VMWRITE of the guest; default: no'),
    vmx: vmx.optional(),
  })
  .describe('One VM, or a group of equal VMs');

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
    .enum(['native', 'none'])
    .default('native')
    .describe('native: also run each VM alone on the bare machine, for slowdown and equivalence'),
  compare: z
    .literal('state')
    .optional()
    .describe('state: compare final registers and memory with the bare machine too, and audit all translations'),
  charts: z.array(chart).default([]).describe('Charts of the report; see: hvsim list charts'),
});

export const scenarioSchema = z.strictObject({ ...headSchema.shape, ...worldSchema.shape }).meta({
  title: 'hvsim scenario',
  description: 'An experiment: virtual machines on a physical machine, and what varies.',
});

/** What is written: defaults may be left out. */
export type ScenarioInput = z.input<typeof scenarioSchema>;
export type World = z.output<typeof worldSchema>;
export type VmInput = World['vms'][number];
export type Head = z.output<typeof headSchema>;
export type Axis = z.output<typeof axis>;
export type HostProcess = z.output<typeof hostProcess>;
export type Scheduler = { readonly policy: string } & Readonly<Record<string, unknown>>;
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
