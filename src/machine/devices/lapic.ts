/**
 * The local APIC of one CPU: registers at 0xFEE00000 (or where the CPU moved them), interrupt priorities, inter-processor interrupts, timer.
 *
 *   bus, timer, LINT pins ──accept──► IRR ──priority above PPR──► CPU acknowledges ──► ISR ──EOI──► done
 *
 * The owner asks `interruptWaiting` and `nmiPending` before it enters the CPU, and takes `initPending` and
 * `startupVector` before that; `onSignal` tells it that one of them may have changed.
 * Invariants: bit v of ISR, TMR and IRR is vector v; at most one timer is pending, none when the timer is stopped;
 * while the APIC is disabled by software every LVT entry is masked.
 * Not modelled: SMI, remote read, TSC-deadline mode, x2APIC; the identity cannot be written. The delivery status of the ICR always reads idle, because messages take no time.
 * Source: SDM vol 3, chapter 10; version and number of LVT entries as on QEMU 7.2.
 */
import { type Gpa, type Hz, NS_PER_SECOND, type Ns } from '../../core/units.ts';
import {
  type ApicBus,
  type ApicDestination,
  type ApicMember,
  type ApicMessage,
  BROADCAST,
  DELIVER_EXTINT,
  DELIVER_FIXED,
  DELIVER_INIT,
  DELIVER_LOWEST,
  DELIVER_NMI,
  DELIVER_STARTUP,
} from './apic-bus.ts';
import { type AccessBytes, type DeviceClock, type MemoryDevice, openBus, type TimerHandle } from './device.ts';

export const LAPIC_BASE: Gpa = 0xfee0_0000;
/** Version 0x14 (integrated), and the number of the last LVT entry in bits 16-23. */
export const LAPIC_VERSION = 0x14 | (5 << 16);
/**
 * Input of the timer's divider. Our choice, and QEMU's: one count is one nanosecond. Kernels measure it, except teaching
 * kernels, whose constants are made for that emulator.
 */
export const LAPIC_TIMER_HZ: Hz = 1_000_000_000;

/** IA32_APIC_BASE (SDM vol 3, 10.4.4). */
export const APIC_BASE_BOOT_CPU = 1 << 8;
export const APIC_BASE_ENABLE = 1 << 11;

/** The low word of the MSR IA32_APIC_BASE: the CPU writes it, its APIC reads it. */
export interface ApicBase {
  low: number;
}

// Register offsets (SDM vol 3, table 10-1).
const ID = 0x20;
const VERSION = 0x30;
const TPR = 0x80;
const APR = 0x90;
const PPR = 0xa0;
const EOI = 0xb0;
const RRD = 0xc0;
const LDR = 0xd0;
const DFR = 0xe0;
const SVR = 0xf0;
const ISR = 0x100;
const TMR = 0x180;
const IRR = 0x200;
const ESR = 0x280;
const ICR_LOW = 0x300;
const ICR_HIGH = 0x310;
const LVT_TIMER = 0x320;
const LVT_LINT0 = 0x350;
const LVT_LINT1 = 0x360;
const LVT_ERROR = 0x370;
const TIMER_INITIAL = 0x380;
const TIMER_CURRENT = 0x390;
const TIMER_DIVIDE = 0x3e0;

const SVR_ENABLED = 1 << 8;
const LVT_MASKED = 1 << 16;
const TIMER_PERIODIC = 1 << 17;
const ICR_LOGICAL = 1 << 11;
const ICR_ASSERT = 1 << 14;
const ICR_LEVEL = 1 << 15;

const ERROR_SEND_VECTOR = 1 << 5;
const ERROR_RECEIVE_VECTOR = 1 << 6;
const ERROR_REGISTER = 1 << 7;

/** Writable bits of the LVT entries: timer, thermal, performance, LINT0, LINT1, error. */
const LVT_WRITABLE = [0x300ff, 0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff, 0x100ff];
const LVT_ENTRIES = LVT_WRITABLE.length;
/** Vectors below are the CPU's: an interrupt with one is an error. */
const VECTOR_MIN = 16;

const NO_VECTOR = -1;

