/**
 * What the benchmark asks of a machine that runs kernels: hvsim and each of its peers implement it.
 * Invariant: the commands that a peer answers print the guest's console on stdout and end when the guest writes port
 *            0xF4 (multiboot kernels) or run until they are killed (Linux).
 */

/** One boot of a multiboot kernel. */
export interface Boot {
  readonly kernel: string;
  readonly append: string;
  readonly memoryMib: number;
}

/** One boot of Linux by the 32-bit boot protocol; its console is COM1. */
export interface LinuxBoot extends Boot {
  readonly initrd: string | undefined;
}

/** A program to start. */
export interface Command {
  readonly words: readonly string[];
  readonly cwd?: string;
  /** Throws away what was made for it. */
  readonly dispose?: () => void;
}

export interface Peer {
  /** One word, for the command line. */
  readonly id: string;
  /** For the head of a column. */
  readonly title: string;
  /** Why it cannot run here; undefined when it can. */
  missing(): string | undefined;
  version(): string;
  boot(boot: Boot): Command;
  /** Undefined for a peer that has no such thing. */
  readonly bootLinux?: (boot: LinuxBoot) => Command;
  /** Why it cannot boot Linux although it runs. */
  readonly missingForLinux?: () => string | undefined;
  /** Several machines in one process, which prints the markers of all of them and then waits to be killed. */
  readonly hold?: (boot: Boot, machines: number) => Command;
  /** Instructions that it says it executed; undefined where it does not say. */
  readonly instructions?: (stderr: string) => number | undefined;
}
