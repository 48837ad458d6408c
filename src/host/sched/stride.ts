/**
 * Stride scheduling: the deterministic counterpart of the lottery. Each task advances by its stride (2^20 / tickets) per
 * quantum; who is furthest behind runs.
 * Invariants: the ready queue is ordered by pass, then by task number; the global pass advances as a task that held all
 * tickets of the active ones would, so that who leaves takes along how far it was ahead or behind, and no more.
 * Passes are single divisions of exact integers: equal ones are equal to the bit, however long a run is. Who holds tickets for
 * more than one pCPU counts with as many as are worth one: otherwise it would stay behind for ever, and with it the global
 * pass, and who joins there would keep all others from running until it has caught up with them.
 * Source: Waldspurger and Weihl, "Stride scheduling: deterministic proportional-share resource management", MIT 1995; for
 * several pCPUs the readjustment of weights of Chandra et al., "Surplus fair scheduling", OSDI 2000. One queue for all
 * pCPUs is our choice; so is the quantum of 10 ms.
 */
import { NS_PER_MS, type Ns } from '../../core/units.ts';
import { callIdle } from '../idle.ts';
import { OrderedQueue } from '../ordered-queue.ts';
import type { ParamSet } from '../params.ts';
import {
  type Decision,
  definePolicy,
  type Scheduler,
  type SchedulerHost,
  type SchedVm,
  type Task,
} from '../scheduler.ts';

const params = {
  quantum_ms: {
    kind: 'integer',
    min: 1,
    max: 10_000,
    default: 10,
    meaning: 'running time before the passes are compared',
  },
} as const satisfies ParamSet;

const STRIDE1 = 2 ** 20;
/** Time served is folded into the base beyond this, so that the product with 2^20 stays exact in any case. */
const SERVED_MAX: Ns = 2 ** 50;

class Client {
  readonly task: Task;
  /** Tickets that it has, and that it counts with. */
  held: number;
  tickets: number;
  /** Pass when it joined, and running time since; a first quantum on account, so that a new one starts a stride ahead. */
  base = 0;
  served: Ns;
  /** How far its pass was from the global one when it left. */
  remain = 0;
  active = false;
  /** Time used of the quantum that runs. */
  used: Ns = 0;
  yielded = false;

  constructor(task: Task, quantum: Ns) {
    this.task = task;
    this.held = task.vm.weight;
    this.tickets = this.held;
    this.served = quantum;
  }
}

class Stride implements Scheduler {
  private readonly host: SchedulerHost;
  private readonly quantum: Ns;
  private readonly clients: Client[] = [];
  private ready: OrderedQueue<Client>;
  private globalPass = 0;
  /** Active ones, those with most tickets first; what they hold; what they count with. */
  private readonly byHeld = new OrderedQueue<Client>((a, b) => b.held - a.held || a.task.id - b.task.id);
  private heldTickets = 0;
  private activeTickets = 0;
  /** Those that count with fewer tickets than they hold. */
  private heavy: readonly Client[] = [];

  constructor(host: SchedulerHost, quantum: Ns) {
    this.host = host;
    this.quantum = quantum;
    this.ready = this.emptyQueue();
  }

  add(task: Task): void {
    this.clients[task.id] = new Client(task, this.quantum);
  }

  wake(task: Task): void {
    const client = this.clients[task.id];
    client.active = true;
    client.base = this.globalPass + client.remain;
    this.join(client);
    this.readjust();
    this.ready.add(client);
    callIdle(this.host, task);
  }

  sleep(task: Task): void {
    const client = this.clients[task.id];
    if (this.ready.has(client)) this.ready.delete(client);
    this.count(client, client.held);
    client.remain = this.passOf(client) - this.globalPass;
    client.served = 0;
    client.active = false;
    this.leave(client);
    this.readjust();
  }