/** Expirations of a periodic timer are seen at most this often: a request that waits absorbs those that follow. */
const PERIOD_NS_MIN: Ns = 1000;

export interface LapicState {
  tpr: number;
  ldr: number;
  dfr: number;
  svr: number;
  /** Errors shown by ESR, and those that its next write will show. */
  esr: number;
  errors: number;
  icrLow: number;
  icrHigh: number;
  readonly lvt: Int32Array;
  readonly isr: Int32Array;
  readonly tmr: Int32Array;
  readonly irr: Int32Array;
  timerInitial: number;
  timerDivide: number;
  /** When the count reaches 0, or a later multiple of the period; -1 while the timer is stopped. */
  timerEnd: Ns;
  /** Level of the LINT0 pin, which the 8259 pair drives on the boot CPU. */
  lint0: boolean;
  /** An external interrupt was sent by message: the 8259 pair has the vector. */
  extIntPending: boolean;
  nmiPending: boolean;
  initPending: boolean;
  /** Vector of a start-up message, or -1. */
  startupVector: number;
}

function newState(): LapicState {
  return {
    tpr: 0,
    ldr: 0,
    dfr: -1,
    svr: 0xff,
    esr: 0,
    errors: 0,
    icrLow: 0,
    icrHigh: 0,
    lvt: new Int32Array(LVT_ENTRIES).fill(LVT_MASKED),
    isr: new Int32Array(8),
    tmr: new Int32Array(8),
    irr: new Int32Array(8),
    timerInitial: 0,
    timerDivide: 0,
    timerEnd: -1,
    lint0: false,
    extIntPending: false,
    nmiPending: false,
    initPending: false,
    startupVector: NO_VECTOR,
  };
}

export interface LapicSpec {
  readonly id: number;
  /** The CPU that the firmware starts. */
  readonly isBootCpu: boolean;
}

export class Lapic implements MemoryDevice, ApicMember {
  readonly name = 'lapic';
  readonly spec: LapicSpec;
  /** Shared with the CPU, whose MSR it is. */
  readonly base: ApicBase;
  state = newState();
  /** Something that the owner has to look at may have come. */
  onSignal: () => void = () => {};
  private readonly clock: DeviceClock;
  private readonly bus: ApicBus;
  private timer: TimerHandle | null = null;

  /** @param clock the local time of its CPU */
  constructor(spec: LapicSpec, clock: DeviceClock, bus: ApicBus) {
    this.spec = spec;
    this.clock = clock;
    this.bus = bus;
    this.base = { low: 0 };
    bus.members.push(this);
    this.reset();
  }

  /** Where its registers are: RAM at the same address hides them. */
  get page(): Gpa {
    return (this.base.low & ~0xfff) >>> 0;
  }

  get id(): number {
    return this.spec.id;
  }

  get present(): boolean {
    return (this.base.low & APIC_BASE_ENABLE) !== 0;
  }

  /** Power-on. */
  reset(): void {
    this.base.low = LAPIC_BASE | APIC_BASE_ENABLE | (this.spec.isBootCpu ? APIC_BASE_BOOT_CPU : 0);
    this.init();
  }

  /** What INIT does: everything but the identity and the base register (SDM vol 3, 10.4.7.3). */
  init(): void {
    this.stopTimer();
    const { lint0 } = this.state;
    this.state = newState();
    this.state.lint0 = lint0;
  }

  /**
   * What firmware leaves behind: virtual wire mode, in which the 8259 pair interrupts the boot CPU through LINT0, and
   * LINT1 is the NMI line. The values are those of SeaBIOS.
   */
  setUpVirtualWire(): void {
    this.write(SVR, 0x1ff);
    this.write(LVT_LINT0, 0x8700);
    this.write(LVT_LINT1, 0x8400);
  }

  // ------------------------------------------------------------------ the CPU's side

  /** An interrupt may be given to the CPU if it takes interrupts. */
  get interruptWaiting(): boolean {
    return this.deliverable() >= 0 || this.externalWaiting;
  }

  /** The CPU takes an interrupt: its vector, or -1 when the 8259 pair has it. */
  acknowledge(): number {
    const vector = this.deliverable();
    if (vector < 0) {
      this.state.extIntPending = false;
      return NO_VECTOR;
    }
    clearBit(this.state.irr, vector);
    setBit(this.state.isr, vector);
    return vector;
  }

