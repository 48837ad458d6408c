/**
 * What a scenario may say about one VM: one form per kind of vCPU, and what all kinds have in common.
 * A form is chosen by the key that only it has: `guest` boots a kernel, `demand` is a model of one, `replay` plays a
 * recording of one.
 * Invariant: as in schema.ts, parsing only fills defaults and normalises spelling.
 */
import { z } from 'zod';
import { DEMANDS, GUESTS, namesOf, TECHNIQUES } from './catalog.ts';
import { haltPolling } from './schema-host.ts';
import { DASHED, enumOf, NAME_PATTERN, nameOf, paramsObject, quantity } from './schema-parts.ts';

const PAGINGS = ['auto', 'native', 'shadow', 'nested', 'direct'] as const;

/** vCPUs and VMs of one entry that are only models; executed ones need memory and time, and have lower bounds. */
const MODELLED_VCPUS_MAX = 512;
const MODELLED_COUNT_MAX = 4096;
/** As many as physical CPUs. */
const NODES_MAX = 4096;

function demandSchema() {
  const models = DEMANDS.map(({ name, summary, params }) =>
    z.strictObject({ model: z.literal(name).describe(summary), ...paramsObject(params).shape }),
  );
  return z.discriminatedUnion('model', models as [(typeof models)[0], ...typeof models]);
}

/** What a modelled vCPU or a process wants of the CPUs. */
export const demand = z
  .union([enumOf(namesOf(DEMANDS)), demandSchema()])
  .describe('What it wants of the CPUs: the name of a model, or a mapping with its parameters');

const weight = z.int().min(1).max(65535);

/** A process of the host OS, or a thread of the hypervisor. */
export const hostThread = z.strictObject({
  name: nameOf(NAME_PATTERN, DASHED).describe('Its name; with count > 1, name-1, name-2, ...'),
  count: z.int().min(1).max(1000).default(1).describe('How many of them'),
  demand,
  weight: weight.default(256).describe('Share of the CPUs relative to VMs and others of its kind'),
});

const paramValue = z.union([z.string(), z.number(), z.boolean()]);
/** Which of the chosen scheduler's parameters there are is known only when it is chosen; checks.ts looks at the values. */
const policyParams = z.record(z.string(), z.union([paramValue, z.record(z.string(), paramValue)]));

const pcpuItem = z.union([
  z.int().min(0).max(4095),
  z
    .string()
    .regex(/^\d{1,4}-\d{1,4}$/)
    .meta({ expected: '"first-last"' }),
]);
const pcpuList = z.array(pcpuItem).min(1).max(4096);
/** One item needs no list around it. */
export const pcpusOfPool = z.union([...pcpuItem.options, pcpuList]);
const affinity = z.strictObject({
  hard: pcpuList.optional().describe('Physical CPUs it may run on, by number or "first-last"; default: all'),
  soft: pcpuList.optional().describe('Those of them that it prefers; default: none'),
});

/** What every VM may have, whatever its vCPUs are. */
const share = {
  weight: weight.default(256).describe('Share of the CPUs relative to other VMs'),
  scheduling: policyParams
    .optional()
    .describe("The scheduler's own parameters of a VM; where several schedulers are compared, by name: {rtds: {...}}"),
  vcpu_scheduling: z
    .union([policyParams, z.array(policyParams).min(1).max(MODELLED_VCPUS_MAX)])
    .optional()
    .describe("The scheduler's own parameters of a vCPU: one mapping for all, or a list with one for each"),
  halt_polling: haltPolling.optional(),
  pool: z
    .string()
    .optional()
    .describe('Its CPU pool, one of host.pools; default: the physical CPUs that are in none of them'),
  affinity: z
    .union([affinity, z.array(affinity).min(1).max(MODELLED_VCPUS_MAX)])
    .optional()
    .describe('Where its vCPUs may run: one mapping for all, or a list with one for each'),
};

const cap = z
  .int()
  .min(0)
  .max(100 * MODELLED_VCPUS_MAX)
  .default(0);
const CAP_MEANING = 'Upper bound in percent of one physical CPU; 0: none';

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
    pause_loop_window_grow: z
      .int()
      .min(1)
      .max(1000)
      .default(1)
      .describe('The window is multiplied by it at every such exit (KVM: 2); 1: it stays'),
    pause_loop_window_shrink: z
      .int()
      .min(0)
      .max(1000)
      .default(0)
      .describe('and divided by it when the vCPU comes back to a pCPU; 0: pause_loop_window again'),
    pause_loop_window_max: z
      .int()
      .min(1)
      .max(2_147_483_647)
      .default(2_147_483_647)
      .describe('and is not longer than that'),
    preemption_timer: z
      .boolean()
      .default(false)
      .describe('A slice ends by the VMX-preemption timer, an exit; false: its end costs the context switch only'),
    cr3_load_exiting: z
      .boolean()
      .default(false)
      .describe('MOV to CR3 leaves the guest under nested paging too, so that the VMM sees which process runs'),
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

