/**
 * System instructions: flags with privilege, descriptor tables, control and debug registers, TLB, time stamp, MSRs,
 * and HLT.
 * Their class column is what every virtualization technique goes by: privileged ones trap when deprivileged, sensitive
 * ones quietly read or keep the real machine's state.
 * Source: SDM vol 2, operation section of each instruction; SDM vol 3, 2.5 to 2.8.
 */
import { DR6_ACCESS, DR7_GENERAL_DETECT, followDebugRegisters } from '../breakpoints.ts';
import type { Cpu } from '../cpu.ts';
import { APIC_BASE_BOOT_CPU, APIC_BASE_ENABLE } from '../devices/lapic.ts';
import { EXIT_HALT, EXIT_INTERCEPT, EXIT_SENSITIVE, VECTOR_DB, VECTOR_GP, VECTOR_UD } from '../exits.ts';
import { FLAG_DF, FLAG_IF, FLAG_IOPL, FLAG_RF, FLAG_TF, FLAG_VM, FLAG_ZF } from '../flags.ts';
import type { Handler, Insn } from '../insn.ts';
import { FLAGS_FREE } from '../interrupts.ts';
import {
  CR0_AM,
  CR0_CD,
  CR0_EM,
  CR0_ET,
  CR0_MP,
  CR0_NE,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  CR0_WP,
  CR4_OSFXSR,
  CR4_OSXMMEXCPT,
  CR4_PGE,
  CR4_PSE,
  CR4_TSD,
} from '../paging.ts';
import {
  type Descriptor,
  dplOf,
  findDescriptor,
  isCodeOrData,
  isConforming,
  isProtected,
  isReadable,
  isWritableData,
  limitOf,
  loadLdt,
  loadTaskRegister,
  SEG_LDTR,
  SEG_TR,
  systemType,
  updateFlat,
} from '../segments.ts';
import { requireVirtualIopl } from '../virtual8086.ts';
import { CR0_FIXED, CR4_VMXE } from '../vmx/fields.ts';
import { readReg, writeReg, writeRm } from './forms.ts';
import {
  INTERCEPT_CPUID,
  INTERCEPT_CR_READ,
  INTERCEPT_CR_WRITE,
  INTERCEPT_DESCRIPTOR_TABLE,
  INTERCEPT_DR,
  INTERCEPT_HLT,
  INTERCEPT_HYPERCALL,
  INTERCEPT_INVLPG,
  INTERCEPT_MSR,
  INTERCEPT_PAUSE,
  INTERCEPT_RDTSC,
  INTERCEPT_WBINVD,
  type Row,
  row,
} from './row.ts';
import { MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MSR_SYSENTER_ESP, sysenterRows } from './sysenter.ts';

// ---------------------------------------------------------------- flags

/** CLI and STI are privileged by IOPL, checked by the guard of the row. */
const cli: Handler = (c) => {
  c.systemFlags &= ~FLAG_IF;
};
const sti: Handler = (c) => {
  if ((c.systemFlags & FLAG_IF) !== 0) return;
  c.systemFlags |= FLAG_IF;
  c.beginInterruptShadow();
};
const cld: Handler = (c) => {
  c.systemFlags &= ~FLAG_DF;
};
const std: Handler = (c) => {
  c.systemFlags |= FLAG_DF;
};
const clc: Handler = (c) => c.setEflags(0, 1);
const stc: Handler = (c) => c.setEflags(1, 1);
const cmc: Handler = (c) => c.setEflags(~c.getEflags(), 1);

const pushf: Handler = (c, i) => {
  requireVirtualIopl(c);
  if (i.width === 32) c.push32(c.getEflags() & ~(FLAG_RF | FLAG_VM));
  else c.push16(c.getEflags());
};
/** POPF drops IF when CPL > IOPL and IOPL when CPL > 0, without a fault: the hole of the textbook example. */
const popf: Handler = (c, i) => {
  requireVirtualIopl(c);
  const image = i.width === 32 ? c.pop32() : c.pop16();
  let mask = FLAGS_FREE;
  if (c.cpl <= (c.systemFlags & FLAG_IOPL) >> 12) mask |= FLAG_IF;
  if (c.cpl === 0) mask |= FLAG_IOPL;
  if (i.width === 16) mask &= 0xffff;
  c.systemFlags &= ~FLAG_RF;
  c.setEflags(image, mask);
};

