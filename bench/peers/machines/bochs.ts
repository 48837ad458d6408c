/**
 * Bochs as installed: an interpreter in C++. It has no -kernel, so the kernel comes on a CD image with GRUB.
 * Debian's build holds a debugger, which makes it about three times slower than an optimised one.
 * Source: Bochs user manual (bochsrc, port_e9_hack, power off by port 0x8900).
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Boot, Command, Peer } from './peer.ts';

const BIOS = ['/usr/share/bochs/BIOS-bochs-latest', '/usr/local/share/bochs/BIOS-bochs-latest'];
const VGA_BIOS = ['/usr/share/vgabios/vgabios.bin', '/usr/local/share/bochs/VGABIOS-lgpl-latest.bin'];

const first = (files: readonly string[]): string | undefined => files.find((file) => existsSync(file));

function usage(program: string): string | undefined {
  const run = spawnSync(program, ['--help'], { encoding: 'utf8' });
  return run.error === undefined ? `${run.stdout}${run.stderr}` : undefined;
}

/** A CD image whose boot loader starts the kernel at once. */
function makeImage({ kernel, append }: Boot, folder: string): string {
  const image = join(folder, 'guest.iso');
  const boot = join(folder, 'iso', 'boot');
  mkdirSync(join(boot, 'grub'), { recursive: true });
  copyFileSync(kernel, join(boot, 'guest.elf'));
  const entry = `set timeout=0\nmenuentry guest {\n  multiboot /boot/guest.elf ${append}\n  boot\n}\n`;
  writeFileSync(join(boot, 'grub', 'grub.cfg'), entry);
  const made = spawnSync('grub-mkrescue', ['-o', image, join(folder, 'iso')], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`grub-mkrescue: ${made.stderr}`);
  return image;
}

/** No window, no sound, no real time; rfb is the one display that every Debian build has. */
function config(image: string, memoryMib: number): string {
  return `megs: ${memoryMib}
romimage: file=${first(BIOS)}
vgaromimage: file=${first(VGA_BIOS)}
ata0-master: type=cdrom, path=${image}, status=inserted
boot: cdrom
display_library: rfb, options="timeout=0"
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=0
port_e9_hack: enabled=1
clock: sync=none
cpu: ips=100000000
log: bochs.log
panic: action=fatal
`;
}

/** Bochs under the given name. */
export function bochs(program: string): Peer {
  const debugger_ = (): boolean => usage(program)?.includes('-rc ') === true;
  return {
    id: 'bochs',
    title: 'Bochs',
    missing: () => {
      if (usage(program) === undefined) return `${program} is not installed`;
      if (first(BIOS) === undefined || first(VGA_BIOS) === undefined) return 'its BIOS files are not installed';
      const tool = ['grub-mkrescue', 'xorriso', 'mformat'].find(
        (name) => spawnSync(name, ['--version']).error !== undefined,
      );
      return tool === undefined ? undefined : `${tool} is not installed (to make its CD image)`;
    },
    version: () => {
      const name = /Bochs x86 Emulator ([\d.]+)/.exec(usage(program) ?? '')?.[1] ?? 'unknown';
      return debugger_() ? `${name} with debugger` : name;
    },
    boot: (boot): Command => {
      const folder = mkdtempSync(join(tmpdir(), 'hvsim-bench-'));
      writeFileSync(join(folder, 'bochsrc'), config(makeImage(boot, folder), boot.memoryMib));
      writeFileSync(join(folder, 'commands'), 'continue\n'); // a build with debugger waits in it
      return {
        words: [program, '-q', '-f', 'bochsrc', ...(debugger_() ? ['-rc', 'commands'] : [])],
        cwd: folder,
        dispose: () => rmSync(folder, { recursive: true }),
      };
    },
  };
}
