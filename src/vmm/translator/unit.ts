/**
 * Writes the translation of one unit. Most instructions are copied (IDENT); the others become a few instructions that
 * use words of the vCPU, or a call-out.
 * Invariants: the guest's registers are in the CPU's registers between any two of its instructions; a translation
 * changes nothing that cannot be taken back before its last access that can fault; exactly one instruction of each
 * translation counts as the guest's, the one that completes it (a jump that needs no instruction counts with the one
 * before it).
 * Source: Adams & Agesen, ASPLOS 2006, section 3.1; the sequences are our own.
 */
import { FLAG_IF } from '../../machine/flags.ts';
import type { Insn } from '../../machine/insn.ts';
import { Assembler, CALL_OUT_BYTES, EAX, ECX, EDX } from './assembler.ts';
import { emitLookup, emitLookupOfEcx, type TranslationCache } from './cache.ts';
import type { Fetched } from './fetch.ts';
import {
  AT_BEFORE_STI,
  AT_CONTROL,
  AT_EAX,
  AT_ECX,
  AT_FLAGS,
  AT_PENDING,
  AT_POPF_FLAGS,
  AT_POPF_NEEDS_VMM,
  AT_POST,
  AT_SELECTOR_HIGH,
  AT_SELECTOR_LOW,
  AT_TARGET,
  AT_TSC_OFFSET,
  AT_VIRTUAL_FLAGS,
} from './layout.ts';
import { poppedSegment } from './plan.ts';
import { CALL_OUT_NUMBERS, type CallOut, SAVED_EAX, SAVED_ECX, type State, type Unit } from './site.ts';

/** More than any unit takes, stubs included. */
export const UNIT_BYTES_MAX = 2048;

const PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);
const MOV_LOAD = 0x8b;
const le32 = (value: number): number[] => [value, value >> 8, value >> 16, value >> 24].map((b) => b & 0xff);

export interface UnitRequest {
  readonly eip: number;
  readonly fetched: readonly Fetched[];
  /** The guest's IOPL, at its place in EFLAGS. */
  readonly iopl: number;
  /** Guest addresses of memory accesses that are simulated. */
  readonly simulated: ReadonlySet<number>;
}

/** Translates a unit into the cache, which has room for it. */
export function writeUnit(cache: TranslationCache, request: UnitRequest): Unit {
  return new UnitWriter(cache, request).run();
}

class UnitWriter {
  private readonly cache: TranslationCache;
  private readonly request: UnitRequest;
  private readonly asm: Assembler;
  private readonly counts = new Map<number, number>();
  private readonly insns: { eip: number; insn: Insn; start: number }[] = [];
  private readonly at: number;
  private state: State;
  /** Offset of the last instruction if a jump that needs none may count with it. */
  private countable = -1;

  constructor(cache: TranslationCache, request: UnitRequest) {
    this.cache = cache;
    this.request = request;
    this.at = cache.free;
    this.state = {
      eip: request.eip,
      isTarget: false,
      start: this.at,
      saved: 0,
      esp: 0,
      isBetween: false,
      afterSti: false,
      insn: null,
    };
    this.asm = new Assembler(this.at, (offset) => {
      const address = this.at + offset;
      if (this.state.start === 0) this.waiting.push(address);
      cache.setSite(address, this.state);
    });
  }

  run(): Unit {
    const { asm, request, cache } = this;
    // Room to write a call-out over the start.
    asm.alignFor(CALL_OUT_BYTES);
    const start = asm.address;
    const { fetched } = request;
    let afterSti = false;
    for (const one of fetched) {
      this.stand(one, afterSti);
      this.translate(one);
      afterSti = one.plan === 'sti';
    }
    const last = fetched.at(-1)!;
    const next = (last.eip + last.insn.length) | 0;
    if (!this.hasEnded) this.goTo(next, afterSti);
    while (asm.address - start < CALL_OUT_BYTES) asm.nop();
    const unit: Unit = {
      eip: request.eip,
      start,
      insns: this.insns,
      length: next - request.eip,
      end: asm.address,
      isDead: false,
    };
    cache.add(unit, this.at, asm.bytes, this.counts);
    return unit;
  }

