/**
 * How far the runs of a scenario are: a bar on a terminal, a line now and then elsewhere.
 * Invariant: it writes to stderr only, and nothing of it enters the results.
 */
import type { RunRecord } from '../lab/rows.ts';
import { note } from './terminal.ts';

export interface Progress {
  done(record: RunRecord): void;
  stop(): void;
}

/** Lines that are written at most when there is no terminal. */
const LINES_MAX = 10;

const SILENT: Progress = { done: () => {}, stop: () => {} };

export async function startProgress(name: string, total: number, quiet: boolean): Promise<Progress> {
  if (quiet) return SILENT;
  return process.stderr.isTTY ? bar(name, total) : lines(name, total);
}

async function bar(name: string, total: number): Promise<Progress> {
  const { default: cliProgress } = await import('cli-progress');
  const format = `${name} {bar} {value}/{total} runs, {duration_formatted}`;
  const options = { format, hideCursor: true, stream: process.stderr, barsize: 30, gracefulExit: true };
  const drawn = new cliProgress.SingleBar(options, cliProgress.Presets.shades_classic);
  drawn.start(total, 0);
  return { done: () => drawn.increment(), stop: () => drawn.stop() };
}

function lines(name: string, total: number): Progress {
  const step = Math.ceil(total / LINES_MAX);
  let count = 0;
  note(`${name}: ${total} runs`);
  return {
    done: () => {
      count++;
      if (count % step === 0 || count === total) note(`${name}: ${count} of ${total} runs done`);
    },
    stop: () => {},
  };
}
