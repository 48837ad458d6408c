/**
 * What is compiled at once: the basic blocks that are statically reachable from a hot address through code that has
 * been executed before, with their control-flow graph in the form that structured WebAssembly needs.
 *
 * Node 0 is the dispatcher, which can jump to every entry block (where control may arrive from outside or through a
 * register); the other nodes are blocks in reverse postorder. Invariants:
 *   - every edge that goes back goes to a block that dominates its source, or to an entry (by way of the dispatcher);
 *   - a block lies in one page, and all its instructions are decoded and not crossing into the next page.
 * Sources: Cooper, Harvey, Kennedy, "A simple, fast dominance algorithm" (2001); Ramsey, "Beyond Relooper" (ICFP 2022)
 * for the shape of the graph that needs no extra variables.
 */
import type { CodePage } from '../code-cache.ts';
import type { Cpu } from '../cpu.ts';
import { type Insn, SEG_CS } from '../insn.ts';
import { REGION_PAGES_MAX } from './layout.ts';

/** How a block ends. */
export type Ending =
  | 'next' // runs into the next block
  | 'jump' // one successor: taken
  | 'branch' // two: taken and next
  | 'call' // taken, and the return address is an entry
  | 'indirect' // target in a register, memory or on the stack
  | 'leave'; // an instruction that the interpreter executes, and after which control goes anywhere

export interface Block {
  readonly start: number;
  readonly insns: Insn[];
  /** Linear address behind the last instruction. */
  end: number;
  ending: Ending;
  /** Address of the static target, for jump, branch and call. */
  target: number;
  /** Where an indirect ending may go: the last target of a jump or call, the return addresses of a return. */
  readonly guesses: number[];
  /** Position in Region.blocks plus one; 0 is the dispatcher. */
  node: number;
}

export interface Region {
  readonly start: number;
  /** In reverse postorder; block n is node n + 1. */
  readonly blocks: readonly Block[];
  /** Blocks that the dispatcher can reach, by ascending node. */
  readonly entries: readonly Block[];
  /** Linear page numbers with the decoded pages behind them. */
  readonly pages: ReadonlyMap<number, CodePage>;
  /** Immediate dominator of each node; 0 for node 0. */
  readonly dominator: readonly number[];
  /** Nodes with a back edge to them. */
  readonly isLoop: readonly boolean[];
  /** Nodes with several forward edges, and entries: they get a label. */
  readonly isMerge: readonly boolean[];
  /** Block at an address, if it is one of the region's. */
  readonly blockAt: ReadonlyMap<number, Block>;
}

/** Larger functions take V8's optimising compiler more than proportionally longer. */
const INSNS_MAX = 150;
const BLOCK_INSNS_MAX = 60;

const JUMPS = /^(J(?!MP|CXZ)[A-Z]+)$/;

/** A target that lies in a segment which may not be flat. */
const isFarAway = (insn: Insn): boolean => insn.isMemory && !isReachable(insn);

/** What an instruction does to the flow of control; null: runs on. */
export function endingOf(insn: Insn): Ending | null {
  const { mnemonic, operands } = insn.row;
  const relative = operands[0]?.startsWith('J') === true;
  switch (mnemonic) {
    case 'JMP':
      if (insn.width !== 32 || isFarAway(insn)) return 'leave';
      return relative ? 'jump' : 'indirect';
    case 'CALL':
      if (insn.width !== 32 || isFarAway(insn)) return 'leave';
      return relative ? 'call' : 'indirect';
    case 'RET':
      return insn.width === 32 ? 'indirect' : 'leave';
    case 'LOOP':
    case 'LOOPE':
    case 'LOOPNE':
    case 'JCXZ':
      return insn.width === 32 && insn.addressMask === -1 ? 'branch' : 'leave';
    case 'INT':
    case 'INT1':
    case 'INT3':
    case 'IRET':
    case 'JMPF':
    case 'CALLF':
    case 'RETF':
    case 'HLT':
    case 'SYSENTER':
    case 'SYSEXIT':
      return 'leave';
    default:
      if (relative && JUMPS.test(mnemonic)) return insn.width === 32 ? 'branch' : 'leave';
      return null;
  }
}

/** Collects the decoded instructions that can be reached from `start`, nearest first. */
class Collector {
  readonly insns = new Map<number, Insn>();
  readonly pages = new Map<number, CodePage>();
  readonly leaders = new Set<number>();
  readonly entries = new Set<number>();
  private readonly cpu: Cpu;
  private readonly mode: number;