  private hasEnded = false;
  /** Places where a guest instruction is complete but for saved registers: to be told where the next one starts. */
  private readonly waiting: number[] = [];

  /** The guest's next instruction, at whose start those places can go on, starts here. */
  private arrive(start: number): void {
    for (const address of this.waiting) this.cache.setSite(address, { ...this.cache.siteAt(address), start });
    this.waiting.length = 0;
  }

  /** Before a guest instruction: everything is in its place. */
  private stand({ eip, insn }: Fetched, afterSti: boolean): void {
    // An alignment NOP belongs to what follows, and going on there is fine.
    const start = this.asm.address;
    this.arrive(start);
    this.state = { eip, isTarget: false, start, saved: 0, esp: 0, isBetween: false, afterSti, insn };
    this.insns.push({ eip, insn, start });
  }

  private change(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
  }

  /** The guest's instruction is complete; `change` is what is not yet in its place. `next` is where the guest is now. */
  private complete(next: number, change: Partial<State> = {}): void {
    this.state = {
      eip: next,
      isTarget: false,
      start: 0,
      saved: 0,
      esp: 0,
      isBetween: false,
      afterSti: false,
      insn: null,
      ...change,
    };
  }

  /** The instruction at an offset counts as the guest's. */
  private count(offset: number): void {
    this.counts.set(offset, (this.counts.get(offset) ?? 0) + 1);
  }

  private translate(one: Fetched): void {
    const { eip, insn, plan } = one;
    const next = (eip + insn.length) | 0;
    const countable = this.countable;
    this.countable = -1;
    switch (plan) {
      case 'ident':
        this.ident(one);
        return;
      case 'jump':
        this.jump((next + insn.imm) | 0, countable);
        return;
      case 'branch':
        this.branch(insn, next);
        return;
      case 'loop':
        this.loop(insn, next);
        return;
      case 'call':
        this.count(this.asm.emit(0x68, ...le32(next)));
        this.goTo((next + insn.imm) | 0);
        return;
      case 'return':
        this.ret(insn);
        return;
      case 'jump-indirect':
      case 'call-indirect':
        this.indirect(one, next);
        return;
      case 'cli':
        this.count(this.asm.storeImmediate(AT_VIRTUAL_FLAGS, this.request.iopl));
        return;
      case 'sti':
        this.sti();
        return;
      case 'pushf':
        this.pushf(next);
        return;
      case 'popf':
        this.popf(next);
        return;
      case 'rdtsc':
        this.rdtsc(next);
        return;
      case 'control-read':
        this.count(this.asm.load(insn.a, AT_CONTROL + 4 * insn.b));
        return;
      case 'load-segment':
        if (insn.isMemory) this.loadSegmentFrom(one, next);
        else this.loadSegment(one);
        return;
      case 'pop-segment':
        this.popSegment(insn, next);
        return;
      case 'post-read':
        this.count(this.asm.loadAl(AT_POST));
        return;
      case 'emulate':
        this.callOut('emulate');
        return;
      case 'leave':
        this.callOut('emulate');
        this.hasEnded = true;
        return;
      default: {
        const never: never = plan;
        throw new Error(`no translation for ${String(never)}`);
      }
    }
  }

  private ident({ eip, insn, bytes }: Fetched): void {
    if (this.request.simulated.has(eip)) {
      this.callOut('simulate');
      return;
    }
    const offset = this.asm.emit(...bytes);
    this.count(offset);
    // A repeated instruction retires many times.
    if (insn.rep === 0) this.countable = offset;
  }

  private callOut(kind: CallOut): void {
    const { asm, cache, state } = this;
    asm.alignFor(CALL_OUT_BYTES);
    const address = asm.address;
    asm.callOut(CALL_OUT_NUMBERS[kind]);
    cache.setSite(address, { ...state, callOut: kind });
  }

  // ------------------------------------------------------------------ control flow

