/**
 * Translated code for people: each unit's guest instructions beside what they became.
 * Invariant: decodes the bytes that are in the cache now, so what is printed is what the CPU executes.
 */
import { endingOf } from '../../machine/compiler/region.ts';
import type { Cpu } from '../../machine/cpu.ts';
import { decode } from '../../machine/decode.ts';
import { disassemble } from '../../machine/disassemble.ts';
import { SEG_CS } from '../../machine/insn.ts';
import type { CacheCounts, TranslationCache } from './cache.ts';
import type { Unit } from './site.ts';

/** How an instruction in the cache leads on. */
export type Lead =
  /** A call-out that asks the VMM for a unit when it is first reached. */
  | 'continuation'
  /** A jump to a unit that was translated later: it was a continuation. */
  | 'chain'
  /** A jump to a unit that was there before. */
  | 'direct'
  /** The unit itself goes on in the next one: no instruction. */
  | 'elided'
  /** A call-out that has the VMM carry an instruction out. */
  | 'call-out';

export interface CacheLine {
  readonly address: number;
  readonly bytes: readonly number[];
  readonly text: string;
  readonly lead: Lead | null;
  /** Guest address that it leads to, where that is known. */
  readonly to: number | null;
}

export interface GuestLine {
  readonly eip: number;
  readonly text: string;
  readonly cache: readonly CacheLine[];
}

export interface UnitListing {
  readonly eip: number;
  /** Bytes of guest code. */
  readonly length: number;
  /** In the order of translation, from 1, among the live units of the cache. */
  readonly number: number;
  readonly lines: readonly GuestLine[];
}

/** What shows translated code. */
export interface Translator {
  /** The live units that start in [first, end) of the guest's code addresses, in the order of their translation. */
  list(first: number, end: number): UnitListing[];
  readonly counts: Readonly<CacheCounts>;
}

/** Lists units. `cpu` is one that executes from the cache's memory; it is left as it was. */
export function listUnits(cache: TranslationCache, cpu: Cpu, first: number, end: number): UnitListing[] {
  const base = cpu.segBase[SEG_CS]!;
  const limit = cpu.segLimit[SEG_CS]!;
  cpu.segBase[SEG_CS] = 0;
  cpu.segLimit[SEG_CS] = -1;
  const lister = new Lister(cache, cpu);
  const found = [...cache.liveUnits()]
    .map((unit, n) => ({ unit, number: n + 1 }))
    .filter(({ unit }) => unit.eip >>> 0 >= first && unit.eip >>> 0 < end)
    .map(({ unit, number }) => lister.unit(unit, number));
  cpu.segBase[SEG_CS] = base;
  cpu.segLimit[SEG_CS] = limit;
  return found;
}

class Lister {
  private readonly cache: TranslationCache;
  private readonly cpu: Cpu;
  private readonly numbers = new Map<number, number>();

  constructor(cache: TranslationCache, cpu: Cpu) {
    this.cache = cache;
    this.cpu = cpu;
    for (const unit of cache.liveUnits()) this.numbers.set(unit.start, this.numbers.size + 1);
  }

  unit(unit: Unit, number: number): UnitListing {
    const lines = unit.insns.map(({ eip, insn, start }, n) => {
      const next = unit.insns[n + 1];
      const until = next === undefined || next.start === 0 ? unit.end : next.start;
      const cache = start === 0 ? [] : this.code(unit, number, start, until);
      return { eip: eip >>> 0, text: disassemble(insn, eip), cache };
    });
    return { eip: unit.eip >>> 0, length: unit.length, number, lines };
  }

  private code(unit: Unit, number: number, from: number, until: number): CacheLine[] {
    const lines: CacheLine[] = [];
    for (let at = from; at < until && this.cache.knows(at); ) {
      if (at !== unit.start && this.numbers.has(at)) {
        lines.push({ address: at >>> 0, bytes: [], text: '', lead: 'elided', to: this.cache.siteAt(at).eip >>> 0 });
        return lines;
      }
      const insn = decode(this.cpu, at, this.cache.frameOf(at), true);
      const line = { address: at >>> 0, bytes: this.cache.read(at, insn.length), text: disassemble(insn, at) };
      const { callOut, eip } = this.cache.siteAt(at);
      const ending = endingOf(insn);
      if (callOut !== null) {
        const isContinuation = callOut === 'continue';
        lines.push({
          ...line,
          lead: isContinuation ? 'continuation' : 'call-out',
          to: isContinuation ? eip >>> 0 : null,
        });
      } else if (ending === 'jump' || ending === 'branch') {
        lines.push({ ...line, ...this.leadOf((at + insn.length + insn.imm) | 0, number) });
      } else lines.push({ ...line, lead: null, to: null });
      at += insn.length;
    }
    return lines;
  }

  private leadOf(target: number, number: number): { lead: Lead | null; to: number | null } {
    const site = this.cache.siteAt(target);
    const other = this.numbers.get(target);
    if (other !== undefined) return { lead: other > number ? 'chain' : 'direct', to: site.eip >>> 0 };
    // Short jumps inside a translation lead nowhere else.
    return site.callOut === 'continue' ? { lead: 'continuation', to: site.eip >>> 0 } : { lead: null, to: null };
  }
}
