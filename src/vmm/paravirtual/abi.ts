/**
 * The interface between our VMM and a paravirtual guest kernel, as numbers: hypercalls, errors, selectors, layouts.
 * docs/paravirtual.md is the same in prose; guests/nano/kernel/pv/abi.h is the same in C, and a test compares the two.
 * Invariant: numbers never change their meaning; a kernel names the version that it was built for.
 * Source: our own design; numbers are those of Xen where the call means the same (public/xen.h). Barham et al., SOSP 2003.
 */

/** Words of the header by which a kernel says that it is paravirtual, 4-aligned in the first 8 KiB of its file. */
export const PV_MAGIC = 0x5056_484b;
export const PV_VERSION = 1;
export const PV_HEADER_SEARCH_BYTES = 8192;

/** INT 0x82 in ring 1: EAX number, EBX, ECX, EDX, ESI arguments; the result comes in EAX, errors negative. */
export const VECTOR_HYPERCALL = 0x82;

export const HYPERCALLS = {
  'set-trap-table': 0,
  'mmu-update': 1,
  'stack-switch': 3,
  'set-callbacks': 4,
  multicall: 13,
  'update-va-mapping': 14,
  'set-timer': 15,
  'console-write': 18,
  'sched-op': 29,
  'event-channel-op': 32,
  'port-io': 33,
} as const;
export type HypercallName = keyof typeof HYPERCALLS;

/** Errors, negated in results. */
export const EPERM = 1;
export const EFAULT = 14;
export const EBUSY = 16;
export const EINVAL = 22;
export const ENOSYS = 38;

/** mmu-update: what the two low bits of a request's first word ask for. */
export const MMU_NORMAL = 0;
export const MMU_EXTENDED = 3;
/** Second word of an extended request. */
export const EXT_PIN_L1 = 0;
export const EXT_PIN_L2 = 1;
export const EXT_UNPIN = 2;
export const EXT_NEW_BASE = 3;
export const EXT_TLB_FLUSH = 4;
export const EXT_INVLPG = 5;
export const MMU_REQUEST_BYTES = 8;
/** Requests in one call, calls in one multicall, bytes in one console write, entries in one trap table. */
export const MMU_REQUESTS_MAX = 2048;
export const MULTICALLS_MAX = 64;
export const CONSOLE_BYTES_MAX = 4096;
export const TRAPS_MAX = 256;

/** update-va-mapping: drop the address's translation afterwards. */
export const UVM_INVLPG = 1;

/** set-trap-table: words vector, flags, address. */
export const TRAP_ENTRY_BYTES = 12;
export const TRAP_DPL = 3;
/** Events are masked on entry. Not for vectors that ring 3 enters without the VMM. */
export const TRAP_MASKS = 4;

/** multicall: words number, four arguments, result. */
export const MULTICALL_ENTRY_BYTES = 24;

export const SCHED_YIELD = 0;
export const SCHED_BLOCK = 1;
export const SCHED_SHUTDOWN = 2;

export const EVENT_BIND_TIMER = 1;
export const EVENT_CLOSE = 3;
export const EVENT_SEND = 4;
export const EVENT_POLL = 9;
export const EVENT_PORTS = 32;

export const PORT_READ = 0;
export const PORT_WRITE = 1;

/** Selectors of the VMM's GDT; flat segments that end below the VMM. Indices as in kernels that own the machine. */
export const SEL_KERNEL_CODE = 0x09;
export const SEL_KERNEL_DATA = 0x11;
export const SEL_USER_CODE = 0x1b;
export const SEL_USER_DATA = 0x23;

/** Byte offsets in the page of shared information. */
export const SHARED_MASK = 0; // byte: events are not delivered
export const SHARED_PENDING = 1; // byte: some port is pending
export const SHARED_PORTS = 4; // word: pending ports
export const SHARED_PORTS_MASKED = 8; // word: ports that do not raise SHARED_PENDING
export const SHARED_CR2 = 12; // address of the last page fault
export const SHARED_CLOCK = 32; // see clock.ts
export const SHARED_STEAL = 64; // 64 bits: ns in which the vCPU could have run and did not

/** Words of the start information, to which ESI points at the first instruction. */
export const START_WORDS = [
  'magic',
  'version',
  'sharedInfo',
  'physToMachine',
  'machineToPhys',
  'machineFirst',
  'machineCount',
  'directory',
  'ramEnd',
] as const;

/** Most RAM: physical memory is mapped one to one below user space. */
export const PV_MEMORY_MAX_BYTES = 512 * 2 ** 20;
