/**
 * Random programs: blocks of random instructions of the ISA table that jump, call and loop among each other, change
 * their own code, fault, and come back to a landing that sets pointers up again.
 * Invariants: a program depends on its random stream only; an item can be emptied without moving what labels name, so
 * a program that shows a defect can be made smaller.
 */
import type { RandomStream } from '../../src/core/rng.ts';
import { CONDITION_NAMES } from '../../src/machine/flags.ts';
import type { Row } from '../../src/machine/isa/row.ts';
import { ISA } from '../../src/machine/isa/table.ts';
import { littleEndian } from '../oracle/draft.ts';
import { shiftCount, valueIn } from '../oracle/values.ts';
import {
  CODE_ALIAS,
  CODE_AT,
  CODE_BYTES,
  DATA_ALIAS,
  DATA_AT,
  DATA_PAGES,
  DATA_RW_PAGES,
  DIRECTORIES,
  KERNEL_AT,
  LARGE_AT,
  LOW_AT,
  SEL_ABSENT,
  SEL_CODE16,
  SEL_DATA,
  SEL_ODD,
  STACK_AT,
  STACK_MIDDLE,
  TABLES_AT,
  VECTOR_CALL,
  VECTOR_INNER,
} from './world.ts';

/** Names a place in the program: an item of a block. */
interface Label {
  readonly block: number;
  readonly item: number;
}

/** A reference from machine code to a label, filled in when places are known. */
interface Fix {
  /** Position in the bytes of the item. */
  readonly at: number;
  readonly kind: 'relative8' | 'relative32' | 'absolute';
  readonly to: Label;
  /** Added to the address: bytes into the item, or to its alias. */
  readonly plus: number;
}

export interface Item {
  readonly bytes: readonly number[];
  readonly fix: Fix | null;
}

export interface Program {
  readonly ring: number;
  readonly truncated: boolean;
  /** CR0.AM is set. */
  readonly alignment: boolean;
  readonly intercepts: number;
  readonly blocks: readonly (readonly Item[])[];
  /** Linear address of each block. */
  readonly places: readonly number[];
}

const NOTHING: Item = { bytes: [], fix: null };

// ------------------------------------------------------------------ single instructions

/** Rows whose random use in ring 0 would end the program at once. */
const DEADLY = new Set(
  'LGDT LIDT LLDT LTR LMSW WRMSR HLT SYSENTER SYSEXIT INVD WBINVD IRET RETF CALLF JMPF'.split(' '),
);
const isControlMove = (row: Row): boolean => row.operands.some((o) => o === 'Cd' || o === 'Dd');
/** Handled apart: they need a target. */
const isJump = (row: Row): boolean =>
  row.operands[0]?.startsWith('J') === true || ['CALL', 'JMP', 'RET', 'LOOP', 'CALLF', 'JMPF'].includes(row.mnemonic);

const byMnemonic = new Map<string, Row[]>();
for (const row of ISA) {
  if (isJump(row)) continue;
  const list = byMnemonic.get(row.mnemonic) ?? [];
  list.push(row);
  byMnemonic.set(row.mnemonic, list);
}
const USER = [...byMnemonic.values()].map((rows) => rows.filter((r) => r.class === 'user')).filter((r) => r.length > 0);
const ANY = [...byMnemonic.values()];
/** What programs consist of mostly. */
const COMMON = (
  'ADD OR ADC SBB AND SUB XOR CMP TEST INC DEC NEG NOT SHL SHR SAR ROL ROR SHLD SHRD IMUL MUL DIV IDIV BT BTS BTR BTC ' +
  'BSF BSR BSWAP MOV MOVZX MOVSX LEA XCHG PUSH POP CBW CWD'
)
  .split(' ')
  .map((name) => byMnemonic.get(name)!.filter((r) => r.class === 'user'));
const CONDITIONAL = CONDITION_NAMES.flatMap((name) => [byMnemonic.get(`SET${name}`)!, byMnemonic.get(`CMOV${name}`)!]);

