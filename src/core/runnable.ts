/**
 * What a hypervisor's dispatcher can put on a physical CPU, and the physical CPU as it is seen from there.
 * An executed, a replayed and a modelled vCPU implement the same `Runnable`; the dispatcher cannot tell them apart.
 *
 * Order of calls:  onAttach -> ( onDispatch -> run+ -> onDeschedule )*
 * Invariant: every cycle that passes on a pCPU goes through `Pcpu.spend`, so the accounts always sum to its clock.
 */
import { CpuClock } from './clock.ts';
import type { Cycles, Hz, Ns } from './units.ts';

/** Where the cycles of a physical CPU go. Exactly one account gets each cycle. */
export const ACCOUNT_GUEST = 0; // guest code run directly
export const ACCOUNT_TRANSLATED = 1; // code of a translation cache
export const ACCOUNT_WALK = 2; // page walks after TLB misses
export const ACCOUNT_EXIT = 3; // hardware part of exits and entries
export const ACCOUNT_VMM = 4; // VMM software on behalf of the vCPU
export const ACCOUNT_SWITCH = 5; // context switches between vCPUs (dispatcher only)
export const ACCOUNT_THREAD = 6; // threads of the VMM itself: they are Runnables and spend here
export const ACCOUNT_IDLE = 7; // nothing to run (dispatcher only)
export const ACCOUNTS = 8;

export type Account = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7;

/** Names of the accounts, in the order of their numbers; columns of the results. */
export const ACCOUNT_NAMES = ['guest', 'translated', 'walk', 'exit', 'vmm', 'switch', 'thread', 'idle'] as const;

/** One physical CPU as far as its cycles are concerned. The dispatcher owns one per CPU and hands it to `run`. */
export class Pcpu {
  readonly id: number;
  /** Local time. It moves with every `spend`: `pcpu.clock.now` is the present, also in the middle of `run`. */
  readonly clock: CpuClock;
  /** Cycles per account since the start of the run. */
  readonly spent = new Float64Array(ACCOUNTS);
  /** The accounts of whoever pays besides the pCPU: the dispatcher points it at those of the vCPU that runs. */
  payer = new Float64Array(ACCOUNTS);
  /** End of the slice that runs; the dispatcher sets it. */
  sliceEnd: Ns = Infinity;

  constructor(id: number, hz: Hz) {
    this.id = id;
    this.clock = new CpuClock(hz);
  }

  /** Passes `cycles` (a non-negative integer) on this CPU, on behalf of `account`. */
  spend(account: Account, cycles: Cycles): void {
    this.clock.advance(cycles);
    this.spent[account] += cycles;
    this.payer[account] += cycles;
  }
}

/**
 * Why `run` came back.
 *   budget  it could go on: the budget is spent, or it came back early so that the dispatcher looks at new events
 *   block   nothing to do until `wake` is called (HLT with no interrupt pending)
 *   yield   it could go on but offers the CPU to others (hypercall)
 *   spin    as yield, because it was caught spinning (pause-loop exit)
 *   end     it will never run again
 */
export type RunStop = 'budget' | 'block' | 'yield' | 'spin' | 'end';

/** What a vCPU is doing, as bits: what a hypervisor that looks into its guests might know. */
export const DOING_LOCKED = 1; // it holds a lock
export const DOING_NEXT = 2; // it is the next one to get a lock
export const DOING_SPIN = 4; // it spins
export const DOING_KERNEL = 8; // it runs code of its kernel

/** Something a vCPU did that its hypervisor can see. */
export type GuestSignal =
  /** An inter-processor interrupt to vCPU number `to` of its VM; `shootdown`: it asks for a TLB flush, and waits for the answer. */
  | { readonly kind: 'ipi'; readonly to: number; readonly why: 'reschedule' | 'shootdown' }
  /** Another guest process runs. */
  | { readonly kind: 'address-space'; readonly id: number };

export const SIGNAL_KINDS: readonly GuestSignal['kind'][] = ['ipi', 'address-space'];

