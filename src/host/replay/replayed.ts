/**
 * A vCPU that plays a recording in place of executing its guest. It is foreseeable: nothing happens between two stops, so
 * playing costs the simulator one step a stop, however many instructions were executed in between.
 * Invariants: waits end at the times at which they ended when it was recorded, or at once if it comes to them late, so
 * alone on a pCPU of the same kind it does the same at the same cycle; among others it works off everything, later.
 */
import type { Engine } from '../../core/engine.ts';
import { assert } from '../../core/errors.ts';
import {
  ACCOUNT_EXIT,
  ACCOUNT_GUEST,
  ACCOUNT_TRANSLATED,
  ACCOUNT_VMM,
  ACCOUNT_WALK,
  type Pcpu,
  type Runnable,
  type RunnableHost,
  type RunStop,
} from '../../core/runnable.ts';
import { Samples } from '../../core/samples.ts';
import type { Cycles, Ns } from '../../core/units.ts';
import type { ExitRow } from '../../vmm/exit-table.ts';
import type { Outcome } from '../../vmm/vm.ts';
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
  type Recording,
} from './recording.ts';

const PLAYED = [ACCOUNT_GUEST, ACCOUNT_TRANSLATED, ACCOUNT_WALK, ACCOUNT_EXIT, ACCOUNT_VMM] as const;

type Segment = Extract<Op, { readonly kind: typeof OP_SEGMENT }>;
type VmEnd = Extract<Op, { readonly kind: typeof OP_VM_END }>;

/**
 * The part of a recording that can be played round and round: from the end of its first wait to the end of its last.
 * Behind the operation `last` comes the one behind `first`; both are waits.
 */
interface Ring {
  readonly first: number;
  readonly last: number;
  readonly fromNs: Ns;
  readonly lengthNs: Ns;
  /** Work units that the guest reports in one round. */
  readonly units: number;
}

/**
 * A recording made ready for any number of vCPUs that play it. What is needed at every wait lies in columns with a
 * number for each operation: as objects, fetching them from memory takes longer than playing them.
 */
export class Score {
  readonly recording: Recording;
  readonly kinds: Uint8Array;
  /** Cycles from the beginning of each operation up to the next one that is not a segment. */
  readonly ahead: Float64Array;
  /** Of blocks: when they end. */
  readonly until: Float64Array;
  /** Of segments: cycles by account, RECORDED_ACCOUNTS numbers each. */
  readonly cycles: Float64Array;
  readonly instructions: Float64Array;
  /** Work units reported by the end of it; -1: as before. */
  readonly units: Float64Array;
  /** Its exits are the rows from `exitsFrom[at]` up to `exitsFrom[at + 1]`. */
  readonly exitsFrom: Int32Array;
  readonly exitReasons: Int32Array;
  readonly exitCounts: Float64Array;
  readonly exitCycles: Float64Array;
  /** Null: the guest ended, or waited less than twice. */
  readonly ring: Ring | null;

  constructor(recording: Recording) {
    this.recording = recording;
    const { ops } = recording;
    const { length } = ops;
    this.kinds = Uint8Array.from(ops, ({ kind }) => kind);
    this.until = Float64Array.from(ops, (op) => (op.kind === OP_BLOCK ? op.until : 0));
    this.cycles = new Float64Array(length * RECORDED_ACCOUNTS);
    this.instructions = Float64Array.from(ops, (op) => (op.kind === OP_SEGMENT ? op.instructions : 0));
    this.units = Float64Array.from(ops, (op) => (op.kind === OP_SEGMENT ? op.units : -1));
    this.exitsFrom = new Int32Array(length + 1);
    this.ahead = new Float64Array(length);
    const exits: ExitTally[] = [];
    for (const [at, op] of ops.entries()) {
      if (op.kind === OP_SEGMENT) {
        this.cycles.set(op.cycles, at * RECORDED_ACCOUNTS);
        for (const exit of op.exits) exits.push(exit);
      }
      this.exitsFrom[at + 1] = exits.length;
    }
    this.exitReasons = Int32Array.from(exits, ({ reason }) => reason);
    this.exitCounts = Float64Array.from(exits, ({ count }) => count);
    this.exitCycles = Float64Array.from(exits, ({ cycles }) => cycles);
    for (let at = length - 2; at >= 0; at--) {
      const op = ops[at]!;
      if (op.kind === OP_SEGMENT) this.ahead[at] = this.ahead[at + 1]! + lengthOf(op);
    }
    this.ring = ringOf(ops);
  }

  /** Work units that the guest has reported before operation `end`. */
  unitsBefore(end: number): number {
    return unitsBefore(this.recording.ops, end);
  }
}

