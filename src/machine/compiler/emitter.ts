/**
 * The state of one function while it is emitted, and what every instruction needs: registers in locals, operands,
 * memory through the front table, deferred flags and conditions, and the ways out.
 * Invariants:
 *   - an instruction leaves by a site only before it has changed anything, so the interpreter can execute it anew;
 *   - flags are recorded as operation and operands (layout.ts) and computed only where somebody looks;
 *   - the budget local holds cycles left (low half) and instructions retired (high half), charged block by block.
 */
import { assert } from '../../core/errors.ts';
import { PAGE_BYTES } from '../../core/units.ts';
import { BLOCK_BASES } from '../cpu-core.ts';
import { type Insn, SEG_FS, SEG_GS } from '../insn.ts';
import { codeSlot } from '../mmu.ts';
import {
  AT_BASED,
  AT_CODE_TAGS,
  AT_COUNT,
  AT_EIP,
  AT_FIRST,
  AT_FRONT,
  AT_KIND,
  AT_LEFT,
  AT_MODE,
  AT_RECORD,
  AT_SECOND,
  AT_STACK_OFFSET,
  AT_STACK_PAGE,
  DEFERRED_ADD,
  DEFERRED_DEC,
  DEFERRED_INC,
  DEFERRED_NONE,
  DEFERRED_SUB,
  NO_PAGE,
  RECORD_PAGES,
} from './layout.ts';
import { Body, I32, I64, LOAD8_U, LOAD16_U, LOAD32, LOAD64, OP, STORE8, STORE16, STORE32, STORE64 } from './wasm.ts';

/** Function indices of the imports, in the order of compiler.ts. */
export const CALL_FILL = 0;
export const CALL_INTERPRET = 1;
export const CALL_CARRIES = 2;
export const CALL_RESULT = 3;
export const CALL_INVALIDATE = 4;
export const CALL_DELIVER = 5;
export const CALL_LEAVE = 6;
export const CALL_STACK = 7;

// Locals: two parameters, then scratch.
export const L_BLOCK = 0;
export const L_NEXT = 1;
const L_REGS = 2;
export const L_KIND = 10;
export const L_FIRST = 11;
export const L_SECOND = 12;
const L_FRONT = 13;
const L_ADDRESS = 14;
const L_ENTRY = 15;
export const L_VALUE = 16;
export const L_OTHER = 17;
export const L_SITE = 18;
export const L_EIP = 19;
export const L_THIRD = 20;
/** Host byte offset minus linear address, for the page of the last access. */
const L_OFFSET = 21;
/** What to add to an address in the last page of the stack. */
const L_STACK_OFFSET = 22;
const L_BUDGET = 23;
export const L_WIDE = 24;
export const L_WIDE2 = 25;
/** Where that page begins, if it may be written, or NO_PAGE. */
const L_STACK_PAGE = 26;
export const LOCALS: readonly (readonly [number, number])[] = [
  [21, I32],
  [4, I64],
];

/** Static knowledge of the deferred flags: a deferred kind, or one of these. */
export const FLAGS_UNKNOWN = -1;
/** DEFERRED_NONE with a carry vector of zero: after AND, OR, XOR, TEST. */
export const FLAGS_LOGIC = 13;

/** A place where compiled code hands an instruction to the interpreter. */
export interface Site {
  /** Which instruction: index of the block in the region, and position in the block. */
  readonly block: number;
  readonly position: number;
  readonly eip: number;
  /** Cycles and instructions charged for it and what follows in its block. */
  readonly cycles: number;
  readonly count: number;
  /** The instruction neither reads nor writes arithmetic flags. */
  readonly keepsFlags: boolean;
  /** How often it was taken; the compiler starts a region behind hot ones. */
  hits: number;
}

const NARROW_LOAD: Readonly<Record<number, number>> = { 8: LOAD8_U, 16: LOAD16_U, 32: LOAD32 };
const NARROW_STORE: Readonly<Record<number, number>> = { 8: STORE8, 16: STORE16, 32: STORE32 };