  /** The end of a unit that goes on at a guest address: by a jump, or by a continuation that asks the VMM once. */
  private goTo(eip: number, afterSti = false): void {
    const { asm, cache } = this;
    this.hasEnded = true;
    this.complete(eip, { afterSti });
    const known = eip === this.request.eip ? this.insns[0]!.start : cache.unitAt(eip)?.start;
    if (known !== undefined) {
      this.change({ start: known });
      this.arrive(known);
      asm.jump(known);
      return;
    }
    const here = asm.address;
    this.change({ start: here });
    this.arrive(here);
    asm.alignFor(CALL_OUT_BYTES);
    const address = asm.address;
    asm.callOut(CALL_OUT_NUMBERS.continue);
    cache.setSite(address, { ...this.state, callOut: 'continue' });
    cache.counts.continuations++;
  }

  /** Address for a jump that is taken to a guest address: its unit, or a stub that is to be told of the jump. */
  private targetOf(eip: number): { address: number; isStub: boolean } {
    const known = eip === this.request.eip ? this.insns[0]!.start : this.cache.unitAt(eip)?.start;
    if (known !== undefined) return { address: known, isStub: false };
    const address = this.cache.addStub({
      eip,
      isTarget: false,
      start: 0,
      saved: 0,
      esp: 0,
      isBetween: false,
      afterSti: false,
      insn: null,
    });
    return { address, isStub: true };
  }

  private linked(target: { address: number; isStub: boolean }): void {
    if (target.isStub) this.cache.linkStub(target.address, this.asm.address);
  }

  private jump(target: number, countable: number): void {
    if (countable >= 0) {
      this.count(countable);
      // The guest is never between the two; and nobody may come here, where the jump is not counted.
      this.insns.at(-1)!.start = 0;
      this.goTo(target);
      return;
    }
    const to = this.targetOf(target);
    this.count(this.asm.jump(to.address));
    this.linked(to);
    this.hasEnded = true;
  }

  private branch(insn: Insn, next: number): void {
    const to = this.targetOf((next + insn.imm) | 0);
    this.count(this.asm.jumpIf(conditionOf(insn), to.address));
    this.linked(to);
    this.goTo(next);
  }

  /** LOOP and JECXZ have short forms only: they jump to a jump. */
  private loop(insn: Insn, next: number): void {
    const { asm } = this;
    const target = (next + insn.imm) | 0;
    const to = this.targetOf(target);
    asm.alignFor(2 + 2 + 5);
    this.count(asm.emit(opcodeOf(insn), 2));
    this.complete(next, { start: asm.address });
    asm.emit(0xeb, 5);
    this.complete(target, { start: asm.address });
    asm.jump(to.address);
    this.linked(to);
    this.goTo(next);
  }

  private ret(insn: Insn): void {
    const { asm } = this;
    // POP [GS:target]
    this.count(asm.emit(0x65, 0x8f, 0x05, ...le32(AT_TARGET)));
    const release = insn.imm & 0xffff;
    this.atTarget({ esp: insn.row.operands.length > 0 ? release : 0 });
    if (insn.row.operands.length > 0) {
      asm.addEsp(release);
      this.change({ esp: 0 });
    }
    this.lookUp();
  }

  /** From here on the guest is at the address in the word of the target. */
  private atTarget(change: Partial<State> = {}): void {
    this.complete(0, { isTarget: true, start: this.cache.lookup, ...change });
  }

  private lookUp(): void {
    emitLookup(this.asm, (saved) => this.change({ saved }));
    this.hasEnded = true;
  }

  private indirect({ insn, bytes, plan }: Fetched, next: number): void {
    const { asm } = this;
    const isCall = plan === 'call-indirect';
    if (!insn.isMemory) {
      const offset = asm.store(AT_TARGET, insn.a);
      if (!isCall) this.count(offset);
    } else {
      asm.store(AT_ECX, ECX);
      this.change({ saved: SAVED_ECX });
      asm.emit(...loadOf(bytes));
      const offset = asm.store(AT_TARGET, ECX);
      if (!isCall) {
        this.count(offset);
        this.atTarget({ saved: SAVED_ECX });
        emitLookupOfEcx(asm);
        this.hasEnded = true;
        return;
      }
      asm.load(ECX, AT_ECX);
      this.change({ saved: 0 });
    }
    if (isCall) this.count(asm.emit(0x68, ...le32(next)));
    this.atTarget();
    this.lookUp();
  }

