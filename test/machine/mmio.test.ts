/**
 * Memory-mapped devices as the CPU sees them: an access leaves run() before the instruction has any effect, and the
 * instruction is then carried out once, with the accesses in the order and of the widths that the manual gives.
 */
import { describe, expect, test } from 'vitest';
import { CodeCache } from '../../src/machine/code-cache.ts';
import { Cpu } from '../../src/machine/cpu.ts';
import { EXIT_BUDGET, EXIT_HALT, EXIT_MMIO } from '../../src/machine/exits.ts';
import { MachineMemory } from '../../src/machine/memory.ts';
import { Mmu } from '../../src/machine/mmu.ts';
import { CR0_PE, GuestWalker } from '../../src/machine/paging.ts';
import { PhysMap } from '../../src/machine/physmap.ts';
import { resetCpu, startCpu } from '../../src/machine/reset.ts';
import { setSegment } from '../../src/machine/segments.ts';
import { littleEndian } from '../oracle/draft.ts';
import { FLAT_TIMING } from './helpers/user-cpu.ts';

const FRAMES = 16;
const CODE_AT = 0x1000;
const STACK_AT = 0x3000;
const DEVICE = 0xfee0_0000;
const CODE_HIGH = 0x00cf9b00;
const DATA_HIGH = 0x00cf9300;

/** A device that answers reads with a counter and keeps what was done to it. */
class Recorder {
  readonly log: string[] = [];
  private next = 0x01010101;

  read(gpa: number, bytes: number): number {
    this.log.push(`r${bytes} ${(gpa - DEVICE).toString(16)}`);
    this.next += 0x01010101;
    return bytes === 4 ? this.next : this.next & (2 ** (8 * bytes) - 1);
  }

  write(gpa: number, bytes: number, value: number): void {
    const shown = (value >>> 0) % 2 ** (8 * bytes);
    this.log.push(`w${bytes} ${(gpa - DEVICE).toString(16)} ${shown.toString(16)}`);
  }
}

function flatCpu(code: readonly number[]): Cpu {
  const memory = new MachineMemory(FRAMES);
  const physmap = new PhysMap(memory, FRAMES);
  for (let gfn = 0; gfn < FRAMES; gfn++) physmap.mfnOf[gfn] = memory.allocateFrame(0);
  physmap.deviceFrames.add(DEVICE / 4096);
  physmap.write(CODE_AT, Uint8Array.from(code));
  const cache = new CodeCache(memory, FLAT_TIMING);
  const cpu = new Cpu(memory, new Mmu(memory, FLAT_TIMING, new GuestWalker(physmap), cache), cache);
  cpu.cr0 |= CR0_PE;
  setSegment(cpu, 1, 8, 0xffff, CODE_HIGH);
  for (const seg of [0, 2, 3, 4, 5]) setSegment(cpu, seg, 16, 0xffff, DATA_HIGH);
  cpu.setCpl(0);
  cpu.eip = CODE_AT;
  cpu.regs[4] = STACK_AT;
  return cpu;
}

/** Runs `code` up to its HLT, carrying out each access to the device. Answers what the device saw and the exits. */
function carryOut(code: readonly number[], prepare: (cpu: Cpu) => void = () => {}) {
  const cpu = flatCpu([...code, 0xf4]);
  prepare(cpu);
  const device = new Recorder();
  let exits = 0;
  for (let exit = cpu.run(1000); exit !== EXIT_HALT; exit = cpu.run(1000)) {
    expect(exit).toBe(EXIT_MMIO);
    exits++;
    cpu.mmio = device;
    expect(cpu.step()).toBe(EXIT_BUDGET);
    cpu.mmio = null;
  }
  return { cpu, exits, log: device.log, retired: cpu.instructions - 1 };
}
const at = (offset: number): number[] => littleEndian(DEVICE + offset, 4);

describe('the exit', () => {
  test.each([
    ['load', [0xa1, ...at(0x30)], 0],
    ['store', [0xa3, ...at(0x30)], 2],
    ['read-modify-write', [0x81, 0x05, ...at(0x30), 1, 0, 0, 0], 2],
    ['push', [0xff, 0x35, ...at(0x30)], 0],
    ['exchange', [0x87, 0x05, ...at(0x30)], 2],
  ])('%s: nothing has happened yet', (_name, code, access) => {
    const cpu = flatCpu(code);
    const before = [...cpu.regs, cpu.getEflags(), cpu.eip];
    expect(cpu.run(1000)).toBe(EXIT_MMIO);
    expect([...cpu.regs, cpu.getEflags(), cpu.eip]).toEqual(before);
    expect([cpu.instructions, cpu.exitGpa, cpu.exitError]).toEqual([0, DEVICE + 0x30, access]);
  });

  test('absent memory that is no device reads all ones and takes no exit', () => {
    const cpu = flatCpu([0xa1, ...littleEndian(0xfed0_0000, 4), 0xa3, ...littleEndian(0xfed0_0000, 4), 0xf4]);
    expect(cpu.run(1000)).toBe(EXIT_HALT);
    expect(cpu.regs[0]).toBe(-1);
  });
});

