/**
 * Keyboard controller: ports 0x60 and 0x64, a keyboard on IRQ1 and a mouse on IRQ12 (ps2.ts), and the reset line.
 * It starts as a BIOS leaves it (read on QEMU 7.2): self-test passed, translation to set 1 and keyboard interrupt on,
 * mouse port off. Bytes take no time on their wires: the next one is there as soon as the one before it was read.
 * Invariants: at most one byte is in the output buffer, bit 0 of the status tells so and bit 5 whose it is; an interrupt
 * pin is up only while a byte of its device waits there; a device whose clock is off (bits 4 and 5 of the command byte)
 * keeps its bytes.
 * Source: IBM PC/AT and PS/2 Hardware Interface Technical Reference, "Keyboard/Auxiliary Device Controller" (8042).
 */
import type { AccessBytes, IrqLine, PortDevice } from './device.ts';
import { keyboardByte, mouseByte, newKeyboard, newMouse, type Ps2State, pressKey } from './ps2.ts';
import { keystrokes, translated } from './scan-codes.ts';

const DATA_PORT = 0x60;
const COMMAND_PORT = 0x64;
const STATUS_OUTPUT_FULL = 0x01;
const STATUS_SYSTEM = 0x04;
const STATUS_COMMAND = 0x08;
const STATUS_UNLOCKED = 0x10;
const STATUS_AUX = 0x20;
const COMMAND_KEYBOARD_INTERRUPT = 0x01;
const COMMAND_AUX_INTERRUPT = 0x02;
const COMMAND_KEYBOARD_OFF = 0x10;
const COMMAND_AUX_OFF = 0x20;
const COMMAND_TRANSLATE = 0x40;
const SELF_TEST_PASSED = 0x55;
const INTERFACE_OK = 0x00;
const OUTPUT_NOT_RESET = 0x01;
const OUTPUT_A20 = 0x02;
const RELEASE_PREFIX = 0xf0;
/** Bits of the output port that are high at rest: clock and data lines of the keyboard. */
const OUTPUT_IDLE = 0xcc;
const INPUT_UNLOCKED = 0x80;

export interface I8042State {
  /** A byte waits at port 0x60. */
  full: boolean;
  /** It is the mouse's. */
  fromAux: boolean;
  /** The byte, or the last one: what 0x60 reads when nothing waits. */
  data: number;
  /** Command that waits for its data byte, -1 when none does. */
  pending: number;
  /** Bits 2 and 3 of the status register. */
  status: number;
  commandByte: number;
  outputPort: number;
  /** The keyboard has sent the prefix of a released key, in scan code set 2. */
  releasing: boolean;
  readonly keyboard: Ps2State;
  readonly mouse: Ps2State;
  /** Key events (set 1) that somebody types, in order. */
  typed: number[];
}

function newI8042State(): I8042State {
  return {
    full: false,
    fromAux: false,
    data: 0,
    pending: -1,
    status: STATUS_SYSTEM | STATUS_COMMAND,
    commandByte: COMMAND_TRANSLATE | COMMAND_AUX_OFF | COMMAND_KEYBOARD_INTERRUPT,
    outputPort: OUTPUT_IDLE | OUTPUT_NOT_RESET | OUTPUT_A20,
    releasing: false,
    keyboard: newKeyboard(),
    mouse: newMouse(),
    typed: [],
  };
}

export class I8042 implements PortDevice {
  readonly name = 'i8042';
  readonly ports = [
    { first: DATA_PORT, count: 1 },
    { first: COMMAND_PORT, count: 1 },
  ];
  state = newI8042State();
  private readonly onReset: () => void;
  private readonly keyboardIrq: IrqLine;
  private readonly mouseIrq: IrqLine;

  constructor(onReset: () => void, keyboardIrq: IrqLine, mouseIrq: IrqLine) {
    this.onReset = onReset;
    this.keyboardIrq = keyboardIrq;
    this.mouseIrq = mouseIrq;
  }

  /** The controller's side of the A20 gate; port 0x92 has the other. */
  get a20Open(): boolean {
    return (this.state.outputPort & OUTPUT_A20) !== 0;
  }

  /** Somebody types, faster than any guest reads: a key waits until the keyboard has nothing else to send. */
  type(bytes: Iterable<number>): void {
    for (const byte of bytes) this.state.typed.push(...keystrokes(String.fromCharCode(byte)));
    this.update();
  }

  reset(): void {
    this.state = newI8042State();
    this.update();
  }

  readPort(port: number, _bytes: AccessBytes): number {
    const { state } = this;
    if (port === COMMAND_PORT) {
      const full = state.full ? STATUS_OUTPUT_FULL | (state.fromAux ? STATUS_AUX : 0) : 0;
      return STATUS_UNLOCKED | state.status | full;
    }
    const { data } = state;
    state.full = false;
    this.update();
    return data;
  }

