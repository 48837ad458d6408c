/**
 * Regions: random control-flow graphs, reducible or not, with blocks that cross pages; the path taken is the one that
 * a walk over the same graph in TypeScript takes. Also what a region promises about dominators, loops and entries.
 */
import { describe, expect, it } from 'vitest';
import { type RandomStream, Streams } from '../../../src/core/rng.ts';
import { type Block, findRegion, type Region } from '../../../src/machine/compiler/region.ts';
import { CODE_AT, World } from '../../fuzz/world.ts';
import { littleEndian } from '../../oracle/draft.ts';
import { Coverage } from '../helpers/coverage.ts';

/** A node mixes its number into EAX, and goes by bits of EAX to one of two nodes, or calls one and then goes on. */
interface Node {
  readonly yes: number;
  readonly no: number;
  /** Node that is called before, and which returns at once: -1 for none. */
  readonly callee: number;
  readonly bit: number;
  readonly at: number;
}

const FACTOR = 0x01000193;
const NODE_BYTES = 48;

function randomGraph(rng: RandomStream): Node[] {
  const count = 2 + rng.below(40);
  // Near nodes make long chains and nested loops, far ones entries into the middle of loops.
  const far = rng.below(4);
  const next = (n: number): number =>
    rng.below(4) < far ? rng.below(count) : Math.min(count - 1, Math.max(0, n - 2 + rng.below(6)));
  const start = CODE_AT + rng.below(0x1000);
  return Array.from({ length: count }, (_, n) => ({
    yes: next(n),
    no: next(n),
    callee: rng.chance(1, 8) ? rng.below(count) : -1,
    bit: rng.below(32),
    at: start + n * NODE_BYTES,
  }));
}

/** Machine code of a node: mix; test; jcc yes; jmp no. ESI counts down to a HLT. Behind it what a call of it runs. */
function codeOf(nodes: readonly Node[], n: number): number[] {
  const node = nodes[n]!;
  const code: number[] = [];
  const relative = (opcode: readonly number[], target: number): void => {
    const end = node.at + code.length + opcode.length + 4;
    code.push(...opcode, ...littleEndian(target - end, 4));
  };
  code.push(0x35, ...littleEndian(n + 1, 4)); // xor eax, n + 1
  code.push(0x69, 0xc0, ...littleEndian(FACTOR, 4)); // imul eax, eax, factor
  if (node.callee >= 0) relative([0xe8], nodes[node.callee]!.at + SUBROUTINE);
  code.push(0x4e, 0x75, 1, 0xf4); // dec esi; jne over; hlt
  code.push(0x0f, 0xba, 0xe0, node.bit); // bt eax, bit
  if (n % 3 === 0 && Math.abs(nodes[node.yes]!.at - node.at) < 100) {
    const end = node.at + code.length + 2;
    code.push(0x72, (nodes[node.yes]!.at - end) & 0xff); // jb, near
  } else relative([0x0f, 0x82], nodes[node.yes]!.at); // jb
  if (node.no !== n + 1) relative([0xe9], nodes[node.no]!.at);
  else while (code.length < NODE_BYTES) code.push(0x90);
  while (code.length < SUBROUTINE) code.push(0xcc);
  if (node.no !== n + 1) code.push(0x35, ...littleEndian(~n, 4), 0xc3); // xor eax, ~n; ret
  return code;
}
const SUBROUTINE = 42;

/** EAX and steps after walking `steps` nodes from node 0. */
function walk(nodes: readonly Node[], steps: number): number {
  let [eax, n] = [1, 0];
  for (let left = steps; ; left--) {
    const node = nodes[n]!;
    eax = Math.imul(eax ^ (n + 1), FACTOR);
    if (node.callee >= 0) eax ^= ~node.callee;
    if (left === 1) return eax;
    n = ((eax >>> node.bit) & 1) !== 0 ? node.yes : node.no;
  }
}

