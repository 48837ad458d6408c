/**
 * Home nodes of vCPUs on hosts with several memory nodes: where a vCPU lives, and a balancer that moves homes.
 * A VM with more vCPUs than a node has cores is split into clients, each with one home.
 * Invariants: a client never has more members than a node has cores; a node's load is the sum of the demands at home there.
 * Source: VMware's papers on the vSphere CPU scheduler: homes at power-on by least load, balancing every 2 s, a move only
 * when the imbalance is above 10 % and shrinks by 2 %. The order in which moves are tried is our reconstruction.
 */
export interface Homed {
  /** pCPUs it could use. */
  readonly demand: number;
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
    let client = clients.at(-1);
    if (client === undefined || client.members.length >= this.coresPerNode) {
      client = new NumaClient<T>(this.emptiest());
      clients.push(client);
    }
    client.members.push(member);
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

  /** Moves at most one client from the busiest to the least busy node; answers it, or null. */
  balance(): NumaClient<T> | null {
    this.round++;
    const loads = Array.from({ length: this.nodes }, () => 0);
    for (const client of this.clients()) loads[client.node] += client.demand / this.coresPerNode;
    const high = loads.indexOf(Math.max(...loads));
    const low = loads.indexOf(Math.min(...loads));
    const gap = loads[high] - loads[low];
    if (gap <= IMBALANCE_MIN) return null;
    let best: NumaClient<T> | null = null;
    let bestGap = gap - BENEFIT_MIN;
    for (const client of this.clients()) {
      if (client.node !== high || this.round - client.movedAt < 2) continue;
      const after = Math.abs(gap - (2 * client.demand) / this.coresPerNode);
      if (after >= bestGap) continue;
      best = client;
      bestGap = after;
    }
    if (best === null) return null;
    best.node = low;
    best.movedAt = this.round;
    return best;
  }

  private *clients(): Iterable<NumaClient<T>> {
    for (const clients of this.byVm.values()) yield* clients;
  }

  private emptiest(): number {
    const counts = Array.from({ length: this.nodes }, () => 0);
    for (const { node, members } of this.clients()) counts[node] += members.length;
    return counts.indexOf(Math.min(...counts));
  }
}
