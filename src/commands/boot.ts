/**
 * hvsim boot: one guest on one VM, as `qemu -kernel` and `qemu -bios` do it. Its console goes to stdout byte for byte, a
 * short ledger to stderr at the end.
 * Invariant: wall time is measured for the ledger only; it never enters the simulation.
 */
import { writeSync } from 'node:fs';
import { UserError } from '../core/errors.ts';
import type { RunOutcome } from '../host/dispatch.ts';
import { buildWorld, finishWorld, type World } from '../lab/build.ts';
import { GUESTS, PRESETS, TECHNIQUES } from '../lab/catalog.ts';
import { collect } from '../lab/collect.ts';
import { isGuestPath } from '../lab/guests.ts';
import type { ResolvedRun } from '../lab/plan.ts';
import type { RunRecord, VmRecord } from '../lab/rows.ts';
import { didYouMean } from '../lab/suggest.ts';
import { formatQuantity, parseQuantity, type QuantityKind } from '../lab/units.ts';
import { amount, grouped, percent, short, time } from '../report/format.ts';
import type { EngineName } from '../vmm/machine.ts';
import { type GuestOptions, guestParts } from './boot-guest.ts';
import { runWithTerminal } from './boot-tty.ts';
import { note, print } from './terminal.ts';

export interface BootOptions extends GuestOptions {
  readonly technique: string;
  readonly paging: string;
  readonly memory: string;
  readonly vcpus: string;
  readonly append: string;
  readonly preset: string;
  readonly maxSeconds: string;
  readonly maxInstructions: string;
  readonly engine: EngineName;
  readonly screen?: boolean;
}

const MIB = 1024 * 1024;
/** Frames for the tables of the VMM, beside the guest's memory. */
const VMM_BYTES = 64 * MIB;
/** The same for a ROM. */
const ROM_BYTES_MAX = 16 * MIB;
const VCPUS_MAX = 8;
const QUANTUM_NS = 20_000;
/** Whoever waits for a spin lock waits for the next window: short ones keep what it loses small. */
const SMP_QUANTUM_NS = 2_000;
const CONSOLE_CHUNK = 4096;
const NEWLINE = 10;
/** Its file descriptor: the stream of Node would be made for nothing. */
const STDOUT = 1;
/** How often a running guest is looked at. */
const SLICE_NS = 1_000_000;

/** Answers the exit code of the process: QEMU's isa-debug-exit for a guest that wrote port 0xF4. */
export async function bootCommand(named: string | undefined, options: BootOptions): Promise<number> {
  const guest = guestOf(named, options);
  const run = planOf(guest, options);
  const instructionsMax = countOf('--max-instructions', options.maxInstructions);
  const output = new ConsoleOutput();
  const onConsole = (byte: number): void => output.put(byte);
  const world = buildWorld(run, { engine: options.engine, onConsole, guest: await guestParts(options, onConsole) });
  const started = process.hrtime.bigint();
  const slice = sliceOf(world, instructionsMax);
  if (options.input === 'tty') await runWithTerminal(world, slice);
  else while (slice() === 'limit');
  const outcome = finishWorld(world);
  const wallSeconds = Number(process.hrtime.bigint() - started) / 1e9;
  output.flush();
  const screen = world.vms[0]!.vm.screenText().trimEnd();
  // A kernel that only knows the text screen has no other console.
  if (options.screen === true || (!output.used && screen !== '')) print(screen);
  const record = collect(world, outcome);
  const [vm] = record.vms as [VmRecord];
  printLedger(world, record, vm, wallSeconds);
  return exitCodeOf(vm);
}

/** The image: the guest that is named, or the ROM. */
function guestOf(named: string | undefined, { bios }: BootOptions): string {
  if (named !== undefined && bios !== undefined) {
    throw new UserError(
      `--bios: found ${bios} beside the guest ${named}, expected one of them: a ROM loads its own guest`,
    );
  }
  const guest = named ?? bios;
  if (guest === undefined)
    throw new UserError('boot: no guest, expected a guest (hvsim list guests), a file, or --bios FILE');
  return guest;
}