  charge(task: Task, ran: Ns): void {
    const client = this.clients[task.id];
    client.used += ran;
    client.served += ran;
    if (client.served > SERVED_MAX) {
      client.base = this.passOf(client);
      client.served = 0;
    }
    this.globalPass += (STRIDE1 * ran) / (this.activeTickets * this.quantum);
  }

  yield(task: Task): void {
    this.clients[task.id].yielded = true;
  }

  change(vm: SchedVm): void {
    const waiting = [...this.ready];
    for (const client of this.clients) {
      if (client?.task.vm !== vm || client.held === vm.weight) continue;
      if (client.active) {
        this.leave(client);
        client.held = vm.weight;
        this.join(client);
        this.count(client, vm.weight);
      } else {
        // Before its first start the stride it is ahead is still in `served`, and scales by itself.
        client.remain *= client.held / vm.weight;
        client.held = vm.weight;
        client.tickets = vm.weight;
      }
    }
    this.readjust();
    this.ready = this.emptyQueue();
    for (const client of waiting) this.ready.add(client);
  }

  /** Masks are looked at when somebody is picked. */
  affinity(): void {}

  pick(pcpu: number, _now: Ns, current: Task | null): Decision {
    if (current !== null) {
      const client = this.clients[current.id];
      const left = this.quantum - client.used;
      if (left > 0 && !client.yielded) return { task: current, slice: left };
      this.ready.add(client);
    }
    const next = this.ready.find(({ task }) => task.hard.has(pcpu));
    if (next === null) return { task: null, slice: Infinity };
    this.ready.delete(next);
    next.used = 0;
    next.yielded = false;
    return { task: next.task, slice: this.quantum };
  }

  private join(client: Client): void {
    this.byHeld.add(client);
    this.heldTickets += client.held;
  }

  private leave(client: Client): void {
    this.byHeld.delete(client);
    this.heldTickets -= client.held;
  }

  /** From now on it counts with so many tickets: its distance from the global pass is scaled by the new stride over the old one. */
  private count(client: Client, tickets: number): void {
    if (client.tickets === tickets) return;
    const distance = this.passOf(client) - this.globalPass;
    client.base = this.globalPass + (distance * client.tickets) / tickets;
    client.served = 0;
    client.tickets = tickets;
  }

  /** Looks for those with tickets for more than one pCPU, from the heaviest on; they count with as many as are worth one. */
  private readjust(): void {
    const pcpus = Math.min(this.host.topology.length, this.byHeld.size);
    const heavy: Client[] = [];
    let rest = this.heldTickets;
    for (const client of this.byHeld) {
      if (client.held * (pcpus - heavy.length) <= rest) break;
      heavy.push(client);
      rest -= client.held;
    }
    this.activeTickets = rest;
    if (heavy.length === 0 && this.heavy.length === 0) return;
    const waiting = [...this.ready];
    for (const client of this.heavy) if (client.active && !heavy.includes(client)) this.count(client, client.held);
    for (let i = heavy.length - 1; i >= 0; i--) {
      const tickets = this.activeTickets / (pcpus - i - 1);
      this.count(heavy[i], tickets);
      this.activeTickets += tickets;
    }
    this.heavy = heavy;
    this.ready = this.emptyQueue();
    for (const client of waiting) this.ready.add(client);
  }

  private passOf({ base, served, tickets }: Client): number {
    return base + (STRIDE1 * served) / (tickets * this.quantum);
  }

  private emptyQueue(): OrderedQueue<Client> {
    return new OrderedQueue((a, b) => this.passOf(a) - this.passOf(b) || a.task.id - b.task.id);
  }
}

export const stride = definePolicy({
  name: 'stride',
  summary: 'least progress per ticket runs next, a quantum each; tickets are the weight',
  origin: 'Waldspurger and Weihl, 1995',
  basis: 'paper',
  traits: { weights: {} },
  params,
  make: (host, { quantum_ms }) => new Stride(host, quantum_ms * NS_PER_MS),
});