  // ------------------------------------------------------------------ flags

  private sti(): void {
    const { asm } = this;
    asm.store(AT_ECX, ECX);
    this.change({ saved: SAVED_ECX });
    asm.load(ECX, AT_PENDING);
    const none = asm.jumpIfEcxZero();
    this.bail(SAVED_ECX);
    asm.bind(none);
    asm.load(ECX, AT_VIRTUAL_FLAGS);
    asm.store(AT_BEFORE_STI, ECX);
    asm.load(ECX, AT_ECX);
    this.change({ saved: 0 });
    this.count(asm.storeImmediate(AT_VIRTUAL_FLAGS, this.request.iopl | FLAG_IF));
  }

  /** Puts saved registers back and leaves the instruction to the VMM. */
  private bail(saved: number): void {
    const { asm, state } = this;
    asm.load(ECX, AT_ECX);
    if ((saved & SAVED_EAX) !== 0) asm.load(EAX, AT_EAX);
    this.change({ saved: 0 });
    this.callOut('emulate');
    this.state = state;
  }

  private saveBoth(): void {
    this.asm.store(AT_EAX, EAX);
    this.change({ saved: this.state.saved | SAVED_EAX });
    this.asm.store(AT_ECX, ECX);
    this.change({ saved: SAVED_EAX | SAVED_ECX });
  }

  private restoreBoth(): void {
    this.asm.load(ECX, AT_ECX);
    this.asm.load(EAX, AT_EAX);
  }

  /** The real flags have IF set and IOPL 0; the guest's are added. */
  private pushf(next: number): void {
    const { asm } = this;
    asm.emit(0x9c);
    this.change({ esp: 4 });
    this.saveBoth();
    asm.emit(0x8b, 0x04, 0x24); // MOV EAX, [ESP]
    asm.load(ECX, AT_VIRTUAL_FLAGS);
    asm.addEaxEcx(-FLAG_IF);
    this.count(asm.emit(0x89, 0x04, 0x24)); // MOV [ESP], EAX
    this.complete(next, { saved: SAVED_EAX | SAVED_ECX });
    this.restoreBoth();
  }

  private popf(next: number): void {
    const { asm } = this;
    this.saveBoth();
    asm.emit(0x0f, 0xb6, 0x44, 0x24, 0x01); // MOVZX EAX, byte [ESP+1]
    asm.loadByteAt(ECX, EAX, AT_POPF_NEEDS_VMM);
    const allowed = asm.jumpIfEcxZero();
    this.bail(SAVED_EAX | SAVED_ECX);
    asm.bind(allowed);
    asm.load(ECX, AT_PENDING);
    const quiet = asm.jumpIfEcxZero();
    this.bail(SAVED_EAX | SAVED_ECX);
    asm.bind(quiet);
    asm.loadIndexed4(EAX, EAX, AT_POPF_FLAGS);
    asm.emit(0x9d);
    this.change({ isBetween: true });
    this.count(asm.store(AT_VIRTUAL_FLAGS, EAX));
    this.complete(next, { saved: SAVED_EAX | SAVED_ECX });
    this.restoreBoth();
  }

  /** The time-stamp counter and what the guest added to it; the flags go by way of LAHF and SETO. */
  private rdtsc(next: number): void {
    const { asm } = this;
    this.change({ isBetween: true });
    asm.emit(0x9f); // LAHF
    asm.emit(0x0f, 0x90, 0xc0); // SETO AL
    asm.store(AT_FLAGS, EAX);
    asm.emit(0x0f, 0x31); // RDTSC
    asm.emit(0x65, 0x03, 0x05 | (EAX << 3), ...le32(AT_TSC_OFFSET)); // ADD EAX
    asm.emit(0x65, 0x13, 0x05 | (EDX << 3), ...le32(AT_TSC_OFFSET + 4)); // ADC EDX
    asm.store(AT_EAX, EAX);
    asm.load(EAX, AT_FLAGS);
    asm.emit(0x04, 0x7f); // ADD AL, 7F: OF again
    asm.emit(0x9e); // SAHF
    this.count(asm.load(EAX, AT_EAX));
    this.complete(next);
  }

  // ------------------------------------------------------------------ segments

