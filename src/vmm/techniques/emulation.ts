/**
 * Emulation: a program for another instruction set, RV32IM, interpreted instruction by instruction. The emulator is a
 * program of ours that the emulated CPU really executes (guests/interpreters/rvemu.c), so what an instruction costs is
 * measured by running it, and is no number of a table.
 */
import { interpreted } from './interpreted.ts';

export const emulation = interpreted(
  'emulation',
  'another instruction set: RV32IM programs, each instruction interpreted by an emulator that runs on the machine',
  { kind: 'riscv32', runtime: 'rvemu', text: '' },
);
