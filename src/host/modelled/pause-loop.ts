/** Parameters of pause-loop exiting, for the demands that spin. Source: those of KVM (core/pause-window.ts), in time. */
import { PauseWindow } from '../../core/pause-window.ts';
import { NS_PER_US } from '../../core/units.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import type { ModelledVcpu } from './demand.ts';

export const pauseLoopParams = {
  pause_loop_us: {
    kind: 'integer',
    min: 0,
    default: 0,
    meaning: 'pause-loop exiting after spinning that long; 0: none',
  },
  pause_loop_grow: {
    kind: 'integer',
    min: 1,
    max: 1000,
    default: 1,
    meaning: 'that time is multiplied by it at every such exit (KVM: 2); 1: it stays',
  },
  pause_loop_shrink: {
    kind: 'integer',
    min: 0,
    max: 1000,
    default: 0,
    meaning: 'and divided by it when the vCPU comes back to a pCPU; 0: the first one again',
  },
  pause_loop_max_us: { kind: 'integer', min: 1, default: 1_000_000, meaning: 'and not longer than that' },
} as const satisfies ParamSet;

export function setPauseLoop(vcpu: ModelledVcpu, params: ValuesOf<typeof pauseLoopParams>): void {
  const { pause_loop_us: first, pause_loop_grow: grow, pause_loop_shrink: shrink, pause_loop_max_us: longest } = params;
  if (first === 0) return;
  vcpu.pauseLoop = new PauseWindow({
    first: first * NS_PER_US,
    grow,
    shrink,
    longest: Math.max(longest, first) * NS_PER_US,
  });
}