function ringOf(ops: readonly Op[]): Ring | null {
  if (ops.at(-1)?.kind !== OP_CUT) return null;
  const first = ops.findIndex(({ kind }) => kind === OP_BLOCK);
  // A wait that the recording cut off ended with it, and not by itself.
  const last = ops.findLastIndex(({ kind }, at) => kind === OP_BLOCK && at < ops.length - 2);
  const [begin, end] = [ops[first], ops[last]];
  if (begin?.kind !== OP_BLOCK || end?.kind !== OP_BLOCK || end.until <= begin.until) return null;
  const units = unitsBefore(ops, last) - unitsBefore(ops, first);
  return { first, last, fromNs: begin.until, lengthNs: end.until - begin.until, units };
}

function unitsBefore(ops: readonly Op[], end: number): number {
  for (let at = end - 1; at >= 0; at--) {
    const op = ops[at]!;
    if (op.kind === OP_SEGMENT && op.units >= 0) return op.units;
  }
  return 0;
}

const lengthOf = ({ cycles }: Segment): Cycles => cycles.reduce((sum, spent) => sum + spent, 0);

/** How a vCPU plays a recording. */
export interface Playing {
  /** When the VM comes. */
  readonly startNs: Ns;
  /** How long the guest waited for its first CPU when it was recorded. */
  readonly waitedNs: Ns;
  /** Null: it is played from the beginning, once; else its ring from this place on, up to the end of the run. */
  readonly offsetNs: Ns | null;
}

export class ReplayedVcpu implements Runnable {
  /** Guest instructions, as the recording counted them. */
  instructions = 0;
  /** Work units that the guest has reported. */
  completed = 0;
  /** Times of work between two waits that completed work units: from the end of the first wait, as recorded. */
  jobs = 0;
  readonly responseTimes = new Samples();
  /** A recording has no deadlines, and does not tell spinning from other work. */
  readonly missed = 0;
  readonly tardiness: Ns = 0;
  readonly spun: Cycles = 0;
  /** It will not run again. */
  hasEnded = false;
  private hasBegun = false;

  private readonly engine: Engine;
  private readonly score: Score;
  private readonly playing: Playing;
  /** What times of the recording count from. */
  private originNs: Ns;
  /** What units of the recording count from. */
  private unitsOrigin = 0;
  /** Null: it is played once. */
  private readonly ring: Ring | null;
  private readonly onVmEnd: (outcome: Outcome, at: Ns) => void;
  private host: RunnableHost | null = null;
  /** The operation that is next or under way. */
  private at = 0;
  /** Cycles of the present segment that have passed. */
  private played: Cycles = 0;
  /** It is in a wait of the recording, and will be woken. */
  private waits = false;
  private release: Ns;
  private unitsBefore = 0;
  private readonly counts: Float64Array;
  private readonly costs: Float64Array;
  private readonly came: Uint8Array;
  private readonly wake = (): void => this.host?.wake();

  /** @param onVmEnd called with what became of the VM, and when */
  constructor(engine: Engine, score: Score, playing: Playing, onVmEnd: (outcome: Outcome, at: Ns) => void) {
    const { startNs, offsetNs } = playing;
    this.engine = engine;
    this.score = score;
    this.playing = playing;
    this.originNs = startNs;
    this.release = startNs;
    this.onVmEnd = onVmEnd;
    this.ring = offsetNs === null ? null : score.ring;
    assert(offsetNs === null || this.ring !== null, 'only a recording with a ring is begun in its middle');
    if (this.ring !== null) this.enterRing(this.ring, startNs, offsetNs ?? 0);
    const { length } = score.recording.header.reasons;
    this.counts = new Float64Array(length);
    this.costs = new Float64Array(length);
    this.came = new Uint8Array(length);
  }

  /** How often and at what cost it left its guest, by reason. */
  get exits(): ExitRow[] {
    return this.score.recording.header.reasons
      .flatMap((reason, i) => (this.came[i] === 1 ? [{ reason, count: this.counts[i]!, cycles: this.costs[i]! }] : []))
      .sort((a, b) => (a.reason < b.reason ? -1 : a.reason > b.reason ? 1 : 0));
  }

  onAttach(host: RunnableHost): void {
    this.host = host;
  }

  /** Makes it look around, if it is blocked. */
  wakeUp(): void {
    this.wake();
  }

  onDispatch(): void {}

  onDeschedule(): void {}

  cyclesToStop(): Cycles {
    return this.score.ahead[this.at]! - this.played;
  }

