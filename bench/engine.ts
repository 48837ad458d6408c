/**
 * Event throughput by the hold model (take the first event, schedule another) against a bare tinyqueue loop with an
 * equivalent comparator and the same delays.
 */
import TinyQueue from 'tinyqueue';
import { Engine } from '../src/core/engine.ts';
import { interleave } from './harness.ts';
import { type Bench, type BenchRow, rowsOnly } from './options.ts';

const HOLDS = 200_000;
const DELAYS = 4096;
/** Times beyond 2^31 ns, as in any run of more than two seconds: small integers would be cheaper for both sides. */
const START_NS = 1_000_000_000_000;

/** The same pseudo-random delays for both sides (a linear congruential generator is enough here). */
function makeDelays(): Int32Array {
  const delays = new Int32Array(DELAYS);
  let state = 12345;
  for (let i = 0; i < DELAYS; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    delays[i] = 1 + (state >>> 12);
  }
  return delays;
}

interface Item {
  time: number;
  seq: number;
  action: () => void;
}

function bareHold(pending: number, delays: Int32Array): () => void {
  let seq = 0;
  let done = 0;
  const action = (): void => {
    done++;
  };
  const queue = new TinyQueue<Item>([], (a, b) => a.time - b.time || a.seq - b.seq);
  for (let i = 0; i < pending; i++) queue.push({ time: START_NS + delays[i % DELAYS], seq: seq++, action });
  return () => {
    for (let i = 0; i < HOLDS; i++) {
      const item = queue.pop()!;
      item.action();
      queue.push({ time: item.time + delays[done % DELAYS], seq: seq++, action });
    }
  };
}

function engineHold(pending: number, delays: Int32Array): () => void {
  const engine = new Engine();
  let done = 0;
  const action = (): void => {
    engine.at(engine.now + delays[done++ % DELAYS], action);
  };
  for (let i = 0; i < pending; i++) engine.at(START_NS + delays[i % DELAYS], action);
  return () => {
    for (let i = 0; i < HOLDS; i++) engine.runNext();
  };
}

export const bench: Bench = {
  name: 'engine: hold model',
  run() {
    const delays = makeDelays();
    const rows: BenchRow[] = [];
    for (const pending of [1_000, 100_000]) {
      const [bare, ours] = interleave([bareHold(pending, delays), engineHold(pending, delays)], 21);
      const label = `${pending} pending`;
      rows.push({ name: `${label}: bare tinyqueue`, value: (HOLDS / bare!) * 1e9, unit: 'events/s' });
      rows.push({ name: `${label}: engine`, value: (HOLDS / ours!) * 1e9, unit: 'events/s' });
      rows.push({ name: `${label}: engine / bare`, value: bare! / ours!, unit: 'ratio' });
    }
    return rowsOnly(rows);
  },
};
