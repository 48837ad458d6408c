/**
 * One counter of the 8254 as a function of its input clock: what it holds and drives after the CLK pulse `tick`.
 * Nothing happens per pulse: advance() jumps over any number of pulses in constant time.
 * Invariants: `tick` never decreases; `ce` is the counting element as a decimal number, taken modulo the modulus
 * when read; a written count reaches `ce` at the CLK pulse `loadTick`, which that pulse does not decrement.
 * Source: Intel 8254 data sheet (231164), "Mode Definitions" 0-5, "Operation Common to All Modes", figures 15-22.
 */

export interface PitCounterState {
  /** RW1 RW0 M2 M1 M0 BCD exactly as in the last control word; read-back returns them. */
  control: number;
  /** The count register, as written (BCD digits in BCD). */
  cr: number;
  /** First byte of a two-byte count, -1 when the next byte is a first one. */
  firstByte: number;
  /** The count register holds a count that the counting element has not. */
  nullCount: boolean;
  /** A whole count was written since the control word. */
  written: boolean;
  /** CLK pulse that moves the count register to the counting element, -1 when none is due. */
  loadTick: number;
  running: boolean;
  /** Modes 0, 1, 4, 5: OUT still has to answer the terminal count. */
  armed: boolean;
  ce: number;
  tick: number;
  /** Modes 2, 3: the count in effect. */
  period: number;
  gate: boolean;
  out: boolean;
  /** Rising edges of OUT so far. */
  rises: number;
  /** Output latch, -1 when it follows the counting element. */
  latchedCount: number;
  latchedStatus: number;
  /** The next read of a two-byte count gives its high byte. */
  readsHigh: boolean;
}

/** A counter at power-on. The data sheet leaves it undefined; here it waits for a count in mode 0. */
export function newPitCounter(gate: boolean): PitCounterState {
  return {
    control: 0x30,
    cr: 0,
    firstByte: -1,
    nullCount: true,
    written: false,
    loadTick: -1,
    running: false,
    armed: false,
    ce: 0,
    tick: 0,
    period: 0,
    gate,
    out: false,
    rises: 0,
    latchedCount: -1,
    latchedStatus: -1,
    readsHigh: false,
  };
}

/** The mode 0-5: 6 and 7 are other spellings of 2 and 3. */
export function modeOf(counter: PitCounterState): number {
  const mode = (counter.control >> 1) & 7;
  return mode > 5 ? mode - 4 : mode;
}

/** 1 low byte only, 2 high byte only, 3 low byte then high byte. */
export function accessOf(counter: PitCounterState): number {
  return (counter.control >> 4) & 3;
}

function modulusOf(counter: PitCounterState): number {
  return (counter.control & 1) !== 0 ? 10_000 : 0x1_0000;
}

/** The count that a written value stands for: 0 is the largest, 2^16 or 10^4. */
function decodeCount(counter: PitCounterState): number {
  const { cr } = counter;
  if ((counter.control & 1) === 0) return cr === 0 ? 0x1_0000 : cr;
  const decimal = (cr >> 12) * 1000 + ((cr >> 8) & 15) * 100 + ((cr >> 4) & 15) * 10 + (cr & 15);
  return decimal % 10_000 === 0 ? 10_000 : decimal % 10_000;
}

/** The counting element as the guest reads it: 16 bits, BCD digits in BCD. */
export function countOf(counter: PitCounterState): number {
  const count = counter.ce % modulusOf(counter);
  if ((counter.control & 1) === 0) return count;
  const digit = (unit: number) => Math.floor(count / unit) % 10;
  return (digit(1000) << 12) | (digit(100) << 8) | (digit(10) << 4) | digit(1);
}

/** The status byte of read-back: OUT, NULL COUNT, and the control word ("Read-Back Command", figure 12). */
export function statusOf(counter: PitCounterState): number {
  return (counter.out ? 0x80 : 0) | (counter.nullCount ? 0x40 : 0) | counter.control;
}

/** Brings the counter to the CLK pulse `to`. */
export function advance(counter: PitCounterState, to: number): void {
  if (counter.loadTick >= 0 && counter.loadTick <= to) {
    countDown(counter, counter.loadTick - 1);
    load(counter);
  }
  countDown(counter, to);
}

/** A control word: the counter stops, and OUT goes to its initial level without a CLK pulse. */
export function writeControl(counter: PitCounterState, control: number): void {
  counter.control = control & 0x3f;
  counter.cr = 0;
  counter.firstByte = -1;
  counter.nullCount = true;
  counter.written = false;
  counter.loadTick = -1;
  counter.running = false;
  counter.armed = false;
  counter.latchedCount = -1;
  counter.latchedStatus = -1;
  counter.readsHigh = false;
  setOut(counter, modeOf(counter) !== 0);
}

/** A byte to the counter's port. The counter has been advanced to now. */
export function writeCountByte(counter: PitCounterState, value: number): void {
  const access = accessOf(counter);
  if (access === 3 && counter.firstByte < 0) {
    counter.firstByte = value;
    if (modeOf(counter) === 0) {
      counter.running = false; // mode 0: the first byte stops the count and sets OUT low at once
      counter.loadTick = -1;
      setOut(counter, false);
    }
    return;
  }
  if (access === 3) counter.cr = counter.firstByte | (value << 8);
  else counter.cr = access === 1 ? value : value << 8;
  counter.firstByte = -1;
  takeCount(counter);
}

/** What a whole new count does, by mode ("a new count written while counting"). */
function takeCount(counter: PitCounterState): void {
  const mode = modeOf(counter);
  counter.nullCount = true;
  counter.written = true;
  if (mode === 1 || mode === 5) return; // used at the next trigger
  if (mode === 0) setOut(counter, false);
  const isPeriodic = mode === 2 || mode === 3;
  if (isPeriodic && counter.running && counter.period > 1) return; // used at the end of the (half) cycle
  counter.loadTick = counter.tick + 1;
}