/** Instructions that set flags, and such that read the carry. */
const SETTERS = COMMON.filter(([row]) => !/^(NOT|DIV|IDIV|MOV|LEA|XCHG|PUSH|POP|CBW|CWD|BSWAP)/.test(row!.mnemonic));
const CARRIERS = ['ADC', 'SBB', 'RCL', 'RCR', 'INC', 'DEC', 'CMC', 'SALC'].map((name) => byMnemonic.get(name)!);

const SHIFTS_BY_REGISTER = [...byMnemonic.values()].flat().filter(({ operands }) => operands.at(-1) === 'CL');

const pick = <T>(rng: RandomStream, list: readonly T[]): T => list[rng.below(list.length)]!;

const ESP = 4;
/** Registers that the landing points at data. */
const POINTERS = [3, 5, 6, 7] as const;

/** A register to write: seldom one that holds a pointer. */
const target = (rng: RandomStream): number =>
  rng.chance(12, 13) ? rng.below(3) : rng.chance(1, 40) ? ESP : pick(rng, POINTERS);

/** An address worth accessing. */
function place(rng: RandomStream): number {
  const page = rng.below(DATA_RW_PAGES) * 4096;
  const inPage = rng.chance(1, 3) ? 0x100 + 4 * rng.below(8) : rng.below(4096);
  const roll = rng.below(100);
  if (roll < 60) return DATA_AT + page + inPage;
  if (roll < 70) return DATA_AT + page + 4096 - 1 - rng.below(4);
  if (roll < 78) return DATA_ALIAS + page + inPage;
  if (roll < 82) return DATA_AT + DATA_RW_PAGES * 4096 + rng.below((DATA_PAGES - DATA_RW_PAGES) * 4096);
  if (roll < 86) return STACK_AT + rng.below(0x2000);
  if (roll < 90) return LARGE_AT + rng.below(0x60000);
  if (roll < 92) return rng.chance(1, 2) ? 0xffbffffe + rng.below(4) : -1 - rng.below(4);
  if (roll < 94) return KERNEL_AT + 0x900 + rng.below(0x700);
  if (roll < 96) return rng.chance(1, 2) ? LOW_AT + page + inPage : CODE_AT + rng.below(CODE_BYTES);
  return DATA_AT + page + inPage;
}

/** ModRM, SIB and displacement of a memory operand. */
function memory(rng: RandomStream, reg: number, address16: boolean): number[] {
  if (address16) {
    return rng.chance(1, 2)
      ? [(reg << 3) | 6, ...littleEndian(LOW_AT + rng.below(0x5000), 2)]
      : [0x80 | (reg << 3) | rng.below(8), ...littleEndian(rng.below(0x10000), 2)];
  }
  const near = rng.below(0x80) - 0x40;
  const roll = rng.below(20);
  if (roll < 8) return [(reg << 3) | 5, ...littleEndian(place(rng), 4)];
  if (roll < 12) return [0x40 | (reg << 3) | pick(rng, POINTERS), near & 0xff];
  if (roll < 14) return [0x80 | (reg << 3) | pick(rng, POINTERS), ...littleEndian(rng.below(0x2000) - 0x1000, 4)];
  if (roll < 15) return [(reg << 3) | pick(rng, [3, 6, 7])];
  if (roll < 17) return [0x44 | (reg << 3), 0x24, near & 0xff]; // [esp + n]
  if (roll < 19) {
    // [esi + edi * 0 ...]: an index that is small when it comes from a counter.
    const sib = (rng.below(4) << 6) | (rng.below(3) << 3) | pick(rng, POINTERS);
    return [0x44 | (reg << 3), sib, near & 0xff];
  }
  return [(reg << 3) | 4, (rng.below(4) << 6) | (rng.below(8) << 3) | 5, ...littleEndian(place(rng), 4)];
}

const MODRM = /^([EGM][a-z]?|[SCDR][wd]|[PQNVWU](dq|[dq]))$/;

