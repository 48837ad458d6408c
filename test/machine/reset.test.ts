/** The state after RESET, against SDM vol 3, table 9-1; and the first steps from there. */
import { expect, test } from 'vitest';
import { EXIT_HALT } from '../../src/machine/exits.ts';
import { resetCpu } from '../../src/machine/reset.ts';
import { UserCpu } from './helpers/user-cpu.ts';

test('registers', () => {
  const { cpu } = new UserCpu();
  cpu.cpuid = { 1: [0x633, 0, 0, 0] };
  resetCpu(cpu);
  expect(cpu).toMatchObject({ eip: 0xfff0, cr0: 0x60000010, cr2: 0, cr3: 0, cr4: 0, cpl: 0, special: 0 });
  expect(cpu).toMatchObject({ gdtBase: 0, gdtLimit: 0xffff, idtBase: 0, idtLimit: 0xffff });
  expect(cpu.getEflags()).toBe(2);
  expect([...cpu.regs]).toEqual([0, 0, 0x633, 0, 0, 0, 0, 0, 0]);
  expect([...cpu.segSelector]).toEqual([0, 0xf000, 0, 0, 0, 0, 0, 0]);
  expect([...cpu.segBase]).toEqual([0, 0xffff0000 | 0, 0, 0, 0, 0, 0, 0]);
  expect([...cpu.segLimit]).toEqual([0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff]);
});

test('a far jump brings the code segment down; data segments reach 64 KiB', () => {
  const user = new UserCpu();
  const { cpu, physmap } = user;
  resetCpu(cpu);
  // The ROM is not there: stand where its first jump would have gone, with that jump at 0:F00.
  physmap.write(0xf00, Uint8Array.from([0xea, 0x10, 0x0f, 0x00, 0x00]));
  physmap.write(0xf10, Uint8Array.from([0xb8, 0x34, 0x12, 0xa3, 0xff, 0x0f, 0xf4])); // MOV AX,1234; MOV [FFF],AX; HLT
  cpu.segBase[1] = 0;
  cpu.eip = 0xf00;
  expect(cpu.run(100)).toBe(EXIT_HALT);
  expect([cpu.segSelector[1], cpu.segBase[1], cpu.eip]).toEqual([0, 0, 0xf17]);
  expect([physmap.read8(0xfff), physmap.read8(0x1000)]).toEqual([0x34, 0x12]);
});