/** Index of the width in the deferred kinds: 32, 16, 8. */
const widthIndex = (width: number): number => (width === 32 ? 0 : width === 16 ? 1 : 2);
const extendOp = (width: number): number => (width === 16 ? OP.i32extend16S : OP.i32extend8S);

const KEEPS_FLAGS = new Set(
  'MOV PUSH POP PUSHA POPA PUSHF MOVS STOS LODS CLI STI CLD STD INVLPG ENTER XLAT RDTSC PAUSE'.split(' '),
);

/** The interpreter executes it without touching the arithmetic flags, whatever its form. */
export const keepsFlags = (insn: Insn): boolean => KEEPS_FLAGS.has(insn.row.mnemonic);

export class Emitter {
  readonly body = new Body();
  readonly sites: Site[] = [];
  /** Names of the labels around the present position, innermost last. */
  readonly labels: string[] = [];

  /** What is known of the flags here. */
  flags = FLAGS_UNKNOWN;
  /** Flags that the present instruction sets may be looked at. */
  flagsNeeded = true;
  /** Ring 3 code. */
  readonly isUser: boolean;

  private insn: Insn | null = null;
  private place: Pick<Site, 'block' | 'position' | 'eip' | 'cycles' | 'count'> | null = null;
  private siteOfInsn = -1;

  /** EBP points into the stack. */
  private readonly hasFrames: boolean;

  constructor(isUser: boolean, hasFrames: boolean) {
    this.isUser = isUser;
    this.hasFrames = hasFrames;
  }

  // ------------------------------------------------------------------ labels

  /** Depth of a label as seen from here. */
  depth(label: string): number {
    const at = this.labels.lastIndexOf(label);
    assert(at >= 0, `no label ${label}`);
    return this.labels.length - 1 - at;
  }

  open(label: string, kind: 'block' | 'loop' | 'if' | 'unlikely'): void {
    this.labels.push(label);
    if (kind === 'unlikely') this.body.hintUnlikely();
    if (kind === 'block') this.body.block();
    else if (kind === 'loop') this.body.loop();
    else this.body.if();
  }

  close(): void {
    this.labels.pop();
    this.body.end();
  }

  br(label: string): void {
    this.body.br(this.depth(label));
  }

  // ------------------------------------------------------------------ state in memory

  loadState(): void {
    const { body } = this;
    for (let r = 0; r < 8; r++) {
      body.get(L_BLOCK);
      body.memory(LOAD32, 4 * r);
      body.set(L_REGS + r);
    }
    this.loadFlags();
    body.get(L_BLOCK);
    body.memory(LOAD64, AT_LEFT);
    body.set(L_BUDGET);
    body.get(L_BLOCK);
    body.memory(LOAD32, AT_FRONT);
    body.set(L_FRONT);
    this.forgetStack();
  }

  /** The front table may have changed: looks the page of the stack up again at its next access. */
  forgetStack(): void {
    this.body.i64(NO_PAGE);
    this.body.set(L_STACK_PAGE);
  }

  private loadFlags(): void {
    for (const [at, local] of [
      [AT_KIND, L_KIND],
      [AT_FIRST, L_FIRST],
      [AT_SECOND, L_SECOND],
    ] as const) {
      this.body.get(L_BLOCK);
      this.body.memory(LOAD32, at);
      this.body.set(local);
    }
  }

  storeState(): void {
    const { body } = this;
    for (let r = 0; r < 8; r++) this.storeLocal(4 * r, L_REGS + r);
    this.storeLocal(AT_KIND, L_KIND);
    this.storeLocal(AT_FIRST, L_FIRST);
    this.storeLocal(AT_SECOND, L_SECOND);
    body.get(L_BLOCK);
    body.get(L_BUDGET);
    body.memory(STORE64, AT_LEFT);
  }

  private storeLocal(at: number, local: number): void {
    this.body.get(L_BLOCK);
    this.body.get(local);
    this.body.memory(STORE32, at);
  }

  // ------------------------------------------------------------------ ways out

