/**
 * Strict gang scheduling: Ousterhout's matrix. Columns are pCPUs, rows are slots of time; all vCPUs of a VM are in one row,
 * each in a column of its own, and so run at the same time or not at all. Rows take turns.
 * Invariants: a cell holds one vCPU at most; a gang is in the matrix exactly while one of its vCPUs is runnable (blocked
 * members leave a hole); rows without a gang are removed.
 * Source: Ousterhout, "Scheduling techniques for concurrent systems", 1982: packing by first fit, rotation, alternate
 * selection. The slot of 30 ms is our choice. A turn of a row is one slot; pCPUs change rows at the same nanosecond.
 */
import { UserError } from '../../core/errors.ts';
import { NS_PER_MS, type Ns } from '../../core/units.ts';
import { matchPlaces } from '../match.ts';
import type { ParamSet, ValuesOf } from '../params.ts';
import {
  type Decision,
  definePolicy,
  type Scheduler,
  type SchedulerHost,
  type SchedVm,
  STATE_RUNNING,
  type Task,
} from '../scheduler.ts';

const params = {
  slot_ms: {
    kind: 'integer',
    min: 1,
    max: 10_000,
    default: 30,
    meaning: 'time after which the next row gets its turn',
  },
  alternate: {
    kind: 'flag',
    default: false,
    meaning: 'a pCPU without work in the present row runs a vCPU that has this column in another row',
  },
  unify_slots: {
    kind: 'integer',
    min: 0,
    max: 1_000_000,
    default: 0,
    meaning: 'pack all gangs anew, the oldest VM first, after so many slots; 0: only when one comes or goes',
  },
  oversized: {
    kind: 'choice',
    of: ['reject', 'split'],
    default: 'reject',
    meaning: 'a VM whose vCPUs cannot all run at once is an error, or becomes several gangs',
  },
} as const satisfies ParamSet;

/** vCPUs of one VM that run together. */
class Gang {
  readonly vm: SchedVm;
  readonly members: Task[] = [];
  readonly runnable = new Set<Task>();

  constructor(vm: SchedVm) {
    this.vm = vm;
  }
}

/** One slot of time: who has which pCPU. */
interface Row {
  readonly cells: (Task | null)[];
  readonly gangs: Gang[];
}

const ROTATION = 0;

class GangScheduler implements Scheduler {
  private readonly host: SchedulerHost;
  private readonly params: ValuesOf<typeof params>;
  private readonly slot: Ns;
  private readonly columns: number;
  /** The gang of each task. */
  private readonly gangOf: Gang[] = [];
  private readonly gangs: Gang[] = [];
  private rows: Row[] = [];
  /** The row whose turn it is. */
  private present = 0;
  private turnStarted: Ns = 0;
  private slotsSinceUnified = 0;

  constructor(host: SchedulerHost, settings: ValuesOf<typeof params>) {
    this.host = host;
    this.params = settings;
    this.slot = settings.slot_ms * NS_PER_MS;
    this.columns = host.topology.length;
  }

  add(task: Task, now: Ns): void {
    let gang = this.gangs.find(({ vm, members }) => vm === task.vm && this.fitTogether([...members, task]));
    if (gang === undefined) {
      const refused = this.params.oversized === 'reject' && this.gangs.some(({ vm }) => vm === task.vm);
      if (refused) throw this.tooLarge(task.vm);
      gang = new Gang(task.vm);
      this.gangs.push(gang);
      // Packing anew goes by the age of the VM, and the parts of a VM stay together.
      this.gangs.sort((a, b) => a.vm.id - b.vm.id);
    }
    // Its row has no column for one more, perhaps: it is placed again as a whole.
    if (gang.runnable.size > 0) this.leave(gang, now);
    gang.members.push(task);
    this.gangOf[task.id] = gang;
    if (gang.runnable.size > 0) this.enter(gang, now);
  }

  remove(task: Task): void {
    const gang = this.gangOf[task.id];
    gang.members.splice(gang.members.indexOf(task), 1);
    // A cell that nobody will use any more stays reserved until the gang is placed again.
    if (gang.members.length === 0) this.gangs.splice(this.gangs.indexOf(gang), 1);
  }

  wake(task: Task, now: Ns): void {
    const gang = this.gangOf[task.id];
    gang.runnable.add(task);
    if (gang.runnable.size === 1) this.enter(gang, now);
    else this.callColumn(task);
  }

  sleep(task: Task, now: Ns): void {
    const gang = this.gangOf[task.id];
    gang.runnable.delete(task);
    if (gang.runnable.size === 0) this.leave(gang, now);
  }

