/**
 * Stands between the dispatcher and an executed vCPU, and writes down what passes: cycles by account, exits, instructions,
 * work units, and when the vCPU blocked, yielded and ended.
 * Invariants: it changes nothing, so a run that is recorded is the run without it, to the cycle. What happens between two
 * stops is one segment, cut at about `SEGMENT_NS`, where nobody could tell the difference.
 */
import { assert } from '../../core/errors.ts';
import { type Pcpu, type Runnable, type RunnableHost, type RunStop, withWake } from '../../core/runnable.ts';
import { NS_PER_MS, NS_PER_SECOND, type Ns } from '../../core/units.ts';
import type { ExecutedVcpu } from '../../vmm/vcpu.ts';
import type { RunOutcome } from '../dispatch.ts';
import {
  type ExitTally,
  OP_BLOCK,
  OP_CUT,
  OP_FOREVER,
  OP_SEGMENT,
  OP_SPIN,
  OP_STOP,
  OP_VM_END,
  OP_YIELD,
  type Op,
  RECORDED_ACCOUNTS,
} from './recording.ts';

/** A segment that has become longer is closed. Our choice: exits and work units of a replay are late by this at most. */
const SEGMENT_NS: Ns = NS_PER_MS;

export class Recorder implements Runnable {
  readonly ops: Op[] = [];
  /** Reasons of exits in the order in which they came up. */
  readonly reasons: string[] = [];
  private vcpu: ExecutedVcpu | null = null;
  /** Where it runs at this moment, and where it ran last. */
  private pcpu: Pcpu | null = null;
  private lastPcpu: Pcpu | null = null;
  private startedAt: Ns = 0;
  /** It has answered `block`, and not gone on since. */
  private rests = false;
  /** When it was woken since; -1: not yet. */
  private wokenAt: Ns = -1;
  private vmHasEnded = false;
  private hasStopped = false;

  /** What the pCPU had spent when the present run began, and what has been spent since the last segment. */
  private readonly before = new Float64Array(RECORDED_ACCOUNTS);
  private readonly open = new Float64Array(RECORDED_ACCOUNTS);
  private seenInstructions = 0;
  private seenUnits = 0;
  private readonly seenExits = new Map<string, { readonly number: number; count: number; cycles: number }>();

  /** Takes the place of `vcpu` in front of the dispatcher. */
  attach(vcpu: ExecutedVcpu): Runnable {
    assert(this.vcpu === null, 'a recording has one vCPU');
    this.vcpu = vcpu;
    return this;
  }

  onAttach(host: RunnableHost): void {
    const wake = (): void => {
      if (this.rests && this.wokenAt < 0) this.wokenAt = this.inner.vm.clock.local();
      host.wake();
    };
    this.inner.onAttach(withWake(host, wake));
  }

  onDispatch(pcpu: Pcpu): void {
    this.inner.onDispatch(pcpu);
  }

  onDeschedule(): void {
    this.inner.onDeschedule();
  }

  run(pcpu: Pcpu, budget: number): RunStop {
    const { clock } = pcpu;
    this.pcpu = pcpu;
    this.lastPcpu = pcpu;
    this.startedAt = clock.now;
    this.mark(pcpu);
    this.leaveRest();
    const stop = this.inner.run(pcpu, budget);
    this.gather(pcpu);
    this.stopped(stop, pcpu);
    this.pcpu = null;
    return stop;
  }

  /** To be called when the VM ends, at that moment. */
  vmEnded(): void {
    const { outcome, endedAt } = this.inner.vm;
    if (this.hasStopped || this.vmHasEnded || outcome === null) return;
    this.vmHasEnded = true;
    const wasResting = this.rests;
    this.leaveRest(endedAt);
    if (this.pcpu !== null) this.gather(this.pcpu);
    this.flush();
    // An event of a device may end the VM while its pCPU is ahead by the rest of an instruction.
    const ahead = wasResting || this.lastPcpu === null ? 0 : Math.max(0, this.lastPcpu.clock.now - endedAt);
    const { kind, exitCode, detail } = outcome;
    this.ops.push({ kind: OP_VM_END, outcome: kind, exitCode, detail, earlyNs: ahead });
  }

  /** The run is over. To be called before its VM is told. */
  close(outcome: RunOutcome, now: Ns): void {
    if (this.hasStopped) return;
    this.flush();
    this.hasStopped = true;
    if (this.rests && outcome === 'stuck') {
      this.ops.push({ kind: OP_FOREVER });
      return;
    }
    this.leaveRest(now);
    this.ops.push({ kind: OP_CUT });
  }

  private get inner(): ExecutedVcpu {
    assert(this.vcpu !== null, 'nothing is recorded yet');
    return this.vcpu;
  }

  private stopped(stop: RunStop, { clock }: Pcpu): void {
    if (stop === 'budget') {
      const length = this.open.reduce((sum, cycles) => sum + cycles, 0);
      if (length >= (clock.hz / NS_PER_SECOND) * SEGMENT_NS) this.flush();
      return;
    }
    this.flush();
    if (stop === 'block') this.rests = true;
    else if (stop === 'end') {
      this.hasStopped = true;
      this.ops.push({ kind: OP_STOP });
    } else this.ops.push({ kind: stop === 'yield' ? OP_YIELD : OP_SPIN });
  }

  /** It was woken, or its VM ended at `otherwise`. */
  private leaveRest(otherwise: Ns = this.startedAt): void {
    if (!this.rests) return;
    this.rests = false;
    this.ops.push({ kind: OP_BLOCK, until: this.wokenAt >= 0 ? this.wokenAt : otherwise });
    this.wokenAt = -1;
  }

  private mark({ spent }: Pcpu): void {
    for (let account = 0; account < RECORDED_ACCOUNTS; account++) this.before[account] = spent[account]!;
  }

  private gather(pcpu: Pcpu): void {
    for (let account = 0; account < RECORDED_ACCOUNTS; account++) {
      this.open[account]! += pcpu.spent[account]! - this.before[account]!;
    }
    this.mark(pcpu);
  }

  /** Closes the open segment. */
  private flush(): void {
    const { vm, instructions } = this.inner;
    const exits = this.newExits();
    const cycles = [...this.open];
    const units = vm.workUnits === this.seenUnits ? -1 : vm.workUnits;
    const executed = instructions - this.seenInstructions;
    this.open.fill(0);
    this.seenInstructions = instructions;
    this.seenUnits = vm.workUnits;
    if (executed === 0 && units < 0 && exits.length === 0 && cycles.every((spent) => spent === 0)) return;
    this.ops.push({ kind: OP_SEGMENT, cycles, instructions: executed, units, exits });
  }

  /** What came to the table of exits since the last segment. */
  private newExits(): ExitTally[] {
    return this.inner.vm.exits.sorted().flatMap(({ reason, count, cycles }): ExitTally[] => {
      let seen = this.seenExits.get(reason);
      const isNew = seen === undefined;
      if (seen === undefined) {
        seen = { number: this.reasons.length, count: 0, cycles: 0 };
        this.seenExits.set(reason, seen);
        this.reasons.push(reason);
      }
      const tally = { reason: seen.number, count: count - seen.count, cycles: cycles - seen.cycles };
      seen.count = count;
      seen.cycles = cycles;
      return isNew || tally.count > 0 || tally.cycles > 0 ? [tally] : [];
    });
  }
}