/** Runs 1 ms of simulated time a call, until the guest ends or is seen to be stuck for good, or a bound is reached. */
function sliceOf(world: World, instructionsMax: number): () => RunOutcome | 'over' {
  const { vm, vcpus } = world.vms[0]!;
  let limit = 0;
  return () => {
    if (vm.outcome !== null || limit >= world.run.durationNs) return 'over';
    limit = Math.min(limit + SLICE_NS, world.run.durationNs);
    const outcome = world.dispatcher.runUntil(limit);
    if (outcome !== 'limit') return outcome;
    if (vcpus.every(({ vcpu }) => vcpu.spinsForever())) {
      vm.end('halted', 'loops on one instruction with interrupts off');
    }
    const instructions = vcpus.reduce((sum, { vcpu }) => sum + vcpu.instructions, 0);
    if (instructions >= instructionsMax) vm.end('time-limit', `after ${instructions} instructions`);
    return outcome;
  };
}

function countOf(option: string, text: string): number {
  const value = Number(text.replaceAll('_', ''));
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new UserError(`${option}: found "${text}", expected a positive whole number such as 5_000_000`);
}

function exitCodeOf({ outcome, exitCode }: VmRecord): number {
  if (outcome === 'completed') return (((exitCode ?? 0) << 1) | 1) & 0xff;
  return outcome === 'halted' || outcome === 'stalled' ? 0 : 1;
}

export function planOf(guest: string, options: BootOptions): ResolvedRun {
  const technique = choice('--technique', options.technique, TECHNIQUES, ({ name }) => name);
  const preset = choice('--preset', options.preset, PRESETS, ({ id }) => id);
  const pagings = technique.pagings.filter((name) => name !== 'nested' || preset.vmx.nestedPaging);
  if (options.paging !== 'auto' && !pagings.some((name) => name === options.paging)) {
    const allowed = ['auto', ...pagings].join(' or ');
    throw new UserError(`--paging: found "${options.paging}", but ${technique.name} on ${preset.id} needs ${allowed}`);
  }
  const vcpus = countOf('--vcpus', options.vcpus);
  if (vcpus > VCPUS_MAX) throw new UserError(`--vcpus: found "${options.vcpus}", expected 1 to ${VCPUS_MAX}`);
  const memoryBytes = amountOf('--memory', 'size', options.memory, MIB, 2048 * MIB);
  if (memoryBytes % 4096 !== 0)
    throw new UserError(`--memory: found "${options.memory}", expected a multiple of 4 KiB`);
  return {
    runId: 1,
    role: 'point',
    seed: 1,
    axes: {},
    durationNs: amountOf('--max-seconds', 'duration', `${options.maxSeconds} s`, 1, 3_600_000_000_000),
    host: {
      preset: preset.id,
      frequencyHz: preset.frequencyHz,
      pcpus: vcpus,
      memoryBytes: memoryBytes + VMM_BYTES + (options.bios === undefined ? 0 : ROM_BYTES_MAX),
      quantumNs: vcpus === 1 ? QUANTUM_NS : SMP_QUANTUM_NS,
      scheduler: { policy: 'round-robin', params: {} },
    },
    vms: [
      {
        name: 'guest',
        guest,
        imageFile:
          GUESTS.some(({ name }) => name === guest) || (options.bios === undefined && !isGuestPath(guest))
            ? null
            : guest,
        workload: options.append,
        technique: technique.name,
        paging: options.paging === 'auto' ? (pagings[0] ?? 'native') : options.paging,
        taggedTlb: technique.name === 'hardware-assisted' && preset.vmx.taggedTlb,
        memoryBytes,
        vcpus,
        weight: 256,
        capPercent: 0,
        baselineRun: null,
      },
    ],
  };
}

