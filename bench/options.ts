/**
 * What the command line of `npm run bench` says, as plain data, and what a part of the benchmark answers.
 * Invariant: parts read nothing but this: no environment, no arguments of their own.
 */

/** Programs of other projects, as paths or names. */
export interface Tools {
  readonly qemu: string;
  readonly bochs: string;
}

export interface LinuxOptions {
  readonly kernel: string | undefined;
  readonly initrd: string | undefined;
  readonly append: string;
  readonly memoryMib: number;
  /** Texts on the serial console whose time is taken; the run ends at the last. */
  readonly markers: readonly string[];
  readonly bios: string;
  readonly vgaBios: string;
}

export interface BenchOptions {
  /** Names of kernels; all without any. */
  readonly kernels: readonly string[];
  readonly peers: readonly string[];
  /** Values for hvsim's option --engine, one column each; empty: what is default. */
  readonly engines: readonly string[];
  readonly repeat: number;
  /** Factor for the units of work of each kernel. */
  readonly scale: number;
  /** What instructions are divided by in the table of speeds. */
  readonly by: 'wall' | 'cpu';
  readonly tools: Tools;
  readonly linux: LinuxOptions;
}

/** One measured figure. */
export interface BenchRow {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/** What a part answers: figures or a text to print, and the same as data for --json. */
export interface Section {
  readonly rows?: readonly BenchRow[];
  readonly text?: string;
  readonly data: unknown;
}

/** A bench file exports one of these under the name `bench`. */
export interface Bench {
  readonly name: string;
  /** Runs only when it is named. */
  readonly onlyOnRequest?: boolean;
  run(options: BenchOptions): Section | Promise<Section>;
}

/** A part that only measures figures. */
export function rowsOnly(rows: readonly BenchRow[]): Section {
  return { rows, data: rows };
}
