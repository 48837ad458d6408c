/**
 * State of the x87 unit: eight registers as a stack, control, status and tag words, and the pointers to the last
 * instruction; and the rules by which an instruction commits what it computed.
 * Invariants: `status` holds no TOP field (`top` does); bit n of `empty` stands for physical register n; ES and B are
 * set exactly while an unmasked exception flag is set; everything is plain data, see saveTo().
 * Source: SDM vol 1, 8.1 and 8.5 to 8.7.
 */
import { BEFORE, C1, Calc, IE, OE, SF, UE, ZE } from './calc.ts';
import { EXP_MAX, type Extended } from './number.ts';
import { VECTOR_STATE_WORDS, VectorUnit } from './vector.ts';

/** Error summary and busy: bits of the status word that follow from the flags and masks. */
const ES = 0x80;
const BUSY = 0x8000;
const FLAGS = 0x3f;
/** Bits of the control word that can be set; bit 6 always is. */
const CONTROL_WRITABLE = 0x1f3f;
const CONTROL_ALWAYS = 0x40;

const TAG_VALID = 0;
const TAG_ZERO = 1;
const TAG_SPECIAL = 2;
const TAG_EMPTY = 3;

/** Where the vector registers lie in what saveTo() writes. */
const VECTOR_STATE_AT = 34;
/** Words that saveTo() writes. */
export const FPU_STATE_WORDS = VECTOR_STATE_AT + VECTOR_STATE_WORDS;

export class Fpu {
  readonly calc = new Calc();
  // Physical registers: sign and exponent, two words of significand.
  readonly signExp = new Int32Array(8);
  readonly high = new Int32Array(8);
  readonly low = new Int32Array(8);
  status = 0;
  top = 0;
  /** After reset no register is empty, though all hold +0 (SDM vol 3, table 9-1). */
  empty = 0;
  // Last instruction and its memory operand: offset and selector, and 11 bits of opcode.
  instructionOffset = 0;
  instructionSelector = 0;
  dataOffset = 0;
  dataSelector = 0;
  opcode = 0;
  /** Input IGNNE is active: instructions go on in spite of an error that waits. Ends with the error. */
  isIgnored = false;
  /** The XMM registers, which share nothing with the stack but the way to save them. */
  readonly vector = new VectorUnit();

  // ---------------------------------------------------------------- words

  /** FNINIT: registers keep what they hold, but count as empty. */
  initialize(): void {
    this.calc.control = 0x37f;
    this.status = 0;
    this.isIgnored = false;
    this.top = 0;
    this.empty = 0xff;
    this.instructionOffset = this.instructionSelector = this.dataOffset = this.dataSelector = this.opcode = 0;
  }

  get statusWord(): number {
    return this.status | (this.top << 11);
  }

  set statusWord(value: number) {
    this.status = value & 0x47ff & ~ES;
    this.top = (value >> 11) & 7;
    this.summarize();
  }

  get controlWord(): number {
    return this.calc.control;
  }

  set controlWord(value: number) {
    this.calc.control = (value & CONTROL_WRITABLE) | CONTROL_ALWAYS;
    this.summarize();
  }

  /** Two bits per physical register, from what it holds. */
  get tagWord(): number {
    let word = 0;
    for (let n = 0; n < 8; n++) word |= this.tagOf(n) << (2 * n);
    return word;
  }

  private tagOf(n: number): number {
    if (((this.empty >> n) & 1) !== 0) return TAG_EMPTY;
    const exp = this.signExp[n]! & EXP_MAX;
    if (exp === 0) return (this.high[n]! | this.low[n]!) === 0 ? TAG_ZERO : TAG_SPECIAL;
    return exp === EXP_MAX || this.high[n]! >= 0 ? TAG_SPECIAL : TAG_VALID;
  }

  /** Only whether a register is empty is taken from a tag word; the rest follows from its content. */
  set tagWord(value: number) {
    this.empty = 0;
    for (let n = 0; n < 8; n++) if (((value >> (2 * n)) & 3) === TAG_EMPTY) this.empty |= 1 << n;
  }

  private summarize(): void {
    if ((this.status & ~this.calc.control & FLAGS) !== 0) this.status |= ES | BUSY;
    else {
      this.status &= ~(ES | BUSY);
      this.isIgnored = false;
    }
  }

  clearExceptions(): void {
    this.status &= ~(FLAGS | SF | ES | BUSY);
    this.isIgnored = false;
  }

