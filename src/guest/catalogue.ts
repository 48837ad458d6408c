/**
 * The guests that come with hvsim: guests/catalogue.json, and how a name in a scenario becomes an image.
 * Invariants: names are unique; a guest's file is inside the guests folder; the catalogue is found relative to this
 * file, so it works from the sources and from dist alike.
 */
import { existsSync } from 'node:fs';
import { basename, isAbsolute, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UserError } from '../core/errors.ts';
import { bootModule, withModules } from './foreign.ts';
import { type GuestImage, readBytes, readGuestImage } from './image.ts';
import type { BootModule } from './multiboot.ts';

/** One `name=value` of a guest's command line. */
export interface GuestOption {
  readonly default: string | number | boolean;
  readonly unit: string;
}

/** Something a guest can be told to do. */
export interface GuestWorkload {
  readonly description: string;
  readonly options: Readonly<Record<string, GuestOption>>;
}

/** One guest of the catalogue. */
export interface GuestEntry {
  readonly name: string;
  readonly file: string;
  /** Boot modules that belong to the kernel: `FILE[ TEXT]`. */
  readonly modules: readonly string[];
  /** Other builds of the same sources: by technique, the name of the guest that is run instead. */
  readonly builds: Readonly<Record<string, string>>;
  readonly description: string;
  /** Under which techniques the guest behaves, and why. */
  readonly technique_note?: string;
  /** Paravirtual kernels only: the guest that is the same kernel for a machine of its own. */
  readonly native_guest?: string;
  /** Vectors of the interrupts by which the kernel asks other CPUs for TLB flushes: what a hypervisor may be told of it. */
  readonly shootdown_vectors: readonly number[];
  /** Options of the kernel's command line for every workload. */
  readonly kernel_options: Readonly<Record<string, GuestOption>>;
  readonly workloads: Readonly<Record<string, GuestWorkload>>;
}

export interface GuestCatalogue {
  /** Folder that the entries' files are relative to. */
  readonly folder: string;
  /** In the order of the file. */
  readonly guests: readonly GuestEntry[];
}

/** The guests folder of this package. */
export function guestsFolder(): string {
  return fileURLToPath(new URL('../../guests/', import.meta.url));
}

/** Reads and checks catalogue.json in a folder; this package's own unless told. */
export function readCatalogue(folder: string = guestsFolder()): GuestCatalogue {
  const path = join(folder, 'catalogue.json');
  return parseCatalogue(path, folder, new TextDecoder().decode(readBytes(path)));
}

/** Checks the text of a catalogue. */
export function parseCatalogue(path: string, folder: string, text: string): GuestCatalogue {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${path}: is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const guests = guestsOf(new Reader(path), json);
  for (const { name, native_guest: other } of guests) {
    if (other === undefined || guests.some((guest) => guest.name === other && guest.native_guest === undefined))
      continue;
    throw new UserError(
      `${path}: guest ${name} has the native_guest ${other}, allowed: a guest for a machine of its own`,
    );
  }
  const seen = new Set<string>();
  for (const guest of guests) {
    if (seen.has(guest.name))
      throw new UserError(`${path}: guest ${guest.name} is listed twice, allowed: unique names`);
    seen.add(guest.name);
    for (const file of [guest.file, ...guest.modules]) {
      if (isAbsolute(file) || relative(folder, join(folder, file)).startsWith('..')) {
        throw new UserError(`${path}: guest ${guest.name} has the file ${file}, allowed: a path inside ${folder}`);
      }
    }
  }
  for (const { name, builds } of guests) {
    const missing = Object.values(builds).find((build) => !seen.has(build));
    if (missing !== undefined)
      throw new UserError(`${path}: guest ${name} has the build ${missing}, which is not listed`);
  }
  return { folder, guests };
}

function guestsOf(read: Reader, json: unknown): GuestEntry[] {
  if (!Array.isArray(json)) throw read.fault('', json, 'a list');
  return json.map((value: unknown, index) => {
    const at = `[${index}]`;
    const entry = read.mapping(at, value);
    const note = entry['technique_note'];
    return {
      name: read.name(`${at}.name`, entry['name']),
      file: read.name(`${at}.file`, entry['file']),
      modules: read.list(`${at}.modules`, entry['modules']).map((value, i) => read.name(`${at}.modules[${i}]`, value)),
      builds: read.record(`${at}.builds`, entry['builds'], (where, build) => read.name(where, build)),
      description: read.text(`${at}.description`, entry['description']),
      ...(note === undefined ? {} : { technique_note: read.text(`${at}.technique_note`, note) }),
      ...(entry['native_guest'] === undefined
        ? {}
        : { native_guest: read.name(`${at}.native_guest`, entry['native_guest']) }),
      shootdown_vectors: read
        .list(`${at}.shootdown_vectors`, entry['shootdown_vectors'])
        .map((vector, i) => read.vector(`${at}.shootdown_vectors[${i}]`, vector)),
      kernel_options: optionsOf(read, `${at}.kernel_options`, entry['kernel_options']),
      workloads: read.record(`${at}.workloads`, entry['workloads'], (where, workload) => ({
        description: read.text(`${where}.description`, read.mapping(where, workload)['description']),
        options: optionsOf(read, `${where}.options`, read.mapping(where, workload)['options']),
      })),
    };
  });
}