/** Checks what region.ts promises. */
function expectSound(region: Region): void {
  const { blocks, entries, dominator, isLoop, isMerge, blockAt } = region;
  const entrySet = new Set<Block>(entries);
  const after = (block: Block): Block[] => {
    const targets =
      block.ending === 'branch'
        ? [block.target, block.end]
        : block.ending === 'next'
          ? [block.end]
          : ['jump', 'call'].includes(block.ending)
            ? [block.target]
            : [];
    return targets.map((at) => blockAt.get(at)).filter((to): to is Block => to !== undefined);
  };
  /** Nodes that can be reached from the dispatcher without passing `without`. */
  const reach = (without: number): Set<number> => {
    const seen = new Set<number>();
    const queue = entries.filter((block) => block.node !== without);
    for (let block = queue.pop(); block !== undefined; block = queue.pop()) {
      if (seen.has(block.node)) continue;
      seen.add(block.node);
      queue.push(...after(block).filter((to) => to.node !== without));
    }
    return seen;
  };
  const dominatesByDefinition = (above: number, below: number): boolean =>
    above === 0 || above === below || !reach(above).has(below);
  for (const block of blocks) {
    expect(block.node).toBe(blocks.indexOf(block) + 1);
    // The immediate dominator is one, and every other dominator is above it.
    const idom = dominator[block.node]!;
    expect(dominatesByDefinition(idom, block.node)).toBe(true);
    const above = blocks.filter(({ node }) => node !== block.node && dominatesByDefinition(node, block.node));
    for (const { node } of above) expect(dominatesByDefinition(node, idom)).toBe(true);
    // An edge back closes a loop, or goes to an entry by way of the dispatcher.
    for (const to of after(block).filter(({ node }) => node <= block.node)) {
      expect(dominatesByDefinition(to.node, block.node) ? isLoop[to.node] : entrySet.has(to)).toBe(true);
    }
    const forward = blocks.filter((from) => from.node < block.node && after(from).includes(block)).length;
    expect(isMerge[block.node]).toBe(forward > 1 || entrySet.has(block));
    // One page, and whole instructions.
    expect(block.start >>> 12).toBe((block.end - 1) >>> 12);
    expect(block.insns.reduce((sum, insn) => sum + insn.length, block.start)).toBe(block.end);
  }
}

const GRAPHS = 40;
const STEPS = 3000;

describe('random graphs', () => {
  const rng = new Streams(3).stream('graphs');

  it('are walked as they should be, in any slices, mostly by compiled code', () => {
    let [compiled, instructions] = [0, 0];
    for (let n = 0; n < GRAPHS; n++) {
      // A node whose other successor is the next one has no room for a subroutine.
      const drawn = randomGraph(rng);
      const nodes = drawn.map((node) => {
        const callable = node.callee >= 0 && drawn[node.callee]!.no !== node.callee + 1;
        return { ...node, callee: callable ? node.callee : -1 };
      });
      const options = { ring: 0, truncated: false, alignment: false, intercepts: 0, compiled: true };
      const world = new World({ ...options, landing: nodes[0]!.at });
      for (const [i, { at }] of nodes.entries()) world.loadCode(at, Uint8Array.from(codeOf(nodes, i)));
      world.codeCache.hotAfter = 1 + (n % 3);
      const coverage = new Coverage(world.cpu);
      const { cpu } = world;
      cpu.regs[0] = 1;
      cpu.regs[6] = STEPS;
      const slice = n % 2 === 0 ? 1_000_000 : 1 + rng.below(300);
      let exit = 0;
      while (exit === 0) exit = cpu.run(slice);
      expect(exit, `graph ${n}`).toBe(1);
      expect(cpu.regs[0], `graph ${n}`).toBe(walk(nodes, STEPS));
      compiled += coverage.instructions;
      instructions += cpu.instructions;
      for (const node of nodes.slice(0, 5)) {
        const region = findRegion(cpu, node.at);
        if (region !== null) expectSound(region);
      }
    }
    expect(compiled).toBeGreaterThan(instructions * 0.7);
  });
});