  /** Starts instruction `position` of a block: `cycles` and `count` are what the block is charged from here on. */
  begin(insn: Insn, place: Pick<Site, 'block' | 'position' | 'eip' | 'cycles' | 'count'>): void {
    this.insn = insn;
    this.place = place;
    this.siteOfInsn = -1;
  }

  /** Number of the present instruction's site. */
  private site(): number {
    if (this.siteOfInsn < 0) {
      this.siteOfInsn = this.sites.length;
      this.sites.push({ ...this.place!, keepsFlags: keepsFlags(this.insn!), hits: 0 });
    }
    return this.siteOfInsn;
  }

  /** Leaves before the present instruction, for the interpreter to execute it. */
  exitHere(): void {
    this.body.i32(this.site() + 1);
    this.body.set(L_SITE);
    this.br('exit');
  }

  /** Leaves to continue at a constant address. */
  exitTo(eip: number): void {
    this.body.i32(eip);
    this.body.set(L_EIP);
    this.br('leave');
  }

  /** Pushes the cycles (i64) that are left behind the present instruction. */
  pushCyclesLeft(): void {
    const { body } = this;
    body.get(L_BUDGET);
    body.i64(0xffffffffn);
    body.op(OP.i64and);
    body.i64(BigInt(this.place!.cycles - this.insn!.cycles));
    body.op(OP.i64add);
  }

  /** Leaves behind the present instruction, which is complete, giving back what the rest of its block was charged. */
  leaveBehind(): void {
    const { body } = this;
    const { eip, cycles, count } = this.place!;
    const { length, cycles: own, counts } = this.insn!;
    body.get(L_BUDGET);
    body.i64(BigInt(cycles - own) - (BigInt(count - counts) << 32n));
    body.op(OP.i64add);
    body.set(L_BUDGET);
    this.exitTo((eip + length) | 0);
  }

  /** Lets the interpreter execute the present instruction, and goes on behind it if nothing special came of it. */
  interpretHere(): void {
    const { body } = this;
    this.storeState();
    body.i32(this.site());
    body.call(CALL_INTERPRET);
    body.tee(L_SITE);
    this.open('', 'unlikely');
    body.i32(1);
    body.get(L_SITE);
    body.op(OP.i32sub);
    body.op(OP.return);
    this.close();
    this.loadState();
    if (!keepsFlags(this.insn!)) this.flags = DEFERRED_NONE;
  }

  /** Charges a block; leaves by the site of its first instruction if the budget does not cover it. */
  charge(cycles: number, count: number): void {
    const { body } = this;
    body.get(L_BUDGET);
    body.i64((BigInt(count) << 32n) - BigInt(cycles));
    body.op(OP.i64add);
    body.tee(L_BUDGET);
    body.op(OP.i32wrap);
    body.with(0, OP.i32ltS);
    this.open('', 'unlikely');
    this.exitHere();
    this.close();
  }

  /** Leaves to `eip` unless the instruction TLB's front holds its page, which is page `number` of the region. */
  checkPage(eip: number, number: number): void {
    const { body } = this;
    const page = eip >>> 12;
    body.get(L_BLOCK);
    body.memory(LOAD32, AT_CODE_TAGS);
    body.tee(L_ENTRY);
    body.memory(LOAD32, codeSlot(page) * 8);
    body.get(L_BLOCK);
    body.memory(LOAD32, AT_MODE);
    body.with(page << 2, OP.i32or);
    body.op(OP.i32ne);
    body.get(L_ENTRY);
    body.memory(LOAD32, codeSlot(page) * 8 + 4);
    body.get(L_BLOCK);
    body.memory(LOAD32, AT_RECORD);
    body.memory(LOAD32, RECORD_PAGES + 4 * number);
    body.op(OP.i32ne);
    body.op(OP.i32or);
    this.open('', 'unlikely');
    this.exitTo(eip);
    this.close();
  }

  // ------------------------------------------------------------------ registers

