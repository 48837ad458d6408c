/**
 * hvsim translate: runs a guest under binary translation and prints one function of its kernel beside what the
 * translation cache holds for it: units in the order of translation, and how each leads on.
 * Invariant: nothing is translated for the listing; a block that the guest never reached is shown as such.
 */
import { readCatalogue, resolveGuest } from '../guest/catalogue.ts';
import { type GuestImage, readGuestImage } from '../guest/image.ts';
import { findFunction } from '../guest/symbols.ts';
import { buildWorld, finishWorld } from '../lab/build.ts';
import { GUESTS } from '../lab/catalog.ts';
import type { CacheLine, UnitListing } from '../vmm/translator/listing.ts';
import { planOf } from './boot.ts';
import { print } from './terminal.ts';

export interface TranslateOptions {
  readonly function: string;
  readonly append: string;
  readonly memory: string;
  readonly preset: string;
  readonly maxSeconds: string;
}

const GUEST_COLUMNS = 36;
const BYTES_SHOWN = 8;

const hex = (value: number): string => value.toString(16).padStart(8, '0');

export function translateCommand(guest: string, options: TranslateOptions): number {
  const image = imageOf(guest);
  const wanted = findFunction(image.path, image.bytes, options.function);
  const run = planOf(guest, {
    ...options,
    technique: 'binary-translation',
    paging: 'auto',
    vcpus: '1',
    maxInstructions: '1',
    engine: 'compiled',
  });
  const world = buildWorld(run);
  finishWorld(world);
  const { vm } = world.vms[0]!;
  const end = wanted.address + wanted.bytes;
  const units = vm.tables.translators[0]!.list(wanted.address, end);
  print(`${wanted.name} at ${hex(wanted.address)}, ${wanted.bytes} bytes; the guest ended as ${vm.outcome!.kind}`);
  for (const [n, unit] of units.entries()) printUnit(unit, n + 1);
  for (const [from, to] of gapsOf(units, wanted.address, end)) {
    print(`\n${hex(from)} to ${hex(to - 1)}: never executed, never translated`);
  }
  print(`\n${summary(units)}`);
  return units.length > 0 ? 0 : 1;
}

function imageOf(guest: string): GuestImage {
  return GUESTS.some(({ name }) => name === guest)
    ? resolveGuest(readCatalogue(), guest)
    : readGuestImage(guest, guest);
}

function printUnit(unit: UnitListing, number: number): void {
  print(`\nunit ${number}, ${unit.lines.length} instructions at ${hex(unit.eip)}`);
  for (const { eip, text, cache } of unit.lines) {
    const guest = `${hex(eip)}  ${text}`.padEnd(GUEST_COLUMNS + 10);
    if (cache.length === 0) print(`${guest} (counted with the instruction before: the jump has vanished)`);
    let beside = guest;
    for (const line of cache) {
      print(`${beside} ${lineText(line)}`.trimEnd());
      beside = ' '.repeat(guest.length);
    }
  }
}

function lineText({ address, bytes, text, lead, to }: CacheLine): string {
  const target = to === null ? '' : ` ${hex(to)}`;
  if (lead === 'elided') return `; falls into the unit at${target}: continuation elided`;
  const shown = bytes.slice(0, BYTES_SHOWN).map((byte) => byte.toString(16).padStart(2, '0'));
  if (bytes.length > BYTES_SHOWN) shown.push('..');
  const code = `${hex(address)}  ${shown.join(' ').padEnd(3 * BYTES_SHOWN + 2)} ${text}`;
  if (lead === null) return code;
  const label = {
    continuation: `continuation to${target}`,
    chain: `chained to the unit at${target}`,
    direct: `to the unit at${target}`,
    'call-out': 'call-out: the VMM carries it out',
  }[lead];
  return `${code.padEnd(66)} ; ${label}`;
}

/** Ranges of the function that no unit covers. */
function gapsOf(units: readonly UnitListing[], first: number, end: number): (readonly [number, number])[] {
  const gaps: (readonly [number, number])[] = [];
  let at = first;
  for (const unit of [...units].sort((a, b) => a.eip - b.eip || a.number - b.number)) {
    if (unit.eip > at) gaps.push([at, unit.eip]);
    at = Math.max(at, unit.eip + unit.length);
  }
  if (at < end) gaps.push([at, end]);
  return gaps;
}

function summary(units: readonly UnitListing[]): string {
  const leads = units.flatMap(({ lines }) => lines.flatMap(({ cache }) => cache.map(({ lead }) => lead)));
  const count = (lead: string): number => leads.filter((one) => one === lead).length;
  return (
    `${units.length} units; continuations: ${count('continuation')} remain, ${count('elided')} elided, ` +
    `${count('chain')} became chaining jumps; ${count('direct')} jumps to units that were there before; ` +
    `${count('call-out')} call-outs`
  );
}
