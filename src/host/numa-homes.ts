/**
 * Home nodes of vCPUs on hosts with several memory nodes: where a vCPU lives, and a balancer that moves homes.
 * A VM with more vCPUs than a node has cores is split into clients, each with one home.
 * Invariants: a client never has more members than a node has cores; a node's load is the sum of the demands at home there;
 * nobody has its home on a node of which it may not use a pCPU.
 * Source: VMware's papers on the vSphere CPU scheduler: homes at power-on by least load, balancing every 2 s, a move of one
 * client or a swap of two only when the imbalance is above 10 % and shrinks by 2 %. The order in which moves are tried is
 * our reconstruction: moves before swaps, the one that leaves least imbalance first.
 */
export interface Homed {
  /** pCPUs it could use. */
  readonly demand: number;
  /** May it run on that node? */
  mayLiveOn(node: number): boolean;
}

/** vCPUs of one VM that have one home. */
export class NumaClient<T extends Homed> {
  node: number;
  readonly members: T[] = [];
  /** It does not move again in the balancing after a move. */
  movedAt = -Infinity;

  constructor(node: number) {
    this.node = node;
  }

  mayLiveOn(node: number): boolean {
    return this.members.every((member) => member.mayLiveOn(node));
  }

  get demand(): number {
    return this.members.reduce((sum, { demand }) => sum + demand, 0);
  }
}

const IMBALANCE_MIN = 0.1;
const BENEFIT_MIN = 0.02;

export class NumaHomes<T extends Homed> {
  private readonly nodes: number;
  private readonly coresPerNode: number;
  private readonly byVm = new Map<number, NumaClient<T>[]>();
  private round = 0;

  constructor(nodes: number, coresPerNode: number) {
    this.nodes = nodes;
    this.coresPerNode = coresPerNode;
  }

  /** A home for one more vCPU of a VM: that of its youngest client, or of a new one on the node with the fewest vCPUs. */
  add(vm: number, member: T): NumaClient<T> {
    const clients = this.byVm.get(vm) ?? [];
    this.byVm.set(vm, clients);
    const last = clients.at(-1);
    if (last !== undefined && last.members.length < this.coresPerNode && member.mayLiveOn(last.node)) {
      last.members.push(member);
      return last;
    }
    const client = new NumaClient<T>(this.emptiestFor(member));
    client.members.push(member);
    clients.push(client);
    return client;
  }

  remove(vm: number, member: T): void {
    const clients = this.byVm.get(vm) ?? [];
    for (const client of clients) {
      const at = client.members.indexOf(member);
      if (at >= 0) client.members.splice(at, 1);
    }
    const left = clients.filter(({ members }) => members.length > 0);
    if (left.length === 0) this.byVm.delete(vm);
    else this.byVm.set(vm, left);
  }

  /** Moves one client from the busiest to the least busy node, or swaps two, or does nothing; answers those that moved. */
  balance(): NumaClient<T>[] {
    this.round++;
    const loads = Array.from({ length: this.nodes }, () => 0);
    for (const client of this.clients()) loads[client.node] += client.demand / this.coresPerNode;
    const high = loads.indexOf(Math.max(...loads));
    const low = loads.indexOf(Math.min(...loads));
    const gap = loads[high] - loads[low];
    if (gap <= IMBALANCE_MIN) return [];
    const on = (node: number, other: number): NumaClient<T>[] =>
      [...this.clients()].filter(
        (client) => client.node === node && this.round - client.movedAt >= 2 && client.mayLiveOn(other),
      );
    const here = on(high, low);
    // What moving some demand away leaves of the gap.
    const after = (demand: number): number => Math.abs(gap - (2 * demand) / this.coresPerNode);
    let best: NumaClient<T>[] = [];
    let bestGap = gap - BENEFIT_MIN;
    const consider = (moved: NumaClient<T>[], demand: number): void => {
      if (after(demand) >= bestGap) return;
      best = moved;
      bestGap = after(demand);
    };
    for (const client of here) consider([client], client.demand);
    for (const client of here) {
      for (const other of on(low, high)) consider([client, other], client.demand - other.demand);
    }
    for (const client of best) {
      client.node = client.node === high ? low : high;
      client.movedAt = this.round;
    }
    return best;
  }

  private *clients(): Iterable<NumaClient<T>> {
    for (const clients of this.byVm.values()) yield* clients;
  }

  private emptiestFor(member: T): number {
    const counts = Array.from({ length: this.nodes }, () => 0);
    for (const { node, members } of this.clients()) counts[node] += members.length;
    const allowed = [...counts.keys()].filter((node) => member.mayLiveOn(node));
    return allowed.reduce((best, node) => (counts[node]! < counts[best]! ? node : best), allowed[0] ?? 0);
  }
}