// ---------------------------------------------------------------- descriptor tables

const storeTable = (c: Cpu, i: Insn, base: number, limit: number): void => {
  const lin = c.writeAddress(i, 6);
  c.prepareWrite(lin, 6);
  c.write16(lin, limit);
  c.write32((lin + 2) | 0, base);
};
const sgdt: Handler = (c, i) => storeTable(c, i, c.gdtBase, c.gdtLimit);
const sidt: Handler = (c, i) => storeTable(c, i, c.idtBase, c.idtLimit);

function readTable(c: Cpu, i: Insn): { base: number; limit: number } {
  const lin = c.readAddress(i, 6);
  const limit = c.read16(lin);
  const base = c.read32((lin + 2) | 0);
  // With a 16-bit operand only 24 bits of the base are loaded (SDM vol 2, LGDT).
  return { limit, base: i.width === 32 ? base : base & 0xffffff };
}
const lgdt: Handler = (c, i) => {
  const { base, limit } = readTable(c, i);
  c.gdtBase = base;
  c.gdtLimit = limit;
};
const lidt: Handler = (c, i) => {
  const { base, limit } = readTable(c, i);
  c.idtBase = base;
  c.idtLimit = limit;
};

/** Protected-mode instructions are undefined opcodes in real mode. */
function requireProtected(c: Cpu): void {
  if (!isProtected(c)) c.raise(VECTOR_UD);
}
const storeSelector =
  (seg: number): Handler =>
  (c, i) => {
    requireProtected(c);
    const value = c.segSelector[seg]!;
    if (i.isMemory) c.write16(c.writeAddress(i, 2), value);
    else writeReg(c, i.a, i.width, value);
  };
/** The register number of an Ew operand is that of the operand width; 16 bits of it are used. */
const selectorOperand = (c: Cpu, i: Insn, register: number): number =>
  i.isMemory ? c.read16(c.readAddress(i, 2)) : readReg(c, register, 16);

const lldt: Handler = (c, i) => {
  requireProtected(c);
  loadLdt(c, selectorOperand(c, i, i.a));
};
const ltr: Handler = (c, i) => {
  requireProtected(c);
  loadTaskRegister(c, selectorOperand(c, i, i.a));
};

/** Descriptor that LAR, LSL, VERR and VERW may look at with the present privileges, or null. */
function visible(c: Cpu, selector: number): Descriptor | null {
  if ((selector & 0xfffc) === 0) return null;
  const descriptor = findDescriptor(c, selector);
  if (descriptor === null) return null;
  const { high } = descriptor;
  const conforming = isCodeOrData(high) && isConforming(high);
  return conforming || dplOf(high) >= Math.max(c.cpl, selector & 3) ? descriptor : null;
}
const setZero = (c: Cpu, zero: boolean): void => c.setEflags(zero ? FLAG_ZF : 0, FLAG_ZF);

/** System descriptor types that LAR and LSL accept (SDM vol 2, LAR and LSL). */
const LAR_TYPES = [1, 2, 3, 4, 5, 9, 11, 12];
const LSL_TYPES = [1, 2, 3, 9, 11];

const lar: Handler = (c, i) => {
  requireProtected(c);
  const d = visible(c, selectorOperand(c, i, i.b));
  const ok = d !== null && (isCodeOrData(d.high) || LAR_TYPES.includes(systemType(d.high)));
  setZero(c, ok);
  if (ok) writeReg(c, i.a, i.width, d.high & 0x00ffff00);
};
const lsl: Handler = (c, i) => {
  requireProtected(c);
  const d = visible(c, selectorOperand(c, i, i.b));
  const ok = d !== null && (isCodeOrData(d.high) || LSL_TYPES.includes(systemType(d.high)));
  setZero(c, ok);
  if (ok) writeReg(c, i.a, i.width, limitOf(d.low, d.high));
};
const verr: Handler = (c, i) => {
  requireProtected(c);
  const d = visible(c, selectorOperand(c, i, i.a));
  setZero(c, d !== null && isCodeOrData(d.high) && isReadable(d.high));
};
const verw: Handler = (c, i) => {
  requireProtected(c);
  const d = visible(c, selectorOperand(c, i, i.a));
  setZero(c, d !== null && isWritableData(d.high));
};
const arpl: Handler = (c, i) => {
  requireProtected(c);
  const selector = selectorOperand(c, i, i.a);
  const rpl = readReg(c, i.b, 16) & 3;
  const lower = (selector & 3) < rpl;
  // Memory is written only if the field rises (SDM vol 2, ARPL), so it need not be writable otherwise.
  if (lower) writeRm(c, i, i.a, 16, (selector & ~3) | rpl);
  setZero(c, lower);
};

