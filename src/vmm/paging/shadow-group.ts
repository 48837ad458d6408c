/**
 * The shadow page tables of one VM, a set for each of its vCPUs, which shadow the same guest tables in the same memory.
 * Invariants: a frame that one member traces is mapped read-only by all; a write to it reaches the shadows of all.
 * The work that one member causes in the others is its own to pay for; that the other CPUs' TLBs must forget
 * something costs nothing (our choice: VMMs batch these interrupts).
 */
import type { Gpa, Mfn } from '../../core/units.ts';
import type { MachineMemory } from '../../machine/memory.ts';
import { FrameTraces } from './frame-traces.ts';
import type { TableWork } from './work.ts';

/** One vCPU's shadow tables, as the others see them. */
export interface ShadowMember {
  readonly work: TableWork;
  /** Makes every mapping of a frame read-only. */
  protectOwn(mfn: Mfn): void;
  /** Another vCPU wrote to a traced frame: brings the own entries up to date. */
  writtenByOther(gpa: Gpa, bytes: number): void;
}

export class ShadowGroup {
  readonly traces: FrameTraces;
  private readonly members: ShadowMember[] = [];

  constructor(memory: MachineMemory) {
    this.traces = new FrameTraces(memory);
  }

  add(member: ShadowMember): void {
    this.members.push(member);
  }

  /** The VM has one vCPU. */
  get isAlone(): boolean {
    return this.members.length === 1;
  }

  /** Takes a member out; answers whether it was the last one. */
  remove(member: ShadowMember): boolean {
    const at = this.members.indexOf(member);
    if (at >= 0) this.members.splice(at, 1);
    return this.members.length === 0;
  }

  /** `actor` began to trace a frame. */
  protect(mfn: Mfn, actor: ShadowMember): void {
    actor.protectOwn(mfn);
    this.others(actor, (member) => member.protectOwn(mfn));
  }

  /** `actor` carried out a write to a traced frame, and has brought its own entries up to date. */
  written(gpa: Gpa, bytes: number, actor: ShadowMember): void {
    this.others(actor, (member) => member.writtenByOther(gpa, bytes));
  }

  private others(actor: ShadowMember, action: (member: ShadowMember) => void): void {
    for (const member of this.members) {
      if (member === actor) continue;
      member.work.reset();
      action(member);
      actor.work.add(member.work);
      member.work.reset();
    }
  }
}