  /** What activates IGNNE on a PC/AT does so only while FERR says that an error waits. */
  ignoreErrors(): void {
    this.isIgnored = this.isPending;
  }

  /** An unmasked exception waits to be reported. */
  get isPending(): boolean {
    return (this.status & ES) !== 0;
  }

  // ---------------------------------------------------------------- stack

  isEmpty(i: number): boolean {
    return ((this.empty >> ((this.top + i) & 7)) & 1) !== 0;
  }

  /** Takes register ST(i) apart into x. */
  load(i: number, x: Extended): void {
    const n = (this.top + i) & 7;
    x.load(this.signExp[n]!, this.high[n]!, this.low[n]!);
  }

  /** Puts x into ST(i), bits as they are. */
  store(i: number, x: Extended): void {
    this.storeBits(i, (x.sign << 15) | x.exp, x.hi, x.lo);
  }

  storeBits(i: number, signExp: number, high: number, low: number): void {
    const n = (this.top + i) & 7;
    this.signExp[n] = signExp;
    this.high[n] = high;
    this.low[n] = low;
    this.empty &= ~(1 << n);
  }

  pop(): void {
    this.empty |= 1 << this.top;
    this.top = (this.top + 1) & 7;
  }

  setEmpty(i: number): void {
    this.empty |= 1 << ((this.top + i) & 7);
  }

  /** What every MMX instruction but EMMS does to the stack: all registers valid, the first on top (SDM vol 1, 9.5). */
  enterMmx(): void {
    this.top = 0;
    this.empty = 0;
  }

  /** A write of MMX register n: sign and exponent become ones. */
  storeMmx(n: number, high: number, low: number): void {
    this.signExp[n] = 0xffff;
    this.high[n] = high;
    this.low[n] = low;
  }

  rotate(by: number): void {
    this.top = (this.top + by) & 7;
  }

  // ---------------------------------------------------------------- exceptions

  /** An operand register is empty: invalid, and the answer is the indefinite NaN. */
  stackUnderflow(): void {
    this.calc.ex |= SF;
    this.calc.invalid();
  }

  /** The register to push to is in use. */
  stackOverflow(): void {
    this.calc.ex |= SF | C1;
    this.calc.invalid();
  }

  /** The result may be written to a register: no unmasked exception was found before it was computed. */
  get mayWrite(): boolean {
    return (this.calc.ex & ~this.calc.control & BEFORE) === 0;
  }

  /** The same for a load: a denormal is loaded even if its exception is not masked, and reported. */
  get mayPush(): boolean {
    return (this.calc.ex & ~this.calc.control & (IE | ZE)) === 0;
  }

  /** The result may be written to memory. */
  get mayStore(): boolean {
    return (this.calc.ex & ~this.calc.control & (IE | OE | UE)) === 0;
  }

  /** Enters the exceptions of an operation into the status word. */
  commit(): void {
    let { ex } = this.calc;
    if (!this.mayWrite) ex &= (ex & SF) !== 0 ? BEFORE | SF | C1 : BEFORE;
    this.status = (this.status & ~C1) | ex;
    this.summarize();
  }

  // ---------------------------------------------------------------- as plain data

  saveTo(words: Int32Array): void {
    words.set(this.signExp, 0);
    words.set(this.high, 8);
    words.set(this.low, 16);
    const { instructionOffset, instructionSelector, dataOffset, dataSelector, opcode } = this;
    words.set([this.calc.control, this.status, this.top, this.empty], 24);
    words.set([instructionOffset, instructionSelector, dataOffset, dataSelector, opcode], 28);
    words[33] = this.isIgnored ? 1 : 0;
    this.vector.saveTo(words, VECTOR_STATE_AT);
  }

  restoreFrom(words: Int32Array): void {
    this.signExp.set(words.subarray(0, 8));
    this.high.set(words.subarray(8, 16));
    this.low.set(words.subarray(16, 24));
    this.calc.control = words[24]!;
    this.status = words[25]!;
    this.top = words[26]!;
    this.empty = words[27]!;
    this.instructionOffset = words[28]!;
    this.instructionSelector = words[29]!;
    this.dataOffset = words[30]!;
    this.dataSelector = words[31]!;
    this.opcode = words[32]!;
    this.isIgnored = words[33] === 1;
    this.vector.restoreFrom(words, VECTOR_STATE_AT);
  }
}
