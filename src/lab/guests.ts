/**
 * Which image runs when a VM names a guest and a technique: the kernel itself, another build of it, or the runtime of the
 * technique with the program as its boot module.
 * Invariant: a guest that a technique cannot run is refused by name, before anything runs.
 */

import { UserError } from '../core/errors.ts';
import { type GuestEntry, readCatalogue, resolveGuest } from '../guest/catalogue.ts';
import { carry, FOREIGN_NAMES, type ForeignProgram } from '../guest/foreign.ts';
import { type GuestImage, readGuestImage } from '../guest/image.ts';
import type { Technique } from '../vmm/technique.ts';
import { GUESTS } from './catalog.ts';

/** Is it the name of one of our guests, or the path of a file? */
export function isGuestPath(guest: string): boolean {
  return guest.includes('/') || guest.includes('\\') || guest.endsWith('.elf');
}

/**
 * The image for a guest of the catalogue, or for a file.
 * @param file absolute path when `guest` is a file
 * @throws UserError when the guest is nothing that the technique runs
 */
export function guestFor(technique: Technique, guest: string, file: string | null): GuestImage {
  const catalogue = readCatalogue();
  const wrong = guestMismatch(technique, guest);
  if (wrong !== undefined) throw new UserError(`guest ${guest}: technique: ${wrong}`);
  const { name, program } = technique;
  if (file === null) {
    const build = GUESTS.find((entry) => entry.name === guest)?.builds[name];
    return build === undefined ? resolveGuest(catalogue, guest) : { ...resolveGuest(catalogue, build), name: guest };
  }
  const image = readGuestImage(file, guest);
  return program === undefined ? image : carry(resolveGuest(catalogue, program.runtime), image, program);
}

/** Why a technique cannot run a guest of the catalogue, if it cannot. Files are looked at when they are read. */
export function guestMismatch({ name, program }: Technique, guest: string): string | undefined {
  const entry = GUESTS.find((one) => one.name === guest);
  if (program === undefined || entry === undefined || runs(entry, name, program)) return undefined;
  const names = GUESTS.filter((one) => runs(one, name, program)).map((one) => one.name);
  const kind = FOREIGN_NAMES[program.kind];
  return `found "${name}", which does not run ${guest}; it runs ${names.join(', ')}, or the path of ${kind}`;
}

/** The guest has a build for the technique, or is the technique's runtime with a program. */
function runs(entry: GuestEntry, technique: string, { runtime, text }: ForeignProgram): boolean {
  const runtimeFile = GUESTS.find((one) => one.name === runtime)?.file;
  const [module] = entry.modules;
  const textOf = module?.split(' ').slice(1).join(' ');
  return entry.builds[technique] !== undefined || (entry.file === runtimeFile && textOf === text);
}
