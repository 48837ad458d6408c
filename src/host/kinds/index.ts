/** The kinds of hypervisors, one line each. */
import { UserError } from '../../core/errors.ts';
import type { HypervisorKind } from './kind.ts';
import { type0 } from './type-0.ts';
import { type1 } from './type-1.ts';
import { type2 } from './type-2.ts';

export const kinds: readonly HypervisorKind[] = [type0, type1, type2];

/** The kind of that name; type 1 unless told. @throws UserError listing the names there are */
export function findKind(name: string = type1.name): HypervisorKind {
  const found = kinds.find((kind) => kind.name === name);
  if (found !== undefined) return found;
  throw new UserError(`unknown hypervisor ${name}, allowed: ${kinds.map((kind) => kind.name).join(', ')}`);
}
