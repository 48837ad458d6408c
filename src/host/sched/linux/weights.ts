/**
 * Nice levels as weights, and the factor by which Linux lengthens its time constants on hosts with more pCPUs.
 * Source: constants of kernel/sched/core.c and fair.c (facts only).
 */
import { assert } from '../../../core/errors.ts';

/** Weight of nice 0, and the unit of all weights: virtual time passes at the speed of time for this weight. */
export const NICE_0 = 1024;
const NICE_MIN = -20;

/** Weight by nice level from -20 on: about 1.25 times from one level to the next. */
const NICE_WEIGHTS = [
  88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121, 2501, 1991,
  1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15,
];

/** Weight of a thread of the class `idle`. */
export const IDLE_WEIGHT = 3;
/** The least weight that a thread or a whole group may have. */
const WEIGHT_MIN = 2;

/** Weights of groups are multiples of this, which is also the least: 2 / 1024, as with the kernel's finer unit. */
const GROUP_WEIGHT_STEP = 1 / 512;

/** The default weight of a VM in this program: it stands for `cpu.weight` 100, which is 1024. */
const VM_WEIGHT_DEFAULT = 256;

/** The weight of a nice level, from -20 to 19. */
export function niceWeight(nice: number): number {
  const weight = NICE_WEIGHTS[nice - NICE_MIN];
  assert(weight !== undefined, `there is no nice level ${nice}`);
  return weight;
}

/** A weight scaled by that of a VM, where 256 changes nothing. */
export function scaledByVm(weight: number, vmWeight: number): number {
  return Math.max(Math.round((weight * vmWeight) / VM_WEIGHT_DEFAULT), WEIGHT_MIN);
}

/** The part of a group's weight that its threads of weight `load` on one pCPU stand for, of `total` on all. */
export function groupWeight(weight: number, load: number, total: number): number {
  const part = total === 0 ? weight : (weight * load) / total;
  return Math.max(Math.round(part / GROUP_WEIGHT_STEP), 1) * GROUP_WEIGHT_STEP;
}

/** 1 + floor(log2(min(pCPUs, 8))): the base values of the tunables are multiplied by it. */
export function scalingFactor(pcpus: number): number {
  return 32 - Math.clz32(Math.min(pcpus, 8));
}
