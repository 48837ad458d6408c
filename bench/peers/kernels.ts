/**
 * The benchmark kernels: how much work each does by default and how many instructions that is.
 * Invariant: instructions(n) = fixed + n * perUnit, exactly; guests/counts.json holds the numbers, from QEMU's exact
 *            instruction clock, and a test compares them with hvsim's own count.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Kernel {
  readonly name: string;
  /** Units of work of a full run. */
  readonly n: number;
  readonly perUnit: number;
  readonly fixed: number;
  /** What a unit of work is. */
  readonly work: string;
}

export const KERNEL_FILE = fileURLToPath(new URL('../guests/bench.elf', import.meta.url));

/** A run of any kernel that does no work: what is left is the start-up of the machine and of the kernel. */
export const EMPTY_RUN = 'sieve n=0';

export const KERNELS = JSON.parse(
  readFileSync(new URL('../guests/counts.json', import.meta.url), 'utf8'),
) as readonly Kernel[];

/** What a kernel prints before anything else, and in front of its answer. */
export const MARKERS = ['bench: start', ' checksum='];

/** Units of work at a scale: at least one. */
export function unitsAt(kernel: Kernel, scale: number): number {
  return Math.max(1, Math.round(kernel.n * scale));
}

export function instructionsOf(kernel: Kernel, n: number): number {
  return kernel.fixed + n * kernel.perUnit;
}

/** The guest's own lines but the last, which holds ticks of a clock that differs between machines. */
export function guestLines(stdout: string): string {
  const lines = stdout.match(/^bench: [^\r\n]*/gm) ?? [];
  return lines.filter((line) => !line.startsWith('bench: ticks=')).join('\n');
}
