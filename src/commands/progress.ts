/**
 * How far the runs of a scenario are: a bar on a terminal, a line now and then elsewhere.
 * Invariant: it writes to stderr only, and nothing of it enters the results.
 */
import cliProgress from 'cli-progress';
import { note, tolerant } from './terminal.ts';

/** Lines that are written at most when there is no terminal. */
const LINES_MAX = 10;

export class Progress {
  private readonly name: string;
  private readonly quiet: boolean;
  private bar: cliProgress.SingleBar | null = null;
  private total = 0;
  private count = 0;

  constructor(name: string, quiet: boolean) {
    this.name = name;
    this.quiet = quiet;
  }

  start(total: number): void {
    this.total = total;
    if (this.quiet) return;
    if (!process.stderr.isTTY) {
      note(`${this.name}: ${total} run${total === 1 ? '' : 's'}`);
      return;
    }
    const format = `${this.name} {bar} {value}/{total} runs, {duration_formatted}`;
    // The cursor stays, so that Ctrl-C may end the process at once and needs no handler of ours.
    const options = { format, hideCursor: false, stream: tolerant('stderr'), barsize: 30, gracefulExit: false };
    this.bar = new cliProgress.SingleBar(options, cliProgress.Presets.shades_classic);
    this.bar.start(total, 0);
  }

  done(): void {
    this.count++;
    if (this.quiet) return;
    if (this.bar !== null) this.bar.increment();
    else if (this.count % Math.ceil(this.total / LINES_MAX) === 0 || this.count === this.total) {
      note(`${this.name}: ${this.count} of ${this.total} runs done`);
    }
  }

  stop(): void {
    this.bar?.stop();
  }
}