/** Machine code of a random form of a row; `memoryIn` of 12 operands that may lie in memory do. */
function encode(rng: RandomStream, row: Row, memoryIn = 6): number[] {
  const is16 = !row.byte && rng.chance(1, 8);
  const address16 = rng.chance(1, 25);
  const parts = row.opcode.split(' ').filter((part) => !part.startsWith('/') && part !== 'NP');
  const opcode = parts.map((part) => Number.parseInt(part, 16));
  if (parts.at(-1)!.endsWith('+i')) opcode[opcode.length - 1]! += rng.below(8);
  else if (parts.at(-1)!.endsWith('+r'))
    opcode[opcode.length - 1]! += row.mnemonic === 'PUSH' ? rng.below(8) : target(rng);
  const code: number[] = [];
  if (is16) code.push(0x66);
  if (address16) code.push(0x67);
  if (rng.chance(1, 25)) code.push(pick(rng, [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x64, 0x65, 0x65]));
  if (row.string && rng.chance(1, 2)) code.push(pick(rng, [0xf2, 0xf3]));
  const extension = / \/(\d)/.exec(row.opcode)?.[1];
  const modrmOperands = row.operands.filter((o) => MODRM.test(o) && o !== 'ES' && o !== 'GS');
  let modrm: number[] = [];
  if (modrmOperands.length > 0 || extension !== undefined) {
    const regFirst = modrmOperands[0]?.startsWith('G') === true;
    const reg = extension !== undefined ? Number(extension) : regFirst ? target(rng) : rng.below(8);
    const rm = modrmOperands.find((o) => 'EMRQNWU'.includes(o[0]!)) ?? 'Ev';
    const isMemory = rm[0] === 'M' ? rng.chance(30, 31) : !'RNU'.includes(rm[0]!) && rng.chance(memoryIn, 12);
    if (isMemory && row.lockable && rng.chance(1, 12)) code.push(0xf0);
    const register = regFirst ? rng.below(8) : target(rng);
    modrm = isMemory ? memory(rng, reg, address16) : [0xc0 | (reg << 3) | register];
  }
  code.push(...opcode, ...modrm);
  const width = is16 ? 2 : 4;
  const isShift = row.operands[1] === 'Ib' && /^(SH|SA|RO|RC)/.test(row.mnemonic);
  for (const [n, notation] of row.operands.entries()) {
    if (notation === 'Ib') code.push((isShift || n === 2 ? shiftCount(rng) : valueIn(rng, 8)) & 0xff);
    else if (notation === 'Iw')
      code.push(...littleEndian(row.mnemonic === 'ENTER' ? rng.below(64) : valueIn(rng, 16), 2));
    else if (notation === 'Iz' || notation === 'Iv') code.push(...littleEndian(valueIn(rng, 8 * width), width));
    else if (notation === 'Ap') code.push(...littleEndian(place(rng), width), ...littleEndian(SEL_CODE16, 2));
    else if (notation[0] === 'O') code.push(...littleEndian(place(rng), address16 ? 2 : 4));
  }
  return code;
}

function ordinary(rng: RandomStream, ring: number): number[] {
  const roll = rng.below(100);
  if (roll < 62) return encode(rng, pick(rng, pick(rng, COMMON)));
  if (roll < 74) return encode(rng, pick(rng, pick(rng, CONDITIONAL)));
  if (roll < 94) return encode(rng, pick(rng, pick(rng, USER)));
  if (roll < 95) return [0x0f, 0x31]; // RDTSC
  const row = pick(rng, pick(rng, ANY));
  return ring !== 3 && (DEADLY.has(row.mnemonic) || isControlMove(row)) ? [0x90] : encode(rng, row);
}

