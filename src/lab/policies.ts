/**
 * The policies that a scenario names, and the values it gives for their parameters.
 * Invariant: values are checked as the schema checks everything else, so a mistake has its place and the allowed names.
 */
import type { ParamSet, Params } from '../host/params.ts';
import type { SchedulerPolicy } from '../host/scheduler.ts';
import { SCHEDULERS } from './catalog.ts';
import { check } from './explain.ts';
import { isPlainObject, type Path } from './paths.ts';
import { type Finding, finding } from './problems.ts';
import type { World } from './schema.ts';
import { paramsObject } from './schema-parts.ts';
import type { PolicyParams } from './schema-vms.ts';
import { didYouMean } from './suggest.ts';

type SchedulerInput = World['host']['scheduler'];

/** The policy that a scenario means. Undefined: there is none of that name, which the schema has reported. */
export function policyOf(scheduler: SchedulerInput): SchedulerPolicy | undefined {
  const name = typeof scheduler === 'string' ? scheduler : scheduler.policy;
  return SCHEDULERS.find((policy) => policy.name === name);
}

/**
 * Values for a VM or vCPU under one policy. Where values stand by the names of policies, those of the others are set aside.
 * Null: what was written has a mistake, which `checkPolicyParams` reports.
 */
export function paramsFor(policy: SchedulerPolicy, written: PolicyParams | undefined): Params {
  if (written === undefined) return {};
  return isByPolicy(written) ? ((written[policy.name] ?? {}) as Params) : (written as Params);
}

/** Everything wrong with such values; `of` says which of a policy's parameters are meant. */
export function checkPolicyParams(
  policy: SchedulerPolicy,
  of: (policy: SchedulerPolicy) => ParamSet,
  written: PolicyParams,
  path: Path,
): Finding[] {
  if (!isByPolicy(written)) return checkValues(policy, of, written, path);
  return Object.entries(written).flatMap(([name, values]) => {
    const own = name === policy.name ? policy : SCHEDULERS.find((other) => other.name === name);
    if (own !== undefined && isPlainObject(values)) return checkValues(own, of, values, [...path, name]);
    const names = [...new Set([policy.name, ...SCHEDULERS.map((other) => other.name)])];
    const message =
      own === undefined
        ? `no such scheduler, expected one of ${names.join(', ')}.${didYouMean(name, names)}`
        : 'values by the names of schedulers and values of one scheduler do not mix';
    return [{ ...finding([...path, name], message.replace(/\.$/, '')), atKey: true }];
  });
}

function checkValues(
  policy: SchedulerPolicy,
  of: (policy: SchedulerPolicy) => ParamSet,
  written: Readonly<Record<string, unknown>>,
  path: Path,
): Finding[] {
  const { findings } = check(paramsObject(of(policy)), written, path);
  const has = Object.keys(of(policy)).length > 0;
  return findings.map((item) => ({
    ...item,
    message: has ? `${item.message} (${policy.name})` : `scheduler ${policy.name} has no parameters here`,
  }));
}

/** Written as `{rtds: {...}, cfs: {...}}`. */
function isByPolicy(written: PolicyParams): boolean {
  return Object.values(written).some(isPlainObject);
}
