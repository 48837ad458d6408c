/**
 * The fields of a virtual-machine control structure, by their Intel names and encodings.
 * The guest-state area is the Cpu object itself: a field of it reads and writes the register, so that no second copy can
 * differ. All others are words of the control block. GUEST_CR3 is what the guest put there, also under shadow paging, where a
 * real block holds the shadow's root: here the page walker in force stands for it.
 * Invariant: encodings are unique; their bits 11:10 say the area (0 control, 1 exit information, 2 guest, 3 host).
 * Source: SDM vol 3, chapter 24 and appendix B.
 */
import type { Cpu } from '../../machine/cpu.ts';

export type FieldArea = 'control' | 'exit' | 'guest' | 'host';

/** Where the emulated CPU has a guest-state field. */
type GuestRegister = (cpu: Cpu) => number;

export interface Field {
  readonly name: string;
  readonly encoding: number;
  readonly area: FieldArea;
  /** Place among the words of a block; -1 in the guest-state area. */
  readonly index: number;
  readonly register: GuestRegister | null;
}

const AREAS: readonly FieldArea[] = ['control', 'exit', 'guest', 'host'];
const areaOf = (encoding: number): FieldArea => AREAS[(encoding >> 10) & 3]!;

const WORDS = {
  // Controls (appendix B.1, B.2.1, B.3.1, B.4.1)
  VIRTUAL_PROCESSOR_IDENTIFIER: 0x0000,
  ADDRESS_OF_IO_BITMAP_A: 0x2000,
  ADDRESS_OF_IO_BITMAP_B: 0x2002,
  ADDRESS_OF_MSR_BITMAPS: 0x2004,
  TSC_OFFSET: 0x2010,
  EPT_POINTER: 0x201a,
  PIN_BASED_CONTROLS: 0x4000,
  PRIMARY_CONTROLS: 0x4002,
  EXCEPTION_BITMAP: 0x4004,
  PAGE_FAULT_ERROR_CODE_MASK: 0x4006,
  PAGE_FAULT_ERROR_CODE_MATCH: 0x4008,
  CR3_TARGET_COUNT: 0x400a,
  VM_EXIT_CONTROLS: 0x400c,
  VM_ENTRY_CONTROLS: 0x4012,
  VM_ENTRY_INTERRUPTION_INFORMATION: 0x4016,
  VM_ENTRY_EXCEPTION_ERROR_CODE: 0x4018,
  VM_ENTRY_INSTRUCTION_LENGTH: 0x401a,
  SECONDARY_CONTROLS: 0x401e,
  PLE_GAP: 0x4020,
  PLE_WINDOW: 0x4022,
  CR0_GUEST_HOST_MASK: 0x6000,
  CR4_GUEST_HOST_MASK: 0x6002,
  CR0_READ_SHADOW: 0x6004,
  CR4_READ_SHADOW: 0x6006,
  CR3_TARGET_VALUE_0: 0x6008,
  CR3_TARGET_VALUE_1: 0x600a,
  CR3_TARGET_VALUE_2: 0x600c,
  CR3_TARGET_VALUE_3: 0x600e,
  // Exit information, read-only (B.2.2, B.3.2, B.4.2)
  GUEST_PHYSICAL_ADDRESS: 0x2400,
  VM_INSTRUCTION_ERROR: 0x4400,
  EXIT_REASON: 0x4402,
  VM_EXIT_INTERRUPTION_INFORMATION: 0x4404,
  VM_EXIT_INTERRUPTION_ERROR_CODE: 0x4406,
  IDT_VECTORING_INFORMATION: 0x4408,
  IDT_VECTORING_ERROR_CODE: 0x440a,
  VM_EXIT_INSTRUCTION_LENGTH: 0x440c,
  EXIT_QUALIFICATION: 0x6400,
  GUEST_LINEAR_ADDRESS: 0x640a,
  // Guest state that is no register
  VMX_PREEMPTION_TIMER_VALUE: 0x482e,
  // Host state (B.1.3, B.3.4, B.4.4): where an exit goes
  HOST_ES_SELECTOR: 0x0c00,
  HOST_CS_SELECTOR: 0x0c02,
  HOST_SS_SELECTOR: 0x0c04,
  HOST_DS_SELECTOR: 0x0c06,
  HOST_FS_SELECTOR: 0x0c08,
  HOST_GS_SELECTOR: 0x0c0a,
  HOST_TR_SELECTOR: 0x0c0c,
  HOST_SYSENTER_CS: 0x4c00,
  HOST_CR0: 0x6c00,
  HOST_CR3: 0x6c02,
  HOST_CR4: 0x6c04,
  HOST_FS_BASE: 0x6c06,
  HOST_GS_BASE: 0x6c08,
  HOST_TR_BASE: 0x6c0a,
  HOST_GDTR_BASE: 0x6c0c,
  HOST_IDTR_BASE: 0x6c0e,
  HOST_SYSENTER_ESP: 0x6c10,
  HOST_SYSENTER_EIP: 0x6c12,
  HOST_RSP: 0x6c14,
  HOST_RIP: 0x6c16,
} as const;

