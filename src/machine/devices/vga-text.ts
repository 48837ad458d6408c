/**
 * Text screen of a VGA in mode 3 (80 x 25): CRT controller 0x3D4/0x3D5 and input status 0x3DA. The characters are
 * plain RAM at 0xB8000, two bytes each, so this device sees no write to them; a tool hands them in to read the screen.
 * Invariants: CRT controller registers 0-24 read back as written; the retrace bits follow simulated time only.
 * Source: IBM VGA Technical Reference, "CRT Controller Registers", "Input Status Register 1"; code page 437.
 */
import { assert } from '../../core/errors.ts';
import type { AccessBytes, DeviceClock, PortDevice } from './device.ts';

const INDEX_PORT = 0x3d4;
const DATA_PORT = 0x3d5;
const STATUS_PORT = 0x3da;
const REGISTERS = 25;
const START_HIGH = 0x0c;
const CURSOR_HIGH = 0x0e;

export const VGA_TEXT_BASE = 0xb8000;
export const VGA_TEXT_BYTES = 0x8000;
export const VGA_COLUMNS = 80;
export const VGA_ROWS = 25;

// Mode 3 timing: 900 dots of 1/28.322 MHz per line, 449 lines per frame, 400 of them shown, sync on lines 412 and 413.
const LINE_PS = 31_777_416;
const LINES = 449;
const LINES_SHOWN = 400;
const SYNC_FIRST_LINE = 412;
const SYNC_LINES = 2;
const STATUS_BLANK = 0x01;
const STATUS_VERTICAL_SYNC = 0x08;

const CODE_PAGE_437 =
  ' ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼' +
  ' !"#$%&\'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~⌂' +
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀' +
  'αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ';

/** Registers 0-24 as a VGA BIOS programs them for mode 3 (as read on QEMU 7.2 after its BIOS), cursor at 0. */
const MODE_3 = [
  0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00, 0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f,
  0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff,
];

export interface VgaTextState {
  index: number;
  readonly crtc: number[];
}

function newVgaTextState(): VgaTextState {
  return { index: 0, crtc: [...MODE_3] };
}

export class VgaText implements PortDevice {
  readonly name = 'vga-text';
  readonly ports = [
    { first: INDEX_PORT, count: 2 },
    { first: STATUS_PORT, count: 1 },
  ];
  state = newVgaTextState();
  private readonly clock: DeviceClock;

  constructor(clock: DeviceClock) {
    this.clock = clock;
  }

  /** Character cell of the cursor, counted from the start of display memory. */
  get cursorCell(): number {
    return this.pair(CURSOR_HIGH);
  }

  /** Character cell at the top left of the screen. */
  get startCell(): number {
    return this.pair(START_HIGH);
  }

  reset(): void {
    this.state = newVgaTextState();
  }

  readPort(port: number, _bytes: AccessBytes): number {
    if (port === STATUS_PORT) return this.inputStatus();
    if (port === INDEX_PORT) return this.state.index;
    return this.state.index < REGISTERS ? this.state.crtc[this.state.index]! : 0;
  }

  writePort(port: number, _bytes: AccessBytes, value: number): void {
    if (port === INDEX_PORT) this.state.index = value & 0xff;
    else if (port === DATA_PORT && this.state.index < REGISTERS) this.state.crtc[this.state.index] = value & 0xff;
  }

  /**
   * The screen as text: 25 lines without trailing blanks, empty lines at the end dropped.
   * @param bytes the display memory from 0xB8000: a screenful, or all 32 KiB if the guest scrolls by the start address
   */
  screenText(bytes: Uint8Array): string {
    assert(bytes.length >= 2 * VGA_COLUMNS * VGA_ROWS, 'screenText needs at least 4000 bytes');
    const lines: string[] = [];
    for (let row = 0; row < VGA_ROWS; row++) {
      let line = '';
      for (let column = 0; column < VGA_COLUMNS; column++) {
        const cell = this.startCell + row * VGA_COLUMNS + column;
        line += CODE_PAGE_437[bytes[(2 * cell) % (bytes.length & ~1)]!]!;
      }
      lines.push(line.trimEnd());
    }
    return lines.join('\n').trimEnd();
  }

  private pair(high: number): number {
    return (this.state.crtc[high]! << 8) | this.state.crtc[high + 1]!;
  }

  private inputStatus(): number {
    // Lines are counted from the last whole second, so that picoseconds stay below 2^53: a frame is cut there.
    const line = Math.floor(((this.clock.now() % 1_000_000_000) * 1000) / LINE_PS) % LINES;
    const isSync = line >= SYNC_FIRST_LINE && line < SYNC_FIRST_LINE + SYNC_LINES;
    return (line >= LINES_SHOWN ? STATUS_BLANK : 0) | (isSync ? STATUS_VERTICAL_SYNC : 0);
  }
}
