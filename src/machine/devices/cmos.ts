/**
 * CMOS memory and real-time clock (MC146818): ports 0x70 (index) and 0x71 (data), interrupts on IRQ8.
 * The calendar is simulated time from a fixed epoch, so runs repeat; rtc-calendar.ts does the arithmetic.
 * Invariants: the clock registers 0-9 and 0x32 are never stored while the clock runs, but derived from
 * `offsetSeconds` and the time now; under SET (register B bit 7) they are a frozen copy that the guest may write;
 * at most one timer is pending, and none unless an enabled interrupt source has not fired since C was read.
 * reset() is power-on with an empty battery: the epoch again. An alarm nobody enabled is seen only in its second.
 * Source: Motorola MC146818 data sheet, "Registers", "Update Cycle"; IBM PC/AT Technical Reference, "CMOS RAM".
 */
import { assert } from '../../core/errors.ts';
import { type Bytes, NS_PER_SECOND, type Ns } from '../../core/units.ts';
import {
  type AccessBytes,
  type DeviceClock,
  type IrqLine,
  openBus,
  type PortDevice,
  type TimerHandle,
} from './device.ts';
import { CLOCK_REGISTERS, isClockRegister, registersToSeconds, secondsToRegisters } from './rtc-calendar.ts';

const INDEX_PORT = 0x70;
const REGISTERS = 128;
/** Seconds, minutes, hours of the alarm: each one above the clock register that it is compared with. */
const ALARM_REGISTERS = [1, 3, 5] as const;
const A = 0x0a;
const B = 0x0b;
const C = 0x0c;
const D = 0x0d;
const A_UPDATE_IN_PROGRESS = 0x80;
const A_BASE_32KHZ = 0x26; // 32.768 kHz time base, periodic rate 1024 Hz
const B_SET = 0x80;
const B_24_HOURS = 0x02;
const PERIODIC = 0x40; // in B: enable, in C: flag
const ALARM = 0x20;
const UPDATE_ENDED = 0x10;
const C_IRQ = 0x80;
const D_VALID = 0x80;
const TIME_BASE_HZ = 32_768;
/** UIP rises 244 us before an update cycle of 1984 us, at whose end the registers have changed. */
const UPDATE_NS: Ns = 2_228_000;

export interface CmosSpec {
  readonly memoryBytes: Bytes;
  /** Seconds from 2000-01-01 00:00:00 to the moment when simulated time is 0. */
  readonly epochSeconds: number;
  /** A BIOS is to start from the first disk; without it, it finds nothing to start. */
  readonly bootsFromDisk?: boolean;
}

/** 2026-01-01 00:00:00: 26 years with 7 leap days after 2000-01-01. */
export const EPOCH_2026 = (26 * 365 + 7) * 86_400;

export interface CmosState {
  index: number;
  /** All 128 bytes as stored; clock registers are current only under SET. */
  readonly registers: number[];
  /** Clock minus simulated time, in whole seconds. */
  offsetSeconds: number;
  /** Since when no interrupt flag has been collected. */
  flagsSince: Ns;
}

export class Cmos implements PortDevice {
  readonly name = 'cmos';
  readonly ports = [{ first: INDEX_PORT, count: 2 }];
  readonly spec: CmosSpec;
  state: CmosState;
  private readonly clock: DeviceClock;
  private readonly irq: IrqLine;
  private timer: TimerHandle | null = null;

  constructor(spec: CmosSpec, clock: DeviceClock, irq: IrqLine) {
    assert(Number.isSafeInteger(spec.epochSeconds) && spec.epochSeconds >= 0, 'the clock starts in 2000 or later');
    this.spec = spec;
    this.clock = clock;
    this.irq = irq;
    this.state = this.newState();
  }

  reset(): void {
    this.state = this.newState();
    this.irq.lower();
    this.rearm();
  }

  /** The shutdown byte (0x0F): what a CPU that starts again after a reset is to do. */
  get shutdownByte(): number {
    return this.state.registers[0x0f]!;
  }

  readPort(port: number, _bytes: AccessBytes): number {
    if (port === INDEX_PORT) return openBus(1); // the index is write-only
    const { index, registers } = this.state;
    if (isClockRegister(index)) return this.isSet() ? registers[index]! : this.clockRegisters()[index]!;
    if (index === A) return registers[A]! | (this.isUpdating() ? A_UPDATE_IN_PROGRESS : 0);
    if (index === C) return this.takeFlags();
    return registers[index]!;
  }

  writePort(port: number, _bytes: AccessBytes, value: number): void {
    const byte = value & 0xff;
    if (port === INDEX_PORT) {
      this.state.index = byte % REGISTERS; // bit 7 masks the NMI, of which there is none
      return;
    }
    this.collectFlags(); // what happened so far happened under the old settings
    const { index, registers } = this.state;
    if (isClockRegister(index)) {
      this.writeClock(index, byte);
    } else if (index === A) {
      registers[A] = byte & ~A_UPDATE_IN_PROGRESS;
    } else if (index === B) {
      this.writeB(byte);
    } else if (index !== C && index !== D) {
      registers[index] = byte;
    }
    this.update();
  }

