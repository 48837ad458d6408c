/**
 * Speed of the interpreter in million guest instructions per second, beside a fixed calibration loop (xorshift32 in
 * plain JavaScript), so that ratios can be compared between machines. Takes the best of several turns: other work on
 * the machine can only slow a turn down.
 */
import { guest, runVm } from '../test/vmm/run-vm.ts';
import { type Bench, type BenchRow, rowsOnly, type Section } from './options.ts';

const ROUNDS = 3;
const CALIBRATION_STEPS = 100_000_000;

const WORKLOADS = [
  'sieve n=1000000 rounds=4',
  'matmul n=128 rounds=4',
  'calls depth=22 rounds=40',
  'chase pages=256 hops=4000000',
  'syscall n=200000',
  'ptemod n=500000',
  'pgfault n=30000',
] as const;

/** The calibration loop. Returns its state so that no compiler can drop it. */
function calibrate(): number {
  let x = 1;
  for (let i = 0; i < CALIBRATION_STEPS; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
  }
  return x;
}

function seconds(action: () => void): number {
  const before = process.hrtime.bigint();
  action();
  return Number(process.hrtime.bigint() - before) / 1e9;
}

function run(): Section {
  const image = guest('nano');
  const best = new Map<string, number>(WORKLOADS.map((name) => [name, 0]));
  let calibration = 0;
  for (let round = 0; round < ROUNDS; round++) {
    calibration = Math.max(calibration, CALIBRATION_STEPS / 1e6 / seconds(calibrate));
    for (const append of WORKLOADS) {
      let instructions = 0;
      const spent = seconds(() => {
        const memoryBytes = 32 * 2 ** 20;
        ({ instructions } = runVm({ image, append, memoryBytes, technique: 'native', paging: 'native', seconds: 60 }));
      });
      best.set(append, Math.max(best.get(append)!, instructions / 1e6 / spent));
    }
  }
  const rows: BenchRow[] = [{ name: 'calibration loop (xorshift32)', value: calibration, unit: 'M steps/s' }];
  for (const [name, mips] of best) {
    rows.push({ name, value: mips, unit: 'M instructions/s' });
    rows.push({ name: '    per calibration step', value: mips / calibration, unit: 'ratio' });
  }
  return rowsOnly(rows);
}

export const bench: Bench = { name: 'interpreter', run };
