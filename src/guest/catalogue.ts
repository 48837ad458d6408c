/**
 * The guests that come with hvsim: guests/catalogue.json, and how a name in a scenario becomes an image.
 * Invariants: names are unique; a guest's file is inside the guests folder; the catalogue is found relative to this
 * file, so it works from the sources and from dist alike.
 */
import { existsSync } from 'node:fs';
import { isAbsolute, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { UserError } from '../core/errors.ts';
import { type GuestImage, readBytes, readGuestImage } from './image.ts';

const option = z.object({ default: z.union([z.string(), z.number(), z.boolean()]), unit: z.string() });
const workload = z.object({ description: z.string(), options: z.record(z.string(), option).default({}) });
const entry = z.object({
  name: z.string().min(1),
  file: z.string().min(1),
  description: z.string(),
  /** Under which techniques the guest behaves, and why. */
  technique_note: z.string().optional(),
  /** Options of the kernel's command line for every workload. */
  kernel_options: z.record(z.string(), option).default({}),
  workloads: z.record(z.string(), workload).default({}),
});
const catalogueSchema = z.array(entry);

/** One `name=value` of a guest's command line. */
export type GuestOption = z.infer<typeof option>;
/** Something a guest can be told to do. */
export type GuestWorkload = z.infer<typeof workload>;
/** One guest of the catalogue. */
export type GuestEntry = z.infer<typeof entry>;

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
  const parsed = catalogueSchema.safeParse(json);
  if (!parsed.success) throw new UserError(`${path}: ${z.prettifyError(parsed.error)}`);
  const seen = new Set<string>();
  for (const guest of parsed.data) {
    if (seen.has(guest.name))
      throw new UserError(`${path}: guest ${guest.name} is listed twice, allowed: unique names`);
    seen.add(guest.name);
    const inside = relative(folder, join(folder, guest.file));
    if (isAbsolute(guest.file) || inside.startsWith('..')) {
      throw new UserError(`${path}: guest ${guest.name} has the file ${guest.file}, allowed: a path inside ${folder}`);
    }
  }
  return { folder, guests: parsed.data };
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
  if (found !== undefined) return readGuestImage(join(catalogue.folder, found.file), found.name);
  const path = isAbsolute(nameOrPath) ? nameOrPath : join(baseFolder, nameOrPath);
  if (nameOrPath === '' || !existsSync(path)) throw unknownGuest(catalogue, nameOrPath);
  return readGuestImage(path);
}

function unknownGuest(catalogue: GuestCatalogue, name: string): UserError {
  const names = catalogue.guests.map((guest) => guest.name).join(', ');
  return new UserError(`no guest ${JSON.stringify(name)}, allowed: ${names}, or a path to a Multiboot kernel`);
}
