/**
 * One physical CPU in the hands of the dispatcher: who is on it, until when, and where its time went.
 * Invariant: busy + switching + idle time = local time; an idle slot's local time may lag behind the simulation.
 */
import { ACCOUNT_IDLE, ACCOUNT_SWITCH, ACCOUNTS, Pcpu, type RunStop } from '../core/runnable.ts';
import type { Cycles, Hz, Ns } from '../core/units.ts';
import type { PcpuLedger } from './ledger.ts';
import type { HostTask } from './task.ts';

export class Slot implements PcpuLedger {
  readonly pcpu: Pcpu;
  /** Local time: `pcpu.clock.now` of the last look. */
  time: Ns = 0;
  /** The task on it; null when idle. */
  current: HostTask | null = null;
  /** The task whose context is loaded. It stays loaded while the pCPU idles. */
  resident: HostTask | null = null;
  /** How the last window ended; acted upon when this pCPU is the earliest again. */
  stop: RunStop = 'budget';
  /** The policy is to be asked now (`resched`), or at these times. */
  resched = true;
  sliceEnd: Ns = Infinity;
  preemptAt: Ns = Infinity;
  /** The current task says when it will do something next (`cyclesToStop`): at that time, those cycles after the look. */
  foreseeable = false;
  dueAt: Ns = Infinity;
  private dueAfter: Cycles = 0;
  private foreseenAt: Cycles = 0;
  /** Counted among the busy ones by the dispatcher. */
  counted = false;

  busyNs: Ns = 0;
  switchNs: Ns = 0;
  idleNs: Ns = 0;
  switches = 0;
  // Who pays for idle time and switches: nobody. Kept apart so that the tasks' accounts stay clean.
  private readonly nobody = new Float64Array(ACCOUNTS);

  constructor(id: number, hz: Hz) {
    this.pcpu = new Pcpu(id, hz);
  }

  /**
   * When this slot needs attention next, twice the time, and one more if all it has to do then is to run a window: at
   * equal times decisions come first, so that a window knows who else is busy. Infinity for a pCPU that sleeps.
   */
  get order(): number {
    if (this.current === null) return 2 * (this.resched ? this.time : this.sliceEnd);
    if (this.mustDecide) return 2 * this.time;
    if (!this.foreseeable) return 2 * this.time + 1;
    return 2 * Math.min(this.dueAt, this.sliceEnd, this.preemptAt);
  }

  /** Is the policy to be asked before anything else happens here? */
  get mustDecide(): boolean {
    return (
      this.current === null ||
      this.resched ||
      this.stop !== 'budget' ||
      this.time >= this.sliceEnd ||
      this.time >= this.preemptAt
    );
  }

  /** Asks the current task anew how long nothing will happen. */
  foresee(): void {
    const { current, pcpu } = this;
    this.dueAfter = current?.runnable.cyclesToStop?.(pcpu) ?? 0;
    this.foreseeable = current?.runnable.cyclesToStop !== undefined;
    this.dueAt = this.foreseeable ? pcpu.clock.timeAfter(this.dueAfter) : Infinity;
    this.foreseenAt = pcpu.clock.cycles;
  }

  /** Lets a foreseeable task run up to `time`, if it is behind. */
  catchUp(time: Ns): void {
    const { current, pcpu } = this;
    if (!this.foreseeable || current === null || this.stop !== 'budget') return;
    if (this.time >= time && this.dueAt > time) return;
    const start = this.time;
    const { clock } = pcpu;
    const left = this.dueAfter - (clock.cycles - this.foreseenAt);
    pcpu.payer = current.spent;
    pcpu.sliceEnd = this.sliceEnd;
    this.stop = current.runnable.run(pcpu, time >= this.dueAt ? left : clock.cyclesUntil(time));
    this.time = clock.now;
    this.busyNs += this.time - start;
    // Otherwise the policy is asked first, and whoever runs then is asked after that.
    if (this.stop === 'budget') this.foresee();
  }

  /** Sleeps until `time`. */
  idleUntil(time: Ns): void {
    if (time <= this.time) return;
    this.pcpu.payer = this.nobody;
    this.pcpu.spend(ACCOUNT_IDLE, this.pcpu.clock.cyclesUntil(time));
    this.idleNs += this.pcpu.clock.now - this.time;
    this.time = this.pcpu.clock.now;
  }

  /** Pays for loading another context. */
  switchFor(cycles: Cycles): void {
    this.switches++;
    this.pcpu.payer = this.nobody;
    this.pcpu.spend(ACCOUNT_SWITCH, cycles);
    this.switchNs += this.pcpu.clock.now - this.time;
    this.time = this.pcpu.clock.now;
  }
}
