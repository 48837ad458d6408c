/**
 * How run() is cut into budgets must not matter: any split gives the same registers, memory, counts and cycles.
 * That is what lets a dispatcher stop a vCPU anywhere. Also: exits leave no trace, and counts follow the definition.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { assert } from '../../src/core/errors.ts';
import { loadGuest } from '../../src/guest/load.ts';
import { CodeCache } from '../../src/machine/code-cache.ts';
import { Cpu } from '../../src/machine/cpu.ts';
import { newCpuState, saveCpu } from '../../src/machine/cpu-state.ts';
import { EXIT_BUDGET, EXIT_HALT, EXIT_IO } from '../../src/machine/exits.ts';
import { MachineMemory } from '../../src/machine/memory.ts';
import { Mmu, mmuTableBytes } from '../../src/machine/mmu.ts';
import { GuestWalker } from '../../src/machine/paging.ts';
import { PhysMap } from '../../src/machine/physmap.ts';
import { findPreset } from '../../src/vmm/presets/index.ts';
import { bootCpu } from '../../src/vmm/vm.ts';
import { guest } from '../vmm/run-vm.ts';

const RAM_FRAMES = 2048;

/** A bare CPU with a loaded guest and no devices: every port reads as all ones. */
function bareCpu(name: string, append: string): Cpu {
  const { timing } = findPreset('pentium4-672');
  const memory = new MachineMemory(RAM_FRAMES, Math.ceil(mmuTableBytes(timing) / 4096) + 1);
  const physmap = new PhysMap(memory, RAM_FRAMES);
  for (let gfn = 0; gfn < RAM_FRAMES; gfn++) physmap.mfnOf[gfn] = memory.allocateFrame(0);
  const codeCache = new CodeCache(memory, timing);
  const mmu = new Mmu(memory, timing, new GuestWalker(physmap), codeCache);
  const cpu = new Cpu(memory, mmu, codeCache);
  bootCpu(cpu, loadGuest(guest(name), { physmap, memory, owner: 0 }, { append }));
  return cpu;
}

/** Runs until the guest writes port 0xF4 (or halts), asking `budget` for each run(). */
function runOut(cpu: Cpu, budget: () => number): void {
  for (;;) {
    const exit = cpu.run(budget());
    if (exit === EXIT_HALT || (exit === EXIT_IO && !cpu.ioIsIn && cpu.ioPort === 0xf4)) return;
    if (exit === EXIT_IO) cpu.completeIo(-1);
    else assert(exit === EXIT_BUDGET, `exit ${exit} was not expected`);
  }
}

function summary(cpu: Cpu): object {
  const state = newCpuState();
  saveCpu(cpu, state);
  return {
    state,
    instructions: cpu.instructions,
    cycles: cpu.cycles,
    walks: cpu.walkReferences,
    misses: cpu.mmu.dtlb.misses + cpu.mmu.itlb.misses,
    // The front tables are the simulator's own and may differ; guest frames lie behind them.
    hash: hashFrom(cpu, cpu.memory.firstFrame),
  };
}

function hashFrom(cpu: Cpu, firstFrame: number): number {
  let hash = 0;
  for (let i = firstFrame * 1024; i < cpu.words32.length; i++) hash = (Math.imul(hash, 31) + cpu.words32[i]!) | 0;
  return hash;
}

describe('splitting the budget', () => {
  it.each(['forkwait n=2 hz=0', 'pgfault n=70 hz=0', 'syscall n=200 hz=0', 'calls depth=8 rounds=2 hz=0'])(
    'changes nothing: %s',
    (append) => {
      const whole = bareCpu('nano', append);
      runOut(whole, () => 2 ** 30);
      const expected = summary(whole);
      const one = bareCpu('nano', append);
      runOut(one, () => 1);
      expect(summary(one)).toEqual(expected);
      fc.assert(
        fc.property(fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 20 }), (budgets) => {
          const cpu = bareCpu('nano', append);
          let n = 0;
          runOut(cpu, () => budgets[n++ % budgets.length]!);
          expect(summary(cpu)).toEqual(expected);
        }),
        { numRuns: 5 },
      );
    },
  );

  it('overshoots by less than one instruction', () => {
    const cpu = bareCpu('nano', 'sieve n=1000 rounds=1 hz=0');
    for (let n = 0; n < 2000; n++) {
      const before = cpu.cycles;
      const exit = cpu.run(10);
      if (exit === EXIT_IO) cpu.completeIo(-1);
      // The dearest instruction of this stretch is a write to CR3 or an IRET with page walks.
      expect(cpu.cycles - before).toBeLessThan(10 + 4000);
    }
  });

  it('step() retires exactly one instruction', () => {
    const cpu = bareCpu('hello', '');
    for (let n = 0; n < 20; n++) {
      const before = cpu.instructions;
      const exit = cpu.step();
      if (exit === EXIT_IO) cpu.completeIo(-1);
      expect(cpu.instructions).toBe(before + 1);
    }
  });
});
