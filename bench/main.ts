/**
 * The command line of the benchmarks: `npm run bench -- [part] [kernel...] [options]`; --help explains. A part is a file
 * of this folder that exports `bench`; without a name all of them run, but for those that need files of the user.
 */
import { readdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Bench, BenchOptions, Section } from './options.ts';
import { DEFAULT_PEERS, PEER_IDS } from './peers/machines/index.ts';

const here = new URL('.', import.meta.url);
const NOT_PARTS = ['main.ts', 'harness.ts', 'options.ts'];
const BUSY_LOAD = 0.5;

const PARTS = readdirSync(here)
  .filter((file) => file.endsWith('.ts') && !NOT_PARTS.includes(file))
  .map((file) => file.slice(0, -'.ts'.length))
  .toSorted((a, b) => (a < b ? -1 : 1));

interface Flags {
  readonly repeat: number;
  readonly scale: number;
  readonly by: 'wall' | 'cpu';
  readonly peers?: readonly string[];
  readonly engine?: readonly string[];
  readonly json?: string;
  readonly qemu: string;
  readonly bochs: string;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append: string;
  readonly memory: number;
  readonly marker: readonly string[];
  readonly bios: string;
  readonly vgaBios: string;
}

function positiveNumber(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value > 0) return value;
  throw new InvalidArgumentError('expected a positive number.');
}

function count(text: string): number {
  const value = positiveNumber(text);
  if (Number.isInteger(value)) return value;
  throw new InvalidArgumentError('expected a whole number.');
}

const list = (text: string): string[] => text.split(',').filter((word) => word !== '');

function peerList(text: string): string[] {
  const names = list(text);
  const wrong = names.find((name) => !PEER_IDS.some((id) => id === name));
  if (wrong === undefined) return names;
  throw new InvalidArgumentError(`"${wrong}" is none of ${PEER_IDS.join(', ')}.`);
}

const EXAMPLES = `
Parts: ${PARTS.join(', ')}.

Examples:
  npm run bench -- peers                             all seven kernels on hvsim and its peers; takes minutes
  npm run bench -- peers sieve calls --scale 0.1     two of them, a tenth of the work
  npm run bench -- peers --engine interpreter,compiled --json bench.json
  npm run bench -- startup --repeat 5
  npm run bench -- linux --kernel bzImage --initrd initrd.gz --append "console=ttyS0" --marker "Linux version" --marker INIT_OK

Machines that are not installed are skipped with the reason. A wrong answer of any machine is an error.`;

function program(): Command {
  return new Command('npm run bench --')
    .description('Measures hvsim, beside its peers where there are any. Close other programs first.')
    .argument('[part]', 'part to run; all but linux without it')
    .argument('[kernel...]', 'kernels for the part peers; all seven without them')
    .option('-r, --repeat <n>', 'runs of everything; medians are printed', count, 3)
    .option('-s, --scale <factor>', 'work of each kernel, 1 as in the published tables', positiveNumber, 1)
    .addOption(
      new Option('-b, --by <time>', 'peers: speed per second of wall or of CPU time')
        .choices(['wall', 'cpu'])
        .default('wall'),
    )
    .option('-p, --peers <list>', `of ${PEER_IDS.join(', ')} (all but the last)`, peerList)
    .option('-e, --engine <list>', 'engines of hvsim, each a column (default: what hvsim boot takes)', list)
    .option('--json <file>', 'write everything that was measured to this file too')
    .option('--qemu <program>', "QEMU's program", 'qemu-system-i386')
    .option('--bochs <program>', "Bochs's program", 'bochs')
    .option('--kernel <file>', 'linux: the kernel, a bzImage')
    .option('--initrd <file>', 'linux: its initial RAM disk')
    .option('--append <text>', 'linux: its command line', 'console=ttyS0')
    .option('--memory <MiB>', 'linux: memory', count, 128)
    .option(
      '--marker <text>',
      'linux: text whose time is taken; may be repeated',
      (text, all: string[]) => [...all, text],
      [],
    )
    .option('--bios <file>', 'linux: PC BIOS for v86', '/usr/share/seabios/bios.bin')
    .option('--vga-bios <file>', 'linux: VGA BIOS for v86', '/usr/share/seabios/vgabios-stdvga.bin')
    .addHelpText('after', EXAMPLES);
}

function optionsOf(kernels: readonly string[], flags: Flags): BenchOptions {
  return {
    kernels,
    peers: flags.peers ?? DEFAULT_PEERS,
    engines: flags.engine ?? [],
    repeat: flags.repeat,
    scale: flags.scale,
    by: flags.by,
    tools: { qemu: flags.qemu, bochs: flags.bochs },
    linux: {
      kernel: flags.kernel,
      initrd: flags.initrd,
      append: flags.append,
      memoryMib: flags.memory,
      markers: flags.marker.length === 0 ? ['INIT_OK'] : flags.marker,
      bios: flags.bios,
      vgaBios: flags.vgaBios,
    },
  };
}

function machine() {
  const [cpu] = cpus();
  return {
    cpu: cpu?.model.trim() ?? 'unknown',
    cpus: cpus().length,
    memoryMib: Math.round(totalmem() / 2 ** 20),
    system: `${type()} ${release()}`,
    node: process.version,
    load: loadavg()[0],
  };
}

function print(name: string, { rows, text }: Section): void {
  process.stdout.write(`${name}\n`);
  for (const row of rows ?? [])
    process.stdout.write(`  ${row.name.padEnd(56)} ${row.value.toPrecision(4).padStart(10)} ${row.unit}\n`);
  process.stdout.write(text === undefined ? '\n' : `${text}\n`);
}

async function main(): Promise<void> {
  const command = program().parse();
  const [part, ...kernels] = command.args;
  const flags = command.opts<Flags>();
  if (part !== undefined && !PARTS.some((name) => name.includes(part)))
    command.error(`error: no part "${part}", expected ${PARTS.join(', ')}`);
  const about = machine();
  process.stdout.write(`${about.cpu}, ${about.cpus} CPUs, ${about.system}, node ${about.node}\n\n`);
  if (loadavg()[0] > BUSY_LOAD)
    process.stderr.write(`load is ${loadavg()[0].toFixed(2)}: trust CPU seconds, not wall time\n`);
  const parts: Record<string, unknown> = {};
  const named = PARTS.filter((name) => part === undefined || name === part);
  for (const name of named.length > 0 ? named : PARTS.filter((each) => each.includes(part))) {
    const { bench } = (await import(new URL(`${name}.ts`, here).href)) as { bench: Bench };
    if (part === undefined && bench.onlyOnRequest === true) continue;
    const section = await bench.run(optionsOf(kernels, flags));
    print(bench.name, section);
    parts[name] = section.data;
  }
  if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify({ machine: about, parts }, null, 2)}\n`);
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
