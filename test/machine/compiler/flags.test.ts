/**
 * Deferred flags: result and carry vector computed from an operation and its operands, by layout.ts and by the
 * WebAssembly of runtime.ts, against the definition of the flags (SDM vol 1, 3.4.3.1) in arithmetic without bounds.
 */
import { describe, expect, it } from 'vitest';
import { RandomStream } from '../../../src/core/rng.ts';
import {
  carriesOf,
  DEFERRED_ADD,
  DEFERRED_DEC,
  DEFERRED_INC,
  DEFERRED_NONE,
  DEFERRED_SUB,
  resultOf,
} from '../../../src/machine/compiler/layout.ts';
import { buildRuntime } from '../../../src/machine/compiler/runtime.ts';
import { Table } from '../../../src/machine/compiler/wasm.ts';
import { arithmeticFlags, FLAG_AF, FLAG_CF, FLAG_OF, FLAG_PF, FLAG_SF, FLAG_ZF } from '../../../src/machine/flags.ts';
import { MachineMemory } from '../../../src/machine/memory.ts';
import { edges } from '../../oracle/values.ts';

type Operation = 'add' | 'sub' | 'inc' | 'dec';
const BASES = { add: DEFERRED_ADD, sub: DEFERRED_SUB, inc: DEFERRED_INC, dec: DEFERRED_DEC } as const;
const WIDTHS = [32, 16, 8] as const;

const onesIn = (value: number): number => value.toString(2).replaceAll('0', '').length;

/** The flags by definition; `carry` is what INC and DEC leave as it was. */
function expected(operation: Operation, width: number, a: number, b: number, carry: number): number {
  const size = 2 ** width;
  const isAdd = operation === 'add' || operation === 'inc';
  const signed = (value: number): number => (value >= size / 2 ? value - size : value);
  const exact = isAdd ? a + b : a - b;
  const result = ((exact % size) + size) % size;
  const signedExact = isAdd ? signed(a) + signed(b) : signed(a) - signed(b);
  const low = isAdd ? (a % 16) + (b % 16) > 15 : a % 16 < b % 16;
  const carried = exact < 0 || exact >= size;
  const cf = operation === 'add' || operation === 'sub' ? carried : carry === 1;
  return (
    (cf ? FLAG_CF : 0) |
    (onesIn(result & 0xff) % 2 === 0 ? FLAG_PF : 0) |
    (low ? FLAG_AF : 0) |
    (result === 0 ? FLAG_ZF : 0) |
    (result >= size / 2 ? FLAG_SF : 0) |
    (signedExact !== signed(result) ? FLAG_OF : 0)
  );
}

/** Operands: all pairs of edges, and random ones. */
function pairsOf(width: number): [number, number][] {
  const rng = new RandomStream('1', `flags ${width}`);
  const values = edges(width).map((value) => value % 2 ** width);
  const pairs = values.flatMap((a) => values.map((b): [number, number] => [a, b]));
  for (let n = 0; n < 2000; n++) pairs.push([rng.uint32() % 2 ** width, rng.uint32() % 2 ** width]);
  return pairs;
}

const memory = new MachineMemory(16);
const ignore = (): number => 0;
const runtime = buildRuntime({
  memory: memory.wasm,
  table: new Table({ element: 'anyfunc', initial: 1, maximum: 1 }),
  jumpTableAt: 0,
  recordsAt: 0,
  currentAt: 0,
  frameFlagsAt: 0,
  slow: ignore,
  fill: ignore,
  interpret: ignore,
  invalidate: ignore,
});
type FlagFunction = (kind: number, first: number, second: number) => number;
const [wasmResult, wasmCarries] = [runtime.result, runtime.carries] as [FlagFunction, FlagFunction];

describe.each(['add', 'sub', 'inc', 'dec'] as const)('%s', (operation) => {
  it.each(WIDTHS)('%i bits', (width) => {
    const kind = BASES[operation] + WIDTHS.indexOf(width);
    const steps = operation === 'inc' || operation === 'dec';
    for (const [a, other] of pairsOf(width)) {
      const carry = other & 1;
      const b = steps ? 1 : other;
      const [first, second] = [a | 0, steps ? carry << 31 : b | 0];
      const flags = { flagRes: resultOf(kind, first, second), flagAux: carriesOf(kind, first, second) };
      const text = `${operation} ${a.toString(16)}, ${b.toString(16)}`;
      expect(arithmeticFlags(flags), text).toBe(expected(operation, width, a, b, carry));
      expect([wasmResult(kind, first, second), wasmCarries(kind, first, second)], text).toEqual([
        flags.flagRes,
        flags.flagAux,
      ]);
    }
  });
});

it('leaves result and carry vector as they are when nothing is deferred', () => {
  for (const [first, second] of [
    [5, -3],
    [-1, 0x40000008],
  ] as const) {
    expect([resultOf(DEFERRED_NONE, first, second), carriesOf(DEFERRED_NONE, first, second)]).toEqual([first, second]);
    expect([wasmResult(DEFERRED_NONE, first, second), wasmCarries(DEFERRED_NONE, first, second)]).toEqual([
      first,
      second,
    ]);
  }
});