  writePort(port: number, _bytes: AccessBytes, value: number): void {
    const { state } = this;
    const byte = value & 0xff;
    if (port === COMMAND_PORT) {
      state.status |= STATUS_COMMAND;
      state.pending = -1;
      this.command(byte);
    } else {
      state.status &= ~STATUS_COMMAND;
      const { pending } = state;
      state.pending = -1;
      this.takeData(pending, byte);
    }
    this.update();
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
      case 0xd3: // the same for the mouse
      case 0xd4: // write to the mouse
        state.pending = byte;
        return;
      case 0xa7:
        state.commandByte |= COMMAND_AUX_OFF;
        return;
      case 0xa8:
        state.commandByte &= ~COMMAND_AUX_OFF;
        return;
      case 0xaa:
        state.status |= STATUS_SYSTEM;
        this.answer(SELF_TEST_PASSED);
        return;
      case 0xa9:
      case 0xab:
        this.answer(INTERFACE_OK);
        return;
      case 0xad:
        state.commandByte |= COMMAND_KEYBOARD_OFF;
        return;
      case 0xae:
        state.commandByte &= ~COMMAND_KEYBOARD_OFF;
        return;
      case 0xc0:
        this.answer(INPUT_UNLOCKED);
        return;
      case 0xd0:
        this.answer(state.outputPort);
        return;
      default:
        // 0xF0-0xFF pulse the output port bits that are 0; bit 0 is the reset line.
        if (byte >= 0xf0 && (byte & OUTPUT_NOT_RESET) === 0) this.onReset();
    }
  }

  private takeData(pending: number, byte: number): void {
    const { state } = this;
    switch (pending) {
      case 0x60:
        state.commandByte = byte;
        state.status = (state.status & ~STATUS_SYSTEM) | (byte & STATUS_SYSTEM); // bit 2 of both is the system flag
        return;
      case 0xd1:
        state.outputPort = byte;
        if ((byte & OUTPUT_NOT_RESET) === 0) this.onReset();
        return;
      case 0xd2:
        this.answer(byte);
        return;
      case 0xd3:
        this.put(byte, true);
        return;
      case 0xd4:
        state.commandByte &= ~COMMAND_AUX_OFF; // to send it, the controller turns the clock on
        mouseByte(state.mouse, byte);
        return;
      default:
        state.commandByte &= ~COMMAND_KEYBOARD_OFF;
        keyboardByte(state.keyboard, byte);
    }
  }

  /** The controller's own answer: it takes the place of what waits. */
  private answer(byte: number): void {
    this.put(byte, false);
  }

  private put(byte: number, fromAux: boolean): void {
    const { state } = this;
    state.data = byte;
    state.fromAux = fromAux;
    state.full = true;
  }

  /** Takes the next byte from a device if there is room, and sets the interrupt pins. */
  private update(): void {
    const { state } = this;
    if (!state.full) {
      // The pin falls between two bytes: each of them is an edge.
      this.keyboardIrq.lower();
      this.mouseIrq.lower();
      this.takeNext();
    }
    const isOn = (bit: number) => state.full && (state.commandByte & bit) !== 0;
    drive(this.keyboardIrq, isOn(COMMAND_KEYBOARD_INTERRUPT) && !state.fromAux);
    drive(this.mouseIrq, isOn(COMMAND_AUX_INTERRUPT) && state.fromAux);
  }

  private takeNext(): void {
    const { state } = this;
    if ((state.commandByte & COMMAND_KEYBOARD_OFF) === 0) {
      const byte = this.nextKeyboardByte();
      if (byte >= 0) {
        this.put(byte, false);
        return;
      }
    }
    if ((state.commandByte & COMMAND_AUX_OFF) !== 0) return;
    const byte = state.mouse.queue.shift();
    if (byte !== undefined) this.put(byte, true);
  }

  /** The next byte of the keyboard as the guest sees it, or -1. */
  private nextKeyboardByte(): number {
    const { state } = this;
    const { keyboard } = state;
    for (;;) {
      if (keyboard.queue.length === 0 && keyboard.enabled && state.typed.length > 0) {
        pressKey(keyboard, state.typed.shift()!);
      }
      const byte = keyboard.queue.shift();
      if (byte === undefined) return -1;
      if ((state.commandByte & COMMAND_TRANSLATE) === 0) return byte;
      if (byte !== RELEASE_PREFIX) {
        const key = translated(byte) | (state.releasing ? 0x80 : 0);
        state.releasing = false;
        return key;
      }
      state.releasing = true;
    }
  }
}

function drive(line: IrqLine, high: boolean): void {
  if (high) line.raise();
  else line.lower();
}
