#!/usr/bin/env node
/**
 * The command line: names of commands and options, and nothing else. Each command is loaded when it is used.
 * Exit codes: 0 ok; 1 a run failed, or a difference was found; 2 bad usage or a bad scenario; 70 a defect of hvsim.
 * `boot` has its own: that of the guest.
 */
import { Command, CommanderError } from 'commander';
import { packageVersion } from './commands/package.ts';
import { note, write } from './commands/terminal.ts';
import { UserError } from './core/errors.ts';

const EXIT_USAGE = 2;
const EXIT_DEFECT = 70;

const ENGINE_HELP = 'who executes guest code: compiled (hot code as WebAssembly) or interpreter; results are the same';

function program(): Command {
  const root = new Command('hvsim')
    .description('A deterministic simulator of hypervisors that executes real 32-bit x86 guest code.')
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .showHelpAfterError('(hvsim --help shows how)')
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ writeOut: (text) => write('stdout', text), writeErr: (text) => write('stderr', text) })
    .addHelpText('after', ROOT_EXAMPLES);
  addExperiments(root);
  addBoot(root);
  addRecord(root);
  addTranslate(root);
  return root;
}

function addExperiments(root: Command): void {
  root
    .command('run')
    .description('run scenarios; write CSV files, charts and a report')
    .argument('<scenario...>', 'scenario files (YAML)')
    .option('-o, --out <dir>', 'folder of results; each scenario gets a folder of its name in it', 'results')
    .option('-s, --set <path=value>', 'replace a value of the scenario; may be repeated', collect, [])
    .option('--seed <n>', 'run with this seed only')
    .option('-j, --jobs <n>', 'number of workers (default: one per core); results do not depend on it')
    .option('--engine <name>', ENGINE_HELP, engineOf, 'compiled')
    .option('--timeline [run]', 'also write what every CPU and vCPU did in that run (default: 1), for ui.perfetto.dev')
    .option('--timeline-max <n>', 'entries that a timeline keeps, the first ones (default: 200000)')
    .option('--timeline-from <time>', 'simulated time at which a timeline begins, such as "1.5 s" (default: 0)')
    .option('--timeline-to <time>', 'and at which it ends (default: with the run)')
    .option('--timeline-format <name>', 'chrome (trace events, the default) or ftrace (text, as of Linux)')
    .option('-q, --quiet', 'no progress')
    .addHelpText('after', RUN_EXAMPLES)
    .action(async (files, options) => done((await import('./commands/run.ts')).runCommand(files, options)));
  root
    .command('validate')
    .description('check scenarios without running them')
    .argument('<scenario...>', 'scenario files (YAML)')
    .option('-s, --set <path=value>', 'replace a value of the scenario; may be repeated', collect, [])
    .addHelpText('after', '\nExample:\n  hvsim validate scenarios/*.yaml')
    .action(async (files, options) =>
      done((await import('./commands/validate.ts')).validateCommand(files, options.set)),
    );
  root
    .command('published')
    .description('run the scenarios of papers; print their numbers beside ours, and fail where a claim does not hold')
    .argument('[paper...]', 'names of papers; all without it')
    .option('--results <dir>', 'take the results of hvsim run from this folder, and run nothing')
    .option('--markdown', 'as docs/validation.md has it')
    .option('-j, --jobs <n>', 'number of workers (default: one per core); results do not depend on it')
    .option('--engine <name>', ENGINE_HELP, engineOf, 'compiled')
    .option('-q, --quiet', 'no progress')
    .addHelpText('after', PUBLISHED_EXAMPLES)
    .action(async (ids, options) => done((await import('./commands/published.ts')).publishedCommand(ids, options)));
  root
    .command('list')
    .description(
      'list guests, workloads, techniques, hypervisors, schedulers, demands, presets, exits, charts, tables or scenarios',
    )
    .argument('[kind]', 'what to list; everything without it')
    .argument('[name]', 'parameters of that scheduler or demand, or columns of that table')
    .addHelpText(
      'after',
      '\nExamples:\n  hvsim list\n  hvsim list schedulers\n  hvsim list schedulers credit\n  hvsim list tables vcpus',
    )
    .action(async (kind, name) => done((await import('./commands/list.ts')).listCommand(kind, name)));
  root
    .command('schema')
    .description('print the JSON Schema of scenarios, for editors')
    .addHelpText('after', '\nExample:\n  hvsim schema > scenario.schema.json')
    .action(async () => done((await import('./commands/schema.ts')).schemaCommand()));
  root
    .command('chart')
    .description('draw the charts and the report of a folder of results again, from its CSV files')
    .argument('<dir>', 'folder of results, such as results/overhead')
    .option('--png', 'also as PNG pictures')
    .addHelpText('after', '\nExample:\n  hvsim chart results/overhead --png')
    .action(async (dir, options) =>
      done((await import('./commands/chart.ts')).chartCommand(dir, options.png === true)),
    );
  root
    .command('compare')
    .description('tell which rows and files of two folders of results differ')
    .argument('<dir>', 'folder of results')
    .argument('<other>', 'another one')
    .addHelpText('after', '\nExample:\n  hvsim compare results/overhead again/overhead')
    .action(async (dir, other) => done((await import('./commands/compare.ts')).compareCommand(dir, other)));
}

