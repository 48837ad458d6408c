/**
 * What the schemas of scenarios are put together from: quantities, names, and the parameters of policies and demands.
 * Invariant: as in schema.ts, parsing only fills defaults and normalises spelling.
 */
import { z } from 'zod';
import type { Param, ParamSet } from '../host/params.ts';
import { formatQuantity, parseQuantity, type QuantityKind, quantityPattern } from './units.ts';

export const NAME_PATTERN = /^[a-z0-9][a-z0-9-]{0,39}$/;
/** Axis names become columns of the results, so they look like columns. */
export const AXIS_PATTERN = /^[a-z][a-z0-9_]{0,39}$/;

/** A text with a unit. */
export function quantity(kind: QuantityKind) {
  return z
    .string()
    .regex(new RegExp(quantityPattern(kind)), { abort: true })
    .refine((text) => typeof parseQuantity(kind, text) === 'number')
    .overwrite((text) => {
      const value = parseQuantity(kind, text);
      return typeof value === 'number' ? formatQuantity(kind, value) : text;
    })
    .meta({ quantity: kind });
}

/** A cost: a whole number of cycles, or a duration. */
export function cost() {
  return z.union([z.int().min(0).max(1_000_000_000), quantity('duration')]);
}

/** A name, with what a message says when it is not one. */
export function nameOf(pattern: RegExp, expected: string) {
  return z.string().regex(pattern).meta({ expected });
}

export const DASHED = 'a name of lower-case letters, digits and dashes';
export const SNAKE = 'a name of lower-case letters, digits and underscores';

/** One of some names. */
export function enumOf(names: readonly string[]) {
  return z.enum(names as [string, ...string[]]);
}

/** The schema of one parameter of a policy or demand. */
export function paramSchema(param: Param): z.ZodType {
  switch (param.kind) {
    case 'flag': {
      const value = param.default === undefined ? z.boolean().optional() : z.boolean().default(param.default);
      return value.describe(param.meaning);
    }
    case 'choice': {
      const value = enumOf(param.of);
      return (param.default === undefined ? value.optional() : value.default(param.default)).describe(param.meaning);
    }
    case 'text': {
      const value = nameOf(param.pattern, param.form);
      return (param.default === undefined ? value.optional() : value.default(param.default)).describe(param.meaning);
    }
    case 'integer': {
      const least = z.int().min(param.min);
      const range = param.max === undefined ? least : least.max(param.max);
      const value = param.also === undefined ? range : z.union([z.literal(param.also), range]);
      const whole = param.default === undefined ? value.optional() : value.default(param.default);
      return whole.describe(param.meaning);
    }
  }
}

/** Values of a set of parameters, by name; other names are errors. */
export function paramsObject(params: ParamSet) {
  return z.strictObject(
    Object.fromEntries(Object.entries(params).map(([key, param]) => [key, paramSchema(param)] as const)),
  );
}
