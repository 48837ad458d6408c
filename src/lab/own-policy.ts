/**
 * Schedulers that are files of the user: `host.scheduler: { module: ./mine.js }`.
 * A module exports the description that `definePolicy` takes, or a policy made by it; nothing of hvsim need be imported.
 * Invariant: whatever the file is, the answer is a policy or a UserError that says what is wrong with it; where the scenario
 * has the hash of a file, no other text is loaded.
 */
import { readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { UserError } from '../core/errors.ts';
import { newHash } from '../core/hash.ts';
import { paramFaults } from '../host/params.ts';
import { BASES, definePolicy, type PolicyDescription, type SchedulerPolicy } from '../host/scheduler.ts';
import { guarded } from './own-guard.ts';
import { isPlainObject } from './paths.ts';
import { didYouMean } from './suggest.ts';

/** What a description may have. */
const KEYS = ['name', 'summary', 'origin', 'basis', 'traits', 'params', 'vmParams', 'vcpuParams', 'make'] as const;
const TRAITS = ['workConserving', 'weights', 'caps'] as const;

/** Answers the policy of a module, given as it is written in the scenario. @throws UserError */
export type PolicyLoader = (module: string, exportName: string, sha256?: string) => SchedulerPolicy;

/** The SHA-256 of a file, in hexadecimal. */
export function sha256Of(file: string): string {
  return newHash('sha256').update(readFileSync(file)).digest('hex');
}

/**
 * Loads a policy. `shown` is the file as the user wrote it.
 * @param sha256 of the text that it must be, if that is known
 * @throws UserError
 */
export function loadPolicy(file: string, exportName: string, shown: string, sha256?: string): SchedulerPolicy {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined) throw new UserError(`${shown}: no such file`);
  if (!stat.isFile()) throw new UserError(`${shown}: not a file`);
  if (sha256 !== undefined && sha256Of(file) !== sha256) {
    throw new UserError(
      `${shown}: its SHA-256 is ${sha256Of(file)}, not that of the scenario; if the change is meant, leave sha256 out`,
    );
  }
  const found = exportOf(importNow(file, shown), exportName, shown);
  const fault = faultOf(found);
  if (fault !== null) {
    const owner = exportName === 'default' ? 'its default export' : `its export ${exportName}`;
    throw new UserError(`${shown}: ${owner} is not a scheduler: ${fault}`);
  }
  const description = found as PolicyDescription;
  // Once per run, with the parameters checked; a policy made by `definePolicy` checks them itself.
  const policy = definePolicy(description);
  const make: SchedulerPolicy['make'] = (host, values) => guarded((asked) => policy.make(asked, values), host);
  return { ...policy, make };
}

/** What is wrong with the description of a scheduler; null: nothing. */
function faultOf(found: unknown): string | null {
  if (!isPlainObject(found)) return 'expected a mapping with name, summary and make';
  const { name, summary, make, basis, traits } = found;
  if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9-]{0,39}$/.test(name)) {
    return 'expected a name of lower-case letters, digits and dashes';
  }
  if (typeof summary !== 'string') return 'expected a summary, a text';
  if (typeof make !== 'function') return 'expected make(host, params), a function';
  const odd = Object.keys(found).find((key) => !KEYS.some((known) => known === key));
  if (odd !== undefined) return `unknown key ${odd}; allowed: ${KEYS.join(', ')}.${didYouMean(odd, KEYS)}`;
  if (basis !== undefined && !BASES.some((known) => known === basis)) return `expected a basis of ${BASES.join(', ')}`;
  const sets = (['params', 'vmParams', 'vcpuParams'] as const).flatMap((set) => paramFaults(set, found[set]));
  return sets[0] ?? traitsFault(traits) ?? reservedFault(found['params']);
}

function reservedFault(params: unknown): string | null {
  const reserved = ['policy', 'module', 'export', 'sha256'].find(
    (key) => isPlainObject(params) && Object.hasOwn(params, key),
  );
  return reserved === undefined ? null : `a parameter cannot be called ${reserved}`;
}

function traitsFault(traits: unknown): string | null {
  if (traits === undefined) return null;
  if (!isPlainObject(traits)) return `expected traits, a mapping with ${TRAITS.join(', ')}`;
  const odd = Object.keys(traits).find((key) => !TRAITS.some((known) => known === key));
  if (odd !== undefined) return `unknown trait ${odd}; allowed: ${TRAITS.join(', ')}`;
  const { workConserving = true, weights = null, caps = null } = traits;
  if (typeof workConserving !== 'boolean') return 'expected traits.workConserving, true or false';
  for (const [key, value] of Object.entries({ weights, caps })) {
    if (value !== null && !isPlainObject(value)) {
      return `expected traits.${key}: null, or the parameters under which it keeps that promise, such as {}`;
    }
  }
  return null;
}

function exportOf(module: unknown, name: string, shown: string): unknown {
  const names = Object.keys(module as object).filter((key) => !key.startsWith('__'));
  if (names.includes(name)) return (module as Record<string, unknown>)[name];
  // CommonJS: `module.exports = {...}`.
  if (name === 'default' && names.includes('make')) return module;
  const has = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`;
  throw new UserError(`${shown}: has no export ${name}; ${has}`);
}

/** Loads a module within this call. TypeScript needs a loader: the one in force (Node's own or tsx), or tsx if it is installed. */
function importNow(file: string, shown: string): unknown {
  const require = createRequire(import.meta.url);
  if (!/\.[cm]?ts$/.test(file) || nodeLoadsTypeScript()) return attempt(() => require(file), shown, file);
  let tsx: { require(file: string, parent: string): unknown };
  try {
    tsx = require('tsx/cjs/api') as typeof tsx;
  } catch {
    throw new UserError(
      `${shown}: TypeScript needs Node 22.18 or the package tsx (npm install tsx); or compile it to .js`,
    );
  }
  return attempt(() => tsx.require(file, import.meta.url), shown, file);
}

function attempt<T>(action: () => T, what: string, file: string): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof UserError) throw error;
    if (!(error instanceof Error)) throw new UserError(`${what}: it threw ${String(error)}`);
    throw new UserError(
      `${what}: ${error.name}: ${error.message.split('\n')[0]}${lineIn(error, file) || syntaxLine(error, file)}`,
    );
  }
}

/** Where in that file an error came up, if it did: ` (line 12)`. */
export function lineIn(error: Error, file: string): string {
  const line = error.stack?.split('\n').find((entry) => entry.includes(file));
  // A syntax error begins with `file:12`, a call in the stack ends with `file:12:34)`.
  const number = line === undefined ? undefined : /:(\d+)(?::\d+\)?)?$/.exec(line)?.[1];
  return number === undefined ? '' : ` (line ${number})`;
}

/** Node keeps the line of a syntax error in a module to itself, unless asked for nothing else. */
function syntaxLine(error: Error, file: string): string {
  if (!(error instanceof SyntaxError) || !/\.m?js$/.test(file)) return '';
  const { spawnSync } = createRequire(import.meta.url)('node:child_process') as typeof import('node:child_process');
  const check = spawnSync(process.execPath, ['--input-type=module', '--check'], { input: readFileSync(file) });
  const line = /^\[stdin\]:(\d+)$/m.exec(check.stderr.toString())?.[1];
  return line === undefined ? '' : ` (line ${line})`;
}

/** From Node 22.18 on. */
function nodeLoadsTypeScript(): boolean {
  return 'typescript' in process.features && process.features.typescript !== false;
}
