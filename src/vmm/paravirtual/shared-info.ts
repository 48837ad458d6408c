/**
 * The page that a paravirtual guest and the VMM share: event ports, the mask that stands for IF, the address of the
 * last page fault, the clock and the steal time.
 *
 *   ns = system_time + ((tsc - tsc_stamp) << shift) * mul >> 32      while `version` is even and unchanged
 *
 * Invariants: the guest may write anything here and hurts only itself: the VMM reads the mask, the pending byte and the
 * port masks, nothing else; `version` is odd while the clock is being written (never seen by a guest of one vCPU).
 * Source: Barham et al., SOSP 2003, 3.2; layout of the clock after pvclock (Linux Documentation/virt/kvm/x86/msr.rst).
 */
import type { Hz, Mfn, Ns } from '../../core/units.ts';
import type { MachineMemory } from '../../machine/memory.ts';
import {
  SHARED_CLOCK,
  SHARED_CR2,
  SHARED_MASK,
  SHARED_PENDING,
  SHARED_PORTS,
  SHARED_PORTS_MASKED,
  SHARED_STEAL,
} from './abi.ts';

const NS_PER_SECOND = 1_000_000_000n;
const TWO_32 = 2 ** 32;

/** Multiplier and left shift that turn cycles into nanoseconds, as in the clock's formula. */
export function clockScale(hz: Hz): { readonly mul: number; readonly shift: number } {
  let shift = 0;
  // The multiplier has 32 bits: for CPUs below 1 GHz the cycles are shifted first.
  while (NS_PER_SECOND >= BigInt(hz) << BigInt(shift)) shift++;
  return { mul: Number((NS_PER_SECOND << 32n) / (BigInt(hz) << BigInt(shift))), shift };
}

export class SharedInfo {
  private readonly memory: MachineMemory;
  private readonly base: number;
  private readonly onStore: () => void;

  /** @param onStore bytes of the page change */
  constructor(memory: MachineMemory, mfn: Mfn, onStore: () => void) {
    this.memory = memory;
    this.base = mfn * 4096;
    this.onStore = onStore;
  }

  get isMasked(): boolean {
    return this.memory.bytes[this.base + SHARED_MASK] !== 0;
  }

  set isMasked(masked: boolean) {
    this.onStore();
    this.memory.bytes[this.base + SHARED_MASK] = masked ? 1 : 0;
  }

  get isPending(): boolean {
    return this.memory.bytes[this.base + SHARED_PENDING] !== 0;
  }

  /** Marks a port pending, and the guest with it unless the port is masked. */
  raise(port: number): void {
    this.onStore();
    this.word(SHARED_PORTS, this.read(SHARED_PORTS) | (1 << port));
    if ((this.read(SHARED_PORTS_MASKED) & (1 << port)) === 0) this.memory.bytes[this.base + SHARED_PENDING] = 1;
  }

  setFaultAddress(lin: number): void {
    this.onStore();
    this.word(SHARED_CR2, lin);
  }

  /** Brings the clock up to date: at time `now` the time-stamp counter is `tsc`. */
  setClock(tsc: number, now: Ns, hz: Hz): void {
    const { mul, shift } = clockScale(hz);
    this.onStore();
    this.word(SHARED_CLOCK, this.read(SHARED_CLOCK) + 2);
    this.long(SHARED_CLOCK + 8, tsc);
    this.long(SHARED_CLOCK + 16, now);
    this.word(SHARED_CLOCK + 24, mul);
    this.word(SHARED_CLOCK + 28, shift);
  }

  setSteal(ns: Ns): void {
    this.onStore();
    this.long(SHARED_STEAL, ns);
  }

  private read(offset: number): number {
    return this.memory.words32[(this.base + offset) >>> 2]!;
  }

  private word(offset: number, value: number): void {
    this.memory.words32[(this.base + offset) >>> 2] = value;
  }

  private long(offset: number, value: number): void {
    this.word(offset, value % TWO_32);
    this.word(offset + 4, Math.floor(value / TWO_32));
  }
}
