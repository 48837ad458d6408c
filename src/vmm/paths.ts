/**
 * How long the paths of our own VMM are, counted in instructions and hardware accesses, independent of the machine.
 * All of them are our choice: an estimate of the compiled C of a small VMM from what its code must do, made before any
 * comparison with a published result, and the same for every machine. costs.ts turns them into cycles.
 * Invariant: a path never includes what is charged apart (hardware exit and entry, page walks, table work).
 */

/** Steps of our VMM. Techniques compose the software cost of an exit from these. */
export const VMM_OPERATIONS = [
  // Getting in and out of the VMM
  'vmx-dispatch',
  'trap-dispatch',
  'vcpu-switch',
  // Instructions
  'decode',
  'emulate',
  'control-register',
  'descriptor-table',
  'descriptor-sync',
  'segment-load',
  'fast-call',
  'flags',
  'iret',
  'cpuid',
  'rdtsc',
  'msr',
  'hlt',
  // Events
  'inject',
  'reflect',
  'interrupt-accept',
  'interrupt-window',
  'external-interrupt',
  // Page tables
  'guest-walk-reference',
  'shadow-fault',
  'shadow-fill',
  'table-entry',
  'table-frame',
  'table-evict',
  'traced-write',
  'root-switch',
  'invlpg',
  'nested-fill',
  // Devices
  'io-decode',
  'mmio-decode',
  'device-pic',
  'device-pit',
  'device-uart',
  'device-cmos',
  'device-keyboard',
  'device-ide',
  'device-apic',
  'device-ioapic',
  'device-debug',
  // Paravirtual interface
  'hypercall',
  'bounce',
  'pv-update',
  'pv-reference',
  'pv-scan',
  'pv-root',
  'pv-event',
  'pv-timer',
  'pv-block',
  'pv-traps',
  'pv-stack',
  'pv-clock',
  'pv-console-byte',
  // Binary translation
  'call-out',
  'translate-unit',
  'translate-instruction',
  'chain',
  'simulate',
  'cache-flush',
  // Scheduling from within an exit
  'pause',
  'preemption-timer',
] as const;

export type VmmOperation = (typeof VMM_OPERATIONS)[number];

/** Length of one path of our VMM, independent of the machine. Absent terms are zero. */
export interface VmmPath {
  readonly instructions: number;
  readonly segmentLoads?: number;
  readonly why: string;
}

/** VMM pages touched at an exit that miss the TLB where the exit flushed it. */
export const COLD_PAGES = 16;

const GPRS = 'save and restore 8 registers';

