/**
 * The part of the compiler's run time that is WebAssembly itself: the dispatcher, which goes from one compiled function
 * to the next, and the computation of deferred flags.
 * Invariant: the dispatcher calls a function only if the code tag and the jump table both name its page.
 */
import { L_BLOCK } from './emitter.ts';
import { i32, store } from './expression.ts';
import { GLOBAL_JUMP_TABLE, pushCodeSlot, pushCodeTag, pushJumpSlot } from './function.ts';
import {
  AT_CODE_TAGS,
  AT_EIP,
  AT_FRONT,
  AT_RECORD,
  AT_STACK_OFFSET,
  AT_STACK_PAGE,
  AT_UNIT,
  DEFERRED_DEC,
  DEFERRED_INC,
  DEFERRED_NONE,
  DEFERRED_SUB,
  NO_PAGE,
  RECORD_BYTES,
} from './layout.ts';
import { deliverRoutine, descriptorRoutine, enterRoutine, locateRoutine, returnRoutine } from './transfer.ts';
import { clearRoutine, dropFrontRoutine, fillRoutine, findRoutine, invalidateRoutine } from './translate.ts';
import { Body, buildModule, I32, Instance, LOAD32, Module, OP, STORE32, STORE64, type WasmTable } from './wasm.ts';

export interface Runtime {
  /** Runs compiled code from the EIP in a CPU's block until something must be decided in TypeScript. */
  readonly run: (block: number) => number;
  /** layout.ts: carriesOf and resultOf. */
  readonly carries: unknown;
  readonly result: unknown;
  /** The TypeScript functions given, behind WebAssembly ones that do the usual case: importing those costs nothing. */
  readonly fill: unknown;
  readonly interpret: unknown;
  readonly invalidate: unknown;
  /** (vector, error code or -1, 1 for INT n) -> 1 if delivered, 0 if the interpreter must. */
  readonly deliver: (vector: number, error: number, software: number) => number;
  /** IRET: 1 if carried out. */
  readonly leave: unknown;
  /** Finds the page of a stack access for the function that asks: fill() if need be, then AT_STACK_*. */
  readonly stack: unknown;
}

interface RuntimeImports {
  readonly memory: object;
  readonly table: WasmTable;
  readonly jumpTableAt: number;
  readonly recordsAt: number;
  /** Byte address of a word for the block of the CPU at work. */
  readonly currentAt: number;
  readonly frameFlagsAt: number;
  readonly slow: (site: number) => number;
  readonly fill: (lin: number, access: number, left: number) => number;
  readonly interpret: (site: number) => number;
  readonly invalidate: (lin: number) => number;
}

const GLOBAL_RECORDS = 1;
const CALL_SLOW = 0;
const CALL_FILL = 1;
const CALL_INTERPRET = 2;
const CALL_INVALIDATE = 3;
// The functions of the module itself, behind the imports.
const CALL_CARRIES = 5;
const CALL_RESULT = 6;
const CALL_FILL_ROUTINE = 7;
const CALL_FIND = 10;
const CALL_CLEAR = 11;
const CALL_DROP_FRONT = 12;
const CALL_LOCATE = 13;
const CALL_DESCRIPTOR = 14;
const CALL_ENTER = 15;
const L_EIP = 1;
const L_SLOT = 2;
const L_TAG = 3;
const L_RESULT = 4;

function dispatcher(currentAt: number): Body {
  const body = new Body();
  store(i32(currentAt), 0, (code) => code.get(L_BLOCK))(body);
  body.loop();
  body.get(L_BLOCK);
  body.memory(LOAD32, AT_EIP);
  body.set(L_EIP);
  // The code tag of EIP's page.
  body.get(L_BLOCK);
  body.memory(LOAD32, AT_CODE_TAGS);
  pushCodeSlot(body, L_EIP);
  body.op(OP.i32add);
  body.tee(L_TAG);
  body.memory(LOAD32, 0);
  pushCodeTag(body, L_EIP);
  body.op(OP.i32ne);
  leaveIf(body);
  // The jump table's entry for EIP in that page.
  pushJumpSlot(body, L_EIP);
  body.tee(L_SLOT);
  body.memory(LOAD32, 0);
  body.get(L_EIP);
  body.op(OP.i32ne);
  leaveIf(body);
  body.get(L_SLOT);
  body.memory(LOAD32, 4);
  body.get(L_TAG);
  body.memory(LOAD32, 4);
  body.op(OP.i32ne);
  leaveIf(body);

  body.get(L_BLOCK);
  body.get(L_SLOT);
  body.memory(LOAD32, 8);
  body.memory(STORE32, AT_UNIT);
  body.get(L_BLOCK);
  body.get(L_SLOT);
  body.memory(LOAD32, 8);
  body.with(RECORD_BYTES, OP.i32mul);
  body.global(GLOBAL_RECORDS);
  body.op(OP.i32add);
  body.memory(STORE32, AT_RECORD);
  body.get(L_BLOCK);
  body.get(L_SLOT);
  body.memory(LOAD32, 12);
  body.get(L_BLOCK);
  body.memory(LOAD32, AT_RECORD);
  body.memory(LOAD32, 0);
  body.callIndirect(0);
  body.tee(L_RESULT);
  body.op(OP.i32eqz);
  body.brIf(0);
  body.get(L_RESULT);
  body.with(0, OP.i32ltS);
  leaveIf(body);
  body.get(L_RESULT);
  body.call(CALL_SLOW);
  body.op(OP.i32eqz);
  body.brIf(0);
  body.end();
  body.i32(0);
  return body;
}

