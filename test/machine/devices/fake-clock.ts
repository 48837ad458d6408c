/** A device clock that a test moves by hand, and an interrupt line that remembers what was done to it. */
import type { DeviceClock, IrqLine, TimerHandle } from '../../../src/machine/devices/device.ts';

interface Timer {
  readonly time: number;
  readonly action: () => void;
}

export class FakeClock implements DeviceClock {
  time = 0;
  private timers: Timer[] = [];

  now(): number {
    return this.time;
  }

  at(time: number, action: () => void): TimerHandle {
    if (!Number.isSafeInteger(time) || time < this.time) throw new Error(`timer at ${time}, now is ${this.time}`);
    const timer = { time, action };
    this.timers.push(timer);
    return timer;
  }

  cancel(timer: TimerHandle): void {
    this.timers = this.timers.filter((each) => each !== timer);
  }

  get pending(): number {
    return this.timers.length;
  }

  /** Time of the next timer, -1 if none is pending. */
  get next(): number {
    return this.timers.reduce((least, each) => (least < 0 ? each.time : Math.min(least, each.time)), -1);
  }

  /** Runs every timer up to and including `time`, in order, then stands there. */
  runTo(time: number): void {
    while (this.next >= 0 && this.next <= time) {
      const timer = this.timers.find((each) => each.time === this.next)!;
      this.cancel(timer);
      this.time = timer.time;
      timer.action();
    }
    this.time = time;
  }

  /** Moves time without running timers: the engine is late. */
  jumpTo(time: number): void {
    this.time = time;
  }
}

export class FakeIrq implements IrqLine {
  level = false;
  /** Times at which the line rose. */
  readonly rises: number[] = [];
  private readonly clock: DeviceClock;

  constructor(clock: DeviceClock) {
    this.clock = clock;
  }

  raise(): void {
    if (!this.level) this.rises.push(this.clock.now());
    this.level = true;
  }

  lower(): void {
    this.level = false;
  }
}
