/**
 * Serial port with a 16550A: COM1 at 0x3F8 on IRQ4.
 * The line is infinitely fast: a byte written is sent at once, a byte received is there at once, and the
 * character time-out comes after no time. The sender at the other end has flow control, so received bytes wait in
 * `input` while the FIFO is full, and only loopback can overrun.
 * Invariants: the interrupt pin is up iff a source that IER enables is active and loopback is off; rx holds at most 16 bytes, or 1
 * without FIFO.
 * Source: PC16550D data sheet (National Semiconductor), section 8 "Registers".
 * OUT2 gates the interrupt on an AT's serial adapter; here, as on QEMU, it does not: kernels are in use that leave it low.
 * Not modelled: parity and framing errors, break, word length (all 8 bits pass), DMA mode pins.
 */
import { type AccessBytes, type IrqLine, openBus, type PortDevice } from './device.ts';

const FIFO_BYTES = 16;
const TRIGGER_BYTES = [1, 4, 8, 14] as const;
/** A guest that looks for input this often does nothing else. */
const IDLE_POLLS_MIN = 16;
const BASE_BAUD = 115_200; // 1.8432 MHz / 16

// Registers: offset from the base port. Several share one, told apart by direction or DLAB.
const RBR_THR_DLL = 0;
const IER_DLM = 1;
const IIR_FCR = 2;
const LCR = 3;
const MCR = 4;
const LSR = 5;
const MSR = 6;
const SCR = 7;

const IER_RX = 0x01;
const IER_THRE = 0x02;
const IER_LINE = 0x04;
const IER_MODEM = 0x08;
const IIR_NONE = 0x01;
const IIR_MODEM = 0x00;
const IIR_THRE = 0x02;
const IIR_RX = 0x04;
const IIR_LINE = 0x06;
const IIR_TIMEOUT = 0x0c;
const IIR_FIFOS_ON = 0xc0;
const FCR_ENABLE = 0x01;
const FCR_RESET_RX = 0x02;
const LCR_DLAB = 0x80;
const MCR_LOOP = 0x10;
const LSR_DATA = 0x01;
const LSR_OVERRUN = 0x02;
const LSR_EMPTY = 0x60; // THRE and TEMT: nothing is ever on its way
const MSR_CTS = 0x10;
const MSR_DSR = 0x20;
const MSR_RI = 0x40;
const MSR_DCD = 0x80;
/** Modem status when a peer is connected and ready. */
const PEER_READY = MSR_CTS | MSR_DSR | MSR_DCD;

export interface UartSpec {
  readonly name: string;
  readonly firstPort: number;
}

export const COM1: UartSpec = { name: 'com1', firstPort: 0x3f8 };

export interface UartState {
  ier: number;
  fcr: number;
  lcr: number;
  mcr: number;
  scr: number;
  divisor: number;
  /** Bits 7-4 of the modem status register: levels. */
  modemLines: number;
  /** Bits 3-0: changes since the last read. */
  modemChanges: number;
  overrun: boolean;
  /** The transmitter holding register became empty and IIR has not told yet. */
  threPending: boolean;
  /** Received bytes that the guest can read. */
  rx: number[];
  /** Bytes that the peer still holds back. */
  input: number[];
  /** Reads of the line status in a row that found nothing received, with nothing sent between them. */
  idlePolls: number;
}

function newUartState(): UartState {
  return {
    ier: 0,
    fcr: 0,
    lcr: 0,
    mcr: 0,
    scr: 0,
    divisor: 12,
    modemLines: PEER_READY,
    modemChanges: 0,
    overrun: false,
    threPending: false,
    rx: [],
    input: [],
    idlePolls: 0,
  };
}

export class Uart16550 implements PortDevice {
  readonly name: string;
  readonly ports;
  readonly spec: UartSpec;
  state = newUartState();
  /** Told when the guest may have begun to wait for input: see isListening(). */
  onListening: (() => void) | null = null;
  private readonly irq: IrqLine;
  private readonly onByte: (byte: number) => void;