function choice<T>(option: string, found: string, entries: readonly T[], nameOf: (entry: T) => string): T {
  const entry = entries.find((item) => nameOf(item) === found);
  if (entry !== undefined) return entry;
  const names = entries.map(nameOf);
  const hint = didYouMean(found, names);
  throw new UserError(
    `${option}: found "${found}", expected one of ${names.join(', ')}${hint === '' ? '' : `.${hint}`}`,
  );
}

function amountOf(option: string, kind: QuantityKind, text: string, min: number, max: number): number {
  const value = parseQuantity(kind, text);
  if (typeof value === 'string') throw new UserError(`${option}: found "${text}", ${value}`);
  if (value >= min && value <= max) return value;
  const range = `${formatQuantity(kind, min)} to ${formatQuantity(kind, max)}`;
  throw new UserError(`${option}: found "${text}", expected ${range}`);
}

/** The console of the guest: passed on line by line, so that a person sees it and a pipe is not flooded with bytes. */
class ConsoleOutput {
  /** Something was written. */
  used = false;
  private readonly buffer = Buffer.alloc(CONSOLE_CHUNK);
  private length = 0;

  put(byte: number): void {
    this.used = true;
    this.buffer[this.length++] = byte;
    if (byte === NEWLINE || this.length === CONSOLE_CHUNK) this.flush();
  }

  /** Writes at once, not when the simulation is over: it never returns to the event loop. */
  flush(): void {
    let done = 0;
    while (done < this.length) {
      try {
        done += writeSync(STDOUT, this.buffer, done, this.length - done);
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EPIPE') process.exit(0);
        if (code !== 'EAGAIN') throw error;
      }
    }
    this.length = 0;
  }
}

function printLedger(world: World, record: RunRecord, vm: VmRecord, wallSeconds: number): void {
  const { host, vms } = world.run;
  const preset = PRESETS.find(({ id }) => id === host.preset)!;
  const [plan] = vms as [ResolvedRun['vms'][0]];
  const paging = plan.paging === 'native' ? '' : ` with ${plan.paging} paging`;
  const speed = vm.instructions / Math.max(wallSeconds, 1e-9) / 1e6;
  note(`outcome       ${outcomeText(vm)}`);
  note(`machine       ${preset.name}, ${formatQuantity('frequency', host.frequencyHz)}; ${plan.technique}${paging}`);
  note(`simulated     ${time(record.simulatedNs)}`);
  note(`instructions  ${grouped(vm.instructions)}, ${short(speed)} million per second of wall time`);
  note(`cycles        ${cyclesText(vm)}`);
  const exits = [...vm.exits].sort((a, b) => b.count - a.count || (a.reason < b.reason ? -1 : 1));
  const total = exits.reduce((sum, exit) => sum + exit.count, 0);
  note(`exits         ${grouped(total)}`);
  for (const { reason, count, cycles } of exits) {
    note(`  ${reason.padEnd(20)} ${grouped(count).padStart(12)}   ${amount(cycles / Math.max(1, count))} cycles each`);
  }
  for (const item of vm.divergences) {
    const address = `0x${(item.address >>> 0).toString(16)}`;
    note(`not as on the bare machine: ${item.mnemonic} at ${address}: expected ${item.expected}; seen ${item.seen}`);
  }
}

function outcomeText({ outcome, exitCode, detail }: VmRecord): string {
  const code = exitCode === null ? '' : `, the guest wrote ${exitCode} to port 0xF4`;
  return `${outcome}${code}${detail === '' ? '' : `: ${detail}`}`;
}

function cyclesText(vm: VmRecord): string {
  const parts = [
    ['guest', vm.guestCycles + vm.translatedCycles],
    ['page walks', vm.walkCycles],
    ['exits', vm.exitCycles],
    ['VMM', vm.vmmCycles],
  ] as const;
  const total = parts.reduce((sum, [, cycles]) => sum + cycles, 0);
  const shares = parts.filter(([, cycles]) => cycles > 0).map(([name, cycles]) => `${name} ${percent(cycles / total)}`);
  return `${amount(total)}: ${shares.join(', ')}`;
}