  /** MOV Sreg, r16: any selector but the VMM's own, and those that ask for ring 1, which is the guest's ring 0 here. */
  private loadSegment({ insn, bytes }: Fetched): void {
    const { asm } = this;
    asm.store(AT_ECX, ECX);
    this.change({ saved: SAVED_ECX });
    asm.emit(0x0f, 0xb7, 0xc8 | (insn.b >> 1)); // MOVZX ECX, r16
    asm.emit(0x0f, 0xb6, 0xcd); // MOVZX ECX, CH
    this.bailIf(AT_SELECTOR_HIGH, SAVED_ECX);
    asm.load(ECX, AT_ECX);
    asm.emit(0x0f, 0xb7, 0xc8 | (insn.b >> 1));
    asm.emit(0x0f, 0xb6, 0xc9); // MOVZX ECX, CL
    this.bailIf(AT_SELECTOR_LOW, SAVED_ECX);
    asm.load(ECX, AT_ECX);
    this.change({ saved: 0 });
    this.count(asm.emit(...bytes));
  }

  /** MOV Sreg, m: what was read is checked and loaded, whatever other CPUs write meanwhile. */
  private loadSegmentFrom({ insn, bytes }: Fetched, next: number): void {
    this.saveBoth();
    this.asm.emit(...zeroExtendedLoad(bytes)); // both registers still have the guest's values
    this.loadChecked(insn.a);
    this.complete(next, { saved: SAVED_EAX | SAVED_ECX });
    this.restoreBoth();
  }

  /** MOV Sreg, AX, if the tables allow it. */
  private loadChecked(seg: number): void {
    const { asm } = this;
    asm.emit(0x0f, 0xb6, 0xcc); // MOVZX ECX, AH
    this.bailIf(AT_SELECTOR_HIGH, SAVED_EAX | SAVED_ECX);
    asm.emit(0x0f, 0xb6, 0xc8); // MOVZX ECX, AL
    this.bailIf(AT_SELECTOR_LOW, SAVED_EAX | SAVED_ECX);
    this.count(asm.emit(0x8e, 0xc0 | (seg << 3)));
  }

  /** Leaves the instruction to the VMM if a table says so for the byte in ECX. */
  private bailIf(table: number, saved: number): void {
    const { asm } = this;
    asm.loadByteAt(ECX, ECX, table);
    const allowed = asm.jumpIfEcxZero();
    this.bail(saved);
    asm.bind(allowed);
  }

  /** POP Sreg: the value that was checked is the one that is loaded, whatever other CPUs write meanwhile. */
  private popSegment(insn: Insn, next: number): void {
    const { asm } = this;
    this.saveBoth();
    asm.emit(0x8b, 0x04, 0x24); // MOV EAX, [ESP]
    this.loadChecked(poppedSegment(insn));
    this.complete(next, { saved: SAVED_EAX | SAVED_ECX, esp: 4 });
    asm.addEsp(4);
    this.change({ esp: 0 });
    this.restoreBoth();
  }
}

/** Condition code of a Jcc, from its opcode. */
function conditionOf(insn: Insn): number {
  return opcodeOf(insn) & 15;
}

/** Last byte of the opcode in the table. */
function opcodeOf(insn: Insn): number {
  return Number.parseInt(insn.row.opcode.split(' ').at(-1)!, 16);
}

/** MOV ECX, m from a JMP m or CALL m. */
function loadOf(bytes: readonly number[]): number[] {
  let at = 0;
  while (PREFIXES.has(bytes[at]!)) at++;
  const modrm = (bytes[at + 1]! & ~0x38) | (ECX << 3);
  return [...bytes.slice(0, at), MOV_LOAD, modrm, ...bytes.slice(at + 2)];
}

/** MOVZX EAX, m16 from a MOV Sreg, m. */
function zeroExtendedLoad(bytes: readonly number[]): number[] {
  let at = 0;
  while (PREFIXES.has(bytes[at]!)) at++;
  const modrm = (bytes[at + 1]! & ~0x38) | (EAX << 3);
  return [...bytes.slice(0, at), 0x0f, 0xb7, modrm, ...bytes.slice(at + 2)];
}