  /** Pushes a general register, zero-extended. `index` is that of the register view of its width (insn.ts). */
  getReg(width: number, index: number): void {
    const { body } = this;
    if (width === 32) {
      body.get(L_REGS + index);
      return;
    }
    body.get(L_REGS + (width === 16 ? index >> 1 : index >> 2));
    if (width === 8 && (index & 1) !== 0) body.with(8, OP.i32shrU);
    body.with(width === 16 ? 0xffff : 0xff, OP.i32and);
  }

  /** Pops a value into a general register; bits above the width do not matter. */
  setReg(width: number, index: number): void {
    const { body } = this;
    if (width === 32) {
      body.set(L_REGS + index);
      return;
    }
    const register = L_REGS + (width === 16 ? index >> 1 : index >> 2);
    const high = width === 8 && (index & 1) !== 0;
    body.with(width === 16 ? 0xffff : 0xff, OP.i32and);
    if (high) body.with(8, OP.i32shl);
    body.get(register);
    body.with(width === 16 ? ~0xffff : high ? ~0xff00 : ~0xff, OP.i32and);
    body.op(OP.i32or);
    body.set(register);
  }

  // ------------------------------------------------------------------ memory

  /** Pushes the linear address of the ModRM operand. Through FS and GS it leaves if there could be a limit to check. */
  address(insn: Insn): void {
    this.offset(insn);
    if (insn.seg !== SEG_FS && insn.seg !== SEG_GS) return;
    const { body } = this;
    // An operand that wraps around at 4 GiB is beyond the limit too.
    body.tee(L_ENTRY);
    body.with(-4, OP.i32gtU);
    body.get(L_BLOCK);
    body.memory(LOAD32, AT_BASED);
    body.with(1 << (insn.seg - SEG_FS), OP.i32and);
    body.op(OP.i32eqz);
    body.op(OP.i32or);
    this.open('', 'unlikely');
    this.exitHere();
    this.close();
    body.get(L_ENTRY);
    body.get(L_BLOCK);
    body.memory(LOAD32, BLOCK_BASES + 4 * insn.seg);
    body.op(OP.i32add);
  }

  /** Pushes the offset of the ModRM operand in its segment. */
  offset(insn: Insn): void {
    const { body } = this;
    let terms = 0;
    if (insn.base !== 8) {
      body.get(L_REGS + insn.base);
      terms++;
    }
    if (insn.index !== 8) {
      body.get(L_REGS + insn.index);
      if (insn.scale !== 0) body.with(insn.scale, OP.i32shl);
      if (terms++ > 0) body.op(OP.i32add);
    }
    if (insn.disp !== 0 || terms === 0) {
      body.i32(insn.disp);
      if (terms > 0) body.op(OP.i32add);
    }
    if (insn.addressMask !== -1) body.with(insn.addressMask, OP.i32and);
  }

  /** Makes sure that `width` bits at the ModRM operand may be read (or written), as access() does. */
  accessOperand(insn: Insn, width: number, write: boolean): void {
    this.address(insn);
    const onStack = insn.base === 4 || (insn.base === 5 && this.hasFrames);
    if (onStack) this.accessStack(width, write);
    else this.access(width, write);
  }

  /** access() to what is most often the same page as the last time. */
  accessStack(width: number, write: boolean): void {
    const { body } = this;
    body.tee(L_ADDRESS);
    body.op(OP.i64extendU);
    body.get(L_STACK_PAGE);
    body.op(OP.i64sub);
    body.i64(BigInt(PAGE_BYTES - width / 8));
    body.op(OP.i64gtU);
    this.open('', 'unlikely');
    body.get(L_BLOCK);
    this.fill(CALL_STACK, width, write);
    body.get(L_BLOCK);
    body.memory(LOAD64, AT_STACK_PAGE);
    body.set(L_STACK_PAGE);
    body.get(L_BLOCK);
    body.memory(LOAD32, AT_STACK_OFFSET);
    body.set(L_STACK_OFFSET);
    this.close();
    body.copy(L_OFFSET, L_STACK_OFFSET);
  }

