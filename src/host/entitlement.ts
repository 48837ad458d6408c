/**
 * Who is entitled to how much: capacity divided by water filling along a tree, from the groups at its root to the vCPUs at
 * its leaves, such that the leaves can really have it on the pCPUs that their affinity allows.
 * Where water filling gives some more than they could have together - a ceiling that they share, or too few pCPUs for them -
 * those are served first, within what they can have, and the others divide the rest.
 * Invariants: children never have more than their parent; below a ceiling the sum is at most its rate; there is an assignment
 * of leaves to pCPUs that carries all shares; among siblings the shares are the fairest such ones (lexicographically, by
 * weight).
 * Source: decomposition over a polymatroid (Fujishige, Groenevelt), where maximum flow (Dinitz) tells what a set can have
 * together.
 */
import { assert } from '../core/errors.ts';
import type { CpuSet } from './topology.ts';
import { type Claim, waterFill } from './water-filling.ts';

/** An upper bound that several claimants at the root share. */
export interface Ceiling {
  /** In the unit of the capacity; Infinity for none. */
  readonly rate: number;
}

/** One of the tree. A leaf has no children. */
export class Claimant implements Claim {
  readonly weight: number;
  readonly min: number;
  readonly max: number;
  readonly children: readonly Claimant[];
  /** pCPUs that a leaf may have; null: all. */
  readonly mask: CpuSet | null;
  /** At the root only. */
  readonly ceiling: Ceiling | null;
  /** The answer. */
  share = 0;

  constructor(
    { weight, min, max }: Claim,
    more: {
      readonly children?: readonly Claimant[];
      readonly mask?: CpuSet | null;
      readonly ceiling?: Ceiling | null;
    } = {},
  ) {
    this.weight = weight;
    this.min = min;
    this.max = max;
    this.children = more.children ?? [];
    this.mask = more.mask ?? null;
    this.ceiling = more.ceiling ?? null;
  }
}

/** Sums of shares are not exact: relative excess, shares, and capacities left below these are nothing. */
const EXCESS_MIN = 1e-9;
const SHORTAGE_MIN = 1e-7;
const LEFT_MIN = 1e-12;

/** Sets the shares of a whole tree. `capacity` is spread evenly over `pcpus`. */
export function entitle(roots: readonly Claimant[], capacity: number, pcpus: number): void {
  if (roots.every((root) => maskOf(root) === null)) {
    divide(roots, capacity, null);
    return;
  }
  const perPcpu = capacity / pcpus;
  for (const { members, count } of islands(roots, pcpus)) {
    const masks = members.map(maskOf);
    const alike = masks.every((mask) => mask !== 'mixed' && (mask?.count ?? pcpus) === count);
    divide(members, perPcpu * count, alike ? null : new Flow(members, perPcpu, pcpus));
  }
}

/** Roots that have nothing to do with each other, neither pCPUs nor ceilings, in the order of the first of each. */
function islands(
  roots: readonly Claimant[],
  pcpus: number,
): { readonly members: Claimant[]; readonly count: number }[] {
  // A forest over pCPUs; each points to one of the same island.
  const next = Array.from({ length: pcpus }, (_, id) => id);
  const find = (id: number): number => {
    let at = id;
    while (next[at] !== at) at = next[at]!;
    return at;
  };
  const held = new Map<Ceiling, number>();
  const join = (a: number, b: number): void => {
    next[find(a)] = find(b);
  };
  const firstOf = ({ mask, children }: Claimant): number => {
    if (children.length > 0) {
      const [first, ...others] = children.map(firstOf);
      for (const other of others) join(other, first!);
      return first!;
    }
    const first = mask?.first() ?? 0;
    if (mask === null) for (let id = 1; id < pcpus; id++) join(id, first);
    else for (const id of mask) join(id, first);
    return first;
  };
  const anchors = roots.map((root) => {
    const first = firstOf(root);
    if (root.ceiling !== null) {
      join(held.get(root.ceiling) ?? first, first);
      held.set(root.ceiling, first);
    }
    return first;
  });
  const found = new Map<number, { members: Claimant[]; count: number }>();
  for (const [i, root] of roots.entries()) {
    const island = found.get(find(anchors[i]!)) ?? { members: [], count: 0 };
    island.members.push(root);
    found.set(find(anchors[i]!), island);
  }
  for (let id = 0; id < pcpus; id++) {
    const island = found.get(find(id));
    if (island !== undefined) island.count++;
  }
  return [...found.values()];
}

