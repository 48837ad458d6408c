/**
 * The virtual-machine control structure: which fields ours has, where they lie in its region of memory, what the control
 * bits mean, and what the capability MSRs say about them. The subset is that of the first processors with VT-x, less what
 * docs/machine.md lists; a control that is not here is reported as not allowed, so software can find out.
 * Invariant: a field keeps its place; the region is 4 KiB, and only VMREAD and VMWRITE are meant to know its inside.
 * Source: SDM vol 3, chapter 24 and appendices A and B (encodings in the manual's own numbers).
 */
import { CR0_NE, CR0_PE, CR0_PG } from '../paging.ts';

// Encodings that the unit itself uses (appendix B).
export const GUEST_SELECTOR = 0x0800; // ES, then CS SS DS FS GS LDTR TR in steps of 2
export const HOST_SELECTOR = 0x0c00; // ES, then CS SS DS FS GS TR
export const LINK_POINTER = 0x2800;
export const PIN_CONTROLS = 0x4000;
export const CPU_CONTROLS = 0x4002;
export const EXCEPTION_BITMAP = 0x4004;
export const EXIT_CONTROLS = 0x400c;
export const EXIT_MSR_STORE_COUNT = 0x400e;
export const EXIT_MSR_LOAD_COUNT = 0x4010;
export const ENTRY_CONTROLS = 0x4012;
export const ENTRY_MSR_LOAD_COUNT = 0x4014;
export const ENTRY_EVENT = 0x4016;
export const ENTRY_EVENT_ERROR = 0x4018;
export const INSTRUCTION_ERROR = 0x4400;
export const EXIT_REASON = 0x4402;
export const EXIT_EVENT = 0x4404;
export const EXIT_EVENT_ERROR = 0x4406;
export const VECTORING_EVENT = 0x4408;
export const VECTORING_EVENT_ERROR = 0x440a;
export const EXIT_INSTRUCTION_LENGTH = 0x440c;
export const GUEST_LIMIT = 0x4800; // as GUEST_SELECTOR
export const GUEST_GDTR_LIMIT = 0x4810;
export const GUEST_IDTR_LIMIT = 0x4812;
export const GUEST_RIGHTS = 0x4814; // as GUEST_SELECTOR
export const GUEST_INTERRUPTIBILITY = 0x4824;
export const GUEST_ACTIVITY = 0x4826;
export const GUEST_SYSENTER_CS = 0x482a;
export const HOST_SYSENTER_CS = 0x4c00;
export const CR0_MASK = 0x6000;
export const CR4_MASK = 0x6002;
export const EXIT_QUALIFICATION = 0x6400;
export const GUEST_CR0 = 0x6800;
export const GUEST_CR3 = 0x6802;
export const GUEST_CR4 = 0x6804;
export const GUEST_BASE = 0x6806; // as GUEST_SELECTOR
export const GUEST_GDTR_BASE = 0x6816;
export const GUEST_IDTR_BASE = 0x6818;
export const GUEST_DR7 = 0x681a;
export const GUEST_RSP = 0x681c;
export const GUEST_RIP = 0x681e;
export const GUEST_RFLAGS = 0x6820;
export const GUEST_SYSENTER_ESP = 0x6824;
export const GUEST_SYSENTER_EIP = 0x6826;
export const HOST_CR0 = 0x6c00;
export const HOST_CR3 = 0x6c02;
export const HOST_CR4 = 0x6c04;
export const HOST_FS_BASE = 0x6c06;
export const HOST_GS_BASE = 0x6c08;
export const HOST_TR_BASE = 0x6c0a;
export const HOST_GDTR_BASE = 0x6c0c;
export const HOST_IDTR_BASE = 0x6c0e;
export const HOST_SYSENTER_ESP = 0x6c10;
export const HOST_SYSENTER_EIP = 0x6c12;
export const HOST_RSP = 0x6c14;
export const HOST_RIP = 0x6c16;

const span = (first: number, last: number, step = 2): number[] =>
  Array.from({ length: (last - first) / step + 1 }, (_, n) => first + step * n);

/** Every field, in the order of its place in the region. Of 64-bit fields the high half is the encoding plus one. */
const FIELDS: readonly number[] = [
  ...span(GUEST_SELECTOR, 0x080e),
  ...span(HOST_SELECTOR, 0x0c0c),
  ...span(LINK_POINTER, 0x2803, 1), // and IA32_DEBUGCTL
  ...span(PIN_CONTROLS, 0x401a),
  ...span(INSTRUCTION_ERROR, 0x440e),
  ...span(GUEST_LIMIT, 0x4826),
  GUEST_SYSENTER_CS,
  HOST_SYSENTER_CS,
  ...span(CR0_MASK, 0x600e),
  ...span(EXIT_QUALIFICATION, 0x640a),
  ...span(GUEST_CR0, 0x6826),
  ...span(HOST_CR0, 0x6c16),
];

