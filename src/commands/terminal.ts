/**
 * What commands write to: results to stdout, everything for people (progress, warnings, errors) to stderr.
 * Invariant: a reader that goes away (`hvsim list | head -1`) ends the program quietly.
 */

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function note(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Ends quietly when the other end of a pipe was closed. */
export function toleratePipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
      throw error;
    });
  }
}