/** A level on the GATE pin ("Gate Pin Operations", figure 21). The counter has been advanced to now. */
export function setGate(counter: PitCounterState, high: boolean): void {
  if (counter.gate === high) return;
  counter.gate = high;
  const mode = modeOf(counter);
  if (!high) {
    if (mode === 2 || mode === 3) setOut(counter, true);
    return;
  }
  const isTrigger = mode === 1 || mode === 2 || mode === 3 || mode === 5;
  if (isTrigger && counter.written) counter.loadTick = counter.tick + 1;
}

/**
 * The CLK pulse after `tick` at which OUT next needs attention, -1 if never without a write or a gate edge.
 * The rising edges are all there; falling ones only where OUT then stays low for long (mode 3).
 */
export function nextOutTick(counter: PitCounterState): number {
  if (counter.loadTick >= 0) return counter.loadTick;
  const mode = modeOf(counter);
  const isStrobe = mode === 4 || mode === 5;
  if (isStrobe && !counter.out) return counter.tick + 1;
  if (!counts(counter, mode)) return -1;
  if (mode === 2) return counter.period > 1 ? counter.tick + counter.ce : -1;
  if (mode === 3) return counter.period > 1 ? counter.tick + ticksLeftInHalf(counter) : -1;
  if (!counter.armed) return -1;
  return counter.tick + counter.ce + (isStrobe ? 1 : 0);
}

function setOut(counter: PitCounterState, high: boolean): void {
  if (high && !counter.out) counter.rises++;
  counter.out = high;
}

/** GATE low stops the count, except in the modes that it only triggers. */
function counts(counter: PitCounterState, mode: number): boolean {
  return counter.running && (counter.gate || mode === 1 || mode === 5);
}

/** The CLK pulse that moves the count register to the counting element. */
function load(counter: PitCounterState): void {
  const mode = modeOf(counter);
  counter.tick = counter.loadTick;
  counter.loadTick = -1;
  counter.nullCount = false;
  counter.running = true;
  counter.armed = true;
  counter.period = decodeCount(counter);
  counter.ce = mode === 3 ? evenPart(counter.period) : counter.period;
  if (mode === 1) setOut(counter, false);
  else if (mode !== 0) setOut(counter, true);
}

/** Counts from `tick` to `to`, between which nothing is loaded from outside. */
function countDown(counter: PitCounterState, to: number): void {
  const ticks = to - counter.tick;
  if (ticks <= 0) return;
  counter.tick = to;
  const mode = modeOf(counter);
  if (mode === 4 || mode === 5) setOut(counter, true); // a strobe lasts one pulse, whatever the gate says
  if (!counts(counter, mode)) return;
  if (mode === 2) countRate(counter, ticks);
  else if (mode === 3) countSquare(counter, ticks);
  else countOnce(counter, ticks, mode);
}

/** Modes 0, 1, 4, 5: down to zero, where OUT answers once, then around ("wraps to the highest count"). */
function countOnce(counter: PitCounterState, ticks: number, mode: number): void {
  const modulus = modulusOf(counter);
  const left = counter.ce === 0 ? modulus : counter.ce;
  if (ticks < left) {
    counter.ce = left - ticks;
    return;
  }
  const past = ticks - left;
  counter.ce = (modulus - (past % modulus)) % modulus;
  if (!counter.armed) return;
  counter.armed = false;
  if (mode === 4 || mode === 5) setOut(counter, false);
  if (mode < 2 || past > 0) setOut(counter, true);
}

/** Mode 2: N, N-1, ... 1 and again; OUT is low while the count is 1. */
function countRate(counter: PitCounterState, ticks: number): void {
  if (counter.period === 1) return; // "a count of 1 is illegal": here OUT then stays high
  if (ticks < counter.ce) {
    counter.ce -= ticks;
    counter.out = counter.ce !== 1;
    return;
  }
  const past = ticks - counter.ce;
  counter.period = decodeCount(counter);
  counter.nullCount = false;
  counter.rises += 1 + (counter.period > 1 ? Math.floor(past / counter.period) : 0);
  counter.ce = counter.period - (past % counter.period);
  counter.out = counter.ce !== 1 || counter.period === 1;
}

/** Mode 3: down by two; OUT is high for (N+1)/2 pulses and low for (N-1)/2, or N/2 each. */
function countSquare(counter: PitCounterState, ticks: number): void {
  if (counter.period === 1) return; // as in mode 2
  const left = ticksLeftInHalf(counter);
  if (ticks < left) {
    counter.ce -= 2 * ticks;
    return;
  }
  let past = ticks - left;
  setOut(counter, !counter.out);
  counter.period = decodeCount(counter);
  counter.nullCount = false;
  if (counter.period === 1) {
    counter.ce = 0;
    setOut(counter, true);
    return;
  }
  counter.rises += Math.floor(past / counter.period);
  past %= counter.period;
  const half = halfTicks(counter);
  if (past >= half) {
    past -= half;
    setOut(counter, !counter.out);
  }
  counter.ce = evenPart(counter.period) - 2 * past;
}

function evenPart(count: number): number {
  return count - (count % 2);
}

/** Length of the half cycle that OUT is in. */
function halfTicks(counter: PitCounterState): number {
  const extra = counter.out ? counter.period % 2 : 0;
  return evenPart(counter.period) / 2 + extra;
}

function ticksLeftInHalf(counter: PitCounterState): number {
  return halfTicks(counter) - (evenPart(counter.period) - counter.ce) / 2;
}
