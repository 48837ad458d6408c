/**
 * Expressions and statements for WebAssembly functions written by hand: the parts of the run time that are too long
 * for a list of stack operations. An expression pushes one i32; a statement leaves the stack as it was.
 * Invariant: `when`, `loop` and the ways out count their own labels, so they can be nested in any way.
 */
import { type Body, I32, LOAD8_U, LOAD32, OP, STORE32 } from './wasm.ts';

export type Code = (body: Body) => void;

export const i32 =
  (value: number): Code =>
  (body) =>
    body.i32(value | 0);

const binary =
  (operator: number) =>
  (a: Code, b: Code | number): Code =>
  (body) => {
    a(body);
    if (typeof b === 'number') body.i32(b | 0);
    else b(body);
    body.op(operator);
  };

export const add = binary(OP.i32add);
export const sub = binary(OP.i32sub);
export const mul = binary(OP.i32mul);
export const and = binary(OP.i32and);
export const or = binary(OP.i32or);
export const xor = binary(OP.i32xor);
export const shl = binary(OP.i32shl);
export const shr = binary(OP.i32shrU);
export const eq = binary(OP.i32eq);
export const ne = binary(OP.i32ne);
export const lt = binary(OP.i32ltS);
export const below = binary(OP.i32ltU);
export const above = binary(OP.i32gtU);

export const not =
  (a: Code): Code =>
  (body) => {
    a(body);
    body.op(OP.i32eqz);
  };
export const ones =
  (a: Code): Code =>
  (body) => {
    a(body);
    body.op(OP.i32popcnt);
  };
/** `a` if `condition` is not 0, else `b`. Both are evaluated. */
export const select =
  (condition: Code, a: Code, b: Code): Code =>
  (body) => {
    a(body);
    b(body);
    condition(body);
    body.op(OP.select);
  };
const loadWith =
  (operator: number) =>
  (address: Code, offset = 0): Code =>
  (body) => {
    address(body);
    body.memory(operator, offset);
  };
/** The word or byte at an address. */
export const load = loadWith(LOAD32);
export const load8 = loadWith(LOAD8_U);
export const store =
  (address: Code, offset: number, value: Code | number): Code =>
  (body) => {
    address(body);
    if (typeof value === 'number') body.i32(value | 0);
    else value(body);
    body.memory(STORE32, offset);
  };
/** The result of an imported or own function. */
export const call =
  (index: number, ...operands: readonly (Code | number)[]): Code =>
  (body) => {
    for (const operand of operands) {
      if (typeof operand === 'number') body.i32(operand | 0);
      else operand(body);
    }
    body.call(index);
  };
export const give =
  (value: Code | number): Code =>
  (body) => {
    if (typeof value === 'number') body.i32(value | 0);
    else value(body);
    body.op(OP.return);
  };
export const when =
  (condition: Code, then: readonly Code[], otherwise: readonly Code[] = []): Code =>
  (body) => {
    condition(body);
    body.if();
    for (const part of then) part(body);
    if (otherwise.length > 0) {
      body.else();
      for (const part of otherwise) part(body);
    }
    body.end();
  };
/** Repeats while the condition holds. */
export const loop =
  (condition: Code, parts: readonly Code[]): Code =>
  (body) => {
    body.block();
    body.loop();
    condition(body);
    body.op(OP.i32eqz);
    body.brIf(1);
    for (const part of parts) part(body);
    body.br(0);
    body.end();
    body.end();
  };

/** A local variable: `name` reads it, `name.set(value)` writes it. */
export interface Variable extends Code {
  set(value: Code | number): Code;
}

/** One function: hands out its parameters and locals, then takes its statements. */
export class Routine {
  private locals = 0;
  private readonly parameters: number;

  constructor(parameters: number) {
    this.parameters = parameters;
  }

  parameter(index: number): Variable {
    const read = (body: Body): void => body.get(index);
    const set =
      (value: Code | number): Code =>
      (body) => {
        if (typeof value === 'number') body.i32(value | 0);
        else value(body);
        body.set(index);
      };
    return Object.assign(read, { set });
  }

  local(): Variable {
    return this.parameter(this.parameters + this.locals++);
  }

  /** The parts of a FunctionSpec. The last statement must be `give`. */
  finish(body: Body, parts: readonly Code[]): { locals: readonly (readonly [number, number])[]; body: Body } {
    for (const part of parts) part(body);
    body.op(OP.unreachable);
    return { locals: [[this.locals, I32]], body };
  }
}