function addBoot(root: Command): void {
  root
    .command('boot')
    .description('boot a kernel, a boot sector or a ROM; its console goes to stdout')
    .argument('[guest]', 'name of a guest (hvsim list guests), or path of an image; not needed with --bios')
    .option('--format <name>', 'auto, multiboot, linux (bzImage), flat, boot-sector or rom', 'auto')
    .option('--load <address>', 'where a flat image goes (default: 0x100000)')
    .option('--entry <address>', 'where a flat image starts (default: its first byte)')
    .option('--bios <file>', 'ROM that ends at 4 GiB and at 1 MiB; starts at the reset vector in real mode')
    .option('--option-rom <file>', 'ROM at 0xC0000, such as the BIOS of a graphics card (with --bios)')
    .option('--shadow-ram', 'the copy of the ROM below 1 MiB is RAM, as BIOSes need it that keep variables there')
    .option('--initrd <files>', 'boot modules, or the initial RAM disk: FILE[ TEXT][,FILE[ TEXT]]')
    .option('--disk <file>', 'disk image, also index=N,file=FILE; may be repeated', collect, [])
    .option('--disk-write', 'write to the disk images (default: writes stay in memory)')
    .option('--input <file>', 'what is typed at COM1: a file, - (standard input), none, or tty (see below)')
    .option('--keys <file>', 'the same for the PS/2 keyboard')
    .option('--log-port <port>', 'print what the guest writes to a port; may be repeated', collect, [])
    .option('-t, --technique <name>', 'native, trap-and-emulate ...; see hvsim list techniques', 'native')
    .option('-p, --paging <name>', 'auto, shadow or nested', 'auto')
    .option('-m, --memory <size>', 'memory of the guest', '64MiB')
    .option('-c, --vcpus <n>', 'CPUs of the guest, each with a physical CPU of its own', '1')
    .option('-a, --append <text>', 'command line of the kernel', '')
    .option('--preset <name>', 'CPU model (hvsim list presets)', 'broadwell')
    .option('--max-seconds <s>', 'bound of simulated time', '60')
    .option('--max-instructions <n>', 'bound of guest instructions', '10_000_000_000')
    .option('--engine <name>', ENGINE_HELP, engineOf, 'compiled')
    .option('--screen', 'print the text screen at the end (done anyway if the guest wrote nowhere else)')
    .addHelpText('after', BOOT_EXAMPLES)
    .action(async (guest, options) => done((await import('./commands/boot.ts')).bootCommand(guest, options)));
}

function addRecord(root: Command): void {
  root
    .command('record')
    .description('run a guest and write down what it does to its CPU, for VMs that play it (vms[].replay)')
    .argument('<guest>', 'name of a guest (hvsim list guests), or path of a multiboot ELF file')
    .requiredOption('-o, --out <file>', 'the recording; usually name.hvrec')
    .option('-t, --technique <name>', 'how the VM is virtualized; see hvsim list techniques', 'hardware-assisted')
    .option('-p, --paging <name>', 'auto, shadow or nested', 'auto')
    .option('-m, --memory <size>', 'memory of the guest', '32MiB')
    .option('-a, --append <text>', 'command line of the kernel', '')
    .option('--preset <name>', 'CPU model (hvsim list presets)', 'broadwell')
    .option('--max-seconds <s>', 'bound of simulated time', '10')
    .option('--engine <name>', ENGINE_HELP, engineOf, 'compiled')
    .addHelpText('after', RECORD_EXAMPLES)
    .action(async (guest, options) => done((await import('./commands/record.ts')).recordCommand(guest, options)));
}

