/**
 * v86 with its compiler: an emulator of the same kind as hvsim (JavaScript and WebAssembly), so the bar to clear.
 * It comes as a development dependency. Multiboot kernels need no BIOS; Linux does, and the package holds none: QEMU's
 * SeaBIOS serves.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import type { Boot, Command, Peer } from './peer.ts';

const CHILD = fileURLToPath(new URL('../v86-child.mjs', import.meta.url));

function packageFile(): string | undefined {
  try {
    return createRequire(import.meta.url).resolve('v86/package.json');
  } catch {
    return undefined;
  }
}

function command(options: Readonly<Record<string, unknown>>): Command {
  return { words: [process.execPath, CHILD, JSON.stringify(options)] };
}

function options({ kernel, append, memoryMib }: Boot): Record<string, unknown> {
  return { multiboot: kernel, cmdline: append, memoryMib };
}

/** v86; the two files are PC firmware for Linux. */
export function v86(bios: string, vgaBios: string): Peer {
  return {
    id: 'v86',
    title: 'v86',
    missing: () => (packageFile() === undefined ? 'the package v86 is not installed (npm ci)' : undefined),
    version: () => (JSON.parse(readFileSync(packageFile()!, 'utf8')) as { version: string }).version,
    boot: (boot) => command(options(boot)),
    hold: (boot, machines) => command({ ...options(boot), vms: machines, hold: true }),
    bootLinux: ({ kernel, append, initrd, memoryMib }) =>
      command({ bzimage: kernel, initrd, cmdline: append, memoryMib, bios, vgaBios }),
    missingForLinux: () => {
      const absent = [bios, vgaBios].filter((file) => !existsSync(file));
      return absent.length === 0 ? undefined : `no ${absent.join(', no ')} (--bios, --vga-bios)`;
    },
  };
}
