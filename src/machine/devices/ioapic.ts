/**
 * The I/O APIC (82093AA) at 0xFEC00000: turns the level of 24 input pins into messages to local APICs.
 * Invariants: an edge on a masked pin is lost; a level-triggered entry has its remote IRR set from the message until
 * the EOI for its vector, and sends again after it if the pin is still asserted.
 * Not modelled: SMI delivery (there is no system management mode), and an INIT from a pin.
 * Source: Intel 82093AA data sheet (290566), section 3; reserved bits read as on QEMU 7.2.
 */
import type { Gpa } from '../../core/units.ts';
import type { ApicBus } from './apic-bus.ts';
import type { AccessBytes, IrqLine, MemoryDevice } from './device.ts';

export const IOAPIC_BASE: Gpa = 0xfec0_0000;
export const IOAPIC_PINS = 24;

const OFFSET_INDEX = 0x00;
const OFFSET_DATA = 0x10;
const REGISTER_ID = 0;
const REGISTER_VERSION = 1;
const REGISTER_ARBITRATION = 2;
const REGISTER_ENTRIES = 0x10;
/** Version 0x11, and the number of the last entry in bits 16-23. */
export const IOAPIC_VERSION = 0x11 | ((IOAPIC_PINS - 1) << 16);

// Low word of a redirection entry.
const ENTRY_VECTOR = 0xff;
const ENTRY_LOGICAL = 1 << 11;
const ENTRY_ACTIVE_LOW = 1 << 13;
const ENTRY_REMOTE_IRR = 1 << 14;
const ENTRY_LEVEL = 1 << 15;
const ENTRY_MASKED = 1 << 16;
/** Bits that software may write; delivery status and remote IRR are the chip's. */
const ENTRY_WRITABLE = 0x1afff;

export interface IoApicState {
  id: number;
  index: number;
  /** Low and high words of the redirection entries in turn. */
  readonly entries: Int32Array;
  /** Levels on the pins, bit per pin; bit set = the line is driven high. */
  pins: number;
}

function newState(id: number): IoApicState {
  const entries = new Int32Array(2 * IOAPIC_PINS);
  for (let pin = 0; pin < IOAPIC_PINS; pin++) entries[2 * pin] = ENTRY_MASKED;
  return { id, index: 0, entries, pins: 0 };
}

export class IoApic implements MemoryDevice {
  readonly name = 'ioapic';
  readonly page = IOAPIC_BASE;
  state: IoApicState;
  private readonly bus: ApicBus;
  private readonly bootId: number;

  /** @param id identity that the firmware gives it */
  constructor(id: number, bus: ApicBus) {
    this.bootId = id;
    this.state = newState(id);
    this.bus = bus;
    bus.listeners.push(this);
  }

  reset(): void {
    const { pins } = this.state;
    this.state = newState(this.bootId);
    this.state.pins = pins;
  }

  /** An input pin. */
  line(pin: number): IrqLine {
    return { raise: () => this.setPin(pin, true), lower: () => this.setPin(pin, false) };
  }

  /** Only aligned 32-bit accesses reach a register; other reads give 0 and other writes are dropped. */
  readMemory(offset: number, bytes: AccessBytes): number {
    if (bytes !== 4) return 0;
    if (offset === OFFSET_INDEX) return this.state.index;
    return offset === OFFSET_DATA ? this.readRegister(this.state.index) : 0;
  }

  writeMemory(offset: number, bytes: AccessBytes, value: number): void {
    // The index is 8 bits wide, and some software writes it as a byte.
    if (offset === OFFSET_INDEX) this.state.index = value & 0xff;
    else if (offset === OFFSET_DATA && bytes === 4) this.writeRegister(this.state.index, value);
  }

  endOfInterrupt(vector: number): void {
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const low = this.state.entries[2 * pin]!;
      if ((low & ENTRY_REMOTE_IRR) === 0 || (low & ENTRY_VECTOR) !== vector) continue;
      this.state.entries[2 * pin] = low & ~ENTRY_REMOTE_IRR;
      this.sendLevel(pin);
    }
  }

  private readRegister(index: number): number {
    const { state } = this;
    if (index === REGISTER_ID || index === REGISTER_ARBITRATION) return (state.id << 24) >>> 0;
    if (index === REGISTER_VERSION) return IOAPIC_VERSION;
    const word = index - REGISTER_ENTRIES;
    return word >= 0 && word < 2 * IOAPIC_PINS ? state.entries[word]! >>> 0 : 0;
  }

  private writeRegister(index: number, value: number): void {
    const { state } = this;
    if (index === REGISTER_ID) state.id = (value >>> 24) & 0x0f;
    const word = index - REGISTER_ENTRIES;
    if (word < 0 || word >= 2 * IOAPIC_PINS) return;
    if ((word & 1) !== 0) {
      state.entries[word] = value & 0xff000000;
      return;
    }
    const kept = (value & ENTRY_LEVEL) !== 0 ? state.entries[word]! & ENTRY_REMOTE_IRR : 0;
    state.entries[word] = (value & ENTRY_WRITABLE) | kept;
    this.sendLevel(word >> 1);
  }

  private setPin(pin: number, high: boolean): void {
    const { state } = this;
    const bit = 1 << pin;
    if (((state.pins & bit) !== 0) === high) return;
    state.pins ^= bit;
    const low = state.entries[2 * pin]!;
    if ((low & ENTRY_LEVEL) !== 0) this.sendLevel(pin);
    else if (this.isAsserted(pin) && (low & ENTRY_MASKED) === 0) this.send(pin);
  }

  private isAsserted(pin: number): boolean {
    const high = (this.state.pins & (1 << pin)) !== 0;
    return high !== ((this.state.entries[2 * pin]! & ENTRY_ACTIVE_LOW) !== 0);
  }

  /** Sends for a level-triggered pin if it is asserted, unmasked, and not being served. */
  private sendLevel(pin: number): void {
    const low = this.state.entries[2 * pin]!;
    if ((low & ENTRY_LEVEL) === 0 || (low & (ENTRY_MASKED | ENTRY_REMOTE_IRR)) !== 0 || !this.isAsserted(pin)) return;
    if (this.send(pin)) this.state.entries[2 * pin] = low | ENTRY_REMOTE_IRR;
  }

  private send(pin: number): boolean {
    const low = this.state.entries[2 * pin]!;
    const destination = this.state.entries[2 * pin + 1]! >>> 24;
    const message = { mode: (low >> 8) & 7, vector: low & ENTRY_VECTOR, level: (low & ENTRY_LEVEL) !== 0 };
    return this.bus.send(
      message,
      (low & ENTRY_LOGICAL) !== 0 ? { kind: 'logical', mda: destination } : { kind: 'physical', id: destination },
    );
  }
}