function addTranslate(root: Command): void {
  root
    .command('translate')
    .description('run a guest under binary translation; print a function beside its translation')
    .argument('<guest>', 'name of a guest (hvsim list guests), or path of an ELF image with symbols')
    .requiredOption('-f, --function <name>', 'the function, which its kernel calls')
    .option('-a, --append <text>', 'command line of the kernel', '')
    .option('-m, --memory <size>', 'memory of the guest', '16MiB')
    .option('--preset <name>', 'CPU model (hvsim list presets)', 'pentium4-672')
    .option('--max-seconds <s>', 'bound of simulated time', '1')
    .addHelpText('after', '\nExample:\n  hvsim translate isprime --function isPrime')
    .action(async (guest, options) => done((await import('./commands/translate.ts')).translateCommand(guest, options)));
}

const ROOT_EXAMPLES = `
Examples:
  hvsim run scenarios/overhead.yaml       results/overhead/report.html says what came out
  hvsim boot nano --append "sieve n=10000"
  hvsim list workloads

Exit codes: 0 ok, 1 a run failed or results differ, 2 bad usage or bad scenario, 70 a defect of hvsim.`;

const RUN_EXAMPLES = `
Examples:
  hvsim run scenarios/overhead.yaml
  hvsim run scenarios/*.yaml --jobs 4 --out /tmp/results
  hvsim run scenarios/consolidation.yaml --seed 7 --set host.pcpus=2 --set "host.quantum=10 us"
  hvsim run scenarios/custom/compare.yaml --timeline 2      run 2 also as timeline.json, for ui.perfetto.dev
  hvsim run results/overhead/scenario.yaml --out again      the same bytes again`;

const BOOT_EXAMPLES = `
Ends when the guest writes port 0xF4, halts for good, or crashes. The exit code is that of QEMU's isa-debug-exit,
((value << 1) | 1) & 255, when the guest wrote the port; 0 when it halted; 1 when it crashed or time ran out.

Images are told apart by their content; --format forces one. Multiboot kernels start as GRUB starts them, a bzImage by
the 32-bit boot protocol of Linux, a flat image in flat 32-bit protected mode, a boot sector in real mode at 0:7C00.

Input: standard input goes to COM1 if it is a file or a pipe; it is read to its end first. (A pipe that is silent for
two seconds is left alone, unless --input - asks for it.) A plain text is typed when the guest listens. A text whose
first line begins with @ says when, line by line:
  @1.5s ls -l\\n           at 1.5 s of the guest's time (also ms, us)
  @"login: " root\\n       once the guest has printed that
With --input tty keys go to the guest as they come, and the run cannot be repeated exactly.

--log-port 0x190 prints "port 0x190: 0x05" to stderr for each write, --log-port 0x190:char passes the bytes to stdout.

Examples:
  hvsim boot nano --append "sieve n=10000 rounds=4"
  hvsim boot my-kernel.elf --technique hardware-assisted --paging nested --memory 128MiB
  hvsim boot vmlinuz --initrd initrd.gz --append "console=ttyS0" --memory 256MiB --input script.txt
  hvsim boot kernel.elf --disk system.img --disk index=1,file=data.img
  hvsim boot --bios test.rom --log-port 0x190
  hvsim boot program.bin --format flat --load 0x200000`;

const RECORD_EXAMPLES = `
The guest runs alone on one physical CPU, with one vCPU. A VM of a scenario plays the file in its place:
  vms:
    - { name: web, count: 16, replay: web.hvrec, stagger: 3 ms }
Alone and under the same preset it has the same ledger, to the cycle. docs/replay.md has the format, and what is exact.

Examples:
  hvsim record nano --append "web requests=200 hz=1000" --out web.hvrec
  hvsim record nano --append "sieve n=10000" --technique binary-translation --out sieve.hvrec`;

const PUBLISHED_EXAMPLES = `
Exit code 1: a row that claims agreement is outside its tolerance. Other rows say why they miss.

Examples:
  hvsim published
  hvsim published adams-agesen-2006 --results results`;

function collect(value: string, before: readonly string[]): string[] {
  return [...before, value];
}

/** As in src/vmm/machine.ts, which would take time to load for commands that run nothing. */
const ENGINES = ['compiled', 'interpreter'];

function engineOf(name: string): string {
  if (!ENGINES.includes(name)) throw new UserError(`--engine: found "${name}", expected ${ENGINES.join(' or ')}`);
  return name;
}

async function done(code: number | Promise<number>): Promise<void> {
  process.exitCode = await code;
}

/** Runs a command line; what went wrong becomes a message and an exit code. */
async function main(argv: readonly string[]): Promise<void> {
  try {
    await program().parseAsync(argv);
  } catch (error) {
    process.exitCode = exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): number {
  // Commander has printed its message, and answers 0 for --help and --version.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
  if (error instanceof UserError) {
    note(error.message);
    return EXIT_USAGE;
  }
  note(`This is a defect of hvsim:\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return EXIT_DEFECT;
}

await main(process.argv);
