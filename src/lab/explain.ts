/**
 * The findings of the schema in words: what was found, what is allowed, what was probably meant.
 * Invariant: every issue of the schema becomes at least one finding; none mentions the schema library.
 */
import { z } from 'zod';
import type { Path } from './paths.ts';
import { isPlainObject, valueAt } from './paths.ts';
import { type Finding, finding, found } from './problems.ts';
import { didYouMean } from './suggest.ts';
import { parseQuantity, type QuantityKind, quantityHelp } from './units.ts';

type Issue = z.core.$ZodIssue;
type Schema = z.core.$ZodType;

/** Checks `data` against `schema`. The value is undefined exactly when there are findings. */
export function check<S extends z.ZodType>(
  schema: S,
  data: unknown,
  at: Path = [],
): { readonly value?: z.output<S>; readonly findings: readonly Finding[] } {
  const result = schema.safeParse(data);
  if (result.success) return { value: result.data, findings: [] };
  return { findings: result.error.issues.flatMap((issue) => explain(issue, schema, data, at, [])) };
}

/** `issue.path` is relative to `prefix`, which is relative to `data`; `at` is where `data` stands in the document. */
function explain(issue: Issue, schema: Schema, data: unknown, at: Path, prefix: Path): Finding[] {
  const local = [...prefix, ...issue.path.map((part) => (typeof part === 'number' ? part : String(part)))];
  const path = [...at, ...local];
  const value = valueAt(data, local);
  if (issue.code === 'unrecognized_keys') {
    const allowed = keysOf(schemaAt(schema, data, local));
    return issue.keys.map((key) => unknownKey([...path, key], key, allowed));
  }
  if (issue.code === 'invalid_union' && issue.discriminator === undefined) {
    return explainUnion(issue, schema, data, at, local);
  }
  const expected = expectation(issue, schemaAt(schema, data, local));
  if (value === undefined) return [{ path, message: `missing; expected ${expected}`, missing: true }];
  if (issue.code === 'invalid_key') {
    return [{ path, message: `expected ${keyHelp(schemaAt(schema, data, local.slice(0, -1)))}`, atKey: true }];
  }
  const own = schemaAt(schema, data, local);
  const quantity = [own, ...unionForms(own)]
    .map((form) => quantityProblem(form, value))
    .find((text) => text !== undefined);
  if (quantity !== undefined) return [finding(path, `found ${found(value)}, ${quantity}`)];
  const names = typeof value === 'string' ? namesIn(issue) : [];
  return [
    finding(
      path,
      `found ${found(value)}, expected ${expected}.${typeof value === 'string' ? didYouMean(value, names) : ''}`.replace(
        /\.$/,
        '',
      ),
    ),
  ];
}

export function unknownKey(path: Path, key: string, allowed: readonly string[]): Finding {
  const list = allowed.length > 0 ? ` Allowed: ${allowed.join(', ')}` : '';
  return { path, message: `unknown key.${didYouMean(key, allowed)}${list}`.replace(/\.$/, ''), atKey: true };
}

/** Of several forms, explains the one that was meant: the first that got the kind of value right. */
function explainUnion(
  issue: Issue & { code: 'invalid_union' },
  schema: Schema,
  data: unknown,
  at: Path,
  local: Path,
): Finding[] {
  const value = valueAt(data, local);
  const forms = unionForms(schemaAt(schema, data, local));
  const chosen = chosenForm(unionForms(schemaAt(schema, data, local, true)), value);
  const meant =
    chosen >= 0
      ? chosen
      : issue.errors.findIndex((errors) => errors.every((inner) => inner.path.length > 0 || !wrongKind(inner, value)));
  const errors = issue.errors[meant];
  if (value !== undefined && errors !== undefined && isPlainObject(value)) {
    return errors.flatMap((inner) => explain(inner, schema, data, at, local));
  }
  const path = [...at, ...local];
  const quantity = forms.map((form) => quantityProblem(form, value)).find((text) => text !== undefined);
  const names = [...new Set(issue.errors.flatMap((list) => list.flatMap(namesIn)))];
  const expected = anyOf([...new Set([...names, ...forms.flatMap(formInWords)])]);
  const text =
    quantity === undefined || typeof value !== 'string' ? `expected ${expected || 'another kind of value'}` : quantity;
  const hint = typeof value === 'string' ? didYouMean(value, names) : '';
  return [finding(path, `found ${found(value)}, ${text}${hint === '' ? '' : `.${hint}`}`)];
}