  /** The CPU takes the NMI. */
  takeNmi(): void {
    this.state.nmiPending = false;
  }

  /** The level of the 8259 pair's INT output, on the boot CPU. */
  setLint0(level: boolean): void {
    const { state } = this;
    const rose = level && !state.lint0;
    state.lint0 = level;
    if (!level) return;
    if (this.externalWaiting) this.onSignal();
    else if (rose && this.present) this.local(LVT_LINT0);
  }

  private get externalWaiting(): boolean {
    const { state } = this;
    if (!this.present) return state.lint0;
    if (state.extIntPending) return true;
    const entry = this.lvtEntry(LVT_LINT0);
    return state.lint0 && (entry & LVT_MASKED) === 0 && ((entry >> 8) & 7) === DELIVER_EXTINT;
  }

  /** The highest vector whose priority class is above the processor's, or -1. */
  private deliverable(): number {
    if (!this.present) return NO_VECTOR;
    const vector = highest(this.state.irr);
    return vector >= 0 && vector >> 4 > this.processorPriority() >> 4 ? vector : NO_VECTOR;
  }

  /** PPR (SDM vol 3, 10.8.3.1). */
  private processorPriority(): number {
    const { tpr } = this.state;
    const serving = Math.max(0, highest(this.state.isr));
    return tpr >> 4 >= serving >> 4 ? tpr : serving & 0xf0;
  }

  // ------------------------------------------------------------------ the bus's side

  get arbitrationPriority(): number {
    return this.processorPriority();
  }

  /** Whether a logical destination names this APIC: flat or cluster model (SDM vol 3, 10.6.2.2). */
  matchesLogical(mda: number): boolean {
    if (mda === BROADCAST) return true;
    const own = this.state.ldr >>> 24;
    if (this.state.dfr >>> 28 === 0xf) return (own & mda) !== 0;
    const sameCluster = mda >> 4 === own >> 4 || mda >> 4 === 0xf;
    return sameCluster && (own & mda & 0xf) !== 0;
  }

  accept(message: ApicMessage): void {
    const { state } = this;
    switch (message.mode) {
      case DELIVER_FIXED:
      case DELIVER_LOWEST:
        this.request(message.vector, message.level);
        return;
      case DELIVER_NMI:
        state.nmiPending = true;
        break;
      case DELIVER_INIT:
        state.initPending = true;
        state.startupVector = NO_VECTOR;
        break;
      case DELIVER_STARTUP:
        state.startupVector = message.vector;
        break;
      case DELIVER_EXTINT:
        state.extIntPending = true;
        break;
      default: // SMI: there is no system management mode to enter
        return;
    }
    this.onSignal();
  }

  /** A fixed interrupt arrives: kept in IRR if the APIC is enabled. */
  private request(vector: number, level: boolean): void {
    const { state } = this;
    if ((state.svr & SVR_ENABLED) === 0) return;
    if (vector < VECTOR_MIN) {
      this.error(ERROR_RECEIVE_VECTOR);
      return;
    }
    setBit(state.irr, vector);
    if (level) setBit(state.tmr, vector);
    else clearBit(state.tmr, vector);
    this.onSignal();
  }

  /** A local source fires: its LVT entry says what that means. */
  private local(entryAt: number): void {
    const entry = this.lvtEntry(entryAt);
    if ((entry & LVT_MASKED) !== 0) return;
    const hasMode = entryAt !== LVT_TIMER && entryAt !== LVT_ERROR;
    this.accept({ mode: hasMode ? (entry >> 8) & 7 : DELIVER_FIXED, vector: entry & 0xff, level: false });
  }

  private error(bit: number): void {
    const isNew = (this.state.errors & bit) === 0;
    this.state.errors |= bit;
    if (isNew) this.local(LVT_ERROR);
  }

  // ------------------------------------------------------------------ registers