function divide(siblings: readonly Claimant[], capacity: number, flow: Flow | null): void {
  flow?.setBounds(siblings, () => 0);
  fill(siblings, capacity, flow);
  for (const { children, share } of siblings) {
    if (children.length === 0) continue;
    // Where all may have the same pCPUs, what they can have together is what their parent has.
    divide(children, share, flow?.divides(children) === true ? flow : null);
  }
}

/** Shares among some siblings; those that are not in the list have theirs already, or get nothing. */
function fill(siblings: readonly Claimant[], capacity: number, flow: Flow | null): void {
  const most = flow === null ? capacity : Math.min(capacity, flow.most(siblings));
  const shares = waterFill(siblings, most);
  for (const [i, claimant] of siblings.entries()) claimant.share = shares[i];
  const tight = flow === null ? overCeiling(siblings) : flow.bottleneck(siblings);
  if (tight === null) return;
  const rest = siblings.filter((claimant) => !tight.members.includes(claimant));
  flow?.setBounds(siblings, () => 0);
  fill(tight.members, Math.min(tight.capacity, capacity), flow);
  const given = flow === null ? tight.capacity : tight.members.reduce((sum, { share }) => sum + share, 0);
  fill(rest, Math.max(capacity - given, 0), flow);
}

interface Bottleneck {
  readonly members: readonly Claimant[];
  readonly capacity: number;
}

/** Those under the ceiling that is exceeded by most; null when none is. */
function overCeiling(siblings: readonly Claimant[]): Bottleneck | null {
  const sums = new Map<Ceiling, number>();
  for (const { ceiling, share } of siblings) if (ceiling !== null) sums.set(ceiling, (sums.get(ceiling) ?? 0) + share);
  let worst: Ceiling | null = null;
  let excess = EXCESS_MIN;
  for (const [ceiling, sum] of sums) {
    if (sum / ceiling.rate - 1 <= excess) continue;
    excess = sum / ceiling.rate - 1;
    worst = ceiling;
  }
  if (worst === null) return null;
  return { members: siblings.filter(({ ceiling }) => ceiling === worst), capacity: worst.rate };
}

/** `mixed`: the leaves below may not all have the same pCPUs. */
function maskOf(claimant: Claimant): CpuSet | null | 'mixed' {
  if (claimant.children.length === 0) return claimant.mask;
  const [first, ...others] = claimant.children.map(maskOf);
  const same = (other: CpuSet | null | 'mixed'): boolean =>
    other === first ||
    (other instanceof Object && first instanceof Object && other.count === first.count && other.within(first));
  return others.every(same) ? first : 'mixed';
}

const SOURCE = 0;
const SINK = 1;

/** One round of `value`: what is left of each edge, how deep each node is, how many of its edges were tried. */
interface Search {
  readonly left: number[];
  readonly depth: readonly number[];
  readonly tried: number[];
}

/** source -> ceiling -> root -> ... -> leaf -> what its mask allows -> pCPUs of one kind -> sink */
class Flow {
  /** Edges from each node; edge e ^ 1 is the reverse of e. */
  private readonly edges: number[][] = [[], []];
  private readonly target: number[] = [];
  private readonly capacity: number[] = [];
  private readonly edgeTo = new Map<Claimant, number>();
  private readonly nodeOf = new Map<Ceiling, number>();
  /** Of the last flow: the nodes that could still get more from the source. */
  private reached: boolean[] = [];
  /** The flow without those that are being divided. */
  private base = 0;

  constructor(roots: readonly Claimant[], perPcpu: number, pcpus: number) {
    const masks = new Map<string, { readonly node: number; readonly mask: CpuSet | null }>();
    const maskNode = (mask: CpuSet | null): number => {
      const key = mask === null ? '' : [...mask].join();
      const found = masks.get(key) ?? { node: this.node(), mask };
      masks.set(key, found);
      return found.node;
    };
    const grow = (claimant: Claimant, parent: number): void => {
      const node = this.node();
      this.edgeTo.set(claimant, this.edge(parent, node, claimant.max));
      const mask = maskOf(claimant);
      if (mask !== 'mixed') this.edge(node, maskNode(mask), Infinity);
      else for (const child of claimant.children) grow(child, node);
    };
    for (const root of roots) {
      const { ceiling } = root;
      let parent = SOURCE;
      if (ceiling !== null) {
        parent = this.nodeOf.get(ceiling) ?? this.node();
        if (!this.nodeOf.has(ceiling)) this.edge(SOURCE, parent, ceiling.rate);
        this.nodeOf.set(ceiling, parent);
      }
      grow(root, parent);
    }
    // pCPUs that the same masks allow are one node.
    const kinds = new Map<string, { readonly allowed: readonly number[]; count: number }>();
    for (let id = 0; id < pcpus; id++) {
      const allowed = [...masks.values()].filter(({ mask }) => mask === null || mask.has(id)).map(({ node }) => node);
      const key = allowed.join();
      const kind = kinds.get(key) ?? { allowed, count: 0 };
      kind.count++;
      kinds.set(key, kind);
    }
    for (const { allowed, count } of kinds.values()) {
      const node = this.node();
      for (const from of allowed) this.edge(from, node, Infinity);
      this.edge(node, SINK, count * perPcpu);
    }
  }

