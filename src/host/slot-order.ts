/**
 * Which pCPU is the next to need attention: a tournament tree over all of them.
 * Invariant: the winner has the smallest key; among equal keys the lowest id. One update costs log2 of the number of pCPUs.
 */

export class SlotOrder {
  /** Keys of the pCPUs at `leaves` and behind; in front of them the smaller of each pair. */
  private readonly keys: Float64Array;
  /** The pCPU that each key is of. */
  private readonly ids: Int32Array;
  private readonly leaves: number;

  constructor(size: number) {
    let leaves = 1;
    while (leaves < size) leaves *= 2;
    this.leaves = leaves;
    this.keys = new Float64Array(2 * this.leaves).fill(Infinity);
    this.ids = new Int32Array(2 * this.leaves);
    for (let id = 0; id < this.leaves; id++) this.ids[this.leaves + id] = id;
    for (let at = this.leaves - 1; at >= 1; at--) this.ids[at] = this.ids[2 * at];
  }

  /** Smallest key; Infinity when nobody needs attention. */
  get key(): number {
    return this.keys[1];
  }

  /** The pCPU that has it. */
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
