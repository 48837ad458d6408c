/**
 * The life of compiled units: what is dropped can never be entered again, everything can be forgotten at any time, and
 * the same frame at several addresses does not multiply them.
 */
import { describe, expect, it } from 'vitest';
import type { CompiledEntry } from '../../../src/machine/compiler/compiler.ts';
import { JUMP_ENTRIES, JUMP_ENTRY_BYTES } from '../../../src/machine/compiler/layout.ts';
import type { WasmTable } from '../../../src/machine/compiler/wasm.ts';
import type { Insn } from '../../../src/machine/insn.ts';
import { CODE_ALIAS, CODE_AT, World } from '../../fuzz/world.ts';
import { littleEndian } from '../../oracle/draft.ts';
import { Coverage } from '../helpers/coverage.ts';

/** The parts of a compiler that nobody else may look at. */
interface Inside {
  readonly units: readonly CompiledEntry['unit'][];
  readonly jumpTableAt: number;
  readonly table: WasmTable;
}

function makeWorld(code: readonly number[], unitsMax?: number): World {
  const options = { ring: 0, truncated: false, alignment: false, intercepts: 0, landing: CODE_AT, compiled: true };
  const world = new World(unitsMax === undefined ? options : { ...options, unitsMax });
  world.loadCode(CODE_AT, Uint8Array.from(code));
  world.codeCache.hotAfter = 1;
  return world;
}

const insideOf = (world: World): Inside => world.codeCache.compiler as unknown as Inside;
const unitsOf = (world: World): CompiledEntry['unit'][] => insideOf(world).units.filter((unit) => !unit.dead);

/** Entries of the jump table that can be taken: unit by linear address. */
function jumpsOf(world: World): Map<number, number> {
  const { jumpTableAt } = insideOf(world);
  const jumps = new Map<number, number>();
  for (let n = 0; n < JUMP_ENTRIES; n++) {
    const at = (jumpTableAt + n * JUMP_ENTRY_BYTES) >> 2;
    const [eip, page, unit] = world.memory.words32.subarray(at, at + 3);
    if (page !== 0) jumps.set(eip!, unit!);
  }
  return jumps;
}

/** Instructions of the code pages whose handler enters compiled code. */
function entered(world: World): Insn[] {
  const found: Insn[] = [];
  for (let page = 0; page < 4; page++) {
    const code = world.mmus[0]!.findCode(CODE_AT + page * 4096, 2);
    for (const insn of code?.insns ?? []) if (insn !== undefined && insn.entry !== null) found.push(insn);
  }
  return found;
}

// inc eax; inc ecx; jmp back
const LOOP = [0x40, 0x41, 0xeb, 0xfc];
const CYCLES = 1000;

describe('a unit', () => {
  it('is entered, and does the work', () => {
    const world = makeWorld(LOOP);
    const coverage = new Coverage(world.cpu);
    world.cpu.run(CYCLES);
    expect(unitsOf(world)).toHaveLength(1);
    expect(coverage.instructions).toBeGreaterThan(world.cpu.count * 0.9);
    expect(jumpsOf(world).get(CODE_AT)).toBe(unitsOf(world)[0]!.index);
  });

  it('leaves no entry behind when its bytes change', () => {
    const world = makeWorld(LOOP);
    world.cpu.run(CYCLES);
    const unit = unitsOf(world)[0]!;
    world.writeCode(CODE_AT + 1, Uint8Array.of(0x42)); // inc edx
    expect(unit.dead).toBe(true);
    expect(unitsOf(world)).toEqual([]);
    expect(jumpsOf(world).size).toBe(0);
    expect(entered(world)).toEqual([]);
    expect(unit.region.blocks.flatMap(({ insns }) => insns).every((insn) => insn.run === insn.plain)).toBe(true);
    const { regs } = world.cpu;
    const [ecx, edx] = [regs[1]!, regs[2]!];
    world.cpu.run(CYCLES);
    expect(regs[1]).toBeLessThanOrEqual(ecx + 1);
    expect(regs[2]).toBeGreaterThan(edx + 100);
  });

  it('stays when bytes beside it change', () => {
    const world = makeWorld(LOOP);
    world.cpu.run(CYCLES);
    const unit = unitsOf(world)[0]!;
    world.writeCode(CODE_AT + LOOP.length, Uint8Array.of(0x42));
    expect(unit.dead).toBe(false);
    expect(jumpsOf(world).get(CODE_AT)).toBe(unit.index);
  });

  it('may be dropped by its own code', () => {
    // inc eax; mov byte [next + 1], 5 (a constant that was 1); next: add ecx, 1; jmp back
    const next = CODE_AT + 8;
    const code = [0x40, 0xc6, 0x05, ...littleEndian(next + 2, 4), 5, 0x83, 0xc1, 1, 0xeb, 0xf3];
    const world = makeWorld(code);
    const start = world.cpu.regs[1]!;
    world.cpu.run(CYCLES);
    const [eax, ecx] = [world.cpu.regs[0]!, world.cpu.regs[1]! - start];
    // The store of each round comes before the addition.
    expect([5 * eax, 5 * (eax - 1)]).toContain(ecx);
    expect(eax).toBeGreaterThan(20);
  });
});

describe('everything', () => {
  it('is forgotten when there is too much of it, and the program goes on', () => {
    // Small loops one after the other, each in a region of its own: mov ecx, 40; loop $; ...; jmp to the first.
    const parts = 60;
    const code = Array.from({ length: parts }, () => [
      0xb9,
      40,
      0,
      0,
      0,
      0xe2,
      0xfe,
      0xff,
      0x05,
      ...littleEndian(CODE_AT + 0x3000, 4),
    ]).flat();
    code.push(0xe9, ...littleEndian(-(code.length + 5), 4));
    const unitsMax = 8;
    const world = makeWorld(code, unitsMax);
    const coverage = new Coverage(world.cpu);
    let most = 0;
    for (let n = 0; n < 120; n++) {
      world.cpu.run(CYCLES);
      most = Math.max(most, unitsOf(world).length);
      // Whatever can be entered belongs to a unit that lives.
      const live = unitsOf(world);
      for (const insn of entered(world)) expect(live).toContain(insn.entry!.unit);
      for (const index of jumpsOf(world).values()) expect(live.map((unit) => unit.index)).toContain(index);
    }
    expect(most).toBeLessThanOrEqual(unitsMax);
    expect(coverage.instructions).toBeGreaterThan(world.cpu.instructions / 2);
  });

  it('can be forgotten at any time', () => {
    const world = makeWorld(LOOP);
    for (let n = 0; n < 10; n++) {
      world.cpu.run(CYCLES);
      world.codeCache.compiler!.reset();
      expect(unitsOf(world)).toEqual([]);
      expect(jumpsOf(world).size).toBe(0);
      expect(entered(world)).toEqual([]);
    }
    world.cpu.run(CYCLES);
    expect(unitsOf(world)).toHaveLength(1);
  });
});

it('a frame that is executed at two addresses has a unit for each, and no more', () => {
  const world = makeWorld(LOOP);
  const coverage = new Coverage(world.cpu);
  for (let n = 0; n < 40; n++) {
    world.cpu.eip = n % 2 === 0 ? CODE_AT : CODE_ALIAS;
    world.cpu.run(CYCLES);
  }
  expect(unitsOf(world)).toHaveLength(2);
  expect(coverage.instructions).toBeGreaterThan(world.cpu.instructions * 0.9);
});
