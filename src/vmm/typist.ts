/**
 * Somebody who types at a guest's console, step by step: each step waits for its moment, then all its bytes go to the
 * device, whose own buffer holds them back until the guest reads.
 * Invariants: steps are typed in order; the text that a step waits for is looked for in what the guest printed after
 * the step before; at most one timer is pending.
 */
import type { Ns } from '../core/units.ts';
import type { InputStep } from '../guest/input-script.ts';
import type { DeviceClock } from '../machine/devices/device.ts';

/** The device that takes what is typed. */
export interface TypistTarget {
  take(bytes: Uint8Array): void;
  /** The guest reads from the device, as far as the device can tell. */
  isListening(): boolean;
}

/**
 * How long a guest must have listened before something is typed that has no time of its own: drivers that probe a
 * serial port switch its interrupts on for a moment, and throw away what arrives.
 */
const SETTLE_NS: Ns = 1_000_000;

export class Typist {
  private readonly steps: readonly InputStep[];
  private readonly clock: DeviceClock;
  private readonly target: TypistTarget;
  private next = 0;
  private waiting = false;
  /** Bytes of the awaited text that the end of the output matches, and that end. */
  private seen: number[] = [];

  constructor(steps: readonly InputStep[], clock: DeviceClock, target: TypistTarget) {
    this.steps = steps;
    this.clock = clock;
    this.target = target;
    this.go();
  }

  /** The guest printed a byte. */
  printed(byte: number): void {
    const when = this.steps[this.next]?.when;
    if (when?.kind !== 'output') return;
    const { text } = when;
    this.seen.push(byte);
    if (this.seen.length > text.length) this.seen.shift();
    if (this.seen.length === text.length && text.every((one, index) => one === this.seen[index])) this.type();
  }

  /** The guest may have begun to listen. */
  listening(): void {
    if (this.steps[this.next]?.when.kind !== 'ready' || this.waiting || !this.target.isListening()) return;
    this.at(this.clock.now() + SETTLE_NS, () => {
      if (this.target.isListening()) this.type();
    });
  }

  /** Looks at the next step. */
  private go(): void {
    const when = this.steps[this.next]?.when;
    if (when?.kind === 'ready') this.listening();
    if (when?.kind === 'time') this.at(Math.max(when.at, this.clock.now()), () => this.type());
  }

  private type(): void {
    const step = this.steps[this.next++]!;
    this.seen = [];
    this.target.take(step.bytes);
    this.go();
  }

  private at(time: Ns, action: () => void): void {
    this.waiting = true;
    this.clock.at(time, () => {
      this.waiting = false;
      action();
    });
  }
}
