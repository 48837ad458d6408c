/**
 * What this CPU does not have, and what a kernel gets that uses it all the same: the table of docs/machine.md.
 * Expected vectors are those of SDM vol 2 and vol 3, 2.5, for a processor whose CPUID does not announce the feature.
 */
import { expect, test } from 'vitest';
import { CodeCache } from '../../src/machine/code-cache.ts';
import { Cpu } from '../../src/machine/cpu.ts';
import { APIC_BASE_ENABLE, LAPIC_BASE } from '../../src/machine/devices/lapic.ts';
import { EXIT_EXCEPTION, EXIT_HALT, VECTOR_GP, VECTOR_UD } from '../../src/machine/exits.ts';
import { SEG_CS, SEG_DS, SEG_SS } from '../../src/machine/insn.ts';
import { MachineMemory } from '../../src/machine/memory.ts';
import { Mmu } from '../../src/machine/mmu.ts';
import { GuestWalker } from '../../src/machine/paging.ts';
import { PhysMap } from '../../src/machine/physmap.ts';
import { resetCpu } from '../../src/machine/reset.ts';
import { setSegment } from '../../src/machine/segments.ts';
import { CPUID_LEAVES } from '../../src/vmm/vm.ts';
import { littleEndian } from '../oracle/draft.ts';
import { FLAT_TIMING } from './helpers/user-cpu.ts';

const HLT = 0xf4;
const word = (value: number): number[] => littleEndian(value, 4);

/** Runs code in ring 0, flat, without paging, to its HLT or to an exception. */
function runInRing0(code: readonly number[]): { readonly exit: number; readonly vector: number; readonly cpu: Cpu } {
  const memory = new MachineMemory(16);
  const physmap = new PhysMap(memory, 8);
  for (let gfn = 0; gfn < 8; gfn++) physmap.mfnOf[gfn] = memory.allocateFrame(0);
  const codeCache = new CodeCache(memory, FLAT_TIMING);
  const cpu = new Cpu(memory, new Mmu(memory, FLAT_TIMING, new GuestWalker(physmap), codeCache), codeCache);
  resetCpu(cpu);
  cpu.cpuid = CPUID_LEAVES;
  cpu.apicBase.low = LAPIC_BASE | APIC_BASE_ENABLE;
  cpu.cr0 |= 1;
  for (const seg of [SEG_DS, SEG_SS]) setSegment(cpu, seg, 16, 0x0000ffff, 0x00cf9300);
  setSegment(cpu, SEG_CS, 8, 0x0000ffff, 0x00cf9b00);
  cpu.interceptExceptions = -1;
  cpu.eip = 0x1000;
  physmap.write(0x1000, Uint8Array.from([...code, HLT]));
  const exit = cpu.run(1000);
  return { exit, vector: cpu.faultVector, cpu };
}

/** MOV EAX,value; MOV CR4,EAX */
const setCr4 = (bit: number): number[] => [0xb8, ...word(1 << bit), 0x0f, 0x22, 0xe0];
/** MOV ECX,msr; RDMSR (32) or WRMSR (30) of 0 */
const msr = (opcode: number, number: number): number[] => [0x31, 0xc0, 0x31, 0xd2, 0xb9, ...word(number), 0x0f, opcode];

test.each<[string, number[]]>([
  ['SSE3: ADDSUBPS', [0xf2, 0x0f, 0xd0, 0xc1]],
  ['SSE3: LDDQU', [0xf2, 0x0f, 0xf0, 0x05, ...word(0x2000)]],
  ['SSE3: MOVDDUP', [0xf2, 0x0f, 0x12, 0xc1]],
  ['SSSE3: PSHUFB', [0x66, 0x0f, 0x38, 0x00, 0xc1]],
  ['SSE4: PINSRB', [0x66, 0x0f, 0x3a, 0x20, 0xc1, 1]],
  ['CLFLUSHOPT', [0x66, 0x0f, 0xae, 0x3d, ...word(0x2000)]],
  ['XSAVE', [0x0f, 0xae, 0x25, ...word(0x2000)]],
  ['RDFSBASE', [0xf3, 0x0f, 0xae, 0xc0]],
  ['RSM', [0x0f, 0xaa]],
  ['VMXON', [0xf3, 0x0f, 0xc7, 0x35, ...word(0x2000)]],
  ['VMCALL', [0x0f, 0x01, 0xc1]],
  ['SYSCALL', [0x0f, 0x05]],
  ['MONITOR', [0x0f, 0x01, 0xc8]],
  ['RDRAND', [0x0f, 0xc7, 0xf0]],
  ['RDTSCP', [0x0f, 0x01, 0xf9]],
])('%s is #UD', (_name, code) => {
  expect(runInRing0(code)).toMatchObject({ exit: EXIT_EXCEPTION, vector: VECTOR_UD });
});

test.each<[string, number[]]>([
  ['CR4.VME', setCr4(0)],
  ['CR4.PVI', setCr4(1)],
  ['CR4.PAE', setCr4(5)],
  ['CR4.MCE', setCr4(6)],
  ['CR4.OSXSAVE', setCr4(18)],
  ['CR4.VMXE', setCr4(13)],
  ['RDPMC', [0x31, 0xc9, 0x0f, 0x33]],
  ['MTRR', msr(0x32, 0xfe)],
  ['PAT', msr(0x32, 0x277)],
  ['machine check', msr(0x32, 0x179)],
  ['EFER', msr(0x32, 0xc0000080)],
  ['DEBUGCTL', msr(0x30, 0x1d9)],
  ['TSC_DEADLINE', msr(0x30, 0x6e0)],
  ['a register of the x2APIC', msr(0x32, 0x802)],
  ['x2APIC mode', [0xb9, ...word(0x1b), 0x0f, 0x32, 0x0d, ...word(0x400), 0x0f, 0x30]],
])('%s is #GP', (_name, code) => {
  expect(runInRing0(code)).toMatchObject({ exit: EXIT_EXCEPTION, vector: VECTOR_GP });
});

test('CPUID announces what is there and nothing else', () => {
  const { exit, cpu } = runInRing0([0xb8, ...word(1), 0x0f, 0xa2]);
  expect(exit).toBe(EXIT_HALT);
  const names = ['FPU', 'VME', 'DE', 'PSE', 'TSC', 'MSR', 'PAE', 'MCE', 'CX8', 'APIC', '', 'SEP', 'MTRR', 'PGE', 'MCA'];
  names.push('CMOV', 'PAT', 'PSE36', 'PSN', 'CLFSH', '', 'DS', 'ACPI', 'MMX', 'FXSR', 'SSE', 'SSE2', 'SS', 'HTT', 'TM');
  const announced = names.filter((_name, bit) => ((cpu.regs[2]! >>> bit) & 1) === 1);
  const vector = ['CLFSH', 'MMX', 'FXSR', 'SSE', 'SSE2'];
  expect(announced).toEqual(['FPU', 'DE', 'PSE', 'TSC', 'MSR', 'CX8', 'APIC', 'SEP', 'PGE', 'CMOV', ...vector]);
  expect(cpu.regs[1]).toBe(0);
});
