/**
 * What a fluid scheduler would have given each VM: capacity divided by weight at every moment, among those that want it.
 * It is computed over windows: a VM's claim on a window is the time its tasks wanted to run in it, at most its cap and at
 * least its reservation, and the window's capacity is divided among the claims by water filling.
 *   lag    what the VM is entitled to minus what it received, from the start to the end of a window
 *   error  |received - entitled| / entitled over a period of several windows
 * Invariants: windows follow each other without a gap; only sums up to whole windows enter `lag`.
 * Affinity and the number of pCPUs that one task can use at a time enter through what the tasks want, not otherwise; weights
 * and caps are those at the end of the window. The lengths are our choice: a window bounds how exact a lag can be.
 * Source: lag: Stoica and Abdel-Wahab 1995; error: Cherkasova et al. 2007.
 */
import { NS_PER_MS, type Ns } from '../core/units.ts';
import type { HostVm } from './task.ts';
import { waterFill } from './water-filling.ts';

export const WINDOW_NS: Ns = 10 * NS_PER_MS;
export const PERIOD_NS: Ns = 100 * NS_PER_MS;

/** A VM with the sums over its tasks up to now. */
export interface Sums {
  readonly vm: HostVm;
  readonly runNs: Ns;
  readonly wantNs: Ns;
}

/** Of one VM; times in nanoseconds, not rounded. */
export class Fluid {
  entitledNs = 0;
  /** At the ends of windows; 0 at the start. */
  lagMaxNs = 0;
  lagMinNs = 0;
  /** Over the periods in which it was entitled to something. */
  errorSum = 0;
  errorMax = 0;
  periods = 0;
  /** What was at the end of the last window, and of the last period. */
  runNs: Ns = 0;
  wantNs: Ns = 0;
  periodRunNs: Ns = 0;
  periodEntitledNs = 0;
}

/** Entitlements of all VMs of a run, window by window. */
export class FluidShares {
  nextEdge: Ns = WINDOW_NS;
  private lastEdge: Ns = 0;
  private readonly pcpus: number;
  private readonly vms: Fluid[] = [];

  constructor(pcpus: number) {
    this.pcpus = pcpus;
  }

  ofVm(vm: HostVm): Fluid {
    this.vms[vm.id] ??= new Fluid();
    return this.vms[vm.id]!;
  }

  /** The window up to `edge` is over. The list may have holes. */
  close(edge: Ns, sums: readonly (Sums | undefined)[]): void {
    this.divide(edge - this.lastEdge, sums);
    this.lastEdge = edge;
    this.nextEdge = edge + WINDOW_NS;
    if (edge % PERIOD_NS !== 0) return;
    for (const one of sums) {
      if (one === undefined) continue;
      const fluid = this.ofVm(one.vm);
      const entitled = fluid.entitledNs - fluid.periodEntitledNs;
      const received = one.runNs - fluid.periodRunNs;
      fluid.periodEntitledNs = fluid.entitledNs;
      fluid.periodRunNs = one.runNs;
      if (entitled === 0) continue;
      const error = Math.abs(received - entitled) / entitled;
      fluid.periods++;
      fluid.errorSum += error;
      fluid.errorMax = Math.max(fluid.errorMax, error);
    }
  }

  /** The last window may be a short one. */
  finish(time: Ns, sums: readonly (Sums | undefined)[]): void {
    if (time > this.lastEdge) this.divide(time - this.lastEdge, sums);
    this.lastEdge = time;
  }

  private divide(span: Ns, sums: readonly (Sums | undefined)[]): void {
    const claimants = sums.filter((one) => one !== undefined);
    const claims = claimants.map(({ vm, wantNs }) => {
      const wanted = wantNs - this.ofVm(vm).wantNs;
      const max = vm.capPercent === 0 ? wanted : Math.min(wanted, (vm.capPercent * span) / 100);
      return { weight: vm.weight, min: Math.min(max, (reservationOf(vm) * span) / 100), max };
    });
    const shares = waterFill(claims, this.pcpus * span);
    for (const [i, { vm, runNs, wantNs }] of claimants.entries()) {
      const fluid = this.ofVm(vm);
      fluid.entitledNs += shares[i]!;
      fluid.runNs = runNs;
      fluid.wantNs = wantNs;
      const lag = fluid.entitledNs - runNs;
      fluid.lagMaxNs = Math.max(fluid.lagMaxNs, lag);
      fluid.lagMinNs = Math.min(fluid.lagMinNs, lag);
    }
  }
}

/** In percent of a pCPU, for policies that have reservations. */
function reservationOf({ params }: HostVm): number {
  const value = params['reservation_percent'];
  return typeof value === 'number' ? value : 0;
}