function leaveIf(body: Body): void {
  body.if();
  body.i32(0);
  body.op(OP.return);
  body.end();
}

const KIND = 0;
const FIRST = 1;
const SECOND = 2;
const UP = 3;
const OPERAND = 4;
const IS_SUB = 5;
const RESULT = 6;
const TOP = 7;

/** What both flag functions begin with: UP, OPERAND, IS_SUB and RESULT (at its own width, not shifted). */
function decompose(body: Body): void {
  // 32, 16, 8 bits are kind 1, 2, 3 modulo 3: shifts 0, 16, 24 are bytes of a constant.
  body.i32(0x181000);
  body.get(KIND);
  body.with(1, OP.i32sub);
  body.with(3, REM_U);
  body.with(3, OP.i32shl);
  body.op(OP.i32shrU);
  body.with(0xff, OP.i32and);
  body.set(UP);
  body.i32(1);
  body.get(SECOND);
  body.get(KIND);
  body.with(DEFERRED_INC, OP.i32geU);
  body.op(OP.select);
  body.set(OPERAND);
  body.get(KIND);
  body.with(DEFERRED_DEC, OP.i32geU);
  body.get(KIND);
  body.with(DEFERRED_SUB, OP.i32sub);
  body.with(DEFERRED_INC - DEFERRED_SUB, OP.i32ltU);
  body.op(OP.i32or);
  body.set(IS_SUB);
  body.get(FIRST);
  body.get(OPERAND);
  body.op(OP.i32sub);
  body.get(FIRST);
  body.get(OPERAND);
  body.op(OP.i32add);
  body.get(IS_SUB);
  body.op(OP.select);
  body.set(RESULT);
}
const REM_U = 0x70;

function returnIfExplicit(body: Body, local: number): void {
  body.get(KIND);
  body.with(DEFERRED_NONE, OP.i32eq);
  body.if();
  body.get(local);
  body.op(OP.return);
  body.end();
}

function resultFunction(): Body {
  const body = new Body();
  returnIfExplicit(body, FIRST);
  decompose(body);
  body.get(RESULT);
  body.get(UP);
  body.op(OP.i32shl);
  body.get(UP);
  body.op(OP.i32shrS);
  return body;
}

function carriesFunction(): Body {
  const body = new Body();
  returnIfExplicit(body, SECOND);
  decompose(body);
  // (a & b) | ((a | b) & r) with a and r complemented for additions' r and subtractions' a.
  const a = (): void => {
    body.get(FIRST);
    body.i32(0);
    body.get(IS_SUB);
    body.op(OP.i32sub);
    body.op(OP.i32xor);
  };
  a();
  body.get(OPERAND);
  body.op(OP.i32and);
  a();
  body.get(OPERAND);
  body.op(OP.i32or);
  body.get(RESULT);
  body.get(IS_SUB);
  body.with(1, OP.i32sub);
  body.op(OP.i32xor);
  body.op(OP.i32and);
  body.op(OP.i32or);
  body.set(RESULT);
  body.get(RESULT);
  body.get(UP);
  body.op(OP.i32shl);
  body.set(TOP);
  body.get(KIND);
  body.with(DEFERRED_INC, OP.i32ltU);
  body.if(I32);
  body.get(TOP);
  body.with(0xc0000000 | 0, OP.i32and);
  body.else();
  // The carry in SECOND stays; overflow says how the carry below the top differs from it.
  body.get(SECOND);
  body.get(SECOND);
  body.get(TOP);
  body.get(TOP);
  body.with(1, OP.i32shl);
  body.op(OP.i32xor);
  body.with(0x80000000 | 0, OP.i32and);
  body.op(OP.i32xor);
  body.with(1, OP.i32shrU);
  body.op(OP.i32or);
  body.end();
  body.get(RESULT);
  body.with(8, OP.i32and);
  body.op(OP.i32or);
  return body;
}

/**
 * As fill(), with the CPU's block before its arguments. A page that may only be read is NO_PAGE to the next access:
 * its write tag is then 4 (mmu.ts: NO_TAG).
 */
