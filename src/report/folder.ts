/**
 * A folder of results, written whole or not at all.
 * Files are made in a hidden folder inside and moved into place by `commit`; if anything fails before that, what was
 * there stays as it was.
 * Invariant: after `commit`, the folder holds what was added, and no older file of the kinds that hvsim writes.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { UserError } from '../core/errors.ts';
import { ioReason } from '../lab/source.ts';

const PARTIAL = '.partial';
/** What hvsim writes into a folder of results: only these are ever removed. */
const OURS =
  /^(?:[a-z]+(?:-[a-z]+)*\.csv|scenario\.yaml|report\.html|timeline\.(?:json|ftrace)|charts\/[a-z0-9-]+\.(?:vl\.json|svg|png)|guests\/[^/]+)$/;

/** Is it the name of a file that hvsim writes into a folder of results? */
export function isResultFile(name: string): boolean {
  return OURS.test(name);
}

export class ResultFolder {
  readonly path: string;
  private readonly names: string[] = [];

  constructor(path: string) {
    this.path = path;
    this.attempt(() => {
      if (existsSync(path) && !statSync(path).isDirectory()) throw new UserError(`${path}: is not a directory`);
      rmSync(join(path, PARTIAL), { recursive: true, force: true });
      makeFolder(join(path, PARTIAL));
    });
  }

  /** Adds a file under a name such as `charts/exits.svg`. */
  add(name: string, content: string | Uint8Array): void {
    this.attempt(() => writeFileSync(this.reserve(name), content));
  }

  /** Adds a file that `write` makes at the path it is given. */
  async addWith(name: string, write: (file: string) => Promise<void>): Promise<void> {
    try {
      await write(this.reserve(name));
    } catch (error) {
      throw this.failure(error);
    }
  }

  /** Moves everything into place. With `replace`, older files of ours that were not added again are removed. */
  commit(replace: boolean): void {
    this.attempt(() => {
      for (const name of this.names) {
        makeFolder(dirname(join(this.path, name)));
        renameSync(join(this.path, PARTIAL, name), join(this.path, name));
      }
      rmSync(join(this.path, PARTIAL), { recursive: true, force: true });
      if (replace) this.removeStale();
    });
  }

  /** Forgets everything that was added. */
  discard(): void {
    rmSync(join(this.path, PARTIAL), { recursive: true, force: true });
  }

  private reserve(name: string): string {
    const file = join(this.path, PARTIAL, name);
    makeFolder(dirname(file));
    this.names.push(name);
    return file;
  }

  private removeStale(): void {
    const present = filesOf(this.path);
    for (const name of present) {
      if (OURS.test(name) && !this.names.includes(name)) rmSync(join(this.path, name));
    }
  }

  private attempt(action: () => void): void {
    try {
      action();
    } catch (error) {
      throw this.failure(error);
    }
  }

  private failure(error: unknown): Error {
    if (error instanceof UserError || !(error instanceof Error) || !('code' in error)) return error as Error;
    return new UserError(`${this.path}: cannot write results: ${ioReason(error)}`);
  }
}

/** Makes a folder and those above it, step by step: the recursive mkdir of Node.js never returns below /proc. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  mkdirSync(path);
}

/** Relative names of all files below a folder, sorted, with forward slashes. */
export function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(folder, '/').length).replaceAll('\\', '/'))
    .sort((a, b) => (a < b ? -1 : 1));
}