  /**
   * Pops a linear address and makes sure that `width` bits there may be read (or written) directly; otherwise asks for
   * the translation, and leaves if that is more than a plain TLB miss. Then load() and store() may follow.
   */
  access(width: number, write: boolean): void {
    const { body } = this;
    body.tee(L_ADDRESS);
    body.with(8, OP.i32shrU);
    body.with(0x3ff0, OP.i32and);
    body.get(L_FRONT);
    body.op(OP.i32add);
    body.tee(L_ENTRY);
    body.memory(LOAD32, write ? 4 : 0);
    body.get(L_ADDRESS);
    if (width > 8) body.with(width / 8 - 1, OP.i32add);
    body.with(~0xfff, OP.i32and);
    body.op(OP.i32ne);
    this.open('', 'unlikely');
    this.fill(CALL_FILL, width, write);
    // What came in may have pushed the stack's page out.
    this.forgetStack();
    this.close();
    body.get(L_ENTRY);
    body.memory(LOAD32, 8);
    body.set(L_OFFSET);
  }

  /** Asks the run time for the page at L_ADDRESS; leaves if it has none. */
  private fill(helper: number, width: number, write: boolean): void {
    const { body } = this;
    body.get(L_ADDRESS);
    body.i32((write ? 2 : 0) | (width << 8));
    body.get(L_BUDGET);
    body.op(OP.i32wrap);
    body.call(helper);
    body.tee(L_SITE);
    body.with(0, OP.i32ltS);
    this.open('', 'if');
    this.exitHere();
    this.close();
    body.get(L_BUDGET);
    body.i64(-0x100000000n);
    body.op(OP.i64and);
    body.get(L_SITE);
    body.op(OP.i64extendU);
    body.op(OP.i64or);
    body.set(L_BUDGET);
  }

  /** Pushes the host address of the last access(). */
  private pushHost(): void {
    this.body.get(L_ADDRESS);
    this.body.get(L_OFFSET);
    this.body.op(OP.i32add);
  }

  /** Pushes the value at the last access(), zero-extended. */
  load(width: number): void {
    this.pushHost();
    this.body.memory(NARROW_LOAD[width]!, 0);
  }

  /** Stores at the last access() what `value` pushes. */
  store(width: number, value: () => void): void {
    this.pushHost();
    value();
    this.body.memory(NARROW_STORE[width]!, 0);
  }

  /** Pushes the 32-bit word `offset` bytes into the last access(). */
  loadAt(offset: number): void {
    this.pushHost();
    this.body.memory(LOAD32, offset);
  }

  /** Stores what `value` pushes as a 32-bit word `offset` bytes into the last access(). */
  storeAt(offset: number, value: () => void): void {
    this.pushHost();
    value();
    this.body.memory(STORE32, offset);
  }

  /** Pushes the linear address of the last access(). */
  lastAddress(): void {
    this.body.get(L_ADDRESS);
  }

  // ------------------------------------------------------------------ flags

  /** Pops the value on the stack, sign-extended from `width`, as the result of an operation without carries. */
  setLogicFlags(width: number): void {
    const { body } = this;
    if (width !== 32) body.op(extendOp(width));
    body.set(L_FIRST);
    body.i32(0);
    body.set(L_SECOND);
    body.i32(DEFERRED_NONE);
    body.set(L_KIND);
    this.flags = FLAGS_LOGIC;
  }

  /** The operands are in L_FIRST and L_SECOND (zero-extended); `base` is one of DEFERRED_*. */
  setDeferred(base: number, width: number): void {
    this.flags = base + widthIndex(width);
    this.body.i32(this.flags);
    this.body.set(L_KIND);
  }

  /** The result (sign-extended) is in L_FIRST and the carry vector in L_SECOND. */
  setExplicit(): void {
    this.body.i32(DEFERRED_NONE);
    this.body.set(L_KIND);
    this.flags = DEFERRED_NONE;
  }

  /** Pushes the carry vector (flags.ts: flagAux). */
  pushCarries(): void {
    const { body } = this;
    if (this.flags === FLAGS_LOGIC) body.i32(0);
    else if (this.flags === DEFERRED_NONE) body.get(L_SECOND);
    else this.callHelper(CALL_CARRIES);
  }