  pick(pcpu: number, _now: Ns, current: Task | null): Decision {
    const task = this.choose(pcpu);
    // Gangs that are placed anew may change columns: the new pCPU waits for the old one to let go, and is asked again.
    if (current !== null && current !== task) this.callColumn(current);
    const elsewhere = task !== null && task !== current && task.state === STATE_RUNNING;
    return { task: elsewhere ? null : task, slice: Infinity };
  }

  timer(_id: number, now: Ns): void {
    this.slotsSinceUnified++;
    const { unify_slots: limit } = this.params;
    if (limit > 0 && this.slotsSinceUnified >= limit) this.unify();
    this.turn((this.present + 1) % this.rows.length, now);
  }

  /** The one whose cell it is; with alternate selection the next below that can run. */
  private choose(pcpu: number): Task | null {
    const rows = this.params.alternate ? this.rows.length : Math.min(1, this.rows.length);
    for (let step = 0; step < rows; step++) {
      const task = this.rows[(this.present + step) % this.rows.length].cells[pcpu];
      if (task === null || !this.gangOf[task.id].runnable.has(task)) continue;
      return task;
    }
    return null;
  }

  // ---- the matrix

  /** Places a gang in the first row with room. */
  private enter(gang: Gang, now: Ns): void {
    this.place(gang);
    this.callAll();
    this.aim(now);
  }

  private place(gang: Gang): void {
    for (const row of this.rows) if (this.placeIn(row, gang)) return;
    const row: Row = { cells: this.host.topology.map(() => null), gangs: [] };
    this.rows.push(row);
    this.placeIn(row, gang);
  }

  private placeIn(row: Row, gang: Gang): boolean {
    const places = matchPlaces(
      gang.members.length,
      this.columns,
      (member, column) => row.cells[column] === null && gang.members[member].hard.has(column),
    );
    if (places === null) return false;
    for (const [member, column] of places.entries()) row.cells[column] = gang.members[member];
    row.gangs.push(gang);
    return true;
  }

  /** Clears the cells of a gang; a row that is empty then goes, and if it had its turn, that of the next one begins. */
  private leave(gang: Gang, now: Ns): void {
    const at = this.rows.findIndex(({ gangs }) => gangs.includes(gang));
    const { cells, gangs } = this.rows[at];
    gangs.splice(gangs.indexOf(gang), 1);
    for (let column = 0; column < this.columns; column++) {
      const task = cells[column];
      if (task !== null && this.gangOf[task.id] === gang) cells[column] = null;
    }
    if (gangs.length === 0) {
      this.rows.splice(at, 1);
      if (at < this.present) this.present--;
      else if (at === this.present) this.turn(this.rows.length === 0 ? 0 : this.present % this.rows.length, now);
    } else if (at === this.present) this.callAll();
    this.aim(now);
  }

  private unify(): void {
    this.slotsSinceUnified = 0;
    this.rows = [];
    for (const gang of this.gangs) if (gang.runnable.size > 0) this.place(gang);
    this.present = Math.min(this.present, this.rows.length - 1);
  }

  private turn(row: number, now: Ns): void {
    this.present = row;
    this.turnStarted = now;
    this.callAll();
    this.aim(now);
  }

  /** Rows take turns only where there are several. */
  private aim(now: Ns): void {
    if (this.rows.length < 2) this.host.disarm(ROTATION);
    else this.host.arm(ROTATION, Math.max(this.turnStarted + this.slot, now));
  }

  /** Asks those pCPUs to decide whose task is not the one that the matrix has now. */
  private callAll(): void {
    for (let pcpu = 0; pcpu < this.columns; pcpu++) {
      if (this.host.current(pcpu) !== this.choose(pcpu)) this.host.resched(pcpu);
    }
  }

  private callColumn(task: Task): void {
    for (const { cells } of this.rows) {
      const column = cells.indexOf(task);
      if (column >= 0 && this.choose(column) === task) this.host.resched(column);
    }
  }

  private fitTogether(members: readonly Task[]): boolean {
    return matchPlaces(members.length, this.columns, (member, column) => members[member].hard.has(column)) !== null;
  }

  private tooLarge(vm: SchedVm): UserError {
    return new UserError(
      `VM ${vm.name}: strict gang scheduling runs all vCPUs of a VM at the same time, and there is no pCPU of its own for ` +
        `each of them among the ${this.columns} of the host that their affinity allows; give it fewer vCPUs, or set ` +
        'oversized: split',
    );
  }
}

export const gang = definePolicy({
  name: 'gang',
  summary: 'all vCPUs of a VM at the same time or none: a matrix of pCPUs and slots, rows in turn',
  origin: 'Ousterhout 1982',
  basis: 'textbook',
  traits: { workConserving: false },
  params,
  make: (host, settings) => new GangScheduler(host, settings),
});
