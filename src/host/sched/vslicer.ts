/**
 * vSlicer: VMs that are sensitive to latency run in micro slices, but more often, with the same share.
 *   others      slice T, to the tail of the queue
 *   sensitive   slice T / n; at its end behind the next of the others (L1 S L2 S L3 S); when it wakes up before that one
 * Invariants: credits decide how much a vCPU gets, as without micro slices; those without credit wait behind those with.
 * Source: Xu, Gamage, Rao, Kangarlou, Kompella, Xu, "vSlicer: latency-aware virtual machine scheduling via differentiated-
 * frequency CPU slicing", HPDC 2012 (abstract); the order in the queue is our reconstruction.
 */
import { NS_PER_MS, type Ns } from '../../core/units.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import { definePolicy, type SchedulerHost, type Task, type WakeReason } from '../scheduler.ts';
import { BOUND_PERIODS, ShareScheduler, ShareUnit, UNDER, type VmShare } from '../share-scheduler.ts';

const params = {
  slice_ms: { kind: 'integer', min: 1, max: 1000, default: 30, meaning: 'slice, and period of the accounting' },
  micro_slices: {
    kind: 'integer',
    min: 1,
    max: 1000,
    default: 5,
    meaning: 'number of micro slices that a slice of a sensitive VM is divided into',
  },
} as const satisfies ParamSet;

const vmParams = {
  latency_sensitive: { kind: 'flag', default: false, meaning: 'the VM runs in micro slices' },
} as const satisfies ParamSet;

class Slicer extends ShareUnit {
  readonly sensitive: boolean;
  /** Place in the queue, among those of its rank. */
  turn = 0;
  woke = false;

  constructor(task: Task, owner: VmShare) {
    super(task, owner);
    this.sensitive = task.vm.params['latency_sensitive'] === true;
  }
}

class VSlicer extends ShareScheduler<Slicer> {
  private readonly slice: Ns;
  private readonly micro: Ns;
  private turns = 0;

  constructor(host: SchedulerHost, { slice_ms, micro_slices }: ValuesOf<typeof params>) {
    const slice = slice_ms * NS_PER_MS;
    super(host, { period: slice, bound: BOUND_PERIODS * slice });
    this.slice = slice;
    this.micro = Math.max(Math.round(slice / micro_slices), 1);
  }

  protected override makeShareUnit(task: Task, owner: VmShare): Slicer {
    return new Slicer(task, owner);
  }

  /** After a micro slice it may owe what another may owe after its slice, and go on taking turns. */
  protected override rankOf(unit: Slicer): number {
    return unit.sensitive && unit.credit > -1 * this.slice ? UNDER : super.rankOf(unit);
  }

  protected override sliceOf(unit: Slicer): Ns {
    return unit.sensitive ? this.micro : this.slice;
  }

  protected override order(a: Slicer, b: Slicer): number {
    return a.rank - b.rank || a.turn - b.turn;
  }

  protected override woken(unit: Slicer, now: Ns, reason: WakeReason): void {
    super.woken(unit, now, reason);
    unit.woke = true;
  }

  protected override enqueue(unit: Slicer, pcpu: number): void {
    unit.turn = this.turnOf(unit, pcpu);
    unit.woke = false;
    super.enqueue(unit, pcpu);
  }

  /** Others go to the tail; a sensitive one behind the next of them, or before it. */
  private turnOf(unit: Slicer, pcpu: number): number {
    this.turns++;
    if (!unit.sensitive) return this.turns;
    let next: Slicer | null = null;
    for (const other of this.waitingOn(pcpu)) {
      if (other.sensitive) continue;
      if (other.rank === unit.rank) {
        next = other;
        break;
      }
      // Ranks may change while it waits: then it shall not be behind all of them.
      if (next === null || other.turn < next.turn) next = other;
    }
    return next === null ? this.turns : next.turn + (unit.woke ? -0.5 : 0.5);
  }
}

export const vslicer = definePolicy({
  name: 'vslicer',
  summary: 'credits; VMs sensitive to latency run in micro slices, more often, for the same share',
  origin: 'Xu et al., HPDC 2012',
  basis: 'our reconstruction',
  traits: { weights: {}, caps: {} },
  params,
  vmParams,
  make: (host, settings) => new VSlicer(host, settings),
});
