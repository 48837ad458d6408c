/**
 * Where the physical CPUs sit, as plain data, and sets of them.
 * Invariant: pCPU ids are dense; the threads of a core are neighbours, and so are the cores of a memory node, the nodes of a
 * socket.
 */
import { assert } from '../core/errors.ts';

/** Equal sockets of equal cores. */
export interface TopologySpec {
  readonly sockets: number;
  readonly coresPerSocket: number;
  readonly threadsPerCore: number;
  /** Memory nodes of each socket, with equal numbers of its cores; one unless told. */
  readonly nodesPerSocket?: number;
}

/** One pCPU (hardware thread). `core` and `node`, its memory node, count over the whole host. */
export interface PcpuPlace {
  readonly id: number;
  readonly socket: number;
  readonly node: number;
  readonly core: number;
  readonly thread: number;
}

export type Topology = readonly PcpuPlace[];

/** The pCPUs of such a host, by id. */
export function makeTopology(spec: TopologySpec): Topology {
  const places: PcpuPlace[] = [];
  const { sockets, coresPerSocket, threadsPerCore, nodesPerSocket = 1 } = spec;
  for (const n of [sockets, coresPerSocket, threadsPerCore, nodesPerSocket]) {
    assert(Number.isInteger(n) && n >= 1, 'a topology needs at least one socket, core and thread');
  }
  const coresPerNode = coresPerSocket / nodesPerSocket;
  assert(Number.isInteger(coresPerNode), 'the nodes of a socket have equal numbers of cores');
  for (let core = 0; core < sockets * coresPerSocket; core++) {
    for (let thread = 0; thread < threadsPerCore; thread++) {
      const socket = Math.floor(core / coresPerSocket);
      places.push({ id: places.length, socket, node: Math.floor(core / coresPerNode), core, thread });
    }
  }
  return places;
}

/** pCPUs per word of a set, and words per word of its summary. */
const WORD_BITS = 32;

const NOBODY: readonly number[] = [];

const lowest = (word: number): number => 31 - Math.clz32(word & -word);

/**
 * A set of pCPUs of a host with `size` of them. Bits in words, with a summary of the words that are not empty, so that
 * the next member is found in a few steps on hosts with thousands of pCPUs.
 */
export class CpuSet {
  readonly size: number;
  /** Number of members. */
  count = 0;
  private readonly words: Uint32Array;
  private readonly summary: Uint32Array;

  /** The set with the given ids, or the empty one. */
  constructor(size: number, ids: Iterable<number> = NOBODY) {
    this.size = size;
    this.words = new Uint32Array(Math.ceil(size / WORD_BITS));
    this.summary = new Uint32Array(Math.ceil(this.words.length / WORD_BITS));
    for (const id of ids) this.add(id);
  }

  /** All pCPUs of a host. */
  static all(size: number): CpuSet {
    const set = new CpuSet(size);
    for (let id = 0; id < size; id++) set.add(id);
    return set;
  }

  has(id: number): boolean {
    return (this.words[id >>> 5] & (1 << (id & 31))) !== 0;
  }

  add(id: number): void {
    assert(id >= 0 && id < this.size, `there is no pCPU ${id}`);
    if (this.has(id)) return;
    const word = id >>> 5;
    this.words[word] |= 1 << (id & 31);
    this.summary[word >>> 5] |= 1 << (word & 31);
    this.count++;
  }

  delete(id: number): void {
    if (!this.has(id)) return;
    const word = id >>> 5;
    this.words[word] &= ~(1 << (id & 31));
    if (this.words[word] === 0) this.summary[word >>> 5] &= ~(1 << (word & 31));
    this.count--;
  }

  /** Adds or deletes. */
  put(id: number, member: boolean): void {
    if (member) this.add(id);
    else this.delete(id);
  }

  clone(): CpuSet {
    return this.intersect(this);
  }

  /** The lowest member; -1 when the set is empty. */
  first(): number {
    return this.atOrAfter(0, this);
  }

  /** The first member after `from` in cyclic order, `from` itself being the last to be tried; -1 when the set is empty. */
  next(from: number): number {
    return this.nextIn(this, from);
  }

  /** As `next`, of the members that are in `other` too. */
  nextIn(other: CpuSet, from: number): number {
    const after = this.atOrAfter(from + 1, other);
    return after >= 0 ? after : this.atOrAfter(0, other);
  }

  /** The lowest member that is in `other` too; -1 for none. */
  firstIn(other: CpuSet): number {
    return this.atOrAfter(0, other);
  }

