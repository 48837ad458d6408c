/**
 * The physical machine under the VMM: memory, decoded code, and one MMU (TLBs, walker) per physical CPU.
 * Invariant: a pCPU's TLB contents survive vCPU switches; who must flush is decided by the technique.
 */
import { CodeCache } from '../machine/code-cache.ts';
import { COMPILER_TABLE_BYTES, Compiler } from '../machine/compiler/compiler.ts';
import { CPU_BLOCK_BYTES } from '../machine/cpu-core.ts';
import { MachineMemory } from '../machine/memory.ts';
import { Mmu, mmuTableBytes } from '../machine/mmu.ts';
import { type PageWalker, WALK_PAGE_FAULT } from '../machine/paging.ts';
import type { MachinePreset } from './costs.ts';

/** Stands in where no address space is loaded: nothing is mapped. */
const NOTHING_MAPPED: PageWalker = {
  walk: () => WALK_PAGE_FAULT,
  machineFrame: () => -1,
  isDevice: () => false,
  frame: 0,
  flags: 0,
  references: 0,
  errorCode: 0,
  faultGpa: 0,
};

/** Table space of one vCPU: two CPU objects (what executes, what the guest sees), and a helper MMU of one entry. */
const vcpuTableBytes = (preset: MachinePreset): number => 2 * CPU_BLOCK_BYTES + mmuTableBytes(preset.timing, 1);

/** Maps from guest to machine frames, for VMs that together are this many times as large as the machine. */
const MAP_OVERCOMMIT = 2;

/** Who executes guest code: the interpreter alone, or with hot code compiled. */
export const ENGINE_NAMES = ['compiled', 'interpreter'] as const;
export type EngineName = (typeof ENGINE_NAMES)[number];

export class PhysicalMachine {
  readonly preset: MachinePreset;
  readonly memory: MachineMemory;
  readonly codeCache: CodeCache;
  /** By pCPU id. */
  readonly mmus: readonly Mmu[];

  /**
   * @param frames machine frames that VMs and VMMs can own
   * @param pcpus number of physical CPUs
   * @param vcpusMax vCPUs that will be created at most (each may need a helper MMU)
   * @param engine whether hot code is compiled; changes no result
   */
  constructor(preset: MachinePreset, frames: number, pcpus: number, vcpusMax: number, engine: EngineName = 'compiled') {
    this.preset = preset;
    const tableBytes = pcpus * mmuTableBytes(preset.timing) + vcpusMax * vcpuTableBytes(preset) + COMPILER_TABLE_BYTES;
    const mapBytes = MAP_OVERCOMMIT * frames * 4;
    this.memory = new MachineMemory(frames, Math.ceil(tableBytes / 4096) + 1, Math.ceil(mapBytes / 4096));
    this.codeCache = new CodeCache(this.memory, preset.timing);
    if (engine === 'compiled') new Compiler(this.memory, this.codeCache);
    this.mmus = Array.from(
      { length: pcpus },
      () => new Mmu(this.memory, preset.timing, NOTHING_MAPPED, this.codeCache),
    );
  }

  /** An MMU without a front, for a CPU object that only ever executes single instructions. */
  helperMmu(walker: PageWalker): Mmu {
    return new Mmu(this.memory, this.preset.timing, walker, this.codeCache, 1);
  }
}
