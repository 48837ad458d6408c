/**
 * Schedulers that are files of the user: `host.scheduler: { module: ./mine.js }`.
 * A module exports the description that `definePolicy` takes, or a policy made by it; nothing of hvsim need be imported.
 * Invariant: whatever the file is, the answer is a policy or a UserError that says what is wrong with it.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { UserError } from '../core/errors.ts';
import { definePolicy, type PolicyDescription, type SchedulerPolicy } from '../host/scheduler.ts';
import { isPlainObject } from './paths.ts';

/** Answers the policy of a module, given as it is written in the scenario. @throws UserError */
export type PolicyLoader = (module: string, exportName: string) => SchedulerPolicy;

/** Loads a policy. `shown` is the file as the user wrote it. @throws UserError */
export function loadPolicy(file: string, exportName: string, shown: string): SchedulerPolicy {
  if (!existsSync(file)) throw new UserError(`${shown}: no such file`);
  const found = exportOf(importNow(file, shown), exportName, shown);
  const wrong = (what: string): never => {
    const owner = exportName === 'default' ? 'its default export' : `its export ${exportName}`;
    throw new UserError(`${shown}: ${owner} is not a scheduler: ${what}`);
  };
  if (!isPlainObject(found)) return wrong('expected a mapping with name, summary and make');
  const { name, summary, make, params } = found;
  if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9-]{0,39}$/.test(name)) {
    return wrong('expected a name of lower-case letters, digits and dashes');
  }
  if (typeof summary !== 'string') return wrong('expected a summary, a text');
  if (typeof make !== 'function') return wrong('expected make(host, params), a function');
  for (const reserved of ['policy', 'module', 'export']) {
    if (isPlainObject(params) && Object.hasOwn(params, reserved)) wrong(`a parameter cannot be called ${reserved}`);
  }
  const policy = definePolicy(found as unknown as PolicyDescription);
  return { ...policy, make: (host, values) => policyObject(() => policy.make(host, values), shown) };
}

/** What `make` answered, if that can be a scheduler. */
function policyObject(make: () => ReturnType<SchedulerPolicy['make']>, shown: string): ReturnType<typeof make> {
  const scheduler = attempt(make, `${shown}: make failed`);
  for (const method of ['wake', 'sleep', 'pick'] as const) {
    if (typeof scheduler?.[method] !== 'function')
      throw new UserError(`${shown}: make answered nothing with ${method}()`);
  }
  return scheduler;
}

function exportOf(module: unknown, name: string, shown: string): unknown {
  const names = Object.keys(module as object).filter((key) => !key.startsWith('__'));
  if (names.includes(name)) return (module as Record<string, unknown>)[name];
  const has = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`;
  throw new UserError(`${shown}: has no export ${name}; ${has}`);
}

/** Loads a module within this call. TypeScript needs a loader: the one in force (Node's own or tsx), or tsx if it is installed. */
function importNow(file: string, shown: string): unknown {
  const require = createRequire(import.meta.url);
  if (!/\.[cm]?ts$/.test(file) || nodeLoadsTypeScript()) return attempt(() => require(file), shown);
  let tsx: { require(file: string, parent: string): unknown };
  try {
    tsx = require('tsx/cjs/api') as typeof tsx;
  } catch {
    throw new UserError(
      `${shown}: TypeScript needs Node 22.18 or the package tsx (npm install tsx); or compile it to .js`,
    );
  }
  return attempt(() => tsx.require(file, import.meta.url), shown);
}

function attempt<T>(action: () => T, what: string): T {
  try {
    return action();
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(`${what}: ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`);
  }
}

/** From Node 22.18 on. */
function nodeLoadsTypeScript(): boolean {
  return 'typescript' in process.features && process.features.typescript !== false;
}