  run(pcpu: Pcpu, budget: Cycles): RunStop {
    if (!this.hasBegun) this.begin();
    const end = pcpu.clock.cycles + budget;
    const { kinds, until } = this.score;
    for (;;) {
      const kind = kinds[this.at]!;
      switch (kind) {
        case OP_SEGMENT:
          if (!this.play(this.at, pcpu, end - pcpu.clock.cycles)) return 'budget';
          break;
        case OP_BLOCK:
          if (!this.isOver(this.originNs + until[this.at]!, pcpu.clock.now)) return 'block';
          if (this.at === this.ring?.last) this.turn(this.ring);
          break;
        case OP_YIELD:
        case OP_SPIN:
          this.at++;
          return kind === OP_YIELD ? 'yield' : 'spin';
        case OP_VM_END:
          this.endVm(this.score.recording.ops[this.at] as VmEnd, pcpu.clock.now);
          break;
        case OP_FOREVER:
          this.endBurst(pcpu.clock.now);
          return 'block';
        case OP_CUT:
          this.onVmEnd({ kind: 'time-limit', exitCode: null, detail: 'the recording is over' }, pcpu.clock.now);
          this.hasEnded = true;
          return 'end';
        case OP_STOP:
          this.hasEnded = true;
          return 'end';
      }
      this.at++;
    }
  }

  private endVm({ outcome, exitCode, detail, earlyNs }: VmEnd, now: Ns): void {
    this.endBurst(now - earlyNs);
    this.onVmEnd({ kind: outcome, exitCode, detail }, now - earlyNs);
  }

  /** A guest that has to wait longer for its first CPU boots later, and sets its timer later. */
  private begin(): void {
    this.hasBegun = true;
    if (this.ring === null) this.originNs += Math.max(0, (this.host?.waitedNs() ?? 0) - this.playing.waitedNs);
  }

  /** Passes what is left of the segment at `at`, or as much as `budget` allows; answers whether it is done. */
  private play(at: number, pcpu: Pcpu, budget: Cycles): boolean {
    const { score } = this;
    // Within a segment the accounts come one after the other; where exactly it was cut, nobody knows.
    let start = 0;
    let left = Math.max(0, budget);
    for (let account = 0; account < RECORDED_ACCOUNTS; account++) {
      const end = start + score.cycles[at * RECORDED_ACCOUNTS + account]!;
      const rest = end - Math.max(start, this.played);
      if (rest > 0) {
        const cycles = Math.min(rest, left);
        if (cycles > 0) pcpu.spend(PLAYED[account]!, cycles);
        this.played += cycles;
        left -= cycles;
        if (cycles < rest) return false;
      }
      start = end;
    }
    this.played = 0;
    this.instructions += score.instructions[at]!;
    const units = score.units[at]!;
    if (units >= 0) this.completed = this.unitsOrigin + units;
    const rowsEnd = score.exitsFrom[at + 1]!;
    for (let row = score.exitsFrom[at]!; row < rowsEnd; row++) {
      const reason = score.exitReasons[row]!;
      this.came[reason] = 1;
      this.counts[reason]! += score.exitCounts[row]!;
      this.costs[reason]! += score.exitCycles[row]!;
    }
    return true;
  }

  /** Begins with the first wait that ends at or after that place; what is done there already is not done again. */
  private enterRing({ first, last, fromNs, lengthNs }: Ring, startNs: Ns, offsetNs: Ns): void {
    const placeNs = fromNs + (offsetNs % lengthNs);
    const { ops } = this.score.recording;
    this.at = ops.findIndex((op, at) => at >= first && at <= last && op.kind === OP_BLOCK && op.until >= placeNs);
    this.originNs = startNs - placeNs;
    this.unitsOrigin = -this.score.unitsBefore(this.at);
  }

  /** Its last wait is over: behind it comes the first. */
  private turn({ first, lengthNs, units }: Ring): void {
    this.at = first;
    this.originNs += lengthNs;
    this.unitsOrigin += units;
  }

  /** Is the wait that ends at `until` over? It is not begun if its end has passed; else the vCPU is woken then. */
  private isOver(until: Ns, now: Ns): boolean {
    if (!this.waits && until >= now) {
      this.endBurst(now);
      this.waits = true;
      this.engine.at(until, this.wake);
      return false;
    }
    if (until > now) return false;
    if (!this.waits) this.endBurst(now);
    this.waits = false;
    this.release = until;
    return true;
  }

  /** It comes to a wait. */
  private endBurst(now: Ns): void {
    if (this.completed === this.unitsBefore) return;
    this.unitsBefore = this.completed;
    this.jobs++;
    this.responseTimes.push(now - this.release);
  }
}
