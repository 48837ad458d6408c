/**
 * Makes a loaded Multiboot kernel into a paravirtual guest at its first instruction: page tables that map all of its
 * memory one to one, the maps between physical and machine frames, start information and shared information.
 *
 *   0 ─ kernel, boot information ─ … free … ─ ramEnd ─ directory, page tables, maps, start, shared ─ end of RAM
 *
 * Invariants: all of it lies in the guest's own memory above what the boot information calls RAM; its tables are
 * validated like any others; nothing is charged, no time has passed.
 * Source: our own; the parts are those that Xen's domain builder makes (public/xen.h, start_info).
 */
import { UserError } from '../../core/errors.ts';
import { type Bytes, divCeil, type Gfn, type Gpa, type Mfn, PAGE_BYTES } from '../../core/units.ts';
import type { CpuStart } from '../../guest/start.ts';
import { PTE_ACCESSED, PTE_DIRTY, PTE_PRESENT, PTE_WRITABLE } from '../../machine/paging.ts';
import type { PhysMap } from '../../machine/physmap.ts';
import { PV_MAGIC, PV_MEMORY_MAX_BYTES, PV_VERSION, START_WORDS } from './abi.ts';

const KIB = 1024;
const HIGH_MEMORY_START: Gpa = 0x10_0000;
const ENTRIES = 1024;
const KERNEL_ENTRY = PTE_PRESENT | PTE_WRITABLE | PTE_ACCESSED | PTE_DIRTY;
/** Multiboot information: size of memory above 1 MiB, and the flag of the memory map, which would contradict it. */
const INFO_MEM_UPPER = 8;
const INFO_FLAG_MEMORY_MAP = 1 << 6;

/** What the VMM needs to know of the guest that was built. */
export interface Domain {
  /** Frame of the L2 table to start with. */
  readonly root: Mfn;
  /** Frame of the shared information. */
  readonly shared: Mfn;
  /** Linear address of the start information: ESI at the first instruction. */
  readonly startInfo: Gpa;
}

/** @throws UserError when the guest has too much memory, or too little for the tables */
export function buildDomain(physmap: PhysMap, boot: CpuStart, vmName: string): Domain {
  const frames = physmap.ramFrames;
  if (physmap.sizeBytes > PV_MEMORY_MAX_BYTES) {
    throw new UserError(
      `VM ${vmName}: memory of ${physmap.sizeBytes} bytes, allowed under paravirtual: at most ${PV_MEMORY_MAX_BYTES}`,
    );
  }
  const mfns = physmap.mfnOf;
  const machineFirst = mfns.reduce((least, mfn) => Math.min(least, mfn));
  const machineCount = mfns.reduce((most, mfn) => Math.max(most, mfn)) - machineFirst + 1;
  const tables = divCeil(frames, ENTRIES);
  const mapFrames = divCeil(frames, ENTRIES);
  const inverseFrames = divCeil(machineCount, ENTRIES);
  const first = frames - (1 + tables + mapFrames + inverseFrames + 2);
  requireFree(physmap, first, vmName);
  const at = {
    directory: first,
    tables: first + 1,
    map: first + 1 + tables,
    inverse: first + 1 + tables + mapFrames,
    start: frames - 2,
    shared: frames - 1,
  };
  for (let gfn = 0; gfn < frames; gfn++) {
    physmap.write32(at.map * PAGE_BYTES + gfn * 4, mfns[gfn]!);
    physmap.write32(at.inverse * PAGE_BYTES + (mfns[gfn]! - machineFirst) * 4, gfn);
    const isTable = gfn >= at.directory && gfn < at.map;
    const rights = isTable ? KERNEL_ENTRY & ~(PTE_WRITABLE | PTE_DIRTY) : KERNEL_ENTRY;
    physmap.write32(at.tables * PAGE_BYTES + gfn * 4, (mfns[gfn]! << 12) | rights);
  }
  for (let table = 0; table < tables; table++) {
    physmap.write32(at.directory * PAGE_BYTES + table * 4, (mfns[at.tables + table]! << 12) | KERNEL_ENTRY);
  }
  const values: Record<(typeof START_WORDS)[number], number> = {
    magic: PV_MAGIC,
    version: PV_VERSION,
    sharedInfo: at.shared * PAGE_BYTES,
    physToMachine: at.map * PAGE_BYTES,
    machineToPhys: at.inverse * PAGE_BYTES,
    machineFirst,
    machineCount,
    directory: at.directory * PAGE_BYTES,
    ramEnd: first * PAGE_BYTES,
  };
  for (const [i, name] of START_WORDS.entries()) physmap.write32(at.start * PAGE_BYTES + i * 4, values[name]);
  shrinkMemory(physmap, boot.ebx, first * PAGE_BYTES);
  return { root: mfns[at.directory]!, shared: mfns[at.shared]!, startInfo: at.start * PAGE_BYTES };
}

function requireFree(physmap: PhysMap, first: Gfn, vmName: string): void {
  for (let gpa = Math.max(0, first) * PAGE_BYTES; gpa < physmap.sizeBytes; gpa += 4) {
    if (first * PAGE_BYTES > HIGH_MEMORY_START && physmap.read32(gpa) === 0) continue;
    throw new UserError(`VM ${vmName}: memory of ${physmap.sizeBytes} bytes has no room for the kernel's page tables`);
  }
}

/** The boot information names only what is left for the guest to use. */
function shrinkMemory(physmap: PhysMap, info: Gpa, end: Bytes): void {
  physmap.write32(info, physmap.read32(info) & ~INFO_FLAG_MEMORY_MAP);
  physmap.write32(info + INFO_MEM_UPPER, (end - HIGH_MEMORY_START) / KIB);
}
