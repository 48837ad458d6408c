/**
 * The guests print the same lines on other people's machines: QEMU, and Bochs by way of a GRUB image.
 * Invariant: guests/expected/*.txt comes from QEMU (UPDATE=1 writes it); Bochs must agree with it.
 * Source: QEMU documentation (-kernel, debugcon, isa-debug-exit); Bochs user manual (port_e9_hack).
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const guests = join(import.meta.dirname, '..', 'guests');

interface Run {
  readonly guest: string;
  readonly append: string;
  /** Of guests with several CPUs. */
  readonly cpus?: number;
  readonly memory_mib: number;
  readonly file: string;
  readonly exit_code: number;
}

const runs = JSON.parse(readFileSync(join(guests, 'expected/runs.json'), 'utf8')) as Run[];
const update = process.env['UPDATE'] === '1';
const timeoutMs = 30_000;

/** The first of these programs that is not installed. */
function missing(...programs: readonly string[]): string | undefined {
  return programs.find((program) => spawnSync('which', [program]).status !== 0);
}

function elf(run: Run): string {
  return join(guests, 'bin', `${run.guest}.elf`);
}

function expected(run: Run): string {
  return readFileSync(join(guests, 'expected', run.file), 'utf8');
}

function runOnQemu(run: Run): { readonly text: string; readonly status: number | null } {
  const args = ['-kernel', elf(run), '-append', run.append, '-m', String(run.memory_mib), '-accel', 'tcg'];
  // Time by instructions: what a guest waits for comes at the same instruction however busy this machine is.
  if (run.cpus === undefined) args.push('-icount', 'shift=3,sleep=off');
  // The firmware lists one CPU of each socket in the MP table.
  if (run.cpus !== undefined) args.push('-smp', `${run.cpus},sockets=${run.cpus}`);
  args.push('-nodefaults', '-display', 'none', '-no-reboot', '-debugcon', 'stdio');
  args.push('-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04');
  const qemu = spawnSync('qemu-system-i386', args, { encoding: 'utf8', timeout: timeoutMs });
  return { text: qemu.stdout, status: qemu.status };
}

/** A CD image whose boot loader starts the guest at once. */
function makeImage(run: Run, folder: string): string {
  const image = join(folder, 'guest.iso');
  const boot = join(folder, 'iso', 'boot');
  mkdirSync(join(boot, 'grub'), { recursive: true });
  copyFileSync(elf(run), join(boot, 'guest.elf'));
  const entry = `set timeout=0\nmenuentry guest {\n  multiboot /boot/guest.elf ${run.append}\n  boot\n}\n`;
  writeFileSync(join(boot, 'grub', 'grub.cfg'), entry);
  const made = spawnSync('grub-mkrescue', ['-o', image, join(folder, 'iso')], { encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`grub-mkrescue: ${made.stderr}`);
  return image;
}

/** No window, no sound, no real time; rfb is the one display that every Debian build has. */
function bochsConfig(run: Run, image: string): string {
  return `megs: ${run.memory_mib}
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
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

/** Bochs mixes its own lines with the guest's: only the guest's are returned. */
function runOnBochs(run: Run): string {
  const folder = mkdtempSync(join(tmpdir(), 'hvsim-bochs-'));
  try {
    writeFileSync(join(folder, 'bochsrc'), bochsConfig(run, makeImage(run, folder)));
    writeFileSync(join(folder, 'commands'), 'continue\n'); // Debian's build waits in its debugger
    const args = ['-q', '-f', 'bochsrc', '-rc', 'commands'];
    const stdio = ['ignore', 'pipe', 'pipe'] as const; // with a pipe as its input it hangs now and then
    const bochs = spawnSync('bochs', args, { cwd: folder, encoding: 'utf8', stdio: [...stdio], timeout: timeoutMs });
    return (bochs.stdout.match(/^(nano|hello|wild-\w+): .*\n/gm) ?? []).join('');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const noQemu = missing('qemu-system-i386');
if (noQemu !== undefined) console.warn(`peers: QEMU skipped, no ${noQemu}`);

describe.skipIf(noQemu !== undefined)('on QEMU', () => {
  it.each(runs)('$guest $append', (run) => {
    const { text, status } = runOnQemu(run);
    if (update) writeFileSync(join(guests, 'expected', run.file), text);
    expect(text).toBe(expected(run));
    expect(status).toBe((run.exit_code << 1) | 1); // isa-debug-exit
  });
});

// A start takes Bochs two seconds, so only PEERS=all runs everything there. wild-wildwrite is left out: it
// also writes to the I/O APIC, which Bochs answers with a panic of its own; Debian's build has one CPU.
const bochsSample = ['hello', 'nano-faults', 'nano-clean-mix', 'nano-clean-ptemod'];
const bochsRuns = runs.filter((run) =>
  process.env['PEERS'] === 'all'
    ? run.guest !== 'wild-wildwrite' && run.guest !== 'nano-smp'
    : bochsSample.includes(run.file.replace('.txt', '')),
);
const noBochs = update
  ? 'expectations: they are being written'
  : missing('bochs', 'grub-mkrescue', 'xorriso', 'mformat');
if (noBochs !== undefined) console.warn(`peers: Bochs skipped, no ${noBochs}`);

describe.skipIf(noBochs !== undefined)('on Bochs', () => {
  it.each(bochsRuns)('$guest $append', (run) => {
    expect(runOnBochs(run)).toBe(expected(run));
  });
});