/** The path lengths, one by one. Charged once per occurrence unless noted. */
export const VMM_PATHS: Readonly<Record<VmmOperation, VmmPath>> = {
  'vmx-dispatch': {
    instructions: 150,
    why: `every VM exit: ${GPRS}, look at the exit record and guest state (VMREADs are charged apart), jump by reason, test for pending events`,
  },
  'trap-dispatch': {
    instructions: 100,
    segmentLoads: 6,
    why: `every exception of a deprivileged guest: ${GPRS}, load 2 and restore 4 data segments, jump by vector, test for pending events`,
  },
  'vcpu-switch': {
    instructions: 1200,
    why: 'scheduler call (300), accounting and timers (200), save and load one vCPU: registers, FPU and SSE state, virtual devices to resume (700)',
  },

  decode: {
    instructions: 300,
    why: 'table-driven decode of one instruction: prefixes, opcode, ModRM, SIB, immediates, effective address, segment checks (page walks are charged apart)',
  },
  emulate: { instructions: 120, why: 'carry out a decoded instruction on the virtual CPU, write back, advance EIP' },
  'control-register': {
    instructions: 150,
    why: 'check reserved bits, find what changed, update the virtual register and what depends on it (root switch and flushes are charged apart)',
  },
  'descriptor-table': { instructions: 120, why: 'load or store a virtual GDTR, IDTR, LDTR or TR' },
  'descriptor-sync': {
    instructions: 40,
    why: 'per descriptor: read, check, truncate, lower its privilege, write the shadow descriptor',
  },
  'segment-load': {
    instructions: 120,
    why: 'fetch the guest descriptor, check type and privilege, load the hidden part',
  },
  'fast-call': {
    instructions: 80,
    why: "SYSENTER or SYSEXIT: set the virtual CS, SS, ESP, EIP and flags from the guest's MSRs or registers (no table is read, nothing is decoded), find the code that goes on",
  },
  flags: { instructions: 40, why: 'merge virtual IF and IOPL with the real flags, test for a pending interrupt' },
  iret: {
    instructions: 250,
    why: 'IRET in software: pop and check the frame, change ring and stack, merge flags, test for a pending interrupt',
  },
  cpuid: { instructions: 60, why: 'find the leaf in a table, mask features' },
  rdtsc: { instructions: 40, why: 'read, add the offset, store to EDX:EAX' },
  msr: { instructions: 80, why: 'find the register by number, check, read or write' },
  hlt: {
    instructions: 150,
    why: 'test for a pending interrupt, mark the vCPU blocked, call the scheduler (the switch is charged apart)',
  },

  inject: {
    instructions: 60,
    why: 'choose by priority, check that the guest can take it, write it into the control block (VMWRITEs are charged apart)',
  },
  reflect: {
    instructions: 400,
    why: 'deliver an event in software: read and check the gate, the target descriptors and the TSS stack, push 3 to 6 words, update the virtual CPU (page walks are charged apart)',
  },
  'interrupt-accept': { instructions: 80, why: 'acknowledge cycle of the virtual interrupt controller' },
  'interrupt-window': {
    instructions: 40,
    why: 'set or clear window exiting in the execution controls (VMREAD and VMWRITE are charged apart)',
  },
  'external-interrupt': {
    instructions: 250,
    why: 'take a physical interrupt: find its owner, acknowledge, mark what it wakes',
  },

  'guest-walk-reference': {
    instructions: 20,
    why: 'per guest page-table entry that software reads: guest-physical to machine address, load, test',
  },
  'shadow-fault': {
    instructions: 120,
    why: 'classify a page fault: is the address ours, combine rights, is the target RAM, is it traced',
  },
  'shadow-fill': {
    instructions: 150,
    why: 'find the shadow table in a hash, compute the entry, write the guest A and D bits',
  },
  'table-entry': { instructions: 40, why: 'per shadow or nested entry written or removed, with its reverse-map link' },
  'table-frame': {
    instructions: 450,
    why: 'per table frame taken: pool, hash insert, write trace, clear 1024 words (256 steps of 16 bytes)',
  },
  'table-evict': {
    instructions: 300,
    why: 'per table frame evicted: choose, unhash, remove the write trace (removed entries are charged apart)',
  },
  'traced-write': {
    instructions: 200,
    why: 'store to the guest table and find its shadows (decode and resynchronized entries are charged apart)',
  },
  'root-switch': { instructions: 120, why: 'find the root in a hash, update its age, load it' },
  invlpg: { instructions: 60, why: 'find the shadow entry, invalidate the page' },
  'nested-fill': {
    instructions: 250,
    why: 'nested violation: find the memory slot and the machine frame, descend four levels (entries and frames are charged apart)',
  },

  'io-decode': {
    instructions: 100,
    why: 'port, width and direction from the exit record or decoded instruction, permission check, find the device',
  },
  'mmio-decode': { instructions: 150, why: 'find the memory region, width and direction of the access' },
  'device-pic': { instructions: 150, why: 'one register access of the 8259 pair: state machine, priority' },
  'device-pit': { instructions: 200, why: 'one register access of the 8254: 64-bit time to count, set up a timer' },
  'device-uart': {
    instructions: 150,
    why: 'one register access of the 16550: queues, interrupt condition, hand a byte to the back end',
  },
  'device-cmos': { instructions: 80, why: 'one register access of the CMOS clock' },
  'device-keyboard': { instructions: 80, why: 'one register access of the i8042' },
  'device-ide': {
    instructions: 150,
    why: 'one register access of an ATA channel: selected disk, state of the command; the data register moves 2 or 4 bytes of a sector, and with the last ones hands the sector over and sets the next timer',
  },
  'device-apic': {
    instructions: 120,
    why: 'one register access of the local APIC: jump by register, find the highest request and the priority in force',
  },
  'device-ioapic': {
    instructions: 100,
    why: 'one register access of the I/O APIC: index, redirection entry, pin level',
  },
  'device-debug': {
    instructions: 40,
    why: 'debug console, exit, progress and POST ports, ports 0x61 and 0x92, VGA registers, and ports that nobody answers',
  },

  hypercall: { instructions: 60, why: 'number check, jump by table, return value' },
  bounce: {
    instructions: 120,
    why: 'give an exception or an event to a paravirtual kernel: find its handler, check the stack, store 4 to 6 words so that a fault ends the guest and not the VMM, mask events, set CS, SS, ESP and EIP',
  },
  'pv-update': {
    instructions: 50,
    why: 'per request of a page-table update: copy two words in, find owner and type of the table, exchange the entry (frames that the entries name are charged apart)',
  },
  'pv-reference': {
    instructions: 40,
    why: 'per entry taken into a table or out of it: check its bits, find owner and type of the frame, change two counts',
  },
  'pv-scan': {
    instructions: 1600,
    why: 'per page table that becomes one or ceases to be: 1024 entries read, four at a time (256 steps of 6 instructions); those present are charged apart',
  },
  'pv-root': { instructions: 80, why: 'change of the address space: type of the new root, count of the old one' },
  'pv-event': { instructions: 50, why: 'find the port, set its bit and the pending byte, wake the vCPU if it waits' },
  'pv-timer': {
    instructions: 150,
    why: 'convert the deadline, put it into the heap of timers, set the hardware timer',
  },
  'pv-block': {
    instructions: 120,
    why: 'unmask events, test for a pending one, mark the vCPU blocked or give up the CPU, call the scheduler (the switch is charged apart)',
  },
  'pv-traps': { instructions: 40, why: 'per entry of a trap table: copy three words in, check them, store the gate' },
  'pv-stack': { instructions: 20, why: 'check the selector, store the kernel stack in the TSS' },
  'pv-clock': { instructions: 60, why: 'write the clock and the steal time of a vCPU that was put on a CPU' },
  'pv-console-byte': { instructions: 4, why: 'per byte of console text: load, store to the ring, count' },

  'call-out': {
    instructions: 80,
    segmentLoads: 6,
    why: `from the translation cache into the VMM and back, without an exception: ${GPRS} and flags, load 2 and restore 4 data segments, jump by number, test for pending events (the call through the gate and the return are charged apart)`,
  },
  'translate-unit': {
    instructions: 800,
    why: 'per translation unit: find that there is none (60), take room (40), two continuations (120), enter it in hash, reverse map and trace lists (300), write trace test (80), unlink lists (200)',
  },
  'translate-instruction': {
    instructions: 600,
    why: 'per guest instruction translated: table-driven decode (300), build and classify its internal form (120), encode and store (120), enter both addresses in the map for precise state (60); reading guest tables is charged apart',
  },
  chain: { instructions: 60, why: 'find the target unit in a hash, write the displacement of the jump' },
  simulate: {
    instructions: 120,
    why: 'memory access carried out from the translation cache without leaving its ring: save 3 registers and flags (16), effective address from the decoded form (24), find the frame and its rights in the shadow table (40), store through the window of the VMM and compare with what the shadow was made from (40); changed entries are charged apart',
  },
  'cache-flush': {
    instructions: 12000,
    why: 'forget all translations: 8192 hash entries, two instructions of store and loop per entry in batches of two, reverse map and traces',
  },
  pause: {
    instructions: 100,
    why: 'PAUSE exit: statistics of the loop, call the scheduler to yield (the switch is charged apart)',
  },
  'preemption-timer': {
    instructions: 80,
    why: 'the slice is over: account it, set the next timer value (the scheduler and the switch are charged apart)',
  },
};

/** The path of each device of the PC, by its name on the bus; a test keeps the list complete. */
export const DEVICE_PATHS: Readonly<Record<string, VmmOperation>> = {
  pic: 'device-pic',
  pit: 'device-pit',
  com1: 'device-uart',
  cmos: 'device-cmos',
  i8042: 'device-keyboard',
  ide0: 'device-ide',
  ide1: 'device-ide',
  lapic: 'device-apic',
  ioapic: 'device-ioapic',
  debugcon: 'device-debug',
  'exit-port': 'device-debug',
  progress: 'device-debug',
  'coprocessor-error': 'device-debug',
  post: 'device-debug',
  port61: 'device-debug',
  port92: 'device-debug',
  'vga-text': 'device-debug',
};

/** The path of an access to a device; undefined: nobody answers. */
export function devicePath(device: string | undefined): VmmOperation {
  return device === undefined ? 'device-debug' : DEVICE_PATHS[device]!;
}
