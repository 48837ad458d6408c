/**
 * Which guests a technique can run: a paravirtual kernel says so in a header, and needs the VMM that it was built for;
 * every other kernel needs a machine.
 * Invariant: the answer depends on the first bytes of the file alone, so it is known before anything runs.
 */
import { UserError } from '../../core/errors.ts';
import type { GuestImage } from '../../guest/image.ts';
import type { TechniqueName } from '../technique.ts';
import { PV_HEADER_SEARCH_BYTES, PV_MAGIC, PV_VERSION } from './abi.ts';

/** Version of the interface that a paravirtual kernel asks for, or null for every other file. */
export function paravirtualVersion(bytes: Uint8Array): number | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, PV_HEADER_SEARCH_BYTES) & ~3);
  for (let at = 0; at + 12 <= view.byteLength; at += 4) {
    if (view.getUint32(at, true) !== PV_MAGIC) continue;
    const version = view.getUint32(at + 4, true);
    if ((PV_MAGIC + version + view.getUint32(at + 8, true)) >>> 0 === 0) return version;
  }
  return null;
}

/**
 * Checks that a technique can run an image.
 * @throws UserError when it cannot
 */
export function checkGuestKind(vmName: string, image: GuestImage, technique: TechniqueName): void {
  const version = paravirtualVersion(image.bytes);
  if (technique !== 'paravirtual') {
    if (version === null) return;
    throw new UserError(
      `VM ${vmName}: guest ${image.name} is a paravirtual kernel and cannot run under ${technique}, allowed: paravirtual`,
    );
  }
  if (version === null) {
    throw new UserError(
      `VM ${vmName}: guest ${image.name} is not a paravirtual kernel: it would need a machine of its own; allowed under paravirtual: nano-pv, lmbench-pv, or another kernel with the header of docs/paravirtual.md`,
    );
  }
  if (version !== PV_VERSION) {
    throw new UserError(
      `VM ${vmName}: guest ${image.name} was built for version ${version} of the paravirtual interface, allowed: ${PV_VERSION}`,
    );
  }
}
