/**
 * Compares what a sensitive instruction did to a deprivileged guest with what it would have done at CPL 0.
 * Invariant: looking changes nothing: memory that the expected run wrote is put back byte by byte.
 */
import type { Cpu } from '../../machine/cpu.ts';
import type { CpuState } from '../../machine/cpu-state.ts';
import { FLAG_CF, FLAG_DF, FLAG_IF, FLAG_IOPL, FLAG_OF, FLAG_SF, FLAG_TF, FLAG_ZF } from '../../machine/flags.ts';
import type { Insn } from '../../machine/insn.ts';
import type { Mmu } from '../../machine/mmu.ts';
import type { Divergence } from '../vm.ts';

const REGISTERS = ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi'] as const;
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const;
const FLAGS: readonly (readonly [string, number])[] = [
  ['IF', FLAG_IF],
  ['IOPL', FLAG_IOPL],
  ['ZF', FLAG_ZF],
  ['CF', FLAG_CF],
  ['SF', FLAG_SF],
  ['OF', FLAG_OF],
  ['DF', FLAG_DF],
  ['TF', FLAG_TF],
];

const hex = (value: number, digits = 8): string => `0x${(value >>> 0).toString(16).padStart(digits, '0')}`;

/** One difference: what, and the two values as text. */
interface Difference {
  readonly expected: string;
  readonly seen: string;
}

/**
 * The first difference worth telling, or null if the instruction did the same.
 * @param before the guest's view before the instruction
 * @param expected after a run at CPL 0
 * @param seen the guest's view after what really happened
 * @param log pairs (host byte address, byte after what really happened) of memory that the expected run wrote
 */
export function findDivergence(
  insn: Insn,
  before: CpuState,
  expected: CpuState,
  seen: CpuState,
  log: readonly number[],
  cpu: Cpu,
  mmu: Mmu,
): Divergence | null {
  const memory = compareMemory(log, cpu);
  const difference = compareState(expected, seen) ?? memory;
  if (difference === null) return null;
  return {
    address: before.eip >>> 0,
    bytes: codeBytes(cpu, mmu, before, insn.length),
    mnemonic: insn.row.mnemonic.toLowerCase(),
    count: 1,
    ...difference,
  };
}

function compareState(expected: CpuState, seen: CpuState): Difference | null {
  for (const [name, bit] of FLAGS) {
    const wanted = expected.eflags & bit;
    if (wanted === (seen.eflags & bit)) continue;
    const shift = Math.clz32(bit & -bit) ^ 31;
    return { expected: `EFLAGS.${name}=${wanted >>> shift}`, seen: `EFLAGS.${name}=${(seen.eflags & bit) >>> shift}` };
  }
  for (const [r, name] of REGISTERS.entries()) {
    if (expected.regs[r] !== seen.regs[r]) {
      return { expected: `${name}=${hex(expected.regs[r]!)}`, seen: `${name}=${hex(seen.regs[r]!)}` };
    }
  }
  for (const [s, name] of SEGMENTS.entries()) {
    if (expected.segSelector[s] !== seen.segSelector[s]) {
      return {
        expected: `${name}=${hex(expected.segSelector[s]!, 4)}`,
        seen: `${name}=${hex(seen.segSelector[s]!, 4)}`,
      };
    }
    if (expected.segBase[s] !== seen.segBase[s] || expected.segLimit[s] !== seen.segLimit[s]) {
      return {
        expected: `${name} base ${hex(expected.segBase[s]!)} limit ${hex(expected.segLimit[s]!)}`,
        seen: `${name} base ${hex(seen.segBase[s]!)} limit ${hex(seen.segLimit[s]!)}`,
      };
    }
  }
  if (expected.eip !== seen.eip) return { expected: `eip=${hex(expected.eip)}`, seen: `eip=${hex(seen.eip)}` };
  return null;
}

/** Compares the bytes that the expected run wrote with what really is there, and puts the latter back. */
function compareMemory(log: readonly number[], cpu: Cpu): Difference | null {
  const wanted = new Map<number, number>();
  const real = new Map<number, number>();
  for (let i = 0; i < log.length; i += 2) {
    wanted.set(log[i]!, cpu.bytes[log[i]!]!);
    if (!real.has(log[i]!)) real.set(log[i]!, log[i + 1]!);
  }
  for (const [at, byte] of real) cpu.bytes[at] = byte;
  if ([...real].every(([at, byte]) => wanted.get(at) === byte)) return null;
  const addresses = [...real.keys()].sort((a, b) => a - b);
  const text = (bytes: Map<number, number>): string =>
    addresses
      .map((at) => bytes.get(at)!.toString(16).padStart(2, '0'))
      .reverse()
      .join('');
  const where = addresses.length === 4 ? 'stored' : `stored ${addresses.length} bytes`;
  return { expected: `${where} 0x${text(wanted)}`, seen: `${where} 0x${text(real)}` };
}

/** The instruction's bytes, read through the guest's own tables. */
function codeBytes(cpu: Cpu, mmu: Mmu, before: CpuState, length: number): string {
  const text: string[] = [];
  for (let i = 0; i < length; i++) {
    const lin = (before.eip + i + before.segBase[1]!) | 0;
    if (mmu.walker.walk(before, lin, 0) !== 0) break;
    const mfn = mmu.walker.machineFrame(mmu.walker.frame);
    if (mfn < 0) break;
    text.push(cpu.bytes[mfn * 4096 + (lin & 0xfff)]!.toString(16).padStart(2, '0'));
  }
  return text.join(' ');
}