// ---------------------------------------------------------------- control registers

const CR0_DEFINED = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;
const CR4_DE = 8;
const CR4_PCE = 0x100;
/** What this CPU has; PAE and the rest are not in its CPUID, so setting them is a reserved-bit violation. */
export const CR4_DEFINED = CR4_TSD | CR4_DE | CR4_PSE | CR4_PGE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT;

/** Loads CR0 with its checks and consequences for segments and translations. */
export function writeCr0(c: Cpu, value: number): void {
  const next = (value & CR0_DEFINED) | CR0_ET;
  if ((next & CR0_PG) !== 0 && (next & CR0_PE) === 0) c.raise(VECTOR_GP, 0);
  if ((next & CR0_NW) !== 0 && (next & CR0_CD) === 0) c.raise(VECTOR_GP, 0);
  if (c.vmx?.on === true && (next & CR0_FIXED) !== CR0_FIXED) c.raise(VECTOR_GP, 0);
  const changed = next ^ c.cr0;
  c.cr0 = next;
  c.updateSpecial();
  if ((changed & (CR0_PG | CR0_WP | CR0_PE)) !== 0) c.flushTlb(true);
  if ((changed & CR0_PE) !== 0) {
    for (let seg = 0; seg < 6; seg++) updateFlat(c, seg);
    if ((next & CR0_PE) === 0) c.setCpl(0);
  }
}

export function writeCr3(c: Cpu, value: number): void {
  c.cr3 = value;
  if ((c.cr0 & CR0_PG) !== 0) c.flushTlb(false);
}

export function writeCr4(c: Cpu, value: number): void {
  if ((value & ~(c.vmx === null ? CR4_DEFINED : CR4_DEFINED | CR4_VMXE)) !== 0) c.raise(VECTOR_GP, 0);
  if (c.vmx?.on === true && (value & CR4_VMXE) === 0) c.raise(VECTOR_GP, 0);
  const changed = value ^ c.cr4;
  c.cr4 = value;
  if ((changed & CR4_DE) !== 0) followDebugRegisters(c);
  if ((changed & (CR4_PSE | CR4_PGE)) !== 0) c.flushTlb(true);
}

const movToCr: Handler = (c, i) => {
  const value = c.regs[i.b]!;
  if (i.a === 0) writeCr0(c, value);
  else if (i.a === 2) c.cr2 = value;
  else if (i.a === 3) writeCr3(c, value);
  else if (i.a === 4) writeCr4(c, value);
  else c.raise(VECTOR_UD);
};
const movFromCr: Handler = (c, i) => {
  if (i.b === 0) c.regs[i.a] = c.cr0;
  else if (i.b === 2) c.regs[i.a] = c.cr2;
  else if (i.b === 3) c.regs[i.a] = c.cr3;
  else if (i.b === 4) c.regs[i.a] = c.cr4;
  else c.raise(VECTOR_UD);
};
/** DR4 and DR5 are aliases while CR4.DE is clear (SDM vol 3, 17.2.2). */
const debugIndex = (c: Cpu, n: number): number => {
  if (n !== 4 && n !== 5) return n;
  if ((c.cr4 & CR4_DE) !== 0) c.raise(VECTOR_UD);
  return n + 2;
};
/** Bits of DR6 and DR7 that hold what is written; the others are fixed. */
const DR6_DEFINED = 0xe00f;
const DR7_DEFINED = 0xffff23ff | 0;

