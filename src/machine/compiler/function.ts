/**
 * One region as one WebAssembly function: the blocks in structured form, their endings, and the way in and out.
 *
 *   exit: loop dispatch: lookup: ( br_table over the entries ... blocks ... )  lookup code  end
 *
 * Invariant: control reaches a block only with the budget checked, and leaves with EIP or a site.
 * Source of the structuring: Ramsey, "Beyond Relooper" (ICFP 2022), figure 3.
 */
import { assert } from '../../core/errors.ts';
import { NO_ERROR_CODE } from '../exits.ts';
import { CONDITION_NAMES } from '../flags.ts';
import type { Insn } from '../insn.ts';
import {
  CALL_DELIVER,
  CALL_LEAVE,
  Emitter,
  FLAGS_UNKNOWN,
  L_BLOCK,
  L_EIP,
  L_NEXT,
  L_OTHER,
  L_SITE,
  L_THIRD,
  LOCALS,
  type Site,
} from './emitter.ts';
import { flagsAfter, neededFlags, translationOf } from './instructions/index.ts';
import { emitPop, emitPush } from './instructions/stack.ts';
import {
  AT_CODE_TAGS,
  AT_EIP,
  AT_MODE,
  AT_TRANSFERS,
  AT_UNIT,
  GO_ON,
  JUMP_ENTRIES,
  JUMP_ENTRY_BYTES,
  TRANSFER_INT,
  TRANSFER_IRET,
} from './layout.ts';
import type { Block, Region } from './region.ts';
import { type Body, LOAD32, OP, STORE32 } from './wasm.ts';

export interface CompiledRegion {
  readonly body: Body;
  readonly sites: readonly Site[];
  /** Linear page numbers in the order of their ids at AT_RECORD. */
  readonly pages: readonly number[];
}

/** The imported global: byte address of the jump table. */
export const GLOBAL_JUMP_TABLE = 0;

const label = (node: number): string => `block ${node}`;
const loopLabel = (node: number): string => `loop ${node}`;

/** MOV EBP,ESP, MOV ESP,EBP and LEAVE: code in which EBP points to a frame on the stack. */
function usesFrame({ row, isMemory, width, a, b }: Insn): boolean {
  if (row.mnemonic === 'LEAVE') return true;
  if (row.mnemonic !== 'MOV' || isMemory || width !== 32 || !/^[EG]v$/.test(row.operands[1]!)) return false;
  return (a === 5 && b === 4) || (a === 4 && b === 5);
}

class RegionEmitter {
  readonly e: Emitter;
  readonly pages: number[];
  private readonly region: Region;
  private readonly children: number[][];
  private readonly entryNumber = new Map<Block, number>();
  private readonly flagsIn: readonly number[];

  constructor(region: Region, isUser: boolean) {
    this.region = region;
    this.e = new Emitter(
      isUser,
      region.blocks.some(({ insns }) => insns.some(usesFrame)),
    );
    this.pages = [...new Set(region.blocks.map(({ start }) => start >>> 12))];
    for (const [n, block] of region.entries.entries()) this.entryNumber.set(block, n);
    this.children = region.dominator.map(() => []);
    region.dominator.forEach((above, node) => {
      if (node > 0) this.children[above]!.push(node);
    });
    this.flagsIn = incomingFlags(region);
  }

  emit(): void {
    const { e } = this;
    const { body } = e;
    e.loadState();
    e.open('exit', 'block');
    e.open('leave', 'block');
    e.open('dispatch', 'loop');
    e.open('lookup', 'block');
    this.within(0, [...this.children[0]!]);
    e.close();
    this.lookup();
    e.close();
    body.op(OP.unreachable);
    e.close();
    body.i32(0);
    body.set(L_SITE);
    e.close();
    e.epilogue();
  }

  // ------------------------------------------------------------------ structure

  private block(node: number): Block {
    return this.region.blocks[node - 1]!;
  }

  private tree(node: number): void {
    const { e } = this;
    const merges = this.children[node]!.filter((child) => this.region.isMerge[child]);
    if (!this.region.isLoop[node]) {
      this.within(node, merges);
      return;
    }
    e.open(loopLabel(node), 'loop');
    this.within(node, merges);
    e.body.op(OP.unreachable);
    e.close();
  }

  /** Emits a node's own code inside labels for the merge nodes that it dominates, each followed by its code. */
  private within(node: number, merges: number[]): void {
    const { e } = this;
    const last = merges.length === 0 ? undefined : Math.max(...merges);
    if (last === undefined) {
      if (node === 0) this.dispatch();
      else this.code(this.block(node));
      return;
    }
    e.open(label(last), 'block');
    this.within(
      node,
      merges.filter((child) => child !== last),
    );
    e.close();
    this.tree(last);
  }

  private dispatch(): void {
    const { e } = this;
    e.body.get(L_NEXT);
    e.body.brTable(
      this.region.entries.map(({ node }) => e.depth(label(node))),
      e.depth(label(this.region.entries[0]!.node)),
    );
  }

