/**
 * The interpreter and compiled code side by side: the same random program in two equal worlds, run in the same random
 * slices with the same events in between; after each slice everything is compared that either world can show.
 * Invariant: a case depends on its seed only, so a difference can be had again; memory is compared now and then, and
 * after every slice once a difference is known.
 */
import { type RandomStream, Streams } from '../../src/core/rng.ts';
import type { Cpu } from '../../src/machine/cpu.ts';
import { newCpuState, saveCpu } from '../../src/machine/cpu-state.ts';
import {
  EXIT_BUDGET,
  EXIT_EXCEPTION,
  EXIT_HALT,
  EXIT_INTERCEPT,
  EXIT_INTERRUPT_WINDOW,
  EXIT_IO,
  EXIT_SENSITIVE,
  EXIT_UNIMPLEMENTED,
  NO_ERROR_CODE,
} from '../../src/machine/exits.ts';
import { FLAGS_ARITHMETIC } from '../../src/machine/flags.ts';
import { Coverage } from '../machine/helpers/coverage.ts';
import { bytesOf, hex } from '../oracle/compare.ts';
import { valueIn } from '../oracle/values.ts';
import { assemble, landingOf, type Program, randomProgram, without } from './program.ts';
import { CODE_AT, CODE_BYTES, DATA_RW_PAGES, VECTOR_KICK, VECTOR_TICK, World } from './world.ts';

/** Slices that end with their budget, and slices of any kind. */
const SLICES = 70;
const EXITS_MAX = 500;
const MEMORY_EVERY = 25;
/** INTERCEPT_* bits and observation are on in one program out of this many. */
const WATCHED_EVERY = 6;

export interface CaseResult {
  /** The first difference in words, or null. */
  readonly difference: string | null;
  /** Slice of the difference, or how many there were. */
  readonly slices: number;
  readonly instructions: number;
  /** Of them, retired by compiled code itself. */
  readonly compiled: number;
}

/** Everything that is compared after each slice, by name. */
function observe(world: World, exit: number): Record<string, unknown> {
  const { cpu } = world;
  const state = newCpuState();
  saveCpu(cpu, state);
  return {
    ...state,
    exit,
    instructions: cpu.instructions,
    cycles: cpu.cycles,
    walkCycles: cpu.walkCycles,
    walkReferences: cpu.walkReferences,
    itlbMisses: world.mmus.map(({ itlb }) => itlb.misses),
    dtlbMisses: world.mmus.map(({ dtlb }) => dtlb.misses),
    tsc: cpu.readTsc(),
    segFlat: cpu.segFlat,
    stackFlat: cpu.stackFlat,
    interruptible: cpu.interruptible(),
    resumeAt: cpu.resumeAt,
    special: cpu.special,
    pendingDebug: cpu.pendingDebug,
    traced: cpu.tracedWrites.map((value, n) => (n % 2 === 0 ? value : -value)),
    ...(exit === EXIT_EXCEPTION
      ? {
          vector: cpu.exitVector,
          error: cpu.exitError,
          lin: cpu.exitLin,
          software: cpu.exitIsSoftware,
          during: cpu.exitDuring,
        }
      : {}),
    ...(exit === EXIT_IO ? { port: cpu.ioPort, ioBytes: cpu.ioBytes, isIn: cpu.ioIsIn, ioValue: cpu.ioValue } : {}),
    ...(exit === EXIT_INTERCEPT || exit === EXIT_SENSITIVE ? { instruction: cpu.exitInsn.row.mnemonic } : {}),
    ...(exit === EXIT_BUDGET ? {} : { first: { ...cpu.firstFault } }),
  };
}

const show = (value: unknown): string =>
  typeof value === 'number'
    ? `${value} (${hex(value)})`
    : ArrayBuffer.isView(value)
      ? [...(value as Int32Array)].map(hex).join(' ')
      : JSON.stringify(value);

function compareStates(a: Record<string, unknown>, b: Record<string, unknown>): string | null {
  const lines: string[] = [];
  for (const [name, value] of Object.entries(a)) {
    const [expected, seen] = [show(value), show(b[name])];
    if (expected !== seen) lines.push(`${name}: interpreter ${expected}, compiled ${seen}`);
  }
  return lines.length === 0 ? null : lines.join('\n  ');
}

