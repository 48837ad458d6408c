/**
 * The machines that hvsim knows. To add one, write a file beside this one, and add it to the list.
 * Invariant: ids are unique.
 */
import { UserError } from '../../core/errors.ts';
import type { MachinePreset } from '../costs.ts';
import { broadwell } from './broadwell.ts';
import { core2Duo } from './core2-duo.ts';
import { epyc } from './epyc.ts';
import { haswell } from './haswell.ts';
import { ivyBridge } from './ivy-bridge.ts';
import { nehalem } from './nehalem.ts';
import { penryn } from './penryn.ts';
import { pentium3_733 } from './pentium3-733.ts';
import { pentium4_672 } from './pentium4-672.ts';
import { sandyBridge } from './sandy-bridge.ts';
import { westmere } from './westmere.ts';
import { xeon2400 } from './xeon-2400.ts';

/** All presets, oldest machine first. */
export const presets: readonly MachinePreset[] = [
  pentium3_733,
  xeon2400,
  pentium4_672,
  core2Duo,
  penryn,
  nehalem,
  westmere,
  sandyBridge,
  ivyBridge,
  haswell,
  broadwell,
  epyc,
];

/** The preset with this id. */
export function findPreset(id: string): MachinePreset {
  const found = presets.find((preset) => preset.id === id);
  if (found !== undefined) return found;
  throw new UserError(`unknown machine '${id}': allowed are ${presets.map((preset) => preset.id).join(', ')}`);
}
