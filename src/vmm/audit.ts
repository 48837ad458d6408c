/**
 * Looks for translations that lead out of a VM: a frame that a guest could reach now, and that is not its own.
 * Invariant: it only reads. What the VMM itself has mapped for a deprivileged guest counts as long as user mode may not
 * touch it and it lies above the limit of all guest segments (vmm-region.ts).
 */
import { TLB_USER } from '../machine/tlb.ts';
import type { PhysicalMachine } from './machine.ts';
import { VMM_BASE } from './techniques/vmm-region.ts';
import { tagOf } from './vcpu.ts';
import type { ExecutedVm } from './vm.ts';

/** A page of a VM's address space that leads to a frame of somebody else. */
export interface Escape {
  readonly vm: string;
  readonly page: number;
  readonly mfn: number;
  readonly owner: number;
}

/** Every such page in the TLBs and front tables of all physical CPUs. */
export function findEscapes(machine: PhysicalMachine, vms: readonly ExecutedVm[]): Escape[] {
  const found: Escape[] = [];
  const { memory } = machine;
  const vmOf = (tag: number): ExecutedVm | undefined =>
    vms.find((vm) => tag >= tagOf(vm.id, 0) && tag < tagOf(vm.id + 1, 0));
  for (const mmu of machine.mmus) {
    const look = (vm: ExecutedVm, page: number, mfn: number, isUser: boolean): void => {
      if (mfn < 0) return;
      const owner = memory.ownerOf(mfn);
      const isRegion = owner === vm.vmmOwner && !isUser && page >= VMM_BASE >>> 12;
      if (owner !== vm.owner && !isRegion) found.push({ vm: vm.spec.name, page, mfn, owner });
    };
    for (const tlb of [mmu.itlb, mmu.dtlb]) {
      tlb.forEach((page, tag, frame, flags) => {
        const vm = vmOf(tag);
        // A native guest's entries name guest frames, which its memory map translates at each use.
        if (vm !== undefined) look(vm, page, frame, (flags & TLB_USER) !== 0);
      });
    }
    const now = vmOf(mmu.asid);
    if (now !== undefined) mmu.forEachFront((page, mfn) => look(now, page, mfn, true));
  }
  return found;
}