/** a, b or c */
function anyOf(items: readonly string[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} or ${items.at(-1)}`;
}

function formInWords(form: Schema): string[] {
  const kind = quantityKind(form);
  if (kind !== undefined) return [quantityHelp(kind)];
  switch (form._zod.def.type) {
    case 'boolean':
      return ['true', 'false'];
    case 'string':
      return ['a text'];
    case 'number':
      return ['a number'];
    case 'object':
    case 'union':
      return ['a mapping'];
    default:
      return [];
  }
}

function wrongKind(issue: Issue, value: unknown): boolean {
  if (issue.code === 'invalid_value') return isPlainObject(value);
  return issue.code === 'invalid_type';
}

/** What was expected, as a noun. */
function expectation(issue: Issue, schema: Schema | undefined): string {
  const kind = schema === undefined ? undefined : quantityKind(schema);
  if (kind !== undefined) return quantityHelp(kind);
  const help = schema === undefined ? undefined : helpOf(schema);
  if (help !== undefined) return help;
  switch (issue.code) {
    case 'invalid_value':
      return oneOf(issue.values.map(String));
    case 'invalid_union':
      return oneOf(discriminators(issue));
    case 'invalid_type':
      return typeInWords(issue.expected, schema);
    case 'too_small':
      return `at least ${issue.minimum}${counted(issue.origin, Number(issue.minimum))}`;
    case 'too_big':
      return `at most ${issue.maximum}${counted(issue.origin, Number(issue.maximum))}`;
    case 'invalid_format':
      return `a text that matches ${'pattern' in issue ? String(issue.pattern) : issue.format}`;
    default:
      return issue.message;
  }
}

function oneOf(names: readonly string[]): string {
  return names.length === 1 ? `${names[0]}` : `one of ${names.join(', ')}`;
}

function counted(origin: string, count: number): string {
  const noun = origin === 'array' ? ' element' : origin === 'string' ? ' character' : undefined;
  return noun === undefined ? '' : count === 1 ? noun : `${noun}s`;
}

function typeInWords(expected: string, schema: Schema | undefined): string {
  const bounds = schema === undefined ? '' : boundsOf(schema);
  switch (expected) {
    case 'int':
    case 'number':
      return `a whole number${bounds}`;
    case 'string':
      return 'a text';
    case 'boolean':
      return 'true or false';
    case 'array':
      return 'a list';
    case 'object':
    case 'record':
      return 'a mapping';
    default:
      return expected;
  }
}

function boundsOf(schema: Schema): string {
  const { minimum, maximum } = schema._zod.bag as { minimum?: number; maximum?: number };
  return minimum === undefined || maximum === undefined ? '' : ` from ${minimum} to ${maximum}`;
}

function namesIn(issue: Issue): string[] {
  if (issue.code === 'invalid_value') return issue.values.map(String);
  if (issue.code === 'invalid_union') return [...discriminators(issue), ...issue.errors.flat().flatMap(namesIn)];
  return [];
}

/** The names that choose between the forms of a union, where one key does. */
function discriminators(issue: Issue & { code: 'invalid_union' }): string[] {
  return ((issue as { options?: readonly unknown[] }).options ?? []).map(String);
}

/** What the keys of a mapping look like. */
function keyHelp(schema: Schema | undefined): string {
  const def = schema?._zod.def as { keyType?: Schema } | undefined;
  return (def?.keyType === undefined ? undefined : helpOf(def.keyType)) ?? 'another kind of name';
}

/** The words that the schema itself has for what it expects. */
function helpOf(schema: Schema): string | undefined {
  const meta = z.globalRegistry.get(unwrap(schema)) ?? z.globalRegistry.get(schema);
  return meta?.['expected'] as string | undefined;
}

function quantityKind(schema: Schema): QuantityKind | undefined {
  const meta = z.globalRegistry.get(unwrap(schema));
  return meta?.['quantity'] as QuantityKind | undefined;
}

function quantityProblem(schema: Schema | undefined, value: unknown): string | undefined {
  const kind = schema === undefined ? undefined : quantityKind(schema);
  if (kind === undefined) return undefined;
  if (typeof value !== 'string') return `expected ${quantityHelp(kind)}`;
  const problem = parseQuantity(kind, value);
  return typeof problem === 'string' ? problem : undefined;
}

/** Removes defaults and the like, down to the schema that says what a value is. */
function unwrap(schema: Schema): Schema {
  const def = schema._zod.def as { innerType?: Schema };
  return def.innerType === undefined ? schema : unwrap(def.innerType);
}

function unionForms(schema: Schema | undefined): readonly Schema[] {
  const def = schema === undefined ? undefined : (unwrap(schema)._zod.def as { options?: readonly Schema[] });
  return (def?.options ?? []).map(unwrap);
}

/** The schema of the value at `path`; in a union, the form that the value there has, or the union itself. */
function schemaAt(schema: Schema, data: unknown, path: Path, asUnion = false): Schema | undefined {
  let here: Schema | undefined = schema;
  for (const [depth, part] of path.entries()) {
    const parent: Schema | undefined = formOf(here, valueAt(data, path.slice(0, depth)));
    const def = parent?._zod.def as SchemaDef | undefined;
    if (def?.shape !== undefined) here = def.shape[String(part)];
    else here = def?.element ?? def?.valueType;
    if (here === undefined) return undefined;
  }
  return asUnion ? here : formOf(here, valueAt(data, path), true);
}

interface SchemaDef {
  readonly shape?: Record<string, Schema>;
  readonly element?: Schema;
  readonly valueType?: Schema;
  readonly options?: readonly Schema[];
  readonly discriminator?: string;
}

function formOf(schema: Schema | undefined, value: unknown, keepUnion = false): Schema | undefined {
  if (schema === undefined) return undefined;
  const plain = unwrap(schema);
  const def = plain._zod.def as SchemaDef;
  if (def.options === undefined || (keepUnion && !isPlainObject(value))) return plain;
  const chosen = chosenForm(def.options, value);
  if (chosen >= 0) return formOf(def.options[chosen], value);
  const fitting = def.options.map(unwrap).find((option) => {
    const shape = (option._zod.def as SchemaDef).shape;
    if (shape === undefined) return (option._zod.def as SchemaDef).options !== undefined;
    if (def.discriminator === undefined) return true;
    const literal = shape[def.discriminator]?._zod.def as { values?: readonly unknown[] } | undefined;
    return isPlainObject(value) && literal?.values?.includes(value[def.discriminator]) === true;
  });
  return fitting === undefined ? plain : formOf(fitting, value);
}

/** The form of a union that is chosen by a key which only it has, and which `value` has; -1 for none. */
function chosenForm(forms: readonly Schema[], value: unknown): number {
  if (!isPlainObject(value)) return -1;
  return forms.findIndex((form) => {
    const key = z.globalRegistry.get(form)?.['chosenBy'];
    return typeof key === 'string' && Object.hasOwn(value, key);
  });
}

function keysOf(schema: Schema | undefined): string[] {
  const def = schema?._zod.def as SchemaDef | undefined;
  return Object.keys(def?.shape ?? {});
}
