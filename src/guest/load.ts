/**
 * Starts an image of any kind: which loader takes it, and in what state the CPU starts.
 * Invariant: the kind is read from the file's bytes unless a format is forced; a file of no known kind is refused with
 * the formats there are.
 */
import { basename } from 'node:path';
import { UserError } from '../core/errors.ts';
import type { Gpa } from '../core/units.ts';
import type { MachineMemory } from '../machine/memory.ts';
import type { PhysMap } from '../machine/physmap.ts';
import { loadBootSector, loadFlat, loadRom, type RomOptions } from './flat.ts';
import { refuseForeign } from './foreign.ts';
import { type GuestImage, readBytes } from './image.ts';
import { loadLinux } from './linux.ts';
import { type BootModule, loadMultiboot } from './multiboot.ts';
import { type CpuStart, flatGdt, protectedStart } from './start.ts';

/** How an image can be started. */
export const FORMATS = ['multiboot', 'linux', 'flat', 'boot-sector', 'rom'] as const;
export type ImageFormat = (typeof FORMATS)[number];

export interface LoadOptions extends RomOptions {
  /** Forced; by content without it. */
  readonly format?: ImageFormat | undefined;
  /** Command line: multiboot and linux. */
  readonly append?: string;
  /** Boot modules, or the initial RAM disk. */
  readonly modules?: readonly BootModule[] | undefined;
  /** For flat images. */
  readonly load?: Gpa | undefined;
  readonly entry?: Gpa | undefined;
}

/** Where an image goes. */
export interface LoadTarget {
  readonly physmap: PhysMap;
  readonly memory: MachineMemory;
  readonly owner: number;
}

/** Multiboot leaves GDTR undefined, but kernels that reload segments before their LGDT work on common loaders. */
const MULTIBOOT_SELECTOR = 8;

/** The format that an image would be started as. */
export function formatOf(image: GuestImage, forced?: ImageFormat): ImageFormat {
  if (forced !== undefined) return forced;
  if (image.kind === 'linux' || image.kind === 'boot-sector') return image.kind;
  // A file of no known kind gets the message of the Multiboot loader, which is what most users have.
  return 'multiboot';
}

/** Loads an image; the memory is as after power-on. */
export function loadGuest(image: GuestImage, target: LoadTarget, options: LoadOptions): CpuStart {
  if (options.format === undefined) refuseForeign(image);
  const format = formatOf(image, options.format);
  checkOptions(image, format, options);
  const modules = [...(image.modules ?? []), ...(options.modules ?? [])];
  const append = options.append ?? '';
  const { physmap } = target;
  switch (format) {
    case 'multiboot': {
      const gdt = flatGdt(MULTIBOOT_SELECTOR);
      physmap.write(gdt.at, gdt.bytes);
      const { registers } = loadMultiboot(image, physmap, { append, modules });
      return protectedStart(registers.eip, gdt, { eax: registers.eax, ebx: registers.ebx });
    }
    case 'linux':
      return loadLinux(image, physmap, { append, initrd: modules.map(({ bytes }) => bytes) });
    case 'flat':
      return loadFlat(image, physmap, options);
    case 'boot-sector':
      return loadBootSector(image, physmap);
    case 'rom':
      return loadRom(image, physmap, target.memory, target.owner, options);
    default: {
      const never: never = format;
      throw new UserError(`unknown format ${String(never)}`);
    }
  }
}

/**
 * Boot modules from a list of files, each with the text that the kernel gets: `FILE[ TEXT][,FILE[ TEXT]]...`. The text
 * of a module starts with its file's name, as boot loaders have it.
 */
export function readModules(list: string): BootModule[] {
  return list.split(',').map((entry) => {
    const blank = entry.indexOf(' ');
    const path = blank < 0 ? entry : entry.slice(0, blank);
    if (path === '') throw new UserError(`"${list}" has an empty file name, expected FILE[ TEXT][,FILE[ TEXT]]`);
    const name = basename(path);
    return { name, bytes: readBytes(path), commandLine: blank < 0 ? name : `${name}${entry.slice(blank)}` };
  });
}

/** Options that a format would ignore are mistakes. */
function checkOptions(image: GuestImage, format: ImageFormat, options: LoadOptions): void {
  const bad = (what: string, formats: string) =>
    new UserError(`${image.path}: is started as ${format}, which takes no ${what}; allowed with ${formats}`);
  const takesText = format === 'multiboot' || format === 'linux';
  if (!takesText && (options.append ?? '') !== '') throw bad('command line', 'multiboot and linux');
  if (!takesText && (options.modules ?? []).length > 0) throw bad('initrd', 'multiboot and linux');
  if (format !== 'flat' && (options.load !== undefined || options.entry !== undefined)) {
    throw bad('load address or entry', 'flat');
  }
}