  /** Pushes the result (flags.ts: flagRes). */
  pushResult(): void {
    if (this.flags === FLAGS_LOGIC || this.flags === DEFERRED_NONE) this.body.get(L_FIRST);
    else this.callHelper(CALL_RESULT);
  }

  private callHelper(index: number): void {
    this.body.get(L_KIND);
    this.body.get(L_FIRST);
    this.body.get(L_SECOND);
    this.body.call(index);
  }

  /** Pushes CF as 0 or 1. */
  pushCarry(): void {
    this.condition(2);
  }

  /** Pushes CF in bit 31 of a word that is zero otherwise: what INC and DEC keep as their second operand. */
  pushKeptCarry(): void {
    const { body, flags } = this;
    if (flags >= DEFERRED_INC && flags < FLAGS_LOGIC) body.get(L_SECOND);
    else if (flags === DEFERRED_NONE) {
      body.get(L_SECOND);
      body.with(0x80000000 | 0, OP.i32and);
    } else if (flags === FLAGS_UNKNOWN) {
      // In a loop that counts down it is most often another DEC that came before.
      body.get(L_KIND);
      body.with(DEFERRED_INC, OP.i32geU);
      body.if(I32);
      body.get(L_SECOND);
      body.else();
      this.callHelper(CALL_CARRIES);
      body.with(0x80000000 | 0, OP.i32and);
      body.end();
    } else {
      this.pushCarry();
      body.with(31, OP.i32shl);
    }
  }

  /** Pushes 1 if condition `cc` (0-15, as in Jcc) holds, else 0. */
  condition(cc: number): void {
    const { body, flags } = this;
    const positive = cc & ~1;
    if (flags === FLAGS_LOGIC) this.logicCondition(positive);
    else if (flags >= DEFERRED_SUB && flags < DEFERRED_INC) this.compareCondition(positive, flags - DEFERRED_SUB);
    else if (flags === DEFERRED_DEC || flags === DEFERRED_INC) this.stepCondition(positive, flags === DEFERRED_DEC);
    else if (flags === DEFERRED_ADD && (positive === 2 || positive === 4 || positive === 8))
      this.addCondition(positive);
    else this.generalCondition(positive);
    if ((cc & 1) !== 0) body.op(OP.i32eqz);
  }

  /** Carry and overflow are clear. */
  private logicCondition(cc: number): void {
    const { body } = this;
    switch (cc) {
      case 0:
      case 2:
        body.i32(0);
        return;
      case 4:
      case 6:
        body.get(L_FIRST);
        body.op(OP.i32eqz);
        return;
      case 8:
      case 12:
        body.get(L_FIRST);
        body.with(0, OP.i32ltS);
        return;
      case 14:
        body.get(L_FIRST);
        body.with(0, OP.i32leS);
        return;
      default:
        this.parity(() => body.get(L_FIRST));
    }
  }

  private parity(value: () => void): void {
    value();
    this.body.with(0xff, OP.i32and);
    this.body.op(OP.i32popcnt);
    this.body.with(1, OP.i32and);
    this.body.op(OP.i32eqz);
  }

  /** After CMP and SUB: the operands compare directly. */
  private compareCondition(cc: number, index: number): void {
    const { body } = this;
    const width = [32, 16, 8][index]!;
    const both = (signed: boolean): void => {
      for (const local of [L_FIRST, L_SECOND]) {
        body.get(local);
        if (signed && width !== 32) body.op(extendOp(width));
      }
    };
    const difference = (): void => {
      both(false);
      body.op(OP.i32sub);
      if (width !== 32) body.op(extendOp(width));
    };
    switch (cc) {
      case 0:
        // Operands of different sign, and the sign of the difference is not that of the first.
        both(true);
        body.op(OP.i32xor);
        difference();
        body.get(L_FIRST);
        if (width !== 32) body.op(extendOp(width));
        body.op(OP.i32xor);
        body.op(OP.i32and);
        body.with(0, OP.i32ltS);
        return;
      case 2:
        both(false);
        body.op(OP.i32ltU);
        return;
      case 4:
        both(false);
        body.op(OP.i32eq);
        return;
      case 6:
        both(false);
        body.op(OP.i32leU);
        return;
      case 8:
        difference();
        body.with(0, OP.i32ltS);
        return;
      case 10:
        this.parity(difference);
        return;
      case 12:
        both(true);
        body.op(OP.i32ltS);
        return;
      default:
        both(true);
        body.op(OP.i32leS);
    }
  }