const executedVm = z
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
    ...share,
    cap: cap.describe(CAP_MEANING),
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
  .describe('A VM that boots a guest kernel, or a group of equal ones');

const change = z
  .strictObject({
    at: quantity('duration').describe('When'),
    vcpus: z.int().min(1).max(MODELLED_VCPUS_MAX).optional().describe('New number of vCPUs'),
    weight: weight.optional().describe('New share'),
    cap: z
      .int()
      .min(0)
      .max(100 * MODELLED_VCPUS_MAX)
      .optional()
      .describe(CAP_MEANING),
  })
  .describe('What changes while the VM runs');

const modelledVm = z
  .strictObject({
    name: nameOf(NAME_PATTERN, DASHED).describe('Name in the results; with count > 1, name-1, name-2, ...'),
    count: z.int().min(1).max(MODELLED_COUNT_MAX).default(1).describe('How many VMs of this kind'),
    demand: z
      .union([...demand.options, z.array(demand).min(1).max(MODELLED_VCPUS_MAX)])
      .describe(
        'What its vCPUs want of the CPUs; a list: for vCPU 0, 1, ..., and again from the start for further ones',
      ),
    vcpus: z.int().min(1).max(MODELLED_VCPUS_MAX).default(1).describe('Number of virtual CPUs'),
    start: quantity('duration').default('0 ns').describe('When the VM comes'),
    stop: quantity('duration').optional().describe('When it goes; default: at the end of the run'),
    changes: z.array(change).min(1).max(1000).optional().describe('What changes in between, in the order of time'),
    memory_place: z
      .strictObject({
        node: z
          .int()
          .min(0)
          .max(NODES_MAX - 1)
          .describe('Memory node, from 0'),
        far_percent: z.int().min(0).max(1000).default(30).describe('So much longer its work takes on other nodes'),
      })
      .optional()
      .describe('Where its memory lies; default: everywhere, work takes the same time on all physical CPUs'),
    ...share,
    cap: cap.describe(CAP_MEANING),
  })
  .describe('A VM without a guest, whose vCPUs are models of a demand for CPU time, or a group of equal ones')
  .meta({ chosenBy: 'demand' });

const replayedVm = z
  .strictObject({
    name: nameOf(NAME_PATTERN, DASHED).describe('Name in the results; with count > 1, name-1, name-2, ...'),
    count: z.int().min(1).max(MODELLED_COUNT_MAX).default(1).describe('How many VMs of this kind'),
    replay: z
      .string()
      .min(1)
      .meta({ expected: 'the path of a file that hvsim record wrote' })
      .describe('Path of the recording, from the folder of the scenario'),
    vcpus: z.literal(1).default(1).describe('A recording has one vCPU'),
    start: quantity('duration').default('0 ns').describe('When the VM comes; times of the recording count from then'),
    stagger: quantity('duration')
      .default('0 ns')
      .describe('With count > 1, by how much each comes after the one before'),
    offset: z
      .union([z.literal('random'), quantity('duration')])
      .optional()
      .describe(
        'Where in the recording the VM begins, counted from its first wait; behind its last wait comes its first, up to the end of the run. ' +
          'random: anywhere, each VM elsewhere, by the seed. Default: from the beginning, once',
      ),
    ...share,
    cap: cap.describe(CAP_MEANING),
  })
  .describe('A VM that plays what hvsim record has written down of a guest, or a group of such')
  .meta({ chosenBy: 'replay' });

/** One VM, of any kind. */
export const vm = z.union([executedVm, modelledVm, replayedVm]).describe('One VM, or a group of equal VMs');

export type ExecutedVmInput = z.output<typeof executedVm>;
export type ModelledVmInput = z.output<typeof modelledVm>;
export type ReplayedVmInput = z.output<typeof replayedVm>;
export type VmInput = ExecutedVmInput | ModelledVmInput | ReplayedVmInput;
export type HostThread = z.output<typeof hostThread>;
export type DemandInput = z.output<typeof demand>;
export type PolicyParams = z.output<typeof policyParams>;
export type AffinityInput = z.output<typeof affinity>;

export const isModelled = (input: VmInput): input is ModelledVmInput => 'demand' in input;
export const isReplayed = (input: VmInput): input is ReplayedVmInput => 'replay' in input;
export const isExecuted = (input: VmInput): input is ExecutedVmInput => 'guest' in input;