/** The dispatcher as a Runnable sees it. All calls may come from an engine event, or from within any Runnable's `run`. */
export interface RunnableHost {
  /** Makes the Runnable ready again after it answered `block`; see `onAttach`. */
  wake(): void;
  /** Time up to its last start in which it could have run and did not: ready, parked or co-stopped. */
  waitedNs(): Ns;
  /** Is it on a pCPU at this moment? */
  isRunning(): boolean;
  /**
   * What `cyclesToStop` answered is no longer true. Does `apply`, if there is something to do, when the Runnable has been
   * brought up to the present, so that what happens now has no effect on what it did before.
   */
  changed(apply?: () => void): void;
  /** Tells the policy. */
  signal(signal: GuestSignal): void;
}

/** The same host with another `wake`, for a Runnable that stands in front of one and wants to know when it is woken. */
export function withWake(host: RunnableHost, wake: () => void): RunnableHost {
  return {
    wake,
    waitedNs: () => host.waitedNs(),
    isRunning: () => host.isRunning(),
    changed: (apply) => host.changed(apply),
    signal: (signal) => host.signal(signal),
  };
}

/** A schedulable activity: a vCPU of any kind, or a thread of the VMM. */
export interface Runnable {
  /**
   * Called once, before everything else.
   *
   * `wake` may be called from an engine event, or from within any Runnable's `run` (an inter-processor interrupt); then
   * it takes effect at that pCPU's local time, at the first window edge. It is idempotent, and it is never lost: called
   * while the Runnable runs or is ready it has no effect, except that a `block` answered earlier in the same window
   * is cancelled. What it announces may have been taken before that block, or be gone: whoever blocked looks at its
   * next `run` whether there is anything to go on for, and answers `block` again if not, at no cost. Raise the interrupt first, then call `wake`. No other notice ("kick") exists or is needed: a running
   * vCPU looks for pending interrupts at its next `run`, which is never later than the event's time plus one quantum.
   */
  onAttach(host: RunnableHost): void;

  /**
   * Its context is loaded on `pcpu`: something else ran there, or it ran elsewhere. Load or flush the TLB here.
   * Blocking and resuming on the same pCPU with nothing in between is not a reload, and gives no notice.
   */
  onDispatch(pcpu: Pcpu): void;

  /**
   * Its context leaves `pcpu`, because something else is loaded there, or it is loaded elsewhere, or it ended.
   * The cost of the switch is the dispatcher's: neither notice may spend cycles.
   */
  onDeschedule(pcpu: Pcpu): void;

  /** `wake` was called, and it had not blocked: for those that put off blocking. Must not spend cycles. */
  onWake?(): void;

  /** Bits DOING_*, if it knows. */
  readonly doing?: number;

  /** Cycles it has spun away, waiting for another vCPU. */
  readonly spun?: Cycles;

  /**
   * If it is there, `run` is foreseeable: from now on it does nothing that anybody could notice for that many cycles (0:
   * at once; Infinity: for ever), unless it calls `changed`. Then it is run when that time has come, not in windows, with
   * a budget that may be 0, and takes effect at the exact nanosecond.
   */
  cyclesToStop?(pcpu: Pcpu): Cycles;

  /**
   * Runs on `pcpu` for about `budget` cycles (> 0), passing each of them through `pcpu.spend`. No allocation needed.
   *  - It may overshoot by one indivisible action (an instruction, a VM exit with its handler), not more.
   *  - It must spend at least one cycle, unless it answers `block` or `end`.
   *  - Engine time stands still; no event runs. The budget ends at the next known event, so whatever may have scheduled
   *    an earlier one (a device register write, an IPI) must soon be followed by the answer `budget`.
   *    Coming back early is cheap and is not a scheduling event: the dispatcher recomputes the budget and calls again.
   *  - Device timers are set relative to `pcpu.clock.now`, which is never before `engine.now`.
   *  - When the VM is finished, each of its vCPUs answers `end` at its next `run`; wake the blocked ones for that.
   */
  run(pcpu: Pcpu, budget: Cycles): RunStop;
}