function compareMemory(a: World, b: World): string | null {
  const first = a.physmap.lookup(a.physmap.mfnOf.length - 1) << 10;
  const [x, y] = [a.memory.words32, b.memory.words32];
  for (let at = first; at < x.length; at++) {
    if (x[at] === y[at]) continue;
    const gfn = a.physmap.mfnOf.indexOf(at >> 10);
    return `memory: guest frame ${gfn} offset ${hex((at & 0x3ff) * 4)}: interpreter ${hex(x[at]!)}, compiled ${hex(y[at]!)}`;
  }
  return null;
}

/** A length of a slice: mostly so short that it ends within a block. */
function budgetOf(rng: RandomStream): number {
  const roll = rng.below(10);
  return roll < 6 ? 1 + rng.below(200) : roll < 9 ? 1 + rng.below(3000) : 1 + rng.below(10_000);
}

/** What happens between two slices, drawn once and done to both worlds. */
function drawEvent(rng: RandomStream): (world: World) => void {
  const roll = rng.below(64);
  const [value, other] = [rng.uint32(), rng.uint32()];
  const register = value % 3;
  const small = valueIn(rng, 32);
  const page = value % DATA_RW_PAGES;
  const at = CODE_AT + (value % (CODE_BYTES - 4));
  switch (roll) {
    case 0:
      return ({ cpu }) => {
        cpu.interruptPending = true;
      };
    case 1:
    case 2:
      return ({ cpu }) => {
        if (cpu.interruptible()) cpu.inject(VECTOR_KICK, NO_ERROR_CODE, 0, true);
      };
    case 3:
      return ({ cpu }) => {
        if (cpu.interruptible()) cpu.inject(VECTOR_TICK, NO_ERROR_CODE, 0, true);
      };
    case 4:
      return ({ cpu, mmus }) => {
        mmus[0]!.flushAll();
        cpu.dropCode();
      };
    case 5:
      return ({ mmus }) => mmus[0]!.clearFront();
    case 6:
      return ({ cpu, mmus, walker }) => {
        for (const mmu of mmus) mmu.attach(walker, other % 2);
        cpu.dropCode();
      };
    case 7:
      return ({ cpu, mmus }) => cpu.attach(mmus[other % 2]!);
    case 8:
      return (world) => world.toggleTrace(page);
    case 9:
      return (world) => world.writeCode(at, Uint8Array.of(other, other >> 8));
    case 10:
      return ({ cpu }) => {
        cpu.interruptPending = false;
      };
    case 11: // Concerns the compiler only.
      return ({ codeCache }) => codeCache.compiler?.reset();
    case 12:
      return ({ codeCache }) => {
        codeCache.hotAfter = [1, 2, 5, 500][other % 4]!;
      };
    case 13:
      return ({ cpu }) => {
        cpu.step();
      };
    default:
      if (roll < 40) return () => {};
      return ({ cpu }) => {
        cpu.regs[register] = roll < 52 ? small : other;
        cpu.setEflags(other, FLAGS_ARITHMETIC);
      };
  }
}

/** Answers an exit the way a simple VMM does. Returns false when the program is over. */
function answer(cpu: Cpu, exit: number, value: number): boolean {
  switch (exit) {
    case EXIT_BUDGET:
      return true;
    case EXIT_IO:
      cpu.completeIo(value);
      return true;
    case EXIT_HALT:
    case EXIT_UNIMPLEMENTED:
      cpu.inject(VECTOR_KICK, NO_ERROR_CODE, 0, true);
      return true;
    case EXIT_INTERRUPT_WINDOW:
      cpu.interruptPending = false;
      cpu.inject(VECTOR_TICK, NO_ERROR_CODE, 0, true);
      return true;
    case EXIT_EXCEPTION:
      cpu.inject(cpu.exitVector, cpu.exitError, cpu.exitLin);
      return true;
    case EXIT_INTERCEPT:
    case EXIT_SENSITIVE:
      cpu.step();
      return true;
    default:
      return false;
  }
}

