/**
 * VMX instructions: what a VMM executes. Undefined on a CPU without the unit (Cpu.vmx), which is how the emulated PC comes
 * unless it is asked for; what they do is in vmx/unit.ts.
 * Source: SDM vol 3, chapter 30. Order of checks: undefined, then the intercept of the row, then privilege.
 */
import type { Cpu } from '../cpu.ts';
import { EXIT_VMX, VECTOR_GP, VECTOR_UD } from '../exits.ts';
import type { Handler, Insn } from '../insn.ts';
import { isProtected } from '../segments.ts';
import { CR0_FIXED, CR4_VMXE } from '../vmx/fields.ts';
import { ERROR_VMCALL_IN_ROOT, ERROR_VMXON_IN_ROOT, type VmxUnit } from '../vmx/unit.ts';
import { readReg, writeRm } from './forms.ts';
import { INTERCEPT_HYPERCALL, INTERCEPT_VMCS_ACCESS, INTERCEPT_VMX, type Row, row } from './row.ts';

/** The unit of a CPU in VMX root operation, for code that may use it. */
function root(c: Cpu): VmxUnit {
  const unit = c.vmx;
  if (unit === null || !unit.on || !isProtected(c)) return c.raise(VECTOR_UD);
  if (c.cpl !== 0) c.raise(VECTOR_GP, 0);
  return unit;
}

/** The 64-bit physical address that the memory operand holds. */
function pointer(c: Cpu, i: Insn): readonly [low: number, high: number] {
  const lin = c.readAddress(i, 8);
  return [c.read32(lin), c.read32((lin + 4) | 0)];
}

const vmxon: Handler = (c, i) => {
  const unit = c.vmx;
  if (unit === null || !isProtected(c) || (c.cr4 & CR4_VMXE) === 0) return c.raise(VECTOR_UD);
  if (c.cpl !== 0 || (c.cr0 & CR0_FIXED) !== CR0_FIXED) c.raise(VECTOR_GP, 0);
  const [low, high] = pointer(c, i);
  c.charge(unit.timing.vmptrld);
  if (unit.on) unit.fail(c, ERROR_VMXON_IN_ROOT);
  else unit.vmxon(c, low, high);
};
const vmxoff: Handler = (c) => {
  const unit = root(c);
  c.charge(unit.timing.vmclear);
  unit.vmxoff(c);
};
const vmclear: Handler = (c, i) => {
  const unit = root(c);
  const [low, high] = pointer(c, i);
  c.charge(unit.timing.vmclear);
  unit.vmclear(c, low, high);
};
const vmptrld: Handler = (c, i) => {
  const unit = root(c);
  const [low, high] = pointer(c, i);
  c.charge(unit.timing.vmptrld);
  unit.vmptrld(c, low, high);
};
const vmptrst: Handler = (c, i) => {
  const unit = root(c);
  const lin = c.writeAddress(i, 8);
  c.prepareWrite(lin, 8);
  c.write32(lin, unit.currentLow);
  c.write32((lin + 4) | 0, unit.currentHigh);
  unit.succeed(c);
};
const vmread: Handler = (c, i) => {
  const unit = root(c);
  if (i.isMemory) c.prepareWrite(c.writeAddress(i, 4), 4);
  c.charge(unit.timing.vmread);
  const value = unit.vmread(c, readReg(c, i.b, 32));
  if (value !== undefined) writeRm(c, i, i.a, 32, value);
};
const vmwrite: Handler = (c, i) => {
  const unit = root(c);
  const value = i.isMemory ? c.read32(c.readAddress(i, 4)) : readReg(c, i.b, 32);
  c.charge(unit.timing.vmwrite);
  unit.vmwrite(c, readReg(c, i.a, 32), value);
};
/** The owner of the CPU must put the guest's controls in force before anything else executes. */
const entry =
  (launch: boolean): Handler =>
  (c) => {
    if (root(c).enter(c, launch)) c.requestStop(EXIT_VMX);
  };
/** VMCALL: a hypercall where a VMM intercepts it; it fails in root operation, and is undefined outside. */
const vmcall: Handler = (c) => {
  root(c).fail(c, ERROR_VMCALL_IN_ROOT);
};

const PRIVILEGED = { class: 'privileged', intercept: INTERCEPT_VMX } as const;
const ACCESS = { class: 'privileged', intercept: INTERCEPT_VMCS_ACCESS } as const;

export const vmxRows: readonly Row[] = [
  row('0F 01 C1', 'VMCALL', '', 'simple', () => vmcall, { intercept: INTERCEPT_HYPERCALL }),
  row('0F 01 C2', 'VMLAUNCH', '', 'simple', () => entry(true), PRIVILEGED),
  row('0F 01 C3', 'VMRESUME', '', 'simple', () => entry(false), PRIVILEGED),
  row('0F 01 C4', 'VMXOFF', '', 'simple', () => vmxoff, PRIVILEGED),
  row('NP 0F C7 /6', 'VMPTRLD', 'Mq', 'load', () => vmptrld, PRIVILEGED),
  row('66 0F C7 /6', 'VMCLEAR', 'Mq', 'load', () => vmclear, PRIVILEGED),
  row('F3 0F C7 /6', 'VMXON', 'Mq', 'load', () => vmxon, PRIVILEGED),
  row('NP 0F C7 /7', 'VMPTRST', 'Mq', 'store', () => vmptrst, PRIVILEGED),
  row('0F 78', 'VMREAD', 'Ed,Gd', 'simple', () => vmread, { ...ACCESS, memory: 'store' }),
  row('0F 79', 'VMWRITE', 'Gd,Ed', 'simple', () => vmwrite, ACCESS),
];