/** Instructions of the system that a kernel uses in earnest. */
function system(rng: RandomStream, ring: number): number[] {
  const flatSelector = SEL_DATA[ring]!;
  const loadSegment = (segment: number, selector: number): number[] => [
    0xb8,
    ...littleEndian(selector, 4),
    0x8e,
    0xc0 | (segment << 3),
  ];
  const segment = pick(rng, [0, 3, 4, 5]);
  switch (rng.below(15)) {
    case 0: {
      const reload = [0xb8, ...littleEndian(pick(rng, DIRECTORIES), 4), 0x0f, 0x22, 0xd8];
      return ring === 0 ? reload : [0x0f, 0x20, 0xd8];
    }
    case 1:
      return [0x0f, 0x01, 0x3d, ...littleEndian(rng.chance(1, 3) ? CODE_AT + 4096 * rng.below(4) : place(rng), 4)];
    case 2: // Toggle CR0.WP or AM, or CR4.PGE.
      return rng.chance(1, 2)
        ? [0x0f, 0x20, 0xc0, 0x35, 0, 0, pick(rng, [1, 1, 4]), 0, 0x0f, 0x22, 0xc0]
        : [0x0f, 0x20, 0xe0, 0x34, 0x80, 0x0f, 0x22, 0xe0];
    case 3: // PUSHF; set TF; POPF.
      return [0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d];
    case 4: // PUSHF; change the flags, also that of alignment checks; POPF.
      return [0x9c, 0x81, 0x34, 0x24, ...littleEndian(rng.uint32() & 0x40cd5, 4), 0x9d];
    case 5:
      return rng.chance(1, 2) ? [0xfb] : [0xfa];
    case 6:
      return [0xcd, pick(rng, [VECTOR_CALL, VECTOR_CALL, VECTOR_INNER, VECTOR_INNER, 3, 4, 0x30])];
    case 7:
      return loadSegment(segment, rng.chance(2, 3) ? flatSelector : pick(rng, [...SEL_ODD, SEL_ABSENT]));
    case 8:
      return [
        ...loadSegment(segment, pick(rng, SEL_ODD)),
        ...encode(rng, pick(rng, pick(rng, COMMON))),
        ...loadSegment(segment, flatSelector),
      ];
    case 9: // PUSH seg; POP seg.
      return pick(rng, [
        [0x06, 0x1f],
        [0x1e, 0x07],
        [0x0f, 0xa0, 0x0f, 0xa9],
        [0x16, 0x17],
      ]);
    case 10:
      return pick(rng, [[0xe4, 0x40], [0xee], [0x6c], [0xe7, 0x80]]);
    case 11: // Change a page-table entry of the data: writable, present, accessed or dirty.
      return [0x80, 0x35, ...littleEndian(pageEntry(rng), 4), pick(rng, [1, 2, 2, 0x20, 0x40, 0x40])];
    case 12: // LOCK-free handling of what an interrupt would: INT3, INTO, BOUND.
      return pick(rng, [[0xcc], [0xce], [0x62, 0x05, ...littleEndian(place(rng), 4)]]);
    case 13: {
      // A breakpoint on data or code, or none.
      const address = rng.chance(1, 4) ? CODE_AT + rng.below(CODE_BYTES) : place(rng);
      const control = rng.chance(1, 2) ? 0 : 0x201 | (rng.below(16) << 16);
      const load = (value: number): number[] => [0xb8, ...littleEndian(value, 4)];
      return [...load(address), 0x0f, 0x23, 0xc0, ...load(control), 0x0f, 0x23, 0xf8];
    }
    default:
      return ring === 0 && rng.chance(1, 3) ? [0xf4] : [0x0f, 0xa2];
  }
}

/** Linear address of the page-table entry of a data page. */
const pageEntry = (rng: RandomStream): number => {
  const lin = DATA_AT + 4096 * rng.below(DATA_PAGES);
  return TABLES_AT + ((lin >>> 10) & 0xffc) + 4096 * rng.below(2);
};

// ------------------------------------------------------------------ programs

const BLOCKS_MAX = 24;
/** Words of a page of ring 3: how often the program has landed, the sum of the flags that it has seen, rounds. */
const COUNTER_AT = DATA_AT + 0x10;
const FLAGS_AT = DATA_AT + 0x14;
const ROUNDS_AT = DATA_AT + 0x18;
const TABLE_ENTRIES = 16;
/** The jump table of the landing lies in front of everything. */
const TABLE_BYTES = 4 * TABLE_ENTRIES;
const JCC = 0x70;

class Writer {
  readonly blocks: Item[][] = [];
  private readonly rng: RandomStream;
  private readonly ring: number;
  private readonly blockCount: number;
  /** Blocks are loops of chains of flags, mostly on registers, instead of a bit of everything. */
  private readonly isSoup: boolean;

  constructor(rng: RandomStream, ring: number, blockCount: number) {
    this.rng = rng;
    this.isSoup = rng.chance(1, 3);
    this.ring = ring;
    this.blockCount = blockCount;
  }