  /** @param onByte takes each byte that the guest sends */
  constructor(spec: UartSpec, irq: IrqLine, onByte: (byte: number) => void) {
    this.spec = spec;
    this.name = spec.name;
    this.ports = [{ first: spec.firstPort, count: 8 }];
    this.irq = irq;
    this.onByte = onByte;
  }

  /** Bits per second that the guest has set; 0 while the divisor is 0. Informative: the line takes no time. */
  get baud(): number {
    return this.state.divisor === 0 ? 0 : Math.floor(BASE_BAUD / this.state.divisor);
  }

  /** The guest waits for input: its receive interrupt is on, or it polls the line status and does nothing else. */
  isListening(): boolean {
    return (this.state.ier & IER_RX) !== 0 || this.state.idlePolls >= IDLE_POLLS_MIN;
  }

  /** Bytes arrive from the peer, and wait there while the guest's FIFO is full. */
  receive(bytes: Iterable<number>): void {
    for (const byte of bytes) this.state.input.push(byte & 0xff);
    this.refill();
    this.update();
  }

  reset(): void {
    this.state = newUartState();
    this.update();
  }

  readPort(port: number, _bytes: AccessBytes): number {
    const value = this.readRegister(port - this.spec.firstPort);
    this.update();
    return value;
  }

  writePort(port: number, _bytes: AccessBytes, value: number): void {
    this.writeRegister(port - this.spec.firstPort, value & 0xff);
    this.update();
  }

  private readRegister(register: number): number {
    const { state } = this;
    switch (register) {
      case RBR_THR_DLL:
        return this.isDlab() ? state.divisor & 0xff : this.takeReceived();
      case IER_DLM:
        return this.isDlab() ? state.divisor >> 8 : state.ier;
      case IIR_FCR:
        return this.readIir();
      case LCR:
        return state.lcr;
      case MCR:
        return state.mcr;
      case LSR: {
        const value = LSR_EMPTY | (state.rx.length > 0 ? LSR_DATA : 0) | (state.overrun ? LSR_OVERRUN : 0);
        state.overrun = false;
        this.countPoll(value);
        return value;
      }
      case MSR: {
        const value = state.modemLines | state.modemChanges;
        state.modemChanges = 0;
        return value;
      }
      case SCR:
        return state.scr;
      default:
        return openBus(1);
    }
  }

  private writeRegister(register: number, value: number): void {
    const { state } = this;
    switch (register) {
      case RBR_THR_DLL:
        if (this.isDlab()) state.divisor = (state.divisor & 0xff00) | value;
        else this.transmit(value);
        return;
      case IER_DLM:
        if (this.isDlab()) state.divisor = (state.divisor & 0xff) | (value << 8);
        else this.writeIer(value & 0x0f);
        return;
      case IIR_FCR:
        this.writeFcr(value);
        return;
      case LCR:
        state.lcr = value;
        return;
      case MCR:
        this.writeMcr(value & 0x1f);
        return;
      case SCR:
        state.scr = value;
        return;
      default: // LSR and MSR are for reading; writes are for factory tests
    }
  }

  private isDlab(): boolean {
    return (this.state.lcr & LCR_DLAB) !== 0;
  }

  private isLoopback(): boolean {
    return (this.state.mcr & MCR_LOOP) !== 0;
  }

  private isFifoOn(): boolean {
    return (this.state.fcr & FCR_ENABLE) !== 0;
  }

  private takeReceived(): number {
    const byte = this.state.rx.shift() ?? 0;
    this.refill();
    return byte;
  }

  /** Moves bytes from the peer to the receiver, as far as there is room. Loopback disconnects the peer. */
  private refill(): void {
    const { state } = this;
    if (this.isLoopback()) return;
    const room = (this.isFifoOn() ? FIFO_BYTES : 1) - state.rx.length;
    if (room > 0 && state.input.length > 0) state.rx.push(...state.input.splice(0, room));
  }

