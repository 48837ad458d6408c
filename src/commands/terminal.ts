/**
 * What commands write to: results to stdout, everything for people (progress, warnings, errors) to stderr.
 * Invariant: a reader that goes away (`hvsim list | head -1`) ends the program quietly.
 */

export function print(line: string): void {
  write('stdout', `${line}\n`);
}

export function note(line: string): void {
  write('stderr', `${line}\n`);
}

/** Writes some text as it is. */
export function write(name: 'stdout' | 'stderr', text: string): void {
  tolerant(name).write(text);
}

/** A stream that ends the program quietly when the other end of a pipe was closed. Node makes it when it is first used. */
export function tolerant(name: 'stdout' | 'stderr'): NodeJS.WriteStream {
  const stream = process[name];
  if (!stream.listeners('error').includes(onError)) stream.on('error', onError);
  return stream;
}

function onError(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
  throw error;
}