  /** Are these in the network one by one? */
  divides(claimants: readonly Claimant[]): boolean {
    return this.edgeTo.has(claimants[0]);
  }

  setBounds(claimants: readonly Claimant[], boundOf: (claimant: Claimant) => number): void {
    for (const claimant of claimants) this.capacity[this.edgeTo.get(claimant)!] = boundOf(claimant);
  }

  /** What these, who have nothing yet, can have together beside those who have theirs. */
  most(claimants: readonly Claimant[]): number {
    this.base = this.value();
    this.setBounds(claimants, ({ max }) => max);
    return this.value() - this.base;
  }

  /** Of these, with the shares that they have now: those that could not have theirs together; null when all can. */
  bottleneck(claimants: readonly Claimant[]): Bottleneck | null {
    this.setBounds(claimants, ({ share }) => share);
    const wanted = claimants.reduce((sum, { share }) => sum + share, 0);
    if (this.value() - this.base >= wanted - SHORTAGE_MIN) return null;
    // Those on the near side of the minimum cut, and those behind a ceiling that is part of it.
    const members = claimants.filter((claimant) => {
      const held = claimant.ceiling !== null && !this.reached[this.nodeOf.get(claimant.ceiling)!];
      return held || this.reached[this.target[this.edgeTo.get(claimant)!]];
    });
    assert(members.length > 0 && members.length < claimants.length, 'a bottleneck has some of the claimants');
    return { members, capacity: Infinity };
  }

  /** The maximum flow: along all shortest paths at once, as long as there are any. */
  private value(): number {
    const left = [...this.capacity];
    let total = 0;
    for (;;) {
      const depth = this.depths(left);
      this.reached = depth.map((steps) => steps >= 0);
      if (depth[SINK] < 0) return total;
      const tried = this.edges.map(() => 0);
      for (let sent = Infinity; sent > LEFT_MIN; total += sent)
        sent = this.send(SOURCE, Infinity, { left, depth, tried });
    }
  }

  /** How many edges with capacity left are between the source and each node; -1 where there is no way. */
  private depths(left: readonly number[]): number[] {
    const depth = this.edges.map(() => -1);
    depth[SOURCE] = 0;
    const queue = [SOURCE];
    for (const node of queue) {
      for (const edge of this.edges[node]) {
        const next = this.target[edge];
        if (left[edge] <= LEFT_MIN || depth[next] >= 0) continue;
        depth[next] = depth[node] + 1;
        queue.push(next);
      }
    }
    return depth;
  }

  /** Sends at most `amount` from a node on to the sink, one step deeper at a time; edges that lead nowhere are tried once. */
  private send(node: number, amount: number, search: Search): number {
    if (node === SINK) return amount;
    const { left, depth, tried } = search;
    const edges = this.edges[node];
    for (; tried[node] < edges.length; tried[node]++) {
      const edge = edges[tried[node]];
      const next = this.target[edge];
      if (left[edge] <= LEFT_MIN || depth[next] !== depth[node] + 1) continue;
      const sent = this.send(next, Math.min(amount, left[edge]), search);
      if (sent <= LEFT_MIN) continue;
      left[edge] -= sent;
      left[edge ^ 1] += sent;
      return sent;
    }
    return 0;
  }

  private node(): number {
    this.edges.push([]);
    return this.edges.length - 1;
  }

  private edge(from: number, to: number, capacity: number): number {
    const edge = this.target.length;
    this.target.push(to, from);
    this.capacity.push(capacity, 0);
    this.edges[from].push(edge);
    this.edges[to].push(edge + 1);
    return edge;
  }
}
