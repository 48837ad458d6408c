/**
 * Keyboard controller without a keyboard: ports 0x60 and 0x64. It answers its own commands and can reset the machine.
 * Invariants: at most one reply byte waits, and bit 0 of the status tells so; it never raises an interrupt;
 * bytes for a keyboard or a mouse are taken and lead to nothing, as with the plug pulled.
 * Source: IBM PC/AT Technical Reference, "Keyboard Controller" (8042).
 */
import type { AccessBytes, PortDevice } from './device.ts';

const DATA_PORT = 0x60;
const COMMAND_PORT = 0x64;
const STATUS_OUTPUT_FULL = 0x01;
const STATUS_SYSTEM = 0x04;
const STATUS_COMMAND = 0x08;
const SELF_TEST_PASSED = 0x55;
const INTERFACE_OK = 0x00;
const OUTPUT_NOT_RESET = 0x01;
const OUTPUT_A20 = 0x02;

export interface I8042State {
  /** Byte for port 0x60, -1 when none waits. */
  reply: number;
  /** The last reply: what 0x60 reads when nothing waits. */
  data: number;
  /** Command that waits for its data byte, -1 when none does. */
  pending: number;
  status: number;
  commandByte: number;
  outputPort: number;
}

function newI8042State(): I8042State {
  return { reply: -1, data: 0, pending: -1, status: 0, commandByte: 0, outputPort: OUTPUT_NOT_RESET | OUTPUT_A20 };
}

export class I8042 implements PortDevice {
  readonly name = 'i8042';
  readonly ports = [
    { first: DATA_PORT, count: 1 },
    { first: COMMAND_PORT, count: 1 },
  ];
  state = newI8042State();
  private readonly onReset: () => void;

  constructor(onReset: () => void) {
    this.onReset = onReset;
  }

  /** The controller's side of the A20 gate; port 0x92 has the other. */
  get a20Open(): boolean {
    return (this.state.outputPort & OUTPUT_A20) !== 0;
  }

  reset(): void {
    this.state = newI8042State();
  }

  readPort(port: number, _bytes: AccessBytes): number {
    const { state } = this;
    if (port === COMMAND_PORT) return state.status | (state.reply >= 0 ? STATUS_OUTPUT_FULL : 0);
    state.reply = -1;
    return state.data;
  }

  writePort(port: number, _bytes: AccessBytes, value: number): void {
    const byte = value & 0xff;
    if (port === COMMAND_PORT) {
      this.state.status |= STATUS_COMMAND;
      this.state.pending = -1;
      this.command(byte);
    } else {
      this.state.status &= ~STATUS_COMMAND;
      const { pending } = this.state;
      this.state.pending = -1;
      this.takeData(pending, byte);
    }
  }

  private command(byte: number): void {
    const { state } = this;
    switch (byte) {
      case 0x20:
        this.answer(state.commandByte);
        return;
      case 0x60: // write command byte
      case 0xd1: // write output port
      case 0xd2: // write to the output buffer as if the keyboard had sent it
        state.pending = byte;
        return;
      case 0xaa:
        state.status |= STATUS_SYSTEM;
        this.answer(SELF_TEST_PASSED);
        return;
      case 0xab:
        this.answer(INTERFACE_OK);
        return;
      case 0xad:
        state.commandByte |= 0x10;
        return;
      case 0xae:
        state.commandByte &= ~0x10;
        return;
      case 0xd0:
        this.answer(state.outputPort);
        return;
      default:
        // 0xF0-0xFF pulse the output port bits that are 0; bit 0 is the reset line. The rest needs a keyboard.
        if (byte >= 0xf0 && (byte & OUTPUT_NOT_RESET) === 0) this.onReset();
    }
  }

  private takeData(pending: number, byte: number): void {
    const { state } = this;
    if (pending === 0x60) {
      state.commandByte = byte;
      state.status = (state.status & ~STATUS_SYSTEM) | (byte & STATUS_SYSTEM); // bit 2 of both is the system flag
    } else if (pending === 0xd1) {
      state.outputPort = byte;
      if ((byte & OUTPUT_NOT_RESET) === 0) this.onReset();
    } else if (pending === 0xd2) {
      this.answer(byte);
    }
  }

  private answer(byte: number): void {
    this.state.reply = byte;
    this.state.data = byte;
  }
}