  private emit(items: Item[], ...bytes: number[]): void {
    items.push({ bytes, fix: null });
  }

  private refer(
    items: Item[],
    opcode: readonly number[],
    to: Label,
    kind: Fix['kind'],
    plus = 0,
    behind: readonly number[] = [],
  ): void {
    const hole = kind === 'relative8' ? [0] : [0, 0, 0, 0];
    items.push({ bytes: [...opcode, ...hole, ...behind], fix: { at: opcode.length, kind, to, plus } });
  }

  private anyBlock(): Label {
    return { block: 1 + this.rng.below(this.blockCount), item: 0 };
  }

  /** Block 0: pointers and segments as the rest of the program wants them, then on to one of the blocks in turn. */
  landing(table: number): void {
    const { rng } = this;
    const items: Item[] = [];
    const load = (register: number, value: number): void =>
      this.emit(items, 0xb8 | register, ...littleEndian(value, 4));
    load(ESP, STACK_MIDDLE + 4 * rng.below(64));
    load(0, SEL_DATA[this.ring]!);
    // Compiled code needs flat segments: few programs leave them as they are.
    const careless = rng.chance(1, 10);
    for (const segment of [0, 3, 2]) {
      if (!careless || rng.chance(1, 2)) this.emit(items, 0x8e, 0xc0 | (segment << 3));
    }
    for (const segment of [4, 5]) {
      if (rng.chance(2, 3)) load(0, pick(rng, SEL_ODD));
      this.emit(items, 0x8e, 0xc0 | (segment << 3));
    }
    this.emit(items, 0xfc);
    load(3, DATA_AT + 0x40 + rng.below(0x2000));
    load(5, DATA_AT + 0x1040 + rng.below(0x2000));
    load(7, DATA_AT + 0x2040 + rng.below(0x2000));
    // The counter lies in a page of ring 3: that of the kernel is not for this program.
    const counter = COUNTER_AT;
    this.emit(items, 0xff, 0x05, ...littleEndian(counter, 4));
    this.emit(items, 0x69, 0x05, ...littleEndian(counter, 4), ...littleEndian(0x1235, 4)); // imul eax, [..], n
    this.emit(items, 0x25, ...littleEndian(0x7fff, 4));
    this.emit(items, 0x8d, 0xb0, ...littleEndian(DATA_AT, 4)); // lea esi, [eax + ..]
    this.emit(items, 0x8b, 0x0d, ...littleEndian(counter, 4));
    this.emit(items, 0x83, 0xe1, TABLE_ENTRIES - 1);
    this.emit(items, 0xff, 0x24, 0x8d, ...littleEndian(table, 4)); // jmp [ecx * 4 + table]
    this.blocks.push(items);
  }

  block(number: number): void {
    const { rng } = this;
    const items: Item[] = [];
    const length = 1 + rng.below(rng.chance(1, 6) ? 60 : 14);
    if (this.isSoup) {
      for (let n = 0; n < length; n++) this.flagChain(items);
      // Eight times, then to the landing, which goes to another block.
      this.emit(items, 0xff, 0x05, ...littleEndian(ROUNDS_AT, 4));
      this.emit(items, 0xf6, 0x05, ...littleEndian(ROUNDS_AT, 4), 7);
      this.refer(items, [0x0f, 0x85], { block: number, item: 0 }, 'relative32');
      this.refer(items, [0xe9], { block: 0, item: 0 }, 'relative32');
    } else {
      for (let n = 0; n < length; n++) this.item(items, number);
      this.ending(items, number);
    }
    this.blocks.push(items);
  }

  /** Adds all flags to a word of memory, so that a wrong one is not forgotten. */
  private lookAtFlags(items: Item[]): void {
    this.emit(items, 0x9c, 0x5a, 0x69, 0xd2, ...littleEndian(0x2f3d, 4)); // pushf; pop edx; imul edx, edx, n
    this.emit(items, 0x01, 0x15, ...littleEndian(FLAGS_AT, 4)); // add [..], edx
  }