/** With DR7.GD set every use of a debug register is a debug fault (SDM vol 3, 17.2.4). */
function checkDebugAccess(c: Cpu): void {
  if ((c.debug[7]! & DR7_GENERAL_DETECT) === 0) return;
  c.noteDebug(DR6_ACCESS);
  c.raise(VECTOR_DB);
}
const movToDr: Handler = (c, i) => {
  const n = debugIndex(c, i.a);
  checkDebugAccess(c);
  const value = c.regs[i.b]!;
  c.debug[n] = n === 6 ? value & DR6_DEFINED : n === 7 ? value & DR7_DEFINED : value;
  if (n !== 6) followDebugRegisters(c);
};
const movFromDr: Handler = (c, i) => {
  const n = debugIndex(c, i.b);
  checkDebugAccess(c);
  c.regs[i.a] = n === 6 ? (c.debug[6]! | 0xffff0ff0) & ~0x1000 : n === 7 ? c.debug[7]! | 0x400 : c.debug[n]!;
};
const smsw: Handler = (c, i) => {
  if (i.isMemory) c.write16(c.writeAddress(i, 2), c.cr0);
  else writeReg(c, i.a, i.width, c.cr0);
};
const lmsw: Handler = (c, i) => {
  const value = selectorOperand(c, i, i.a);
  // LMSW can set PE but not clear it (SDM vol 2, LMSW).
  writeCr0(c, (c.cr0 & ~0xe) | (value & 0xf) | (c.cr0 & CR0_PE));
};
const clts: Handler = (c) => {
  c.cr0 &= ~CR0_TS;
};
const invlpg: Handler = (c, i) => {
  const lin = (c.segBase[i.seg]! + c.offset(i)) | 0;
  if (c.mmu.invalidatePage(lin)) c.dropCode();
};

// ---------------------------------------------------------------- identification, time, MSRs

const CPUID_APIC = 1 << 9;
/** In ECX. */
const CPUID_VMX = 1 << 5;
const APIC_BASE_RESERVED = 0x6ff;

const cpuid: Handler = (c) => {
  const leaf = c.regs[0]! >>> 0;
  const [eax, ebx, ecx, features] = c.cpuid[leaf] ?? c.cpuid[c.cpuid[0]?.[0] ?? 0] ?? [0, 0, 0, 0];
  // The APIC's bit shows whether it is switched on (SDM vol 3, 10.4.3).
  const isOff = leaf === 1 && (c.apicBase.low & APIC_BASE_ENABLE) === 0;
  const edx = isOff ? features & ~CPUID_APIC : features;
  c.regs[0] = eax;
  c.regs[3] = ebx;
  c.regs[1] = leaf === 1 && c.vmx !== null ? ecx | CPUID_VMX : ecx;
  c.regs[2] = edx;
};
const rdtsc: Handler = (c) => {
  if ((c.cr4 & CR4_TSD) !== 0 && c.cpl !== 0) c.raise(VECTOR_GP, 0);
  const tsc = c.readTsc();
  c.regs[0] = (tsc % 4294967296) | 0;
  c.regs[2] = Math.floor(tsc / 4294967296) | 0;
};

const MSR_TSC = 0x10;
const MSR_APIC_BASE = 0x1b;
/** MSRs that hold what was written: microcode, SYSENTER triple. What CPUID does not announce is not there. */
const PLAIN_MSRS = new Set([0x8b, MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP]);

const rdmsr: Handler = (c) => {
  const msr = c.regs[1]! >>> 0;
  if (msr === MSR_TSC) {
    rdtsc(c, undefined as never);
    return;
  }
  if (msr === MSR_APIC_BASE) {
    c.regs[0] = c.apicBase.low;
    c.regs[2] = 0;
    return;
  }
  const capability = c.vmx?.readMsr(msr, CR4_DEFINED);
  if (capability === undefined && !PLAIN_MSRS.has(msr)) c.raise(VECTOR_GP, 0);
  const [low, high] = capability ?? c.msrs.get(msr) ?? [0, 0];
  c.regs[0] = low;
  c.regs[2] = high;
};
const wrmsr: Handler = (c) => {
  const msr = c.regs[1]! >>> 0;
  if (msr === MSR_TSC) {
    c.tscWritten += (c.regs[2]! >>> 0) * 4294967296 + (c.regs[0]! >>> 0) - c.readTsc();
    return;
  }
  if (msr === MSR_APIC_BASE) {
    writeApicBase(c, c.regs[0]!, c.regs[2]!);
    return;
  }
  if (!PLAIN_MSRS.has(msr)) c.raise(VECTOR_GP, 0);
  c.msrs.set(msr, [c.regs[0]!, c.regs[2]!]);
};
/** This CPU has no performance counters, so no number names one (SDM vol 2, RDPMC). */
const rdpmc: Handler = (c) => c.raise(VECTOR_GP, 0);

