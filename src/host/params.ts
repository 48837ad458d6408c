/**
 * Parameters of policies and demands, as plain data: what a value may be, what it is by default, what it means. The schema
 * of scenarios and the lists for people are made from these descriptions.
 * Invariants: values that `parseParams` answers lie in their ranges, and no other names are among them; nothing here needs
 * a schema library, so a world can be built without loading one.
 */
import { UserError } from '../core/errors.ts';

export type ParamValue = number | boolean | string;
/** Values of a policy's own parameters, by name. */
export type Params = Readonly<Record<string, ParamValue>>;

/** One parameter. The unit is the last word of its name. */
export type Param =
  /** A whole number from `min` to `max`, or `also`. Without a default it may be left out. */
  | {
      readonly kind: 'integer';
      readonly min: number;
      readonly max?: number;
      readonly also?: number;
      readonly default?: number;
      readonly meaning: string;
    }
  | { readonly kind: 'flag'; readonly default?: boolean; readonly meaning: string }
  | { readonly kind: 'choice'; readonly of: readonly string[]; readonly default?: string; readonly meaning: string }
  /** A text of a form of its own; `form` completes `expected ...`. What it means is up to the policy. */
  | {
      readonly kind: 'text';
      readonly pattern: RegExp;
      readonly form: string;
      readonly default?: string;
      readonly meaning: string;
    };

/** Parameters by name, in the order that people see. */
export type ParamSet = Readonly<Record<string, Param>>;

type ValueOf<P extends Param> = P extends { readonly kind: 'integer' }
  ? P extends { readonly default: number }
    ? number
    : number | undefined
  : P extends { readonly kind: 'choice' }
    ? P['of'][number]
    : P extends { readonly kind: 'text' }
      ? P extends { readonly default: string }
        ? string
        : string | undefined
      : boolean;

/** What a checked set of values looks like. */
export type ValuesOf<S extends ParamSet> = { readonly [name in keyof S]: ValueOf<S[name]> };

/** Nothing to set. */
export const NO_PARAMS = {} as const satisfies ParamSet;

/** Fills in defaults, or throws a UserError with one line per fault. */
export function parseParams<S extends ParamSet>(owner: string, set: S, values: Params): ValuesOf<S> {
  const known = Object.keys(set);
  const faults = known.flatMap((name) => {
    const value = values[name];
    const param = set[name]!;
    return value === undefined || allows(param, value) ? [] : [`${name}: found ${shown(value)}, ${expected(param)}`];
  });
  for (const name of Object.keys(values)) if (!Object.hasOwn(set, name)) faults.push(`${name}: unknown parameter`);
  if (faults.length > 0) {
    const lines = faults.map((fault) => `${owner}: ${fault}`).join('\n');
    throw new UserError(`${lines}\nparameters of ${owner}: ${known.length === 0 ? 'none' : known.join(', ')}`);
  }
  const entries = known.map((name) => [name, values[name] ?? set[name]!.default] as const);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined)) as ValuesOf<S>;
}

function allows(param: Param, value: unknown): boolean {
  switch (param.kind) {
    case 'flag':
      return typeof value === 'boolean';
    case 'choice':
      return param.of.some((name) => name === value);
    case 'text':
      return typeof value === 'string' && param.pattern.test(value);
    case 'integer': {
      if (!Number.isSafeInteger(value)) return false;
      const number = value as number;
      return number === param.also || (number >= param.min && number <= (param.max ?? Number.MAX_SAFE_INTEGER));
    }
  }
}

function expected(param: Param): string {
  return `expected ${rangeText(param)}`;
}

/** What a value may be, in words. */
export function rangeText(param: Param): string {
  switch (param.kind) {
    case 'flag':
      return 'true or false';
    case 'choice':
      return `one of ${param.of.join(', ')}`;
    case 'text':
      return param.form;
    case 'integer': {
      const range = param.max === undefined ? `from ${param.min}` : `from ${param.min} to ${param.max}`;
      return `a whole number ${range}${param.also === undefined ? '' : `, or ${param.also}`}`;
    }
  }
}

function shown(value: unknown): string {
  return typeof value === 'string' ? `"${value}"` : String(value);
}

/** What is wrong with a description of parameters, which may be anything: a line per fault. `owner` is its name. */
export function paramFaults(owner: string, set: unknown): string[] {
  if (set === undefined) return [];
  if (typeof set !== 'object' || set === null || Array.isArray(set)) return [`${owner}: expected a mapping by name`];
  return Object.entries(set).flatMap(([name, param]) => {
    const fault = paramFault(name, param);
    return fault === null ? [] : [`${owner}.${name}: ${fault}`];
  });
}

function paramFault(name: string, param: unknown): string | null {
  if (!/^[a-z][a-z0-9_]{0,39}$/.test(name)) return 'expected a name of lower-case letters, digits and underscores';
  if (typeof param !== 'object' || param === null) return "expected a mapping such as { kind: 'flag', meaning: '...' }";
  const {
    kind,
    min,
    max,
    also,
    of,
    pattern,
    form,
    meaning,
    default: usual,
  } = param as Readonly<Record<string, unknown>>;
  const whole = (value: unknown): boolean => value === undefined || Number.isSafeInteger(value);
  if (kind !== 'integer' && kind !== 'flag' && kind !== 'choice' && kind !== 'text') {
    return 'expected a kind of integer, flag, choice, text';
  }
  if (typeof meaning !== 'string') return 'expected a meaning, a text';
  if (kind === 'integer' && (!Number.isSafeInteger(min) || !whole(max) || !whole(also))) {
    return 'expected whole numbers: min, and max and also if there are any';
  }
  if (kind === 'choice' && !(Array.isArray(of) && of.length > 0 && of.every((one) => typeof one === 'string'))) {
    return 'expected of: a list of texts';
  }
  if (kind === 'text' && !(pattern instanceof RegExp && typeof form === 'string')) {
    return 'expected pattern, a regular expression, form, what a text looks like';
  }
  const checked = param as Param;
  if (usual === undefined || allows(checked, usual)) return null;
  return `a default of ${shown(usual as ParamValue)}, ${expected(checked)}`;
}
