/** What happened on a CPU, as people read it: for outcomes of VMs. Invariant: describing changes nothing. */
import type { Cpu } from './cpu.ts';
import { NO_ERROR_CODE, VECTOR_PF } from './exits.ts';
import { WALK_OK } from './paging.ts';
import { ABSENT } from './physmap.ts';

/** The last fault of an instruction: vector, error code, address. */
export function describeFault(cpu: Cpu): string {
  const { vector, error, lin } = cpu.firstFault;
  const code = error === NO_ERROR_CODE ? '' : `, error code 0x${error.toString(16)}`;
  const address = vector === VECTOR_PF ? `, address 0x${(lin >>> 0).toString(16)}` : '';
  return `exception ${vector}${code}${address}`;
}

/** Up to `count` code bytes at `eip` in hex, as far as its page goes and is mapped. */
export function codeBytes(cpu: Cpu, eip: number, count: number): string {
  const { walker } = cpu.mmu;
  const text: string[] = [];
  for (let i = 0; i < count; i++) {
    const lin = (eip + i + cpu.segBase[1]!) | 0;
    // Not beyond the page that executes: a walk there could set accessed bits of the guest's tables.
    if (i > 0 && (lin & 0xfff) === 0) break;
    if (walker.walk(cpu, lin, 0) !== WALK_OK) break;
    const mfn = walker.machineFrame(walker.frame);
    if (mfn === ABSENT) break;
    text.push(cpu.bytes[mfn * 4096 + (lin & 0xfff)]!.toString(16).padStart(2, '0'));
  }
  return text.join(' ');
}
