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

  busyNs: Ns = 0;
  switchNs: Ns = 0;
  idleNs: Ns = 0;
  switches = 0;
  // Who pays for idle time and switches: nobody. Kept apart so that the tasks' accounts stay clean.
  private readonly nobody = new Float64Array(ACCOUNTS);

  constructor(id: number, hz: Hz) {
    this.pcpu = new Pcpu(id, hz);
  }

  /** When this slot needs attention next; Infinity for a pCPU that sleeps. */
  get key(): Ns {
    return this.current !== null || this.resched ? this.time : this.sliceEnd;
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