/** Switches the local APIC on or off, and moves its page. The boot CPU flag is read only. */
function writeApicBase(c: Cpu, low: number, high: number): void {
  if (high !== 0 || (low & APIC_BASE_RESERVED) !== 0) c.raise(VECTOR_GP, 0);
  c.apicBase.low = (low & ~APIC_BASE_BOOT_CPU) | (c.apicBase.low & APIC_BASE_BOOT_CPU);
}

/** A debug trap that follows it ends the wait at once (SDM vol 2, HLT): there is none. */
const hlt: Handler = (c) => {
  if ((c.systemFlags & FLAG_TF) === 0 && c.pendingDebug === 0) c.requestStop(EXIT_HALT);
};
/** VMMCALL, of another family: undefined on the bare machine; a hypercall where the VMM intercepts it. */
const hypercall: Handler = (c) => c.raise(VECTOR_UD);

const undefinedOpcode: Handler = (c) => c.raise(VECTOR_UD);
const nothing: Handler = () => {};

const SENSITIVE = { class: 'sensitive' } as const;
const SENSITIVE_TABLE = { class: 'sensitive', intercept: INTERCEPT_DESCRIPTOR_TABLE } as const;

export const systemRows: readonly Row[] = [
  row('FA', 'CLI', '', 'flags', () => cli, { rule: 'iopl' }),
  row('FB', 'STI', '', 'flags', () => sti, { rule: 'iopl' }),
  row('FC', 'CLD', '', 'simple', () => cld),
  row('FD', 'STD', '', 'simple', () => std),
  row('F8', 'CLC', '', 'simple', () => clc),
  row('F9', 'STC', '', 'simple', () => stc),
  row('F5', 'CMC', '', 'simple', () => cmc),
  row('9C', 'PUSHF', '', 'flags', () => pushf, SENSITIVE),
  row('9D', 'POPF', '', 'flags', () => popf, SENSITIVE),
  row('F4', 'HLT', '', 'halt', () => hlt, { rule: 'ring0', intercept: INTERCEPT_HLT }),
  row('0F 01 /0', 'SGDT', 'Ms', 'descriptor', () => sgdt, SENSITIVE_TABLE),
  row('0F 01 /1', 'SIDT', 'Ms', 'descriptor', () => sidt, SENSITIVE_TABLE),
  row('0F 01 /2', 'LGDT', 'Ms', 'descriptor', () => lgdt, { rule: 'ring0', intercept: INTERCEPT_DESCRIPTOR_TABLE }),
  row('0F 01 /3', 'LIDT', 'Ms', 'descriptor', () => lidt, { rule: 'ring0', intercept: INTERCEPT_DESCRIPTOR_TABLE }),
  row('0F 01 /4', 'SMSW', 'Ev', 'descriptor', () => smsw, SENSITIVE),
  row('0F 01 /6', 'LMSW', 'Ew', 'control', () => lmsw, { rule: 'ring0', intercept: INTERCEPT_CR_WRITE }),
  row('0F 01 /7', 'INVLPG', 'Mb', 'invlpg', () => invlpg, { rule: 'ring0', intercept: INTERCEPT_INVLPG }),
  row('0F 00 /0', 'SLDT', 'Ev', 'descriptor', () => storeSelector(SEG_LDTR), SENSITIVE_TABLE),
  row('0F 00 /1', 'STR', 'Ev', 'descriptor', () => storeSelector(SEG_TR), SENSITIVE_TABLE),
  row('0F 00 /2', 'LLDT', 'Ew', 'descriptor', () => lldt, { rule: 'ring0', intercept: INTERCEPT_DESCRIPTOR_TABLE }),
  row('0F 00 /3', 'LTR', 'Ew', 'descriptor', () => ltr, { rule: 'ring0', intercept: INTERCEPT_DESCRIPTOR_TABLE }),
  row('0F 00 /4', 'VERR', 'Ew', 'descriptor', () => verr, SENSITIVE),
  row('0F 00 /5', 'VERW', 'Ew', 'descriptor', () => verw, SENSITIVE),
  row('0F 02', 'LAR', 'Gv,Ew', 'descriptor', () => lar, SENSITIVE),
  row('0F 03', 'LSL', 'Gv,Ew', 'descriptor', () => lsl, SENSITIVE),
  row('63', 'ARPL', 'Ew,Gw', 'descriptor', () => arpl),
  row('0F 20', 'MOV', 'Rd,Cd', 'control', () => movFromCr, { rule: 'ring0', intercept: INTERCEPT_CR_READ }),
  row('0F 22', 'MOV', 'Cd,Rd', 'control', () => movToCr, { rule: 'ring0', intercept: INTERCEPT_CR_WRITE }),
  row('0F 21', 'MOV', 'Rd,Dd', 'control', () => movFromDr, { rule: 'ring0', intercept: INTERCEPT_DR }),
  row('0F 23', 'MOV', 'Dd,Rd', 'control', () => movToDr, { rule: 'ring0', intercept: INTERCEPT_DR }),
  row('0F 06', 'CLTS', '', 'control', () => clts, { rule: 'ring0', intercept: INTERCEPT_CR_WRITE }),
  row('0F 08', 'INVD', '', 'control', () => nothing, { rule: 'ring0', intercept: INTERCEPT_WBINVD }),
  row('0F 09', 'WBINVD', '', 'control', () => nothing, { rule: 'ring0', intercept: INTERCEPT_WBINVD }),
  row('0F A2', 'CPUID', '', 'cpuid', () => cpuid, { intercept: INTERCEPT_CPUID }),
  row('0F 31', 'RDTSC', '', 'rdtsc', () => rdtsc, { intercept: INTERCEPT_RDTSC }),
  row('0F 30', 'WRMSR', '', 'msr', () => wrmsr, { rule: 'ring0', intercept: INTERCEPT_MSR }),
  row('0F 32', 'RDMSR', '', 'msr', () => rdmsr, { rule: 'ring0', intercept: INTERCEPT_MSR }),
  row('0F 33', 'RDPMC', '', 'msr', () => rdpmc),
  row('F3 90', 'PAUSE', '', 'simple', () => nothing, { intercept: INTERCEPT_PAUSE }),
  row('0F 01 D9', 'VMMCALL', '', 'simple', () => hypercall, { intercept: INTERCEPT_HYPERCALL }),
  row('0F 0B', 'UD2', '', 'simple', () => undefinedOpcode),
  row('0F B9', 'UD1', 'Gv,Ev', 'simple', () => undefinedOpcode),
  ...sysenterRows,
];

/**
 * Handler around the operation of a privileged, sensitive or interceptable instruction. Order: privilege faults first,
 * then intercepts (SDM vol 3, 25.1.1), then observation.
 */
export const guarded: Handler = (c, i) => {
  const { rule, intercept } = i.row;
  if (rule === 'ring0' && c.cpl !== 0) {
    // Outside protected mode these two are undefined, which comes before the check of privilege.
    if (i.exec === lldt || i.exec === ltr) requireProtected(c);
    c.raise(VECTOR_GP, 0);
  }
  if (rule === 'iopl' && c.cpl > (c.systemFlags & FLAG_IOPL) >> 12) c.raise(VECTOR_GP, 0);
  if ((c.intercepts & intercept) !== 0 && (c.interceptFilter === null || c.interceptFilter(i))) {
    c.stopBefore(i, EXIT_INTERCEPT);
    return;
  }
  if (c.observeSensitive && i.row.class === 'sensitive') {
    c.stopBefore(i, EXIT_SENSITIVE);
    return;
  }
  i.exec(c, i);
};