/** First words of a region: revision, abort indicator, launch state. */
export const REVISION_AT = 0;
export const LAUNCHED_AT = 8;
const FIELDS_AT = 64;

const PLACES: ReadonlyMap<number, number> = new Map(FIELDS.map((field, index) => [field, FIELDS_AT + 4 * index]));

/** Byte offset of a field in its region; undefined: there is no such field. */
export const fieldPlace = (encoding: number): number | undefined => PLACES.get(encoding);

/** Fields of exit information: VMWRITE to them fails. */
export const isReadOnly = (encoding: number): boolean => ((encoding >>> 10) & 3) === 1;

/** The full 64 bits of a 64-bit field. */
export const isLong = (encoding: number): boolean => ((encoding >>> 13) & 3) === 1 && (encoding & 1) === 0;

/** Fields of 16 bits keep no more. */
export const isNarrow = (encoding: number): boolean => ((encoding >>> 13) & 3) === 0;

// Pin-based and processor-based controls (SDM vol 3, tables 24-5 and 24-6).
export const PIN_EXTERNAL_INTERRUPT = 1;
export const CPU_HLT = 1 << 7;
export const CPU_INVLPG = 1 << 9;
export const CPU_RDTSC = 1 << 12;
export const CPU_MOV_DR = 1 << 23;
export const CPU_IO = 1 << 24;
export const CPU_PAUSE = 1 << 30;

/** What a control field must have set, and what else it may have (appendix A.3 to A.5). CR3 accesses always exit. */
export interface Capability {
  readonly must: number;
  readonly may: number;
}
export const PIN_CAPABILITY: Capability = { must: 0x16, may: PIN_EXTERNAL_INTERRUPT };
export const CPU_CAPABILITY: Capability = {
  must: 0x0401e172,
  may: CPU_HLT | CPU_INVLPG | CPU_RDTSC | CPU_MOV_DR | CPU_IO | CPU_PAUSE,
};
export const EXIT_CAPABILITY: Capability = { must: 0x00036dff, may: 0 };
export const ENTRY_CAPABILITY: Capability = { must: 0x000011ff, may: 0 };

/** Do these controls ask for what there is, and for all that there must be? */
export const isAllowed = (value: number, { must, may }: Capability): boolean =>
  (value & must) === must && (value & ~(must | may)) === 0;

/** Our revision of the region's format: "hv" and a number. */
export const REVISION = 0x00766801;

/** CR0 and CR4 bits that VMX operation keeps set. */
export const CR0_FIXED = CR0_PE | CR0_NE | CR0_PG;
export const CR4_VMXE = 0x2000;

const MSR_FEATURE_CONTROL = 0x3a;
const MSR_VMX_BASIC = 0x480;
/** Locked, with VMXON allowed outside SMX. */
const FEATURE_CONTROL = 5;
/** 4 KiB, physical addresses of 32 bits, write-back. */
const BASIC_HIGH = 0x1000 | (1 << 16) | (6 << 18);

const pair = ({ must, may }: Capability): readonly [number, number] => [must, must | may];

/** MSRs of a processor with VMX (appendix A): low and high word. `cr4` are the bits of CR4 that it has. */
export function vmxMsr(msr: number, cr4: number): readonly [low: number, high: number] | undefined {
  switch (msr) {
    case MSR_FEATURE_CONTROL:
      return [FEATURE_CONTROL, 0];
    case MSR_VMX_BASIC:
      return [REVISION, BASIC_HIGH];
    case 0x481:
      return pair(PIN_CAPABILITY);
    case 0x482:
      return pair(CPU_CAPABILITY);
    case 0x483:
      return pair(EXIT_CAPABILITY);
    case 0x484:
      return pair(ENTRY_CAPABILITY);
    case 0x485: // nothing optional: no CR3 targets, no activity state but active
      return [0, 0];
    case 0x486:
      return [CR0_FIXED, 0];
    case 0x487:
      return [-1, 0];
    case 0x488:
      return [CR4_VMXE, 0];
    case 0x489:
      return [cr4 | CR4_VMXE, 0];
    case 0x48a: // highest index of an encoding, in bits 9:1
      return [0x2e, 0];
    default:
      return undefined;
  }
}
