/**
 * What `hvsim boot` attaches to its guest: how the image is loaded, disks, what is typed, ports that are logged.
 * Invariants: every file is read or opened before the guest starts, so a run depends on nothing that happens meanwhile
 * (but for `--input tty`); a mistake says which option it is in, and what is allowed.
 */
import { fstatSync } from 'node:fs';
import { UserError } from '../core/errors.ts';
import { DiskFile } from '../guest/disk-file.ts';
import { readBytes } from '../guest/image.ts';
import { type InputStep, parseInput } from '../guest/input-script.ts';
import { FORMATS, type ImageFormat, type LoadOptions, readModules } from '../guest/load.ts';
import { didYouMean } from '../lab/suggest.ts';
import type { PortLog, VmSpec } from '../vmm/vm.ts';
import { note } from './terminal.ts';

/** Options as the command line has them. */
export interface GuestOptions {
  readonly format?: string;
  readonly load?: string;
  readonly entry?: string;
  readonly bios?: string;
  readonly optionRom?: string;
  readonly shadowRam?: boolean;
  readonly initrd?: string;
  readonly disk?: readonly string[];
  readonly diskWrite?: boolean;
  readonly input?: string;
  readonly keys?: string;
  readonly logPort?: readonly string[];
}

export type GuestParts = Pick<VmSpec, 'load' | 'disks' | 'serialInput' | 'keyboardInput' | 'portLogs'>;

const DISKS_MAX = 4;
const PORT_MAX = 0xffff;
const ADDRESS_MAX = 0xffff_ffff;
/** How long a silent pipe is waited for. */
const STDIN_PATIENCE_MS = 2000;

/** Reads and opens everything that the options name. @param putByte takes bytes for stdout */
export async function guestParts(options: GuestOptions, putByte: (byte: number) => void): Promise<GuestParts> {
  const disks = openDisks(options.disk ?? [], options.diskWrite === true);
  const portLogs = portLogsOf(options.logPort ?? [], putByte);
  return {
    load: loadOf(options),
    ...(disks.length === 0 ? {} : { disks }),
    ...(portLogs.size === 0 ? {} : { portLogs }),
    ...(options.keys === undefined ? {} : { keyboardInput: parseInput(options.keys, readBytes(options.keys)) }),
    ...(await serialInputOf(options.input)),
  };
}

function loadOf(options: GuestOptions): Omit<LoadOptions, 'append'> {
  const { optionRom, shadowRam } = options;
  if (options.bios === undefined && (optionRom !== undefined || shadowRam === true)) {
    throw new UserError(
      `--${optionRom === undefined ? 'shadow-ram' : 'option-rom'}: has a meaning only with --bios FILE`,
    );
  }
  return {
    shadowRam,
    optionRom: optionRom === undefined ? undefined : { path: optionRom, bytes: readBytes(optionRom) },
    format: options.bios === undefined ? formatOf(options.format) : 'rom',
    modules: options.initrd === undefined ? undefined : readModules(options.initrd),
    load: numberOf('--load', options.load, ADDRESS_MAX),
    entry: numberOf('--entry', options.entry, ADDRESS_MAX),
  };
}

function formatOf(text: string | undefined): ImageFormat | undefined {
  if (text === undefined || text === 'auto') return undefined;
  const found = FORMATS.find((format) => format === text);
  if (found !== undefined) return found;
  const hint = didYouMean(text, FORMATS);
  throw new UserError(
    `--format: found "${text}", expected one of auto, ${FORMATS.join(', ')}${hint === '' ? '' : `.${hint}`}`,
  );
}

/** A number in decimal, or in hexadecimal with 0x. */
function numberOf(option: string, text: string | undefined, max: number): number | undefined {
  if (text === undefined) return undefined;
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN;
  if (value <= max) return value;
  throw new UserError(
    `${option}: found "${text}", expected a number from 0 to 0x${max.toString(16)}, such as 0x100000`,
  );
}

