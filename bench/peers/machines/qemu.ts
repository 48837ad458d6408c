/**
 * QEMU's emulator for 32-bit PCs with its compiler (TCG), as installed; once more with an exact instruction clock.
 * Source: QEMU documentation (-kernel, debugcon, isa-debug-exit, -icount).
 */
import { spawnSync } from 'node:child_process';
import type { Boot, Command, Peer } from './peer.ts';

const CONSOLE = ['-debugcon', 'stdio'];
const SERIAL = ['-serial', 'stdio'];
const EXIT = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04'];
const QUIET = ['-nodefaults', '-display', 'none', '-no-reboot'];

function bootWords(program: string, { kernel, append, memoryMib }: Boot, more: readonly string[]): string[] {
  return [program, '-accel', 'tcg', ...more, ...QUIET, '-m', `${memoryMib}`, '-kernel', kernel, '-append', append];
}

/** QEMU; `exact` adds -icount shift=0, with which its clock counts instructions. */
export function qemu(program: string, exact = false): Peer {
  const icount = exact ? ['-icount', 'shift=0,sleep=off'] : [];
  const firstLine = (): string | undefined => {
    const run = spawnSync(program, ['--version'], { encoding: 'utf8' });
    return run.status === 0 ? run.stdout.split('\n')[0] : undefined;
  };
  return {
    id: exact ? 'qemu-icount' : 'qemu',
    title: exact ? 'QEMU icount' : 'QEMU TCG',
    missing: () => (firstLine() === undefined ? `${program} is not installed` : undefined),
    version: () => /version (\S+)/.exec(firstLine() ?? '')?.[1] ?? 'unknown',
    boot: (boot): Command => ({ words: [...bootWords(program, boot, icount), ...CONSOLE, ...EXIT] }),
    bootLinux: (boot): Command => {
      const initrd = boot.initrd === undefined ? [] : ['-initrd', boot.initrd];
      return { words: [...bootWords(program, boot, icount), ...SERIAL, ...initrd] };
    },
    // Without the exit device it stays when the guest has halted. One process holds one machine.
    hold: (boot): Command => ({ words: [...bootWords(program, boot, icount), ...CONSOLE] }),
  };
}