function makeWorld(program: Program, compiled: boolean): World {
  const { ring, truncated, alignment, intercepts } = program;
  const world = new World({ ring, truncated, alignment, intercepts, landing: landingOf(program), compiled });
  for (const { at, bytes } of assemble(program)) world.loadCode(at, bytes);
  return world;
}

/** Pages are compiled however often they change: the programs change theirs all the time. */
function forgive(world: World): void {
  for (let gfn = 0; gfn < world.physmap.mfnOf.length; gfn++) {
    const { compiled } = world.codeCache.page(world.physmap.lookup(gfn), true);
    compiled.kills = 0;
    compiled.banned = false;
  }
}

/** Runs `program` with the events of `seed` by both engines, at most `slices` slices. */
export function runTwins(program: Program, seed: number, slices = EXITS_MAX, memoryEvery = MEMORY_EVERY): CaseResult {
  const rng = new Streams(seed).stream('events');
  const worlds = [makeWorld(program, false), makeWorld(program, true)] as const;
  const [plain, compiled] = worlds;
  const coverage = new Coverage(compiled.cpu);
  compiled.codeCache.hotAfter = 1 + rng.below(2);
  if (rng.below(WATCHED_EVERY) === 0) {
    const [intercepts, observe] = [rng.uint32(), rng.chance(1, 2)];
    for (const { cpu } of worlds) {
      cpu.intercepts = intercepts;
      cpu.observeSensitive = observe;
    }
  }
  const start = plain.cpu.instructions;
  const end = (n: number, difference: string | null): CaseResult => ({
    difference,
    slices: n,
    instructions: plain.cpu.instructions - start,
    compiled: coverage.instructions,
  });
  let whole = 0;
  for (let n = 1; ; n++) {
    const budget = budgetOf(rng);
    const exits = worlds.map(({ cpu }) => cpu.run(budget)) as [number, number];
    const before = compareStates(observe(plain, exits[0]), observe(compiled, exits[1]));
    if (before !== null) return end(n, before);
    const value = rng.uint32();
    const event = drawEvent(rng);
    const goes = worlds.map(({ cpu }, w) => answer(cpu, exits[w]!, value));
    for (const world of worlds) {
      event(world);
      world.cpu.tracedWrites.length = 0;
    }
    forgive(compiled);
    const after = compareStates(observe(plain, 0), observe(compiled, 0));
    if (after !== null) return end(n, `after an event: ${after}`);
    if (exits[0] === EXIT_BUDGET) whole++;
    const isLast = n === slices || whole === SLICES || goes.includes(false);
    const memory = isLast || n % memoryEvery === 0 ? compareMemory(plain, compiled) : null;
    if (memory !== null) return end(n, memory);
    if (isLast) return end(n, null);
  }
}

/** The program of a seed. */
export const programOf = (seed: number): Program => randomProgram(new Streams(seed).stream('program'));

/** Empties items of a program for as long as the engines differ. */
export function reduce(program: Program, seed: number): Program {
  let best = program;
  let { slices } = runTwins(best, seed, EXITS_MAX, 1);
  for (let progress = true; progress; ) {
    progress = false;
    for (const [block, items] of best.blocks.entries()) {
      for (const [n, item] of items.entries()) {
        if (item.bytes.length === 0) continue;
        const smaller = without(best, block, n);
        const result = runTwins(smaller, seed, slices, 1);
        if (result.difference === null) continue;
        best = smaller;
        slices = result.slices;
        progress = true;
      }
    }
  }
  return best;
}

/** A program that shows a difference, in words. */
export function describe(program: Program, seed: number): string {
  const result = runTwins(program, seed, EXITS_MAX, 1);
  const pieces = assemble(program).filter(({ bytes }) => bytes.length > 0);
  return [
    `seed ${seed}, ring ${program.ring}, intercepts ${hex(program.intercepts)}${program.truncated ? ', truncated' : ''}`,
    ...pieces.map(({ at, bytes }) => `  ${hex(at)}: ${bytesOf(bytes)}`),
    `  slice ${result.slices}: ${result.difference}`,
  ].join('\n');
}