  /** Goes from a block to an address: another block of the region, or out. */
  private goTo(from: Block, address: number): void {
    const { e, region } = this;
    const to = region.blockAt.get(address);
    if (to === undefined) {
      e.exitTo(address);
      return;
    }
    if (to.start >>> 12 !== (from.end - 1) >>> 12) this.checkPage(address);
    if (to.node > from.node) {
      if (region.isMerge[to.node]) e.br(label(to.node));
      else this.tree(to.node);
    } else if (region.isLoop[to.node] && e.labels.includes(loopLabel(to.node))) e.br(loopLabel(to.node));
    else {
      const entry = this.entryNumber.get(to);
      assert(entry !== undefined, 'an edge back to a block that is neither loop nor entry');
      e.body.i32(entry);
      e.body.set(L_NEXT);
      e.br('dispatch');
    }
  }

  /** Goes to an entry of the region if L_EIP is its address. */
  private goToGuess(from: Block, address: number): void {
    const { e } = this;
    const to = this.region.blockAt.get(address);
    if (to === undefined || !this.entryNumber.has(to)) return;
    e.body.get(L_EIP);
    e.body.with(address, OP.i32eq);
    e.open('', 'if');
    this.goTo(from, address);
    e.close();
  }

  private checkPage(address: number): void {
    this.e.checkPage(address, this.pages.indexOf(address >>> 12));
  }

  // ------------------------------------------------------------------ blocks

  private code(block: Block): void {
    const { e } = this;
    const { insns } = block;
    let cycles = insns.reduce((sum, insn) => sum + insn.cycles, 0);
    let count = insns.reduce((sum, insn) => sum + insn.counts, 0);
    const needed = neededFlags(insns);
    e.flags = this.flagsIn[block.node]!;
    let eip = block.start;
    insns.forEach((insn, n) => {
      e.begin(insn, { block: block.node - 1, position: n, eip, cycles, count });
      if (n === 0) e.charge(cycles, count);
      e.flagsNeeded = needed[n]!;
      const next = (eip + insn.length) | 0;
      const isLast = n === insns.length - 1;
      if (isLast && block.ending !== 'next') this.ending(block, insn);
      else {
        const translation = translationOf(insn);
        if (translation === null) e.interpretHere();
        else translation.translate(e, insn);
        if (isLast) this.goTo(block, next);
      }
      eip = next;
      cycles -= insn.cycles;
      count -= insn.counts;
    });
  }

  private ending(block: Block, insn: Insn): void {
    const { e } = this;
    const { body } = e;
    const { mnemonic } = insn.row;
    switch (block.ending) {
      case 'jump':
        this.goTo(block, block.target);
        return;
      case 'branch':
        this.branchCondition(insn);
        e.open('', 'if');
        this.goTo(block, block.target);
        e.body.else();
        this.goTo(block, block.end);
        e.close();
        body.op(OP.unreachable);
        return;
      case 'call':
        emitPush(e, () => body.i32(block.end));
        this.goTo(block, block.target);
        return;
      case 'indirect':
        if (mnemonic === 'RET') emitPop(e, insn.imm & 0xffff);
        else {
          if (insn.isMemory) {
            e.accessOperand(insn, 32, false);
            e.load(32);
          } else e.getReg(32, insn.a);
          if (mnemonic === 'CALL') {
            body.set(L_OTHER);
            emitPush(e, () => body.i32(block.end));
            body.get(L_OTHER);
          }
        }
        body.set(L_EIP);
        for (const guess of block.guesses) this.goToGuess(block, guess);
        e.br('lookup');
        return;
      default:
        if (mnemonic === 'INT' && insn.width === 32) this.transfer(block, insn, TRANSFER_INT);
        else if (mnemonic === 'IRET' && insn.width === 32) this.transfer(block, insn, TRANSFER_IRET);
        // The interpreter executes it, and says where to go on.
        e.interpretHere();
        e.exitTo(block.end);
    }
  }

  /** INT n or IRET: the run time makes the usual one, and the dispatcher goes on at the new EIP. */
  private transfer(block: Block, insn: Insn, kind: number): void {
    const { e } = this;
    const { body } = e;
    body.get(L_BLOCK);
    body.memory(LOAD32, AT_TRANSFERS);
    body.with(kind, OP.i32and);
    e.open('', 'if');
    e.storeState();
    if (kind === TRANSFER_INT) {
      body.get(L_BLOCK);
      body.i32(block.end);
      body.memory(STORE32, AT_EIP);
      body.i32(insn.imm & 0xff);
      body.i32(NO_ERROR_CODE);
      body.i32(1);
      body.call(CALL_DELIVER);
    } else {
      body.i32(0);
      body.call(CALL_LEAVE);
    }
    e.open('', 'if');
    body.i32(GO_ON);
    body.op(OP.return);
    e.close();
    e.close();
  }

