/**
 * The bus between local APICs and I/O APICs: who a message is for, and how it gets there.
 * Invariants: a message with lowest priority goes to one APIC, the one with the lowest processor priority, the lowest
 * identity among equals; every other message goes to all that it names, in the order of their identities; nothing is
 * delivered to an APIC that its machine has switched off.
 * Source: SDM vol 3, 10.6 (destinations), 10.6.2.4 (lowest priority), 10.8.5 (EOI messages).
 */

/** Delivery modes: bits 8-10 of an ICR, an LVT entry and a redirection entry (SDM vol 3, 10.6.1). */
export const DELIVER_FIXED = 0;
export const DELIVER_LOWEST = 1;
export const DELIVER_SMI = 2;
export const DELIVER_NMI = 4;
export const DELIVER_INIT = 5;
export const DELIVER_STARTUP = 6;
export const DELIVER_EXTINT = 7;

/** Physical identity, or message destination, that means everybody. */
export const BROADCAST = 0xff;

export interface ApicMessage {
  /** DELIVER_*. */
  readonly mode: number;
  readonly vector: number;
  /** The source is level triggered: the APIC that takes it in service tells the I/O APICs when it ends. */
  readonly level: boolean;
}

/** Whom a message is for. */
export type ApicDestination =
  | { readonly kind: 'physical'; readonly id: number }
  | { readonly kind: 'logical'; readonly mda: number }
  | { readonly kind: 'all' }
  | { readonly kind: 'others'; readonly than: number };

/** A local APIC as the bus sees it. */
export interface ApicMember {
  readonly id: number;
  /** Not switched off by its APIC base register. */
  readonly present: boolean;
  readonly arbitrationPriority: number;
  matchesLogical(mda: number): boolean;
  accept(message: ApicMessage): void;
}

/** An I/O APIC as the bus sees it. */
export interface EoiListener {
  endOfInterrupt(vector: number): void;
}

export class ApicBus {
  /** In ascending order of identity. */
  readonly members: ApicMember[] = [];
  readonly listeners: EoiListener[] = [];
  /**
   * Carries `deliver` out for `target`: at once, unless the owner of several CPUs has to put it off to the moment at
   * which the target may see it. `from` is the local APIC that sends it; null: an I/O APIC.
   */
  transport: (target: ApicMember, deliver: () => void, message: ApicMessage, from: ApicMember | null) => void = (
    _target,
    deliver,
  ) => deliver();

  /** Sends a message. False if nobody is there to take it. */
  send(message: ApicMessage, destination: ApicDestination, from: ApicMember | null = null): boolean {
    const targets = this.members.filter((member) => member.present && isFor(member, destination));
    if (targets.length === 0) return false;
    const takers = message.mode === DELIVER_LOWEST ? [lowestPriority(targets)] : targets;
    for (const member of takers) this.transport(member, () => member.accept(message), message, from);
    return true;
  }

  /** A level-triggered interrupt was ended: every I/O APIC with that vector may ask again. */
  endOfInterrupt(vector: number): void {
    for (const listener of this.listeners) listener.endOfInterrupt(vector);
  }
}

function isFor(member: ApicMember, destination: ApicDestination): boolean {
  switch (destination.kind) {
    case 'physical':
      return destination.id === BROADCAST || destination.id === member.id;
    case 'logical':
      return member.matchesLogical(destination.mda);
    case 'all':
      return true;
    case 'others':
      return member.id !== destination.than;
  }
}

function lowestPriority(targets: readonly ApicMember[]): ApicMember {
  return targets.reduce((best, member) => (member.arbitrationPriority < best.arbitrationPriority ? member : best));
}
