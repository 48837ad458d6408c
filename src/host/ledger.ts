/**
 * The ledger of time, read off the dispatcher at the end of a run, and the assertion that it balances.
 *   every pCPU   the accounts sum to its clock, to the cycle; busy + switching + idle time to its local time, to the ns
 *   every task   the states sum to the time since its creation, to the ns
 *   across       running time of the tasks = busy time of the pCPUs; cycles charged to tasks = cycles spent for tasks
 */
import { assert } from '../core/errors.ts';
import { ACCOUNT_IDLE, ACCOUNT_SWITCH, ACCOUNTS, type Pcpu } from '../core/runnable.ts';
import type { Cycles, Ns } from '../core/units.ts';
import { STATE_RUNNING } from './scheduler.ts';
import type { HostTask } from './task.ts';

/** What the ledger needs to know of a pCPU. */
export interface PcpuLedger {
  readonly pcpu: Pcpu;
  /** Time with a task on it, time of context switches, time with nothing to run. */
  readonly busyNs: Ns;
  readonly switchNs: Ns;
  readonly idleNs: Ns;
  /** Contexts loaded. */
  readonly switches: number;
}

const sum = (cells: Float64Array): number => cells.reduce((total, cell) => total + cell, 0);

/** Throws when a cycle or a nanosecond is missing or counted twice. */
export function assertBalanced(pcpus: readonly PcpuLedger[], tasks: readonly HostTask[]): void {
  let busyNs: Ns = 0;
  const onTasks = new Float64Array(ACCOUNTS);
  for (const entry of pcpus) {
    const { pcpu } = entry;
    assert(sum(pcpu.spent) === pcpu.clock.cycles, `the accounts of pCPU ${pcpu.id} do not sum to its cycles`);
    const wall = entry.busyNs + entry.switchNs + entry.idleNs;
    assert(wall === pcpu.clock.now, `pCPU ${pcpu.id} accounts for ${wall} ns of ${pcpu.clock.now}`);
    busyNs += entry.busyNs;
    for (let account = 0; account < ACCOUNTS; account++) onTasks[account] += pcpu.spent[account];
  }
  let runningNs: Ns = 0;
  const byTasks = new Float64Array(ACCOUNTS);
  for (const task of tasks) {
    const wall = task.accountedUntil - task.createdAt;
    assert(sum(task.times) === wall, `the states of ${task.label} sum to ${sum(task.times)} ns of ${wall}`);
    runningNs += task.times[STATE_RUNNING];
    for (let account = 0; account < ACCOUNTS; account++) byTasks[account] += task.spent[account];
  }
  assert(runningNs === busyNs, `tasks ran ${runningNs} ns, pCPUs were busy ${busyNs} ns`);
  for (let account = 0; account < ACCOUNTS; account++) {
    const own = account === ACCOUNT_IDLE || account === ACCOUNT_SWITCH ? 0 : onTasks[account];
    assert(byTasks[account] === own, `account ${account}: tasks paid ${byTasks[account]} of ${own} cycles`);
  }
}

/** Cycles of all pCPUs per account. */
export function totalCycles(pcpus: readonly PcpuLedger[]): Cycles[] {
  return Array.from({ length: ACCOUNTS }, (_, account) =>
    pcpus.reduce((total, entry) => total + entry.pcpu.spent[account], 0),
  );
}
