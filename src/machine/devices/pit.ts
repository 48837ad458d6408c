/**
 * The 8254 interval timer of a PC: ports 0x40-0x43, three counters on a 1.193182 MHz clock, OUT0 on IRQ0.
 * CLK pulse k comes at the nanosecond floor(k * 10^9 / inputHz) of engine time, so nothing drifts; a count written
 * between two pulses is loaded at the next one, and in modes 2 and 3 its n-th period ends exactly n * count
 * pulses later.
 * Invariants: counters are only advanced, never ticked; at most one timer is pending, and none while OUT0 stands.
 * The IRQ0 pin follows OUT0 except that the one-pulse low of modes 2, 4, 5 is shown to it at its end (840 ns late).
 * Source: Intel 8254 data sheet (231164).
 */
import { type Hz, NS_PER_SECOND, type Ns } from '../../core/units.ts';
import {
  type AccessBytes,
  type DeviceClock,
  type IrqLine,
  openBus,
  type PortDevice,
  type TimerHandle,
} from './device.ts';
import {
  accessOf,
  advance,
  countOf,
  newPitCounter,
  nextOutTick,
  type PitCounterState,
  setGate,
  statusOf,
  writeControl,
  writeCountByte,
} from './pit-counter.ts';

const FIRST_PORT = 0x40;
const READ_BACK = 3;

export interface PitSpec {
  readonly inputHz: Hz;
}

/** 14.31818 MHz / 12. */
export const PC_PIT: PitSpec = { inputHz: 1_193_182 };

export interface PitState {
  /** Counter 0 is the system timer, 1 was memory refresh, 2 the speaker. */
  readonly counters: readonly [PitCounterState, PitCounterState, PitCounterState];
  /** Rising edges of OUT0 already shown to the interrupt pin. */
  shownRises: number;
}

function newPitState(): PitState {
  return { counters: [newPitCounter(true), newPitCounter(true), newPitCounter(false)], shownRises: 0 };
}

/** CLK pulses up to and including time `now`: the largest k with floor(k * 10^9 / hz) <= now. Exact to 2^53 ns. */
export function pitTicksAt(now: Ns, hz: Hz): number {
  const seconds = Math.floor(now / NS_PER_SECOND);
  const scaled = ((now % NS_PER_SECOND) + 1) * hz - 1;
  return seconds * hz + (scaled - (scaled % NS_PER_SECOND)) / NS_PER_SECOND;
}

/** The nanosecond at which CLK pulse `tick` comes, rounded down. */
export function pitTickTime(tick: number, hz: Hz): Ns {
  const seconds = Math.floor(tick / hz);
  const scaled = (tick % hz) * NS_PER_SECOND;
  return seconds * NS_PER_SECOND + (scaled - (scaled % hz)) / hz;
}

export class Pit implements PortDevice {
  readonly name = 'pit';
  readonly ports = [{ first: FIRST_PORT, count: 4 }];
  readonly spec: PitSpec;
  state = newPitState();
  private readonly clock: DeviceClock;
  private readonly irq0: IrqLine;
  private timer: TimerHandle | null = null;

  constructor(spec: PitSpec, clock: DeviceClock, irq0: IrqLine) {
    this.spec = spec;
    this.clock = clock;
    this.irq0 = irq0;
  }

  reset(): void {
    this.state = newPitState();
    this.irq0.lower();
    this.rearm();
  }

  readPort(port: number, _bytes: AccessBytes): number {
    const index = port - FIRST_PORT;
    if (index === READ_BACK) return openBus(1); // the data sheet: no operation, the bus floats
    return readCounter(this.settle(index));
  }

  writePort(port: number, _bytes: AccessBytes, value: number): void {
    const index = port - FIRST_PORT;
    if (index === READ_BACK) this.writeControlPort(value & 0xff);
    else writeCountByte(this.settle(index), value & 0xff);
    this.showOut0();
  }

  /** Drives the GATE pin of a counter. Only counter 2's is wired on a PC: bit 0 of port 0x61. */
  setGate(index: number, high: boolean): void {
    setGate(this.settle(index), high);
    this.showOut0();
  }

  /** Level of a counter's OUT pin now. */
  out(index: number): boolean {
    return this.settle(index).out;
  }

  /** CLK pulses since engine time 0. */
  ticks(): number {
    return pitTicksAt(this.clock.now(), this.spec.inputHz);
  }

  /** Rising edges of OUT0 since reset: timer interrupts asked for, whether the guest took them or not. */
  timerEdges(): number {
    return this.settle(0).rises;
  }

  private settle(index: number): PitCounterState {
    const counter = this.state.counters[index]!;
    advance(counter, this.ticks());
    return counter;
  }

  /** A control word, a counter latch command (RW = 00) or a read-back command (SC = 11). */
  private writeControlPort(value: number): void {
    const select = value >> 6;
    if (select === READ_BACK) {
      for (let index = 0; index < 3; index++) {
        if ((value & (2 << index)) === 0) continue;
        const counter = this.settle(index);
        if ((value & 0x20) === 0) latchCount(counter); // both bits are active low
        if ((value & 0x10) === 0 && counter.latchedStatus < 0) counter.latchedStatus = statusOf(counter);
      }
      return;
    }
    const counter = this.settle(select);
    if ((value & 0x30) === 0) latchCount(counter);
    else writeControl(counter, value);
  }

  /** Shows OUT0 to the interrupt pin, and asks for the next moment at which it changes. */
  private showOut0(): void {
    const counter = this.settle(0);
    if (counter.rises !== this.state.shownRises) {
      this.state.shownRises = counter.rises;
      this.irq0.lower();
      this.irq0.raise();
    }
    const isShortLow = !counter.out && nextOutTick(counter) === counter.tick + 1;
    if (!counter.out && !isShortLow) this.irq0.lower();
    this.rearm();
  }

  private rearm(): void {
    if (this.timer !== null) this.clock.cancel(this.timer);
    this.timer = null;
    const tick = nextOutTick(this.state.counters[0]);
    if (tick < 0) return;
    this.timer = this.clock.at(pitTickTime(tick, this.spec.inputHz), () => {
      this.timer = null;
      this.showOut0();
    });
  }
}

/** A second latch command before the first one is read changes nothing. */
function latchCount(counter: PitCounterState): void {
  if (counter.latchedCount < 0) counter.latchedCount = countOf(counter);
}

/** One byte from a counter's port: latched status first, then the latched count, then the count itself. */
function readCounter(counter: PitCounterState): number {
  if (counter.latchedStatus >= 0) {
    const status = counter.latchedStatus;
    counter.latchedStatus = -1;
    return status;
  }
  const count = counter.latchedCount >= 0 ? counter.latchedCount : countOf(counter);
  const access = accessOf(counter);
  const givesHigh = access === 2 || (access === 3 && counter.readsHigh);
  if (access === 3) counter.readsHigh = !counter.readsHigh;
  if (access !== 3 || givesHigh) counter.latchedCount = -1;
  return givesHigh ? count >> 8 : count & 0xff;
}