  constructor(cpu: Cpu, start: number, mode: number) {
    this.cpu = cpu;
    this.mode = mode;
    this.entries.add(start);
    const queue = [start];
    for (let next = queue.shift(); next !== undefined && this.insns.size < INSNS_MAX; next = queue.shift()) {
      this.leaders.add(next);
      this.walk(next, queue);
    }
  }

  private walk(from: number, queue: number[]): void {
    for (let at = from, n = 0; ; n++) {
      if (this.insns.has(at)) return;
      const insn = this.find(at);
      if (insn === undefined) return;
      if ((at & 0xfff) === 0 || n === BLOCK_INSNS_MAX) {
        this.leaders.add(at);
        n = 0;
      }
      this.insns.set(at, insn);
      const next = (at + insn.length) | 0;
      const ending = endingOf(insn);
      if (ending !== null) {
        this.follow(insn, ending, next, queue);
        return;
      }
      if (this.insns.size >= INSNS_MAX) return;
      at = next;
    }
  }

  private follow(insn: Insn, ending: Ending, next: number, queue: number[]): void {
    if (ending === 'branch') queue.push((next + insn.imm) | 0, next);
    else if (ending === 'jump') queue.push((next + insn.imm) | 0);
    else {
      const returns = ending === 'call' || ending === 'leave' || insn.row.mnemonic === 'CALL';
      if (ending === 'call') queue.push((next + insn.imm) | 0);
      else if (ending === 'indirect' && insn.target !== 0) {
        queue.push(insn.target);
        this.entries.add(insn.target);
      }
      if (returns) {
        queue.push(next);
        this.entries.add(next);
      }
    }
  }

  /** The instruction at a linear address, if it was executed before and lies inside its page. */
  private find(at: number): Insn | undefined {
    const page = at >>> 12;
    let code = this.pages.get(page);
    if (code === undefined) {
      if (this.pages.size === REGION_PAGES_MAX) return undefined;
      const found = this.cpu.mmu.findCode(at, this.mode);
      if (found === null || found.compiled.banned) return undefined;
      code = found;
      this.pages.set(page, code);
    }
    const insn = code.insns[at & 0xfff];
    if (insn === undefined || insn.secondFrame >= 0) return undefined;
    if ((at & 0xfff) + insn.length > 0x1000) return undefined;
    return insn;
  }
}

function makeBlocks(found: Collector): Map<number, Block> {
  const blocks = new Map<number, Block>();
  for (const start of found.leaders) {
    if (!found.insns.has(start)) continue;
    const block: Block = { start, insns: [], end: start, ending: 'next', target: 0, guesses: [], node: 0 };
    for (;;) {
      const insn = found.insns.get(block.end);
      if (insn === undefined || (block.insns.length > 0 && found.leaders.has(block.end))) break;
      block.insns.push(insn);
      block.end = (block.end + insn.length) | 0;
      const ending = endingOf(insn);
      if (ending !== null) {
        block.ending = ending;
        if (ending !== 'indirect' && ending !== 'leave') block.target = (block.end + insn.imm) | 0;
        if (ending === 'indirect' && insn.target !== 0) block.guesses.push(insn.target);
        break;
      }
    }
    blocks.set(start, block);
  }
  return blocks;
}

/** Addresses that a block can go to directly. */
function successorsOf(block: Block): number[] {
  switch (block.ending) {
    case 'next':
      return [block.end];
    case 'jump':
    case 'call':
      return [block.target];
    case 'branch':
      return block.target === block.end ? [block.end] : [block.target, block.end];
    default:
      return [];
  }
}

/** Return addresses that are tried before the general look-up. */
const GUESSES_MAX = 4;

/** Tells each return where the calls of its function in this region come from. */
function guessReturns(blockAt: ReadonlyMap<number, Block>): void {
  for (const call of blockAt.values()) {
    const isCall = call.insns.at(-1)!.row.mnemonic === 'CALL';
    const callee = call.ending === 'call' ? call.target : isCall ? call.guesses[0] : undefined;
    if (callee === undefined || !blockAt.has(call.end)) continue;
    for (const ending of returnsOf(callee, blockAt)) {
      if (ending.guesses.length < GUESSES_MAX) ending.guesses.push(call.end);
    }
  }
}

