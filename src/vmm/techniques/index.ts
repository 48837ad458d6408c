/** The techniques, one line each. */
import { UserError } from '../../core/errors.ts';
import type { Technique } from '../technique.ts';
import { binaryTranslation } from './binary-translation.ts';
import { bytecode, bytecodeTranslated } from './bytecode.ts';
import { emulation } from './emulation.ts';
import { hardwareAssisted } from './hardware-assisted.ts';
import { native } from './native.ts';
import { paravirtual } from './paravirtual.ts';
import { trapAndEmulate } from './trap-and-emulate.ts';

export const techniques: readonly Technique[] = [
  native,
  trapAndEmulate,
  hardwareAssisted,
  binaryTranslation,
  emulation,
  bytecode,
  bytecodeTranslated,
  paravirtual,
];

/** The technique of that name. @throws UserError listing the names there are */
export function findTechnique(name: string): Technique {
  const found = techniques.find((technique) => technique.name === name);
  if (found === undefined) {
    throw new UserError(`unknown technique ${name}, allowed: ${techniques.map((t) => t.name).join(', ')}`);
  }
  return found;
}