  /** Registers are 32 bits at multiples of 16; narrower reads give a part of one, other bytes of the page are 0. */
  readMemory(offset: number, bytes: AccessBytes): number {
    if (!this.present) return openBus(bytes);
    const inside = offset & 0xf;
    if (inside + bytes > 4) return 0;
    const value = this.read(offset & 0xff0) >>> (8 * inside);
    return (value & openBus(bytes)) >>> 0;
  }

  /** Only whole registers can be written. */
  writeMemory(offset: number, bytes: AccessBytes, value: number): void {
    if (this.present && bytes === 4 && (offset & 0xf) === 0) this.write(offset, value);
  }

  private read(at: number): number {
    const { state } = this;
    if (at >= ISR && at < ISR + 0x80) return state.isr[(at - ISR) >> 4]!;
    if (at >= TMR && at < TMR + 0x80) return state.tmr[(at - TMR) >> 4]!;
    if (at >= IRR && at < IRR + 0x80) return state.irr[(at - IRR) >> 4]!;
    if (at >= LVT_TIMER && at <= LVT_ERROR) return this.lvtEntry(at);
    switch (at) {
      case ID:
        return this.id << 24;
      case VERSION:
        return LAPIC_VERSION;
      case TPR:
        return state.tpr;
      case APR:
      case RRD:
      case EOI:
        return 0;
      case PPR:
        return this.processorPriority();
      case LDR:
        return state.ldr;
      case DFR:
        return state.dfr;
      case SVR:
        return state.svr;
      case ESR:
        return state.esr;
      case ICR_LOW:
        return state.icrLow;
      case ICR_HIGH:
        return state.icrHigh;
      case TIMER_INITIAL:
        return state.timerInitial;
      case TIMER_CURRENT:
        return this.currentCount();
      case TIMER_DIVIDE:
        return state.timerDivide;
      default:
        this.error(ERROR_REGISTER);
        return 0;
    }
  }

  private write(at: number, value: number): void {
    const { state } = this;
    if (at >= LVT_TIMER && at <= LVT_ERROR) {
      this.writeLvt(at, value);
      return;
    }
    switch (at) {
      case TPR:
        state.tpr = value & 0xff;
        break;
      case EOI:
        this.endInService();
        break;
      case LDR:
        state.ldr = value & 0xff000000;
        break;
      case DFR:
        state.dfr = value | 0x0fffffff;
        break;
      case SVR:
        state.svr = value & 0x3ff;
        if ((value & SVR_ENABLED) === 0) for (let i = 0; i < LVT_ENTRIES; i++) state.lvt[i]! |= LVT_MASKED;
        break;
      case ESR:
        state.esr = state.errors;
        state.errors = 0;
        break;
      case ICR_LOW:
        state.icrLow = value & 0xccfff;
        this.send();
        break;
      case ICR_HIGH:
        state.icrHigh = value & 0xff000000;
        break;
      case TIMER_INITIAL:
        this.startTimer(value);
        break;
      case TIMER_DIVIDE:
        this.changeDivider(value & 0xb);
        break;
      case ID:
      case VERSION:
      case APR:
      case PPR:
      case RRD:
      case TIMER_CURRENT:
        break; // read only
      default:
        if (at < ISR || at >= IRR + 0x80) this.error(ERROR_REGISTER);
    }
    // Priorities, enables and masks decide what waits.
    if (this.interruptWaiting) this.onSignal();
  }

  private lvtEntry(at: number): number {
    return this.state.lvt[(at - LVT_TIMER) >> 4]!;
  }

  private writeLvt(at: number, value: number): void {
    const { state } = this;
    const i = (at - LVT_TIMER) >> 4;
    const disabled = (state.svr & SVR_ENABLED) === 0;
    state.lvt[i] = (value & LVT_WRITABLE[i]!) | (disabled ? LVT_MASKED : 0);
    if (at === LVT_LINT0 && state.lint0 && this.externalWaiting) this.onSignal();
  }

  private endInService(): void {
    const { state } = this;
    const vector = highest(state.isr);
    if (vector < 0) return;
    clearBit(state.isr, vector);
    if (hasBit(state.tmr, vector)) this.bus.endOfInterrupt(vector);
  }