  /** Is there a member that is in `other` too? */
  meets(other: CpuSet): boolean {
    return this.atOrAfter(0, other) >= 0;
  }

  /** Is every member in `other`? */
  within(other: CpuSet): boolean {
    return this.words.every((word, i) => (word & ~other.words[i]) === 0);
  }

  /** Becomes the members of both sets, without a new object. */
  assign(a: CpuSet, b: CpuSet): void {
    const { words, summary } = this;
    words.fill(0);
    summary.fill(0);
    this.count = 0;
    for (let block = 0; block < summary.length; block++) {
      for (let left = a.summary[block] & b.summary[block]; left !== 0; left &= left - 1) {
        const word = block * WORD_BITS + lowest(left);
        words[word] = a.words[word] & b.words[word];
        if (words[word] === 0) continue;
        summary[block] |= left & -left;
        for (let bits = words[word]; bits !== 0; bits &= bits - 1) this.count++;
      }
    }
  }

  /** Deletes the members of `other`. */
  deleteAll(other: CpuSet): void {
    for (let block = 0; block < this.summary.length; block++) {
      for (let left = this.summary[block] & other.summary[block]; left !== 0; left &= left - 1) {
        const word = block * WORD_BITS + lowest(left);
        for (let bits = this.words[word] & other.words[word]; bits !== 0; bits &= bits - 1) this.count--;
        this.words[word] &= ~other.words[word];
        if (this.words[word] === 0) this.summary[block] &= ~(left & -left);
      }
    }
  }

  /** The members of both sets. */
  intersect(other: CpuSet): CpuSet {
    const both = new CpuSet(this.size);
    both.assign(this, other);
    return both;
  }

  /** The members that are not in `other`. */
  without(other: CpuSet): CpuSet {
    const left = this.clone();
    left.deleteAll(other);
    return left;
  }

  /** In ascending order. Members may be deleted meanwhile. */
  *[Symbol.iterator](): Iterator<number> {
    for (let id = this.first(); id >= 0; id = this.atOrAfter(id + 1, this)) yield id;
  }

  /** The lowest id from `from` on that is in both sets; -1 for none. */
  private atOrAfter(from: number, other: CpuSet): number {
    if (from >= this.size) return -1;
    let at = from >>> 5;
    const here = this.words[at] & other.words[at] & (-1 << (from & 31));
    if (here !== 0) return at * WORD_BITS + lowest(here);
    at++;
    for (let block = at >>> 5; block < this.summary.length; block++) {
      let candidates = this.summary[block] & other.summary[block];
      if (block === at >>> 5) candidates &= -1 << (at & 31);
      while (candidates !== 0) {
        const word = block * WORD_BITS + lowest(candidates);
        const both = this.words[word] & other.words[word];
        if (both !== 0) return word * WORD_BITS + lowest(both);
        candidates &= candidates - 1;
      }
    }
    return -1;
  }
}

/** A set of pCPUs that knows how many of its members are in each core and each socket. */
export class CountedCpuSet extends CpuSet {
  readonly inCore: Int32Array;
  readonly inSocket: Int32Array;
  private readonly topology: Topology;

  /** The empty set. */
  constructor(topology: Topology) {
    super(topology.length);
    this.topology = topology;
    const groups = (level: 'core' | 'socket'): Int32Array =>
      new Int32Array(topology.reduce((most, place) => Math.max(most, place[level] + 1), 0));
    this.inCore = groups('core');
    this.inSocket = groups('socket');
  }

  override add(id: number): void {
    if (this.has(id)) return;
    super.add(id);
    this.recount(id, 1);
  }

  override delete(id: number): void {
    if (!this.has(id)) return;
    super.delete(id);
    this.recount(id, -1);
  }

  override assign(a: CpuSet, b: CpuSet): void {
    super.assign(a, b);
    this.inCore.fill(0);
    this.inSocket.fill(0);
    for (const id of this) this.recount(id, 1);
  }

  override deleteAll(other: CpuSet): void {
    for (const id of this) if (other.has(id)) this.delete(id);
  }

  private recount(id: number, change: number): void {
    const { core, socket } = this.topology[id];
    this.inCore[core] += change;
    this.inSocket[socket] += change;
  }
}

/** The pCPUs of each core, memory node or socket, by its number. */
export function groupsBy(topology: Topology, level: 'core' | 'node' | 'socket'): CpuSet[] {
  const groups: CpuSet[] = [];
  for (const place of topology) {
    groups[place[level]] ??= new CpuSet(topology.length);
    groups[place[level]].add(place.id);
  }
  return groups;
}