  /** Something that sets flags, something that looks at them, and perhaps something between. */
  private flagChain(items: Item[]): void {
    const { rng, isSoup } = this;
    const set = (): void => this.emit(items, ...encode(rng, pick(rng, pick(rng, SETTERS)), isSoup ? 1 : 6));
    if (rng.chance(2, 3)) this.emit(items, 0xb8 | rng.below(3), ...littleEndian(valueIn(rng, 32), 4));
    if (rng.chance(1, 3)) this.emit(items, 0xb1, shiftCount(rng) & (rng.chance(1, 2) ? 0 : 0xff)); // mov cl, n
    set();
    if (rng.chance(1, 3)) set();
    if (rng.chance(1, 5)) {
      // A shift by zero leaves the flags as they were.
      this.emit(items, 0xb1, rng.chance(1, 2) ? 0 : shiftCount(rng));
      this.emit(items, ...encode(rng, pick(rng, SHIFTS_BY_REGISTER), isSoup ? 1 : 6));
    }
    if (rng.chance(1, isSoup ? 12 : 4)) this.emit(items, ...ordinary(rng, this.ring));
    const roll = rng.below(4);
    if (roll === 0) this.lookAtFlags(items);
    else this.emit(items, ...encode(rng, pick(rng, pick(rng, roll === 1 ? CARRIERS : CONDITIONAL))));
  }

  private item(items: Item[], number: number): void {
    const { rng } = this;
    if (rng.chance(1, 20)) this.lookAtFlags(items);
    if (rng.chance(1, 6)) this.flagChain(items);
    const roll = rng.below(100);
    if (roll < 76) this.emit(items, ...ordinary(rng, this.ring));
    else if (roll < 80) this.emit(items, ...system(rng, this.ring));
    else if (roll < 86) this.skip(items, number);
    else if (roll < 88) this.loop(items, number);
    else if (roll < 90) this.refer(items, [0xe8], this.anyBlock(), 'relative32');
    else if (roll < 92) this.modify(items, number);
    else if (roll < 96) this.refer(items, [0x0f, 0x80 | rng.below(16)], this.anyBlock(), 'relative32');
    else this.emit(items, 0x81, 0xe1, ...littleEndian(0x1f, 4)); // and ecx, 31: a good index
  }

  /** A jump over a few items of this block. */
  private skip(items: Item[], number: number): void {
    const at = items.length;
    const to = { block: number, item: at + 1 + this.rng.below(4) };
    const condition = this.rng.below(17);
    const opcode = condition === 16 ? 0xeb : JCC | condition;
    this.refer(items, [opcode], to, 'relative8');
    for (let n = at + 1; n < to.item; n++) this.emit(items, ...ordinary(this.rng, this.ring));
  }

  /** A loop of a few items with a counter in ECX. */
  private loop(items: Item[], number: number): void {
    const { rng } = this;
    this.emit(items, 0xb9, ...littleEndian(1 + rng.below(30), 4));
    const start = items.length;
    for (let n = rng.below(4); n >= 0; n--) this.emit(items, ...ordinary(rng, this.ring));
    this.refer(items, [pick(rng, [0xe2, 0xe2, 0xe1, 0xe0, 0xe3])], { block: number, item: start }, 'relative8');
  }

  /** An instruction with a constant, and a store that changes the constant. */
  private modify(items: Item[], number: number): void {
    const { rng } = this;
    const to = { block: number, item: items.length };
    this.emit(items, 0xb8 | rng.below(3), ...littleEndian(valueIn(rng, 32), 4));
    const far = rng.chance(1, 3) ? { block: 1 + rng.below(this.blockCount), item: rng.below(4) } : to;
    const plus = (far === to ? 1 : rng.below(3)) + (rng.chance(1, 2) ? CODE_ALIAS - CODE_AT : 0);
    if (rng.chance(1, 3)) this.refer(items, [0xff, 0x05], far, 'absolute', plus);
    else if (rng.chance(1, 2)) this.refer(items, [0x88, 0x05 | (rng.below(4) << 3)], far, 'absolute', plus);
    else this.refer(items, [0xc6, 0x05], far, 'absolute', plus, [valueIn(rng, 8) & 0xff]);
  }

