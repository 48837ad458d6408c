/**
 * The window of pause-loop exits: how long a vCPU may spin before it leaves the guest. KVM adapts it: an exit makes it longer,
 * since who was not helped by giving way once need not try again at once; a vCPU that comes back after having been out begins
 * with the first window again (shrink 0), or a shorter one.
 * Invariant: first <= window <= longest. The unit is the owner's: cycles of executed vCPUs, time of modelled ones.
 * Source: parameters ple_window, ple_window_grow, ple_window_shrink, ple_window_max of KVM (facts only); its factors here only
 * multiply and divide, where the kernel adds those of 4096 and more.
 */
export interface PauseWindowSpec {
  readonly first: number;
  /** The window is multiplied by it at every exit; 1: it stays. KVM: 2. */
  readonly grow: number;
  /** Divided by it when the vCPU comes back; 0: the first one again, as KVM does. */
  readonly shrink: number;
  readonly longest: number;
}

export class PauseWindow {
  /** The present one. */
  length: number;
  private readonly spec: PauseWindowSpec;

  constructor(spec: PauseWindowSpec) {
    this.spec = spec;
    this.length = spec.first;
  }

  /** The vCPU has left the guest because of a loop. */
  exited(): void {
    const { first, grow, longest } = this.spec;
    this.length = Math.max(Math.min(this.length * grow, longest), first);
  }

  /** It has been out, asleep or waiting for a pCPU, and comes back. Answers whether the window has changed. */
  returned(): boolean {
    const { first, shrink } = this.spec;
    const before = this.length;
    if (before !== first) this.length = shrink === 0 ? first : Math.max(Math.floor(before / shrink), first);
    return this.length !== before;
  }
}

/** A window that does not change; Infinity: no exits. */
export function fixedWindow(length: number): PauseWindow {
  return new PauseWindow({ first: length, grow: 1, shrink: 0, longest: length });
}