  /** A write to the low word of the ICR sends a message (SDM vol 3, 10.6.1). */
  private send(): void {
    const { icrLow, icrHigh } = this.state;
    const mode = (icrLow >> 8) & 7;
    const vector = icrLow & 0xff;
    if ((mode === DELIVER_FIXED || mode === DELIVER_LOWEST) && vector < VECTOR_MIN) {
      this.error(ERROR_SEND_VECTOR);
      return;
    }
    // INIT level de-assert only synchronizes arbitration identities, which this bus does not need.
    if (mode === DELIVER_INIT && (icrLow & ICR_LEVEL) !== 0 && (icrLow & ICR_ASSERT) === 0) return;
    this.bus.send({ mode, vector, level: false }, this.destination(icrLow, icrHigh >>> 24), this);
  }

  private destination(icrLow: number, field: number): ApicDestination {
    switch ((icrLow >> 18) & 3) {
      case 1:
        return { kind: 'physical', id: this.id };
      case 2:
        return { kind: 'all' };
      case 3:
        return { kind: 'others', than: this.id };
      default:
        return (icrLow & ICR_LOGICAL) !== 0 ? { kind: 'logical', mda: field } : { kind: 'physical', id: field };
    }
  }

  // ------------------------------------------------------------------ timer

  /** Nanoseconds per count: the divider (SDM vol 3, figure 10-10) over the clock. */
  private get countNs(): Ns {
    const { timerDivide } = this.state;
    const code = (timerDivide & 3) | ((timerDivide & 8) >> 1);
    const divider = code === 7 ? 1 : 2 << code;
    return (divider * NS_PER_SECOND) / LAPIC_TIMER_HZ;
  }

  private get periodNs(): Ns {
    return (this.state.timerInitial >>> 0) * this.countNs;
  }

  private get isPeriodic(): boolean {
    return (this.lvtEntry(LVT_TIMER) & TIMER_PERIODIC) !== 0;
  }

  /** Counts left at the present moment. */
  private currentCount(): number {
    const { timerEnd } = this.state;
    if (timerEnd < 0) return 0;
    const left = timerEnd - this.clock.now();
    // Past its end, the event that restarts or stops it is about to come.
    if (left <= 0) return 0;
    return Math.ceil((left % this.periodNs === 0 ? this.periodNs : left % this.periodNs) / this.countNs);
  }

  private startTimer(count: number): void {
    this.stopTimer();
    const { state } = this;
    state.timerInitial = count;
    if (count === 0) return;
    this.rearm(this.clock.now() + this.periodNs);
  }

  /** A new divider takes the counts that are left with it. */
  private changeDivider(divide: number): void {
    const left = this.currentCount();
    this.state.timerDivide = divide;
    if (this.state.timerEnd < 0) return;
    this.rearm(this.clock.now() + left * this.countNs);
  }

  private stopTimer(): void {
    if (this.timer !== null) this.clock.cancel(this.timer);
    this.timer = null;
    this.state.timerEnd = -1;
  }

  private rearm(end: Ns): void {
    this.stopTimer();
    if (end < 0) return;
    this.state.timerEnd = end;
    this.timer = this.clock.at(end, () => this.expire());
  }

  private expire(): void {
    this.timer = null;
    const { state } = this;
    const end = state.timerEnd;
    state.timerEnd = -1;
    // The next period follows without a gap, whenever this event was seen.
    // Periods too short for anybody to tell apart make one event.
    const { periodNs } = this;
    if (this.isPeriodic) this.rearm(end + Math.max(1, Math.ceil(PERIOD_NS_MIN / periodNs)) * periodNs);
    this.local(LVT_TIMER);
  }
}

const hasBit = (bits: Int32Array, vector: number): boolean => ((bits[vector >> 5]! >>> (vector & 31)) & 1) !== 0;

function setBit(bits: Int32Array, vector: number): void {
  bits[vector >> 5]! |= 1 << (vector & 31);
}

function clearBit(bits: Int32Array, vector: number): void {
  bits[vector >> 5]! &= ~(1 << (vector & 31));
}

/** The highest vector that is set, or -1. */
function highest(bits: Int32Array): number {
  for (let i = 7; i >= 0; i--) if (bits[i] !== 0) return 32 * i + 31 - Math.clz32(bits[i]!);
  return NO_VECTOR;
}