  private ending(items: Item[], number: number): void {
    const { rng } = this;
    const roll = rng.below(20);
    if (roll < 5) this.refer(items, [0xe9], this.anyBlock(), 'relative32');
    else if (roll < 9) this.emit(items, 0xc3);
    else if (roll < 10) this.emit(items, 0xc2, 4 * rng.below(3), 0);
    else if (roll < 13) {
      this.refer(items, [0xb8], this.anyBlock(), 'absolute', rng.chance(1, 3) ? CODE_ALIAS - CODE_AT : 0);
      this.emit(items, 0xff, rng.chance(1, 2) ? 0xe0 : 0xd0);
    } else if (roll < 15) this.refer(items, [0xe9], { block: 0, item: 0 }, 'relative32');
    else if (roll < 16) this.emit(items, 0xff, 0x24, 0x25, ...littleEndian(place(rng), 4));
    else if (roll < 17) this.emit(items, ...encode(rng, pick(rng, ISA.filter(isJump))));
    else this.refer(items, [0x0f, 0x80 | rng.below(16)], { block: number, item: 0 }, 'relative32');
  }
}

const sizeOf = (items: readonly Item[]): number => items.reduce((sum, { bytes }) => sum + bytes.length, 0);

/** A random program. */
export function randomProgram(rng: RandomStream): Program {
  const ring = pick(rng, [3, 3, 0, 0, 1]);
  const blockCount = 3 + rng.below(BLOCKS_MAX);
  const writer = new Writer(rng, ring, blockCount);
  writer.landing(CODE_AT);
  for (let n = 1; n <= blockCount; n++) writer.block(n);
  const places: number[] = [];
  let at = CODE_AT + TABLE_BYTES;
  for (const items of writer.blocks) {
    const size = sizeOf(items);
    // Now and then across the end of a page, and seldom next to the block before.
    if (rng.chance(1, 6)) at = Math.max(at, ((at + 0xfff) & ~0xfff) - 1 - rng.below(Math.min(size, 0x100) + 1));
    else at += rng.below(3) * rng.below(40);
    if (at + size > CODE_AT + CODE_BYTES) at = CODE_AT + TABLE_BYTES;
    places.push(at);
    at += size;
  }
  const intercepts = rng.chance(1, 8) ? rng.uint32() & ~0x100 : rng.chance(1, 8) ? 1 << 14 : 0;
  const alignment = rng.chance(1, 6);
  return { ring, truncated: rng.chance(1, 5), alignment, intercepts, blocks: writer.blocks, places };
}

/** Where an item starts. */
function addressOf(program: Program, { block, item }: Label): number {
  return program.places[block]! + sizeOf((program.blocks[block] ?? []).slice(0, item));
}

/** The program's machine code with its jump table: pieces by address. Later pieces may overwrite earlier ones. */
export function assemble(program: Program): { at: number; bytes: Uint8Array }[] {
  const pieces = program.blocks.map((items, n) => {
    const bytes: number[] = [];
    for (const item of items) {
      const own = [...item.bytes];
      if (item.fix !== null && own.length > 0) {
        const { at, kind, to, plus } = item.fix;
        const size = kind === 'relative8' ? 1 : 4;
        const next = program.places[n]! + bytes.length + at + size;
        const value = addressOf(program, to) + plus - (kind === 'absolute' ? 0 : next);
        own.splice(at, size, ...littleEndian(value, size));
      }
      bytes.push(...own);
    }
    return { at: program.places[n]!, bytes: Uint8Array.from(bytes) };
  });
  const table = Array.from({ length: TABLE_ENTRIES }, (_, n) => {
    const block = 1 + (n % (program.blocks.length - 1));
    return littleEndian(program.places[block]!, 4);
  });
  return [{ at: CODE_AT, bytes: Uint8Array.from(table.flat()) }, ...pieces];
}

/** Address of the landing. */
export const landingOf = (program: Program): number => program.places[0]!;

/** The program without an item. */
export function without(program: Program, block: number, item: number): Program {
  const blocks = program.blocks.map((items, b) =>
    b === block ? items.map((old, n) => (n === item ? NOTHING : old)) : items,
  );
  return { ...program, blocks };
}