  private countPoll(lineStatus: number): void {
    const { state } = this;
    if ((lineStatus & LSR_DATA) !== 0) state.idlePolls = 0;
    else if (state.idlePolls < IDLE_POLLS_MIN && ++state.idlePolls === IDLE_POLLS_MIN) this.onListening?.();
  }

  private transmit(byte: number): void {
    this.state.idlePolls = 0;
    this.state.threPending = true; // the write clears the interrupt, and being sent at once sets it again
    if (this.isLoopback()) this.loopBack(byte);
    else this.onByte(byte);
  }

  private loopBack(byte: number): void {
    const { state } = this;
    const isFull = state.rx.length >= (this.isFifoOn() ? FIFO_BYTES : 1);
    if (isFull) state.overrun = true;
    if (!isFull) state.rx.push(byte);
    else if (!this.isFifoOn()) state.rx[0] = byte; // without FIFO the new byte destroys the old one
  }

  /** Enabling the THRE interrupt while the register is empty, and it always is, requests it at once. */
  private writeIer(value: number): void {
    const { state } = this;
    if ((value & ~state.ier & IER_THRE) !== 0) state.threPending = true;
    const begins = (value & ~state.ier & IER_RX) !== 0;
    state.ier = value;
    if (begins) this.onListening?.();
  }

  /** Bits other than 0 count only if bit 0 is 1; a change of bit 0 clears both FIFOs. */
  private writeFcr(value: number): void {
    const { state } = this;
    const isToggled = ((value ^ state.fcr) & FCR_ENABLE) !== 0;
    const isEnabled = (value & FCR_ENABLE) !== 0;
    if (isToggled || (isEnabled && (value & FCR_RESET_RX) !== 0)) state.rx = [];
    state.fcr = isEnabled ? value & 0xc9 : 0;
    this.refill();
  }

  private writeMcr(value: number): void {
    const { state } = this;
    state.mcr = value;
    const lines = this.isLoopback() ? loopedLines(value) : PEER_READY;
    const changed = lines ^ state.modemLines;
    // DCTS, DDSR, DDCD on any change; TERI only when the ring signal ends.
    const endedRing = changed & state.modemLines & MSR_RI;
    state.modemChanges |= ((changed & (MSR_CTS | MSR_DSR | MSR_DCD)) | endedRing) >> 4;
    state.modemLines = lines;
    this.refill();
  }

  /** The source that IIR names: the active and enabled one of highest priority (table of section 8.5). */
  private activeSource(): number {
    const { state } = this;
    if ((state.ier & IER_LINE) !== 0 && state.overrun) return IIR_LINE;
    if ((state.ier & IER_RX) !== 0 && state.rx.length > 0) {
      const trigger = this.isFifoOn() ? TRIGGER_BYTES[state.fcr >> 6]! : 1;
      return state.rx.length >= trigger ? IIR_RX : IIR_TIMEOUT;
    }
    if ((state.ier & IER_THRE) !== 0 && state.threPending) return IIR_THRE;
    if ((state.ier & IER_MODEM) !== 0 && state.modemChanges !== 0) return IIR_MODEM;
    return IIR_NONE;
  }

  /** Reading IIR clears the THRE interrupt, but only if it is the one named. */
  private readIir(): number {
    const source = this.activeSource();
    if (source === IIR_THRE) this.state.threPending = false;
    return source | (this.isFifoOn() ? IIR_FIFOS_ON : 0);
  }

  private update(): void {
    if (!this.isLoopback() && this.activeSource() !== IIR_NONE) this.irq.raise();
    else this.irq.lower();
  }
}

/** In loopback DTR drives DSR, RTS drives CTS, OUT1 drives RI, OUT2 drives DCD. */
function loopedLines(mcr: number): number {
  const dsr = (mcr & 0x01) !== 0 ? MSR_DSR : 0;
  const cts = (mcr & 0x02) !== 0 ? MSR_CTS : 0;
  const ri = (mcr & 0x04) !== 0 ? MSR_RI : 0;
  const dcd = (mcr & 0x08) !== 0 ? MSR_DCD : 0;
  return dsr | cts | ri | dcd;
}