  /** After a 32-bit INC or DEC of L_FIRST; the carry is bit 31 of L_SECOND. */
  private stepCondition(cc: number, isDec: boolean): void {
    const { body } = this;
    const step = isDec ? 1 : -1;
    const result = (): void => {
      body.get(L_FIRST);
      body.with(step, OP.i32sub);
    };
    body.get(cc === 2 ? L_SECOND : L_FIRST);
    switch (cc) {
      case 0:
        body.with(isDec ? -0x80000000 : 0x7fffffff, OP.i32eq);
        return;
      case 2:
        body.with(0, OP.i32ltS);
        return;
      case 4:
        body.with(step, OP.i32eq);
        return;
      case 6:
        body.with(step, OP.i32eq);
        body.get(L_SECOND);
        body.with(0, OP.i32ltS);
        body.op(OP.i32or);
        return;
      case 8:
        body.with(step, OP.i32sub);
        body.with(0, OP.i32ltS);
        return;
      case 10:
        body.op(OP.drop);
        this.parity(result);
        return;
      case 12:
        body.with(step, OP.i32ltS);
        return;
      default:
        body.with(step, OP.i32leS);
    }
  }

  private addCondition(cc: number): void {
    const { body } = this;
    body.get(L_FIRST);
    body.get(L_SECOND);
    body.op(OP.i32add);
    if (cc === 4) body.op(OP.i32eqz);
    else if (cc === 8) body.with(0, OP.i32ltS);
    else {
      body.get(L_FIRST);
      body.op(OP.i32ltU);
    }
  }

  /** From result and carry vector, as flags.ts defines them. */
  private generalCondition(cc: number): void {
    const { body } = this;
    const carries = (): void => body.get(L_OTHER);
    const result = (): void => body.get(L_THIRD);
    const overflow = (): void => {
      carries();
      carries();
      body.with(1, OP.i32shl);
      body.op(OP.i32xor);
    };
    const sign = (): void => {
      result();
      carries();
      body.with(31, OP.i32shl);
      body.op(OP.i32xor);
    };
    const less = (): void => {
      sign();
      overflow();
      body.op(OP.i32xor);
      body.with(0, OP.i32ltS);
    };
    if (cc !== 4) {
      this.pushCarries();
      body.set(L_OTHER);
    }
    if (cc !== 0 && cc !== 2) {
      this.pushResult();
      body.set(L_THIRD);
    }
    switch (cc) {
      case 0:
        overflow();
        body.with(0, OP.i32ltS);
        return;
      case 2:
        carries();
        body.with(0, OP.i32ltS);
        return;
      case 4:
        result();
        body.op(OP.i32eqz);
        return;
      case 6:
        carries();
        body.with(0, OP.i32ltS);
        result();
        body.op(OP.i32eqz);
        body.op(OP.i32or);
        return;
      case 8:
        sign();
        body.with(0, OP.i32ltS);
        return;
      case 10:
        this.parity(() => {
          result();
          carries();
          body.with(8, OP.i32shrS);
          body.op(OP.i32xor);
        });
        return;
      case 12:
        less();
        return;
      default:
        less();
        result();
        body.op(OP.i32eqz);
        body.op(OP.i32or);
    }
  }

  /** The end of every function: state to memory, and the site. L_SITE is 0 when EIP says where to go on. */
  epilogue(): void {
    this.storeState();
    this.storeLocal(AT_EIP, L_EIP);
    this.body.get(L_SITE);
  }
}

/** AT_COUNT is written by the 64-bit store of the budget. */
export const BUDGET_HIGH_AT = AT_COUNT;
