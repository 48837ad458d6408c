/**
 * Who is next: a tournament tree over small integer ids with a key each, Infinity for those that are not wanted.
 * It tells which pCPU is the next to need attention, and which timer the next to fire.
 * Invariant: the winner has the smallest key; among equal keys the lowest id. One update costs log2 of the number of ids
 * at most; it ends where nothing changes further up.
 */

export class Tournament {
  /** Keys of the ids at `leaves` and behind; in front of them the smaller of each pair. */
  private keys!: Float64Array;
  /** The id that each key is of. */
  private ids!: Int32Array;
  private leaves = 0;

  /** With the ids below `size`, all of them with the key Infinity. */
  constructor(size: number) {
    this.grow(size);
  }

  /** Ids are below this. */
  get size(): number {
    return this.leaves;
  }

  /** Makes room for all ids below `size`. */
  grow(size: number): void {
    const old = { keys: this.keys, leaves: this.leaves };
    let { leaves } = this;
    if (leaves === 0) leaves = 1;
    while (leaves < size) leaves *= 2;
    this.leaves = leaves;
    this.keys = new Float64Array(2 * leaves).fill(Infinity);
    this.ids = new Int32Array(2 * leaves);
    for (let id = 0; id < leaves; id++) this.ids[leaves + id] = id;
    for (let at = leaves - 1; at >= 1; at--) this.ids[at] = this.ids[2 * at];
    for (let id = 0; id < old.leaves; id++) this.set(id, old.keys[old.leaves + id]);
  }

  /** Smallest key; Infinity when nobody is wanted. */
  get key(): number {
    return this.keys[1];
  }

  /** The id that has it. */
  get id(): number {
    return this.ids[1];
  }

  set(id: number, key: number): void {
    const { keys, ids } = this;
    let at = this.leaves + id;
    if (keys[at] === key) return;
    keys[at] = key;
    for (at >>= 1; at >= 1; at >>= 1) {
      const left = 2 * at;
      const winner = keys[left] <= keys[left + 1] ? left : left + 1;
      // Nothing further up changes when the same one wins with the same key.
      if (keys[at] === keys[winner] && ids[at] === ids[winner]) return;
      keys[at] = keys[winner];
      ids[at] = ids[winner];
    }
  }
}