function stackFunction(): Body {
  const [LIN, ACCESS, LEFT, ENTRY, TAG] = [1, 2, 3, 4, 5];
  const body = new Body();
  body.get(L_BLOCK);
  body.memory(LOAD32, AT_FRONT);
  body.get(LIN);
  body.with(8, OP.i32shrU);
  body.with(0x3ff0, OP.i32and);
  body.op(OP.i32add);
  body.set(ENTRY);
  // The read tag, or the write tag 4 bytes behind it.
  body.get(ENTRY);
  body.get(ACCESS);
  body.with(2, OP.i32and);
  body.with(1, OP.i32shl);
  body.op(OP.i32add);
  body.memory(LOAD32, 0);
  body.get(LIN);
  body.get(ACCESS);
  body.with(11, OP.i32shrU);
  body.op(OP.i32add);
  body.with(1, OP.i32sub);
  body.with(~0xfff, OP.i32and);
  body.op(OP.i32ne);
  body.if();
  body.get(LIN);
  body.get(ACCESS);
  body.get(LEFT);
  body.call(CALL_FILL_ROUTINE);
  body.tee(LEFT);
  body.with(0, OP.i32ltS);
  body.if();
  body.get(LEFT);
  body.op(OP.return);
  body.end();
  body.end();
  body.get(L_BLOCK);
  body.get(ENTRY);
  body.memory(LOAD32, 8);
  body.memory(STORE32, AT_STACK_OFFSET);
  body.get(L_BLOCK);
  body.get(ENTRY);
  body.memory(LOAD32, 4);
  body.tee(TAG);
  body.op(OP.i64extendU);
  body.i64(NO_PAGE);
  body.i64(0n);
  body.get(TAG);
  body.with(4, OP.i32and);
  body.op(OP.select);
  body.op(OP.i64or);
  body.memory(STORE64, AT_STACK_PAGE);
  body.get(LEFT);
  return body;
}

/** Types of all functions, by the numbers that imports and functions of every module use. */
export const TYPES = [
  { parameters: [I32, I32], results: [I32] },
  { parameters: [I32, I32, I32], results: [I32] },
  { parameters: [I32], results: [I32] },
  { parameters: [I32, I32, I32, I32], results: [I32] },
] as const;

/** Calls an import with the function's own arguments. */
function forward(index: number, parameters: number): Body {
  const body = new Body();
  for (let n = 0; n < parameters; n++) body.get(n);
  body.call(index);
  return body;
}

/** Builds the run time of one machine. */
export function buildRuntime(imports: RuntimeImports): Runtime {
  const { memory, table, jumpTableAt, recordsAt, currentAt, frameFlagsAt, ...functions } = imports;
  const translate = {
    currentAt,
    frameFlagsAt,
    fill: CALL_FILL,
    invalidate: CALL_INVALIDATE,
    find: CALL_FIND,
    clear: CALL_CLEAR,
    dropFront: CALL_DROP_FRONT,
  };
  const transfer = {
    currentAt,
    locate: CALL_LOCATE,
    descriptor: CALL_DESCRIPTOR,
    enter: CALL_ENTER,
    carries: CALL_CARRIES,
    result: CALL_RESULT,
  };
  const bytes = buildModule(
    TYPES,
    [
      { kind: 'function', name: 'slow', type: 2 },
      { kind: 'function', name: 'fill', type: 1 },
      { kind: 'function', name: 'interpret', type: 2 },
      { kind: 'function', name: 'invalidate', type: 2 },
      { kind: 'memory', name: 'memory', pages: 1 },
      { kind: 'table', name: 'table' },
      { kind: 'global', name: `g${GLOBAL_JUMP_TABLE}` },
      { kind: 'global', name: `g${GLOBAL_RECORDS}` },
    ],
    [
      { name: 'run', type: 2, locals: [[4, I32]], body: dispatcher(currentAt) },
      { name: 'carries', type: 1, locals: [[5, I32]], body: carriesFunction() },
      { name: 'result', type: 1, locals: [[5, I32]], body: resultFunction() },
      { name: 'fill', type: 1, ...fillRoutine(translate) },
      { name: 'interpret', type: 2, locals: [], body: forward(CALL_INTERPRET, 1) },
      { name: 'invalidate', type: 2, ...invalidateRoutine(translate) },
      { name: 'find', type: 1, ...findRoutine() },
      { name: 'clear', type: 0, ...clearRoutine() },
      { name: 'dropFront', type: 0, ...dropFrontRoutine() },
      { name: 'locate', type: 3, ...locateRoutine() },
      { name: 'descriptor', type: 1, ...descriptorRoutine(transfer) },
      { name: 'enter', type: 3, ...enterRoutine() },
      { name: 'deliver', type: 1, ...deliverRoutine(transfer) },
      { name: 'leave', type: 2, ...returnRoutine(transfer) },
      { name: 'stack', type: 3, locals: [[2, I32]], body: stackFunction() },
    ],
  );
  const { exports } = new Instance(new Module(bytes), {
    m: {
      ...functions,
      memory,
      table,
      [`g${GLOBAL_JUMP_TABLE}`]: jumpTableAt,
      [`g${GLOBAL_RECORDS}`]: recordsAt,
    },
  });
  return {
    run: exports['run'] as (block: number) => number,
    carries: exports['carries'],
    result: exports['result'],
    fill: exports['fill'],
    interpret: exports['interpret'],
    invalidate: exports['invalidate'],
    deliver: exports['deliver'] as Runtime['deliver'],
    leave: exports['leave'],
    stack: exports['stack'],
  };
}