/** Blocks with a RET that the function at an address reaches, not counting what it calls. */
function returnsOf(callee: number, blockAt: ReadonlyMap<number, Block>): Block[] {
  const seen = new Set<number>();
  const found: Block[] = [];
  const queue = [callee];
  for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
    const block = blockAt.get(at);
    if (block === undefined || seen.has(at)) continue;
    seen.add(at);
    const { mnemonic } = block.insns.at(-1)!.row;
    if (mnemonic === 'RET') found.push(block);
    else if (mnemonic === 'CALL' || block.ending === 'leave') queue.push(block.end);
    else queue.push(...successorsOf(block), ...block.guesses);
  }
  return found;
}

/** Numbers the blocks reachable from the entries in reverse postorder, the dispatcher being node 0. */
function order(entries: readonly Block[], blockAt: ReadonlyMap<number, Block>): Block[] {
  const postorder: Block[] = [];
  const state = new Map<Block, number>();
  for (const root of [...entries].reverse()) {
    if (state.has(root)) continue;
    const stack: Block[] = [root];
    while (stack.length > 0) {
      const block = stack.at(-1)!;
      const step = state.get(block) ?? 0;
      const targets = successorsOf(block);
      state.set(block, step + 1);
      if (step < targets.length) {
        const next = blockAt.get(targets[step]!);
        if (next !== undefined && !state.has(next)) stack.push(next);
      } else {
        stack.pop();
        postorder.push(block);
      }
    }
  }
  return postorder.reverse();
}

function intersect(dominator: readonly number[], a: number, b: number): number {
  let [x, y] = [a, b];
  while (x !== y) {
    while (x > y) x = dominator[x]!;
    while (y > x) y = dominator[y]!;
  }
  return x;
}

function dominators(predecessors: readonly (readonly number[])[]): number[] {
  const dominator: number[] = predecessors.map((_, node) => (node === 0 ? 0 : -1));
  for (let changed = true; changed; ) {
    changed = false;
    for (let node = 1; node < predecessors.length; node++) {
      let best = -1;
      for (const from of predecessors[node]!) {
        if (dominator[from] === -1) continue;
        best = best === -1 ? from : intersect(dominator, best, from);
      }
      if (dominator[node] !== best) {
        dominator[node] = best;
        changed = true;
      }
    }
  }
  return dominator;
}

const dominates = (dominator: readonly number[], above: number, below: number): boolean => {
  let node = below;
  while (node > above) node = dominator[node]!;
  return node === above;
};

/** Builds the region around `start`, or null when nothing there can be compiled. */
export function findRegion(cpu: Cpu, start: number): Region | null {
  const found = new Collector(cpu, start, (cpu.cpl === 3 ? 1 : 0) | 2);
  const blockAt = makeBlocks(found);
  if (!blockAt.has(start)) return null;
  guessReturns(blockAt);
  const entrySet = new Set([...found.entries].filter((at) => blockAt.has(at)));
  for (;;) {
    const entryBlocks = [...entrySet].map((at) => blockAt.get(at)!);
    const blocks = order(entryBlocks, blockAt);
    for (const block of blockAt.values()) block.node = 0;
    blocks.forEach((block, n) => {
      block.node = n + 1;
    });
    const predecessors: number[][] = [[], ...blocks.map(() => [])];
    for (const block of entryBlocks) predecessors[block.node]!.push(0);
    for (const block of blocks) {
      for (const target of successorsOf(block)) {
        const next = blockAt.get(target);
        // An edge back to an entry goes through the dispatcher unless it closes a natural loop; decided below.
        if (next !== undefined) predecessors[next.node]!.push(block.node);
      }
    }
    const dominator = dominators(predecessors);
    let irreducible = false;
    const isLoop = predecessors.map(() => false);
    const isMerge = predecessors.map(() => false);
    for (const block of blocks) {
      let forward = entrySet.has(block.start) ? 2 : 0;
      for (const from of predecessors[block.node]!) {
        if (from === 0) continue;
        if (from < block.node) forward++;
        else if (dominates(dominator, block.node, from)) isLoop[block.node] = true;
        else if (!entrySet.has(block.start)) {
          entrySet.add(block.start);
          irreducible = true;
        }
      }
      isMerge[block.node] = forward > 1;
    }
    if (irreducible) continue;
    const reachable = new Map(blocks.map((block) => [block.start, block]));
    const entries = [...entrySet].map((at) => reachable.get(at)!).sort((a, b) => a.node - b.node);
    return { start, blocks, entries, pages: found.pages, dominator, isLoop, isMerge, blockAt: reachable };
  }
}

/** Compiled code reaches memory through every segment register but CS: flat ones, and FS and GS of any base. */
export const isReachable = (insn: Insn): boolean => insn.seg !== SEG_CS;
