/**
 * What modelled vCPUs wait for: a gate that lets its vCPU pass when another one has opened it, and locks made of gates.
 * Invariants: at most one vCPU holds a lock; a gate lets pass once per opening.
 * Source: schedulers.md 11; ticket and paravirtual locks as in Friebel and Biemueller 2008 and Uhlig et al. 2004.
 */
import { assert } from '../../core/errors.ts';
import type { ModelledVcpu } from './demand.ts';

/** What a vCPU of an SMP guest waits for, spinning or asleep: a lock, a barrier, an acknowledgement. */
export interface Gate {
  /** Would `tryPass` succeed? */
  mayPass(): boolean;
  /** Passes, if it can be done now. */
  tryPass(): boolean;
  /** Is this vCPU the next to pass, by the rules of what it waits for? */
  readonly isNext: boolean;
}

/** Opened by somebody else. */
export class SimpleGate implements Gate {
  readonly isNext = false;
  private readonly vcpu: ModelledVcpu;
  private opened = false;

  constructor(vcpu: ModelledVcpu) {
    this.vcpu = vcpu;
  }

  open(): void {
    this.opened = true;
    this.vcpu.poke();
  }

  mayPass(): boolean {
    return this.opened;
  }

  tryPass(): boolean {
    const passes = this.opened;
    this.opened = false;
    return passes;
  }
}

/**
 * How a lock chooses among those who wait.
 *   tas     test-and-set: whoever runs and looks first; among those that spin at that moment the one that waits longest
 *   ticket  strictly in the order of arrival, whether the next one runs or not
 *   pv      paravirtual: in the order of arrival among those that run; if none does, the first is woken
 */
export type LockKind = 'tas' | 'ticket' | 'pv';
export const LOCK_KINDS = ['tas', 'ticket', 'pv'] as const satisfies readonly LockKind[];

class LockGate implements Gate {
  readonly lock: Lock;
  readonly vcpu: ModelledVcpu;

  constructor(lock: Lock, vcpu: ModelledVcpu) {
    this.lock = lock;
    this.vcpu = vcpu;
  }

  get isNext(): boolean {
    return this.lock.isNext(this);
  }

  mayPass(): boolean {
    return this.lock.isFreeFor(this);
  }

  tryPass(): boolean {
    return this.lock.tryTake(this);
  }
}

/** A spin lock of one VM, of one of the kinds. */
export class Lock {
  readonly kind: LockKind;
  private holder: LockGate | null = null;
  /** Those who wait, in the order of their arrival. */
  private readonly queue: LockGate[] = [];

  constructor(kind: LockKind) {
    this.kind = kind;
  }

  /** The vCPU wants the lock: it waits at the gate until it has it. */
  enter(vcpu: ModelledVcpu): Gate {
    const gate = new LockGate(this, vcpu);
    this.queue.push(gate);
    return gate;
  }

  isNext(gate: LockGate): boolean {
    return this.kind === 'ticket' && this.queue[0] === gate;
  }

  isFreeFor(gate: LockGate): boolean {
    return this.holder === null && (this.kind !== 'ticket' || this.queue[0] === gate);
  }

  tryTake(gate: LockGate): boolean {
    if (!this.isFreeFor(gate)) return false;
    this.queue.splice(this.queue.indexOf(gate), 1);
    this.holder = gate;
    return true;
  }

  /** The holder lets go; one of those who wait is told. */
  leave(vcpu: ModelledVcpu): void {
    assert(this.holder?.vcpu === vcpu, 'a lock is released by its holder');
    this.holder = null;
    const [first] = this.queue;
    const heir = this.kind === 'ticket' ? first : (this.queue.find((gate) => gate.vcpu.isRunning) ?? first);
    heir?.vcpu.poke();
  }
}