/** `FILE` takes the next free index, `index=N,file=FILE` the one that it names. */
function openDisks(entries: readonly string[], writable: boolean): (DiskFile | null)[] {
  const paths: (string | undefined)[] = [];
  for (const entry of entries) {
    const named = /^index=(\d+),file=(.+)$/.exec(entry) ?? /^file=(.+),index=(\d+)$/.exec(entry);
    const isReversed = entry.startsWith('file=');
    const free = paths.indexOf(undefined);
    const index = named === null ? (free < 0 ? paths.length : free) : Number(named[isReversed ? 2 : 1]);
    const path = named === null ? entry : named[isReversed ? 1 : 2]!;
    if (/^(index|file)=/.test(entry) && named === null) {
      throw new UserError(`--disk: found "${entry}", expected FILE or index=N,file=FILE`);
    }
    if (index >= DISKS_MAX) {
      throw new UserError(`--disk: found index ${index}, allowed: 0 to ${DISKS_MAX - 1} (two channels of two disks)`);
    }
    if (paths[index] !== undefined)
      throw new UserError(`--disk: index ${index} is given to ${paths[index]} and ${path}`);
    while (paths.length < index) paths.push(undefined);
    paths[index] = path;
  }
  return paths.map((path) => (path === undefined ? null : new DiskFile(path, writable)));
}

/** `0xNNN` prints each write to stderr, `0xNNN:char` passes the bytes on to stdout. */
function portLogsOf(entries: readonly string[], putByte: (byte: number) => void): Map<number, PortLog> {
  const logs = new Map<number, PortLog>();
  for (const entry of entries) {
    const [text, form] = entry.split(':', 2) as [string, string | undefined];
    if (form !== undefined && form !== 'char') {
      throw new UserError(`--log-port: found "${entry}", expected PORT or PORT:char, such as 0x190`);
    }
    const port = numberOf('--log-port', text, PORT_MAX)!;
    const name = `0x${port.toString(16)}`;
    logs.set(
      port,
      form === 'char'
        ? (_bytes, value) => putByte(value & 0xff)
        : (bytes, value) => {
            const digits = (bytes === 4 ? value >>> 0 : value & ((1 << (8 * bytes)) - 1)).toString(16);
            note(`port ${name}: 0x${digits.padStart(2 * bytes, '0')}`);
          },
    );
  }
  return logs;
}

async function serialInputOf(option: string | undefined): Promise<{ readonly serialInput?: InputStep[] }> {
  if (option === 'none' || option === 'tty') return {};
  if (option !== undefined && option !== '-') return { serialInput: parseInput(option, readBytes(option)) };
  if (option === undefined && !hasInput()) return {};
  const bytes = await readStdin(option === '-');
  return bytes.length === 0 ? {} : { serialInput: parseInput('standard input', bytes) };
}

/** Standard input is a file or a pipe of a shell. A socket is how other programs start this one: not meant for the guest. */
function hasInput(): boolean {
  try {
    const stat = fstatSync(0);
    return stat.isFile() || stat.isFIFO();
  } catch {
    return false;
  }
}

/** All of standard input. Unless it was asked for, a pipe that stays silent does not keep the guest from starting. */
function readStdin(isWanted: boolean): Promise<Uint8Array> {
  const { stdin } = process;
  const chunks: Buffer[] = [];
  return new Promise((resolve, reject) => {
    const done = (): void => {
      clearTimeout(patience);
      stdin.removeAllListeners();
      stdin.destroy();
      resolve(new Uint8Array(Buffer.concat(chunks)));
    };
    const patience = setTimeout(() => {
      if (isWanted || chunks.length > 0) note('waiting for the end of standard input, which the guest gets on COM1');
      else {
        note('standard input is a silent pipe: the guest starts without input (--input - waits for it)');
        done();
      }
    }, STDIN_PATIENCE_MS);
    stdin.on('data', (chunk: Buffer) => chunks.push(chunk));
    stdin.on('end', done);
    stdin.on('error', (error) => reject(new UserError(`standard input: cannot be read: ${error.message}`)));
  });
}
