/** Runs one of the kernels of this folder on hvsim, on QEMU or on Bochs, and answers what it printed. */
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildWorld, finishWorld } from '../../src/lab/build.ts';
import type { ResolvedHost, ResolvedRun } from '../../src/lab/plan.ts';
import { findPreset } from '../../src/vmm/presets/index.ts';
import type { ExecutedVm } from '../../src/vmm/vm.ts';

export const folder = import.meta.dirname;
const MIB = 1024 * 1024;
const MEMORY_MIB = 16;
const timeoutMs = 30_000;
/** The processor that has what hvsim's has. */
const QEMU_CPU = 'pentium2';

/** Techniques with their paging, as the tests call them. */
export const MODES = {
  native: ['native', 'native'],
  shadow: ['hardware-assisted', 'shadow'],
  nested: ['hardware-assisted', 'nested'],
  deprivileged: ['trap-and-emulate', 'shadow'],
  translated: ['binary-translation', 'shadow'],
} as const;
export type Mode = keyof typeof MODES;

export const kernelFile = (name: string): string =>
  join(folder, 'bin', name === 'small-flat' ? 'small-flat.bin' : `${name}.elf`);

/** Runs a kernel to its end or to the bound, whichever comes first. */
export function runOnHvsim(
  name: string,
  mode: Mode,
  seconds = 0.5,
  append = '',
  vcpus = 1,
  host: Partial<ResolvedHost> = {},
): ExecutedVm {
  const [technique, paging] = MODES[mode];
  const preset = findPreset('broadwell');
  const run: ResolvedRun = {
    runId: 1,
    role: 'point',
    seed: 1,
    axes: {},
    durationNs: seconds * 1e9,
    host: {
      preset: preset.id,
      frequencyHz: preset.frequencyHz,
      pcpus: vcpus,
      memoryBytes: (MEMORY_MIB + 64) * MIB,
      quantumNs: 20_000,
      scheduler: { policy: 'round-robin', params: {} },
      ...host,
    },
    vms: [
      {
        name: 'guest',
        guest: name,
        imageFile: kernelFile(name),
        workload: append,
        technique,
        paging,
        taggedTlb: technique === 'hardware-assisted',
        memoryBytes: MEMORY_MIB * MIB,
        vcpus,
        weight: 256,
        capPercent: 0,
        baselineRun: null,
      },
    ],
  };
  const world = buildWorld(run);
  finishWorld(world);
  return world.vms[0]!.vm;
}

/** Console and text screen in one piece, as the expected files of the small kernels have it. */
export const withScreen = (console: string, screen: string): string => `${console}--screen--\n${screen.trimEnd()}\n`;

/** What a probe kernel prints on port 0xE9. Each CPU is a socket of its own, or the MP table would not list it. */
export function probeOnQemu(name: string, cpus = 1): string {
  const args = [
    '-kernel',
    kernelFile(name),
    '-cpu',
    QEMU_CPU,
    '-m',
    String(MEMORY_MIB),
    '-accel',
    'tcg',
    '-nodefaults',
    '-smp',
    `${cpus},sockets=${cpus}`,
  ];
  args.push(
    '-display',
    'none',
    '-no-reboot',
    '-debugcon',
    'stdio',
    '-device',
    'isa-debug-exit,iobase=0xf4,iosize=0x04',
  );
  return spawnSync('qemu-system-i386', args, { encoding: 'latin1', timeout: timeoutMs }).stdout;
}

/** Serial line and screen of a small kernel two seconds after its start: it never ends by itself. */
export async function smallOnQemu(name: string): Promise<string> {
  const place = mkdtempSync(join(tmpdir(), 'hvsim-qemu-'));
  try {
    const args = ['-kernel', kernelFile(name), '-M', 'isapc', '-cpu', QEMU_CPU, '-m', String(MEMORY_MIB)];
    args.push('-accel', 'tcg', '-display', 'none', '-vga', 'std', '-net', 'none', '-nodefaults', '-no-reboot');
    args.push('-serial', `file:${join(place, 'serial')}`, '-monitor', 'stdio');
    const qemu = spawn('qemu-system-i386', args, { stdio: ['pipe', 'ignore', 'ignore'] });
    const ended = new Promise((resolve) => qemu.on('close', resolve));
    await new Promise((resolve) => setTimeout(resolve, 2000));
    qemu.stdin.write(`pmemsave 0xb8000 4000 "${join(place, 'screen')}"\nquit\n`);
    await ended;
    const cells = readFileSync(join(place, 'screen'));
    const line = (row: number): string =>
      Array.from({ length: 80 }, (_, column) => String.fromCharCode(Math.max(32, cells[2 * (80 * row + column)]!)))
        .join('')
        .trimEnd();
    const screen = Array.from({ length: 25 }, (_, row) => line(row)).join('\n');
    return withScreen(readFileSync(join(place, 'serial'), 'latin1'), screen);
  } finally {
    rmSync(place, { recursive: true });
  }
}

const BOCHS_CONFIG = `megs: ${MEMORY_MIB}
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
ata0-master: type=cdrom, path=guest.iso, status=inserted
boot: cdrom
display_library: rfb, options="timeout=0"
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=0
port_e9_hack: enabled=1
clock: sync=none
cpu: model=p3_katmai, ips=100000000, reset_on_triple_fault=0
log: bochs.log
panic: action=fatal
`;

/** What a probe kernel prints on Bochs, by way of a GRUB image: the lines from `begin` to `end`. */
export function probeOnBochs(name: string): string {
  const place = mkdtempSync(join(tmpdir(), 'hvsim-bochs-'));
  try {
    const boot = join(place, 'iso', 'boot');
    mkdirSync(join(boot, 'grub'), { recursive: true });
    copyFileSync(kernelFile(name), join(boot, 'guest.elf'));
    const entry = 'set timeout=0\nmenuentry guest {\n  multiboot /boot/guest.elf\n  boot\n}\n';
    writeFileSync(join(boot, 'grub', 'grub.cfg'), entry);
    const made = spawnSync('grub-mkrescue', ['-o', join(place, 'guest.iso'), join(place, 'iso')], { encoding: 'utf8' });
    if (made.status !== 0) throw new Error(`grub-mkrescue: ${made.stderr}`);
    writeFileSync(join(place, 'bochsrc'), BOCHS_CONFIG);
    writeFileSync(join(place, 'commands'), 'continue\n'); // Debian's build waits in its debugger
    const stdio = ['ignore', 'pipe', 'pipe'] as const;
    const args = ['-q', '-f', 'bochsrc', '-rc', 'commands'];
    const bochs = spawnSync('bochs', args, {
      cwd: place,
      encoding: 'latin1',
      stdio: [...stdio],
      timeout: 2 * timeoutMs,
    });
    return /^begin\n[\s\S]*^end\n/m.exec(bochs.stdout)?.[0] ?? bochs.stdout;
  } finally {
    rmSync(place, { recursive: true });
  }
}

/** The first of these programs that is not installed. */
export function missing(...programs: readonly string[]): string | undefined {
  return programs.find((program) => spawnSync('which', [program]).status !== 0);
}