describe('the access', () => {
  const esiEdi = (esi: number, edi: number, ecx: number) => (cpu: Cpu) => {
    cpu.regs[6] = esi;
    cpu.regs[7] = edi;
    cpu.regs[1] = ecx;
    cpu.regs[0] = 0x1234;
  };

  test.each<[string, number[], string[], number, number]>([
    // code, accesses, exits, instructions
    ['MOV eax', [0xa1, ...at(0x30)], ['r4 30'], 1, 1],
    ['MOV al', [0xa0, ...at(0x31)], ['r1 31'], 1, 1],
    ['MOV 16 bits', [0x66, 0xa3, ...at(0x30)], ['w2 30 0'], 1, 1],
    ['MOV imm', [0xc7, 0x05, ...at(0xb0), 1, 2, 3, 4], ['w4 b0 4030201'], 1, 1],
    ['ADD to memory', [0x83, 0x05, ...at(0x30), 1], ['r4 30', 'w4 30 2020203'], 1, 1],
    ['XCHG', [0x87, 0x05, ...at(0x30)], ['r4 30', 'w4 30 0'], 1, 1],
    ['CMP', [0x83, 0x3d, ...at(0x30), 1], ['r4 30'], 1, 1],
    ['PUSH, POP', [0xff, 0x35, ...at(0x30), 0x8f, 0x05, ...at(0x40)], ['r4 30', 'w4 40 2020202'], 2, 2],
  ])('%s', (_name, code, accesses, exits, instructions) => {
    const end = carryOut(code);
    expect([end.log, end.exits, end.retired]).toEqual([accesses, exits, instructions]);
  });

  test('REP STOS and REP MOVS make one iteration an exit, each counted once', () => {
    const stos = carryOut([0xf3, 0xab], esiEdi(0, DEVICE + 0x10, 12));
    expect([stos.exits, stos.retired, stos.cpu.regs[1]]).toEqual([12, 12, 0]);
    expect(stos.log[11]).toBe('w4 3c 1234');
    const movs = carryOut([0xf3, 0xa5], esiEdi(DEVICE, 0x4000, 12));
    expect([movs.exits, movs.retired, movs.log.length]).toEqual([12, 12, 12]);
    expect(movs.cpu.read32(0x4000 + 44)).toBe(0x0d0d0d0d);
  });

  test('across the end of the page it is made byte by byte', () => {
    const end = carryOut([0xa1, ...at(0xffe)]);
    expect([end.log, end.cpu.regs[0]]).toEqual([['r1 ffe', 'r1 fff'], 0xffff0302 | 0]);
  });

  test('a stack on a device', () => {
    const end = carryOut([0x50, 0x58], (cpu) => {
      cpu.regs[0] = 7;
      cpu.regs[4] = DEVICE + 0x100;
    });
    expect(end.log).toEqual(['w4 fc 7', 'r4 fc']);
  });
});

describe('the page of the local APIC', () => {
  test('is where IA32_APIC_BASE says', () => {
    const cpu = flatCpu([0xa1, ...littleEndian(0xfed4_0030, 4)]);
    cpu.apicBase = { low: 0xfed4_0800 | 0 };
    expect(cpu.run(1000)).toBe(EXIT_MMIO);
    expect(cpu.exitGpa).toBe(0xfed4_0030);
  });
});

describe('start-up', () => {
  test('INIT and a start-up message leave what table 9-1 and section 8.4 say', () => {
    const cpu = flatCpu([0xf4]);
    cpu.cpuid = { 1: [0x633, 0, 0, 0] };
    cpu.regs.fill(0x77777777, 0, 8);
    resetCpu(cpu);
    expect([...cpu.regs]).toEqual([0, 0, 0x633, 0, 0, 0, 0, 0, 0]);
    expect([cpu.getEflags(), cpu.cr0, cpu.cr3, cpu.cr4, cpu.eip]).toEqual([2, 0x6000_0010, 0, 0, 0xfff0]);
    expect([cpu.segSelector[1], cpu.segBase[1]! >>> 0, cpu.segLimit[1]]).toEqual([0xf000, 0xffff_0000, 0xffff]);
    expect([cpu.gdtBase, cpu.gdtLimit, cpu.idtBase, cpu.idtLimit]).toEqual([0, 0xffff, 0, 0xffff]);
    startCpu(cpu, 0x9a);
    expect([cpu.segSelector[1], cpu.segBase[1], cpu.eip]).toEqual([0x9a00, 0x9a000, 0]);
  });
});