/** Segment registers in the order of their encodings, which is that of the emulated CPU: ES CS SS DS FS GS LDTR TR. */
const SEGMENTS = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDTR', 'TR'] as const;
type SegmentPart = 'SELECTOR' | 'LIMIT' | 'ACCESS_RIGHTS' | 'BASE';
type SegmentField = `GUEST_${(typeof SEGMENTS)[number]}_${SegmentPart}`;

const UNUSABLE = 1 << 16;
const segment = (seg: number): Record<SegmentPart, GuestRegister> => ({
  SELECTOR: (cpu) => cpu.segSelector[seg]!,
  LIMIT: (cpu) => cpu.segLimit[seg]!,
  ACCESS_RIGHTS: (cpu) => cpu.segAttributes[seg]! || UNUSABLE,
  BASE: (cpu) => cpu.segBase[seg]!,
});
const SEGMENT_ENCODINGS: Readonly<Record<SegmentPart, number>> = {
  SELECTOR: 0x0800,
  LIMIT: 0x4800,
  ACCESS_RIGHTS: 0x4814,
  BASE: 0x6806,
};

const msr =
  (number: number): GuestRegister =>
  (cpu) =>
    cpu.msrs.get(number)?.[0] ?? 0;

export const BLOCKING_BY_STI = 1;
export const BLOCKING_BY_NMI = 8;

/** Encodings of the other guest registers, and what they are of the emulated CPU. */
const REGISTERS = {
  GUEST_GDTR_LIMIT: [0x4810, (cpu) => cpu.gdtLimit],
  GUEST_IDTR_LIMIT: [0x4812, (cpu) => cpu.idtLimit],
  GUEST_INTERRUPTIBILITY_STATE: [
    0x4824,
    (cpu) => (cpu.inInterruptShadow() ? BLOCKING_BY_STI : 0) | (cpu.nmiBlocked ? BLOCKING_BY_NMI : 0),
  ],
  GUEST_SYSENTER_CS: [0x482a, msr(0x174)],
  GUEST_CR0: [0x6800, (cpu) => cpu.cr0],
  GUEST_CR3: [0x6802, (cpu) => cpu.cr3],
  GUEST_CR4: [0x6804, (cpu) => cpu.cr4],
  GUEST_GDTR_BASE: [0x6816, (cpu) => cpu.gdtBase],
  GUEST_IDTR_BASE: [0x6818, (cpu) => cpu.idtBase],
  GUEST_DR7: [0x681a, (cpu) => cpu.debug[7]!],
  GUEST_RSP: [0x681c, (cpu) => cpu.regs[4]!],
  GUEST_RIP: [0x681e, (cpu) => cpu.eip],
  GUEST_RFLAGS: [0x6820, (cpu) => cpu.getEflags()],
  GUEST_PENDING_DEBUG_EXCEPTIONS: [0x6822, (cpu) => cpu.pendingDebug],
  GUEST_SYSENTER_ESP: [0x6824, msr(0x175)],
  GUEST_SYSENTER_EIP: [0x6826, msr(0x176)],
} as const satisfies Record<string, readonly [number, GuestRegister]>;

export type FieldName = keyof typeof WORDS | keyof typeof REGISTERS | SegmentField;

function fieldsOf(): Record<FieldName, Field> {
  const all: [string, Field][] = Object.entries(WORDS).map(([name, encoding], index) => [
    name,
    { name, encoding, area: areaOf(encoding), index, register: null },
  ]);
  const guest = (name: string, encoding: number, register: GuestRegister): void => {
    all.push([name, { name, encoding, area: areaOf(encoding), index: -1, register }]);
  };
  for (const [name, [encoding, register]] of Object.entries(REGISTERS)) guest(name, encoding, register);
  for (const [seg, letters] of SEGMENTS.entries()) {
    const parts = segment(seg);
    for (const [part, first] of Object.entries(SEGMENT_ENCODINGS)) {
      guest(`GUEST_${letters}_${part}`, first + 2 * seg, parts[part as SegmentPart]);
    }
  }
  return Object.fromEntries(all) as Record<FieldName, Field>;
}

/** Every field, by name: `VMCS.EXIT_REASON`. */
export const VMCS: Readonly<Record<FieldName, Field>> = fieldsOf();

/** Words that a control block needs. */
export const VMCS_WORDS = Object.keys(WORDS).length;