function optionsOf(read: Reader, at: string, value: unknown): Record<string, GuestOption> {
  return read.record(at, value, (where, option) => {
    const fields = read.mapping(where, option);
    return {
      default: read.scalar(`${where}.default`, fields['default']),
      unit: read.text(`${where}.unit`, fields['unit']),
    };
  });
}

/** Takes values of JSON for what they should be, or names the file and the place of the first that is not. */
class Reader {
  private readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  fault(at: string, found: unknown, expected: string): UserError {
    const text = found === undefined ? 'nothing' : JSON.stringify(found).slice(0, 60);
    return new UserError(`${this.path}: ${at === '' ? '' : `${at}: `}found ${text}, expected ${expected}`);
  }

  mapping(at: string, value: unknown): Readonly<Record<string, unknown>> {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
    throw this.fault(at, value, 'a mapping');
  }

  /** A mapping of names to things of one kind; an empty one where nothing stands. */
  record<T>(at: string, value: unknown, read: (at: string, value: unknown) => T): Record<string, T> {
    const entries = Object.entries(value === undefined ? {} : this.mapping(at, value));
    return Object.fromEntries(entries.map(([name, item]) => [name, read(`${at}.${name}`, item)]));
  }

  /** An empty list where nothing stands. */
  list(at: string, value: unknown): readonly unknown[] {
    if (value === undefined) return [];
    if (Array.isArray(value)) return value;
    throw this.fault(at, value, 'a list');
  }

  text(at: string, value: unknown): string {
    if (typeof value === 'string') return value;
    throw this.fault(at, value, 'a text');
  }

  name(at: string, value: unknown): string {
    if (typeof value === 'string' && value !== '') return value;
    throw this.fault(at, value, 'a text that is not empty');
  }

  /** A vector that an inter-processor interrupt may have. */
  vector(at: string, value: unknown): number {
    if (typeof value === 'number' && Number.isInteger(value) && value >= 16 && value <= 255) return value;
    throw this.fault(at, value, 'a vector from 16 to 255');
  }

  scalar(at: string, value: unknown): string | number | boolean {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
    throw this.fault(at, value, 'a text, a number, true or false');
  }
}

/** The entry of a name, or a UserError that lists the names there are. */
export function findGuest(catalogue: GuestCatalogue, name: string): GuestEntry {
  const found = catalogue.guests.find((guest) => guest.name === name);
  if (found === undefined) throw unknownGuest(catalogue, name);
  return found;
}

/** The workload of a guest, or a UserError that lists the workloads it has. */
export function findWorkload(guest: GuestEntry, name: string): GuestWorkload {
  const found = Object.hasOwn(guest.workloads, name) ? guest.workloads[name] : undefined;
  if (found !== undefined) return found;
  const names = Object.keys(guest.workloads);
  const allowed = names.length === 0 ? 'none: this guest has no workloads' : names.join(', ');
  throw new UserError(`guest ${guest.name} has no workload ${JSON.stringify(name)}, allowed: ${allowed}`);
}

/**
 * The image that a scenario or a command line means: a name of the catalogue, else a path to a file.
 * @param baseFolder what relative paths are relative to
 */
export function resolveGuest(catalogue: GuestCatalogue, nameOrPath: string, baseFolder = '.'): GuestImage {
  const found = catalogue.guests.find((guest) => guest.name === nameOrPath);
  if (found !== undefined) return entryImage(catalogue, found);
  const path = isAbsolute(nameOrPath) ? nameOrPath : join(baseFolder, nameOrPath);
  if (nameOrPath === '' || !existsSync(path)) throw unknownGuest(catalogue, nameOrPath);
  return readGuestImage(path);
}

function entryImage({ folder }: GuestCatalogue, { name, file, modules }: GuestEntry): GuestImage {
  const image = readGuestImage(join(folder, file), name);
  if (modules.length === 0) return image;
  return withModules(
    image,
    modules.map((entry) => readModule(folder, entry)),
  );
}

/** `FILE[ TEXT]`, with the file below a folder. */
function readModule(folder: string, entry: string): BootModule {
  const [file = '', ...text] = entry.split(' ');
  return bootModule(basename(file), readBytes(join(folder, file)), text.join(' '));
}

function unknownGuest(catalogue: GuestCatalogue, name: string): UserError {
  const names = catalogue.guests.map((guest) => guest.name).join(', ');
  return new UserError(`no guest ${JSON.stringify(name)}, allowed: ${names}, or a path to a Multiboot kernel`);
}