  private branchCondition(insn: Insn): void {
    const { e } = this;
    const { body } = e;
    const { mnemonic } = insn.row;
    if (mnemonic === 'JCXZ') {
      e.getReg(32, 1);
      body.op(OP.i32eqz);
    } else if (mnemonic.startsWith('LOOP')) {
      if (mnemonic !== 'LOOP') {
        e.condition(mnemonic === 'LOOPE' ? 4 : 5);
        body.set(L_EIP);
      }
      e.getReg(32, 1);
      body.with(1, OP.i32sub);
      body.set(L_THIRD);
      body.get(L_THIRD);
      e.setReg(32, 1);
      body.get(L_THIRD);
      if (mnemonic !== 'LOOP') {
        body.i32(0);
        body.op(OP.i32ne);
        body.get(L_EIP);
        body.op(OP.i32and);
      }
    } else e.condition(CONDITION_NAMES.findIndex((name) => `J${name}` === mnemonic));
  }

  /** Finds compiled code for L_EIP: in this function by its entry number, elsewhere through the dispatcher. */
  private lookup(): void {
    const { e } = this;
    const { body } = e;
    // Byte address of the code tag, then of the jump-table entry.
    body.get(L_BLOCK);
    body.memory(LOAD32, AT_CODE_TAGS);
    pushCodeSlot(body, L_EIP);
    body.op(OP.i32add);
    body.set(L_OTHER);
    pushJumpSlot(body, L_EIP);
    body.set(L_THIRD);

    pushCodeTag(body, L_EIP);
    body.get(L_OTHER);
    body.memory(LOAD32, 0);
    body.op(OP.i32ne);
    body.hintUnlikely();
    body.brIf(e.depth('leave'));
    body.get(L_THIRD);
    body.memory(LOAD32, 0);
    body.get(L_EIP);
    body.op(OP.i32ne);
    body.hintUnlikely();
    body.brIf(e.depth('leave'));
    body.get(L_THIRD);
    body.memory(LOAD32, 4);
    body.get(L_OTHER);
    body.memory(LOAD32, 4);
    body.op(OP.i32ne);
    body.hintUnlikely();
    body.brIf(e.depth('leave'));
    body.get(L_THIRD);
    body.memory(LOAD32, 8);
    body.get(L_BLOCK);
    body.memory(LOAD32, AT_UNIT);
    body.op(OP.i32ne);
    body.hintUnlikely();
    body.brIf(e.depth('leave'));
    body.get(L_THIRD);
    body.memory(LOAD32, 12);
    body.set(L_NEXT);
    e.br('dispatch');
  }
}

/** Pushes the byte address of the jump-table entry for the address in a local. */
export function pushJumpSlot(body: Body, local: number): void {
  body.get(local);
  body.get(local);
  body.with(12, OP.i32shrU);
  body.op(OP.i32xor);
  body.with(JUMP_ENTRIES - 1, OP.i32and);
  body.with(JUMP_ENTRY_BYTES, OP.i32mul);
  body.global(GLOBAL_JUMP_TABLE);
  body.op(OP.i32add);
}

/** Pushes the byte offset of the code tag of the page of the address in a local (mmu.ts: codeSlot). */
export function pushCodeSlot(body: Body, local: number): void {
  body.get(local);
  body.with(12, OP.i32shrU);
  body.get(local);
  body.with(18, OP.i32shrU);
  body.op(OP.i32xor);
  body.with(0xff, OP.i32and);
  body.with(3, OP.i32shl);
}

/** Pushes the code tag that the address in a local must have. */
export function pushCodeTag(body: Body, local: number): void {
  body.get(local);
  body.with(12, OP.i32shrU);
  body.with(2, OP.i32shl);
  body.get(L_BLOCK);
  body.memory(LOAD32, AT_MODE);
  body.op(OP.i32or);
}

/** What is known of the flags at the start of each node, from all the ways to get there. */
function incomingFlags(region: Region): number[] {
  const TOP = -2;
  const known = region.dominator.map(() => TOP);
  for (const entry of region.entries) known[entry.node] = FLAGS_UNKNOWN;
  const flow = (address: number, flags: number): boolean => {
    const to = region.blockAt.get(address);
    if (to === undefined) return false;
    const before = known[to.node]!;
    const merged = before === TOP || before === flags ? flags : FLAGS_UNKNOWN;
    known[to.node] = merged;
    return merged !== before;
  };
  for (let changed = true; changed; ) {
    changed = false;
    for (const block of region.blocks) {
      let flags = known[block.node]!;
      if (flags === TOP) continue;
      block.insns.forEach((insn, n) => {
        const ends = n === block.insns.length - 1 && block.ending !== 'next';
        if (!ends) flags = flagsAfter(insn, flags);
      });
      if (block.ending === 'next' || block.ending === 'branch') changed = flow(block.end, flags) || changed;
      if (block.ending === 'jump' || block.ending === 'branch' || block.ending === 'call') {
        changed = flow(block.target, flags) || changed;
      }
    }
  }
  return known;
}

/** Emits the function of a region. */
export function emitRegion(region: Region, isUser: boolean): CompiledRegion {
  const emitter = new RegionEmitter(region, isUser);
  emitter.emit();
  assert(emitter.e.labels.length === 0, 'labels are not balanced');
  return { body: emitter.e.body, sites: emitter.e.sites, pages: emitter.pages };
}

export { LOCALS };
