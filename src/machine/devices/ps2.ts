/**
 * The two devices behind the keyboard controller: an AT keyboard and a PS/2 mouse that nobody moves. They take command
 * bytes and queue their answers.
 * Invariants: each command byte is answered with 0xFA (or 0xFE if it is not known, 0xEE for an echo); a queue holds at
 * most QUEUE_BYTES: what comes beyond is lost, as in the device's own buffer.
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboards" and "Auxiliary Device".
 */
import { toSet2 } from './scan-codes.ts';

const ACK = 0xfa;
const RESEND = 0xfe;
const SELF_TEST_PASSED = 0xaa;
const QUEUE_BYTES = 64;
/** No command waits for its parameter. */
const NONE = -1;

export interface Ps2State {
  /** Bytes on their way to the controller. */
  readonly queue: number[];
  /** Command that waits for a parameter. */
  pending: number;
  enabled: boolean;
  /** Scan code set of the keyboard. */
  set: number;
  leds: number;
  resolution: number;
  rate: number;
}

/** A keyboard after its self-test: it scans. */
export function newKeyboard(): Ps2State {
  return { queue: [], pending: NONE, enabled: true, set: 2, leds: 0, resolution: 0, rate: 0 };
}

/** A mouse after its self-test: it reports nothing until it is enabled. */
export function newMouse(): Ps2State {
  return { queue: [], pending: NONE, enabled: false, set: 0, leds: 0, resolution: 2, rate: 100 };
}

function answer(state: Ps2State, ...bytes: number[]): void {
  for (const byte of bytes) if (state.queue.length < QUEUE_BYTES) state.queue.push(byte);
}

/** A key event in set 1, as the layout tables have it; the keyboard sends it in the set in force. */
export function pressKey(state: Ps2State, set1: number): void {
  if (state.enabled) answer(state, ...(state.set === 1 ? [set1] : toSet2(set1)));
}

/** A byte from the controller to the keyboard. */
export function keyboardByte(state: Ps2State, byte: number): void {
  const { pending } = state;
  state.pending = NONE;
  if (pending !== NONE) {
    keyboardParameter(state, pending, byte);
    return;
  }
  switch (byte) {
    case 0xed: // set LEDs
    case 0xf0: // scan code set
    case 0xf3: // typematic rate
      state.pending = byte;
      answer(state, ACK);
      return;
    case 0xee:
      answer(state, 0xee);
      return;
    case 0xf2: // identify: an MF II keyboard
      answer(state, ACK, 0xab, 0x83);
      return;
    case 0xf4:
      state.enabled = true;
      answer(state, ACK);
      return;
    case 0xf5: // defaults, and no scanning
    case 0xf6:
      Object.assign(state, newKeyboard(), { queue: [], enabled: byte === 0xf6 });
      answer(state, ACK);
      return;
    case 0xff:
      Object.assign(state, newKeyboard(), { queue: [] });
      answer(state, ACK, SELF_TEST_PASSED);
      return;
    default:
      // 0xF7-0xFD set key types of scan code set 3: taken, without effect.
      answer(state, byte >= 0xf7 && byte <= 0xfd ? ACK : RESEND);
  }
}

function keyboardParameter(state: Ps2State, command: number, byte: number): void {
  if (command === 0xed) state.leds = byte & 7;
  if (command === 0xf0 && byte === 0) {
    answer(state, ACK, state.set);
    return;
  }
  if (command === 0xf0 && (byte === 1 || byte === 2)) state.set = byte;
  answer(state, command === 0xf0 && byte > 2 ? RESEND : ACK);
}

/** A byte from the controller to the mouse. */
export function mouseByte(state: Ps2State, byte: number): void {
  const { pending } = state;
  state.pending = NONE;
  if (pending === 0xe8 || pending === 0xf3) {
    if (pending === 0xe8) state.resolution = byte & 3;
    else state.rate = byte;
    answer(state, ACK);
    return;
  }
  switch (byte) {
    case 0xe8: // resolution
    case 0xf3: // sample rate
      state.pending = byte;
      answer(state, ACK);
      return;
    case 0xe9: // status
      answer(state, ACK, state.enabled ? 0x20 : 0, state.resolution, state.rate);
      return;
    case 0xeb: // read data: no button, no movement
      answer(state, ACK, 0x08, 0, 0);
      return;
    case 0xf2: // identify: a standard mouse
      answer(state, ACK, 0x00);
      return;
    case 0xf4:
      state.enabled = true;
      answer(state, ACK);
      return;
    case 0xf5:
      state.enabled = false;
      answer(state, ACK);
      return;
    case 0xf6:
      Object.assign(state, newMouse(), { queue: [] });
      answer(state, ACK);
      return;
    case 0xff:
      Object.assign(state, newMouse(), { queue: [] });
      answer(state, ACK, SELF_TEST_PASSED, 0x00);
      return;
    case 0xe6: // scaling 1:1 and 2:1, stream, wrap and remote modes: no difference for a mouse at rest
    case 0xe7:
    case 0xea:
    case 0xec:
    case 0xee:
    case 0xf0:
      answer(state, ACK);
      return;
    default:
      answer(state, RESEND);
  }
}
