/**
 * Virtual-8086 mode: how it is entered by IRET, and what an interrupt saves and clears on its way out of it.
 * What instructions do inside follows from two facts: CPL is 3, and segments load as in real mode (isProtected is
 * false). The virtual-mode extensions (VME) are not there, and CPUID does not announce them.
 * Source: SDM vol 3, chapter 20; SDM vol 2, IRET and INT n.
 */
import type { Cpu } from './cpu.ts';
import { VECTOR_GP } from './exits.ts';
import { FLAG_IOPL, FLAG_RF, FLAG_VM } from './flags.ts';
import { SEG_CS, SEG_DS, SEG_ES, SEG_FS, SEG_GS, SEG_SS } from './insn.ts';
import { setNull, setRealSegment } from './segments.ts';

const isVirtual = (cpu: Cpu): boolean => (cpu.systemFlags & FLAG_VM) !== 0;

/** #GP(0) in virtual-8086 mode unless IOPL is 3: INT n, IRET, PUSHF and POPF there (CLI and STI go by CPL anyway). */
export function requireVirtualIopl(cpu: Cpu): void {
  if (isVirtual(cpu) && (cpu.systemFlags & FLAG_IOPL) !== FLAG_IOPL) cpu.raise(VECTOR_GP, 0);
}

/** IRETD at CPL 0 with VM set in the flags image: the frame has ESP, SS, ES, DS, FS and GS as well. */
export function returnToVirtual(cpu: Cpu, eip: number, selector: number, image: number): void {
  const slot = (n: number): number => cpu.peekStack(4 * n, 4);
  const esp = slot(3);
  const [ss, es, ds, fs, gs] = [slot(4), slot(5), slot(6), slot(7), slot(8)];
  if (eip >>> 0 > 0xffff) cpu.raise(VECTOR_GP, 0);
  cpu.setEflags(image, -1);
  cpu.systemFlags &= ~FLAG_RF;
  if ((image & FLAG_RF) !== 0) cpu.resumeAt = cpu.instructions;
  setRealSegment(cpu, SEG_CS, selector);
  setRealSegment(cpu, SEG_SS, ss);
  setRealSegment(cpu, SEG_ES, es);
  setRealSegment(cpu, SEG_DS, ds);
  setRealSegment(cpu, SEG_FS, fs);
  setRealSegment(cpu, SEG_GS, gs);
  cpu.regs[4] = esp;
  cpu.eip = eip;
  cpu.setCpl(3);
}

/** What an interrupt out of virtual-8086 mode pushes before SS: GS, FS, DS, ES. */
export function virtualSegments(cpu: Cpu): readonly number[] {
  return isVirtual(cpu) ? [SEG_GS, SEG_FS, SEG_DS, SEG_ES].map((seg) => cpu.segSelector[seg]!) : [];
}

/** Leaves virtual-8086 mode: data segments become null. Before CS and SS are loaded for ring 0. */
export function leaveVirtual(cpu: Cpu): void {
  if (!isVirtual(cpu)) return;
  cpu.setEflags(0, FLAG_VM);
  for (const seg of [SEG_GS, SEG_FS, SEG_DS, SEG_ES]) setNull(cpu, seg, 0);
}