  private newState(): CmosState {
    const registers = Array.from({ length: REGISTERS }, () => 0);
    registers[A] = A_BASE_32KHZ;
    registers[B] = B_24_HOURS;
    registers[D] = D_VALID;
    const word = (at: number, value: number) => {
      registers[at] = value & 0xff;
      registers[at + 1] = value >> 8;
    };
    const extendedKib = Math.max(0, Math.floor(this.spec.memoryBytes / 1024) - 1024);
    const above16MiB = Math.max(0, Math.floor(this.spec.memoryBytes / 65_536) - 256);
    registers[0x14] = 0x26; // equipment: 80-column display, PS/2 mouse, coprocessor, no floppy
    word(0x15, 640); // base memory, KiB
    word(0x17, Math.min(extendedKib, 0xffff));
    word(0x30, Math.min(extendedKib, 0xffff));
    word(0x34, Math.min(above16MiB, 0xffff)); // memory above 16 MiB in 64 KiB, as PC BIOSes keep it
    // As Bochs and QEMU tell their BIOS the order of boot devices: 2 is the first hard disk.
    if (this.spec.bootsFromDisk === true) registers[0x3d] = 0x02;
    return { index: 0, registers, offsetSeconds: this.spec.epochSeconds, flagsSince: this.clock.now() };
  }

  private isSet(): boolean {
    return (this.state.registers[B]! & B_SET) !== 0;
  }

  private seconds(): number {
    return Math.floor(this.clock.now() / NS_PER_SECOND) + this.state.offsetSeconds;
  }

  /** Registers 0-9 and the century, at their own indices, as they stand now. */
  private clockRegisters(): readonly number[] {
    return secondsToRegisters(this.seconds(), this.state.registers[B]!, this.state.registers);
  }

  private isUpdating(): boolean {
    return !this.isSet() && this.clock.now() % NS_PER_SECOND >= NS_PER_SECOND - UPDATE_NS;
  }

  /** A write to the running clock moves it; under SET it only changes the frozen copy. */
  private writeClock(index: number, byte: number): void {
    const { registers } = this.state;
    if (!this.isSet()) this.freeze();
    registers[index] = byte;
    if (!this.isSet()) this.thaw();
  }

  private writeB(byte: number): void {
    const wasSet = this.isSet();
    const willSet = (byte & B_SET) !== 0;
    if (!wasSet && willSet) this.freeze();
    // Setting SET clears UIE ("Register B", UIE).
    this.state.registers[B] = willSet ? byte & ~UPDATE_ENDED : byte;
    if (wasSet && !willSet) this.thaw();
  }

  private freeze(): void {
    const now = this.clockRegisters();
    for (const index of CLOCK_REGISTERS) this.state.registers[index] = now[index]!;
  }

  private thaw(): void {
    const { registers } = this.state;
    this.state.offsetSeconds =
      registersToSeconds(registers, registers[B]!) - Math.floor(this.clock.now() / NS_PER_SECOND);
  }

  /** When the next periodic tick after `now` comes; 0 while the rate is off. */
  private nextPeriodic(now: Ns): Ns {
    const rate = this.state.registers[A]! & 0x0f;
    if (rate === 0) return 0;
    // Rates 1 and 2 repeat 8 and 9: 256 Hz and 128 Hz.
    const hz = TIME_BASE_HZ >> ((rate < 3 ? rate + 7 : rate) - 1);
    const second = Math.floor(now / NS_PER_SECOND);
    const tick = Math.floor((((now % NS_PER_SECOND) + 1) * hz - 1) / NS_PER_SECOND) + 1;
    return second * NS_PER_SECOND + Math.floor((tick * NS_PER_SECOND) / hz);
  }

  /** Raises the flags of everything that happened since the last look, and drives the interrupt pin. */
  private update(): void {
    this.collectFlags();
    const { registers } = this.state;
    const active = registers[C]! & registers[B]! & (PERIODIC | ALARM | UPDATE_ENDED);
    if (active !== 0) this.irq.raise();
    else this.irq.lower();
    registers[C] = (registers[C]! & ~C_IRQ) | (active !== 0 ? C_IRQ : 0);
    this.rearm();
  }

  private collectFlags(): void {
    const { state } = this;
    const now = this.clock.now();
    const periodic = this.nextPeriodic(state.flagsSince);
    if (periodic !== 0 && periodic <= now) state.registers[C]! |= PERIODIC;
    const hasNewSecond = Math.floor(now / NS_PER_SECOND) > Math.floor(state.flagsSince / NS_PER_SECOND);
    if (hasNewSecond && !this.isSet()) {
      state.registers[C]! |= UPDATE_ENDED;
      if (this.isAlarmNow()) state.registers[C]! |= ALARM;
    }
    state.flagsSince = now;
  }

  /** The alarm is looked at when the clock changes; a byte of 0xC0 and above matches anything. */
  private isAlarmNow(): boolean {
    const { registers } = this.state;
    const now = this.clockRegisters();
    return ALARM_REGISTERS.every((index) => registers[index]! >= 0xc0 || registers[index] === now[index - 1]);
  }

  private takeFlags(): number {
    this.update();
    const flags = this.state.registers[C]!;
    this.state.registers[C] = 0;
    this.update();
    return flags;
  }

  /** Asks to be woken at the next event of an enabled source whose flag is still down. */
  private rearm(): void {
    if (this.timer !== null) this.clock.cancel(this.timer);
    this.timer = null;
    const { registers } = this.state;
    const now = this.clock.now();
    const wanted = registers[B]! & ~registers[C]!;
    const times: Ns[] = [];
    if ((wanted & PERIODIC) !== 0 && this.nextPeriodic(now) !== 0) times.push(this.nextPeriodic(now));
    if ((wanted & (ALARM | UPDATE_ENDED)) !== 0 && !this.isSet()) {
      times.push((Math.floor(now / NS_PER_SECOND) + 1) * NS_PER_SECOND);
    }
    if (times.length === 0) return;
    this.timer = this.clock.at(Math.min(...times), () => {
      this.timer = null;
      this.update();
    });
  }
}
