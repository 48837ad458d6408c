/**
 * What every device of the emulated PC is: a set of I/O ports or a page of guest-physical memory, plain state, and
 * neighbours given to the constructor.
 * Invariants: port values are unsigned on this interface; any access of any size with any value is answered,
 * never thrown at; `state` is plain data (structuredClone copies it), everything else is spec or neighbour;
 * reset() gives the same state as a new device.
 * Source: the ISA bus as the IBM PC/AT Technical Reference describes it.
 */
import type { Gpa, Ns } from '../../core/units.ts';

/** Names one timer of a DeviceClock. Only its owner looks inside. */
export type TimerHandle = object;

/** What a device may ask of time. Times are engine nanoseconds. The owner decides whose time it is. */
export interface DeviceClock {
  now(): Ns;
  /** Calls `action` once at `time`, which is not earlier than now. Equal times run in the order asked for. */
  at(time: Ns, action: () => void): TimerHandle;
  cancel(timer: TimerHandle): void;
}

/** One input pin of the interrupt controller. Both calls set a level, so repeating one changes nothing. */
export interface IrqLine {
  raise(): void;
  lower(): void;
}

/** Bytes that one access moves. */
export type AccessBytes = 1 | 2 | 4;

export interface PortRange {
  readonly first: number;
  readonly count: number;
  /** Widest access that the device takes in one piece; the bus splits wider ones. 1 unless told. */
  readonly widestBytes?: AccessBytes;
}

export interface PortDevice {
  /** Lower case, unique on its bus: a key in results. */
  readonly name: string;
  readonly ports: readonly PortRange[];
  readonly state: object;
  reset(): void;
  readPort(port: number, bytes: AccessBytes): number;
  writePort(port: number, bytes: AccessBytes, value: number): void;
}

/**
 * A device with registers in guest-physical memory. Offsets count from the start of its page; an access may be of any
 * size at any offset (the page's end excepted), and what the device cannot do with it is the device's to say.
 */
export interface MemoryDevice {
  /** Lower case, unique among the memory-mapped devices of its machine. */
  readonly name: string;
  /** Its page: a multiple of 4096. */
  readonly page: Gpa;
  readonly state: object;
  reset(): void;
  readMemory(offset: number, bytes: AccessBytes): number;
  writeMemory(offset: number, bytes: AccessBytes, value: number): void;
}

/** What a read returns where nothing drives the bus: all ones. */
export function openBus(bytes: AccessBytes): number {
  return bytes === 4 ? 0xffff_ffff : bytes === 2 ? 0xffff : 0xff;
}
