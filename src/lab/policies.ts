/**
 * The policies that a scenario names, and the values it gives for their parameters.
 * Invariant: values are checked as the schema checks everything else, so a mistake has its place and the allowed names.
 */
import { UserError } from '../core/errors.ts';
import type { ParamSet, Params } from '../host/params.ts';
import type { SchedulerPolicy } from '../host/scheduler.ts';
import { SCHEDULERS } from './catalog.ts';
import { check } from './explain.ts';
import type { PolicyLoader } from './own-policy.ts';
import { isPlainObject, type Path } from './paths.ts';
import { type Finding, finding } from './problems.ts';
import { isOwn, type OwnScheduler, type Scheduler } from './schema.ts';
import { paramsObject } from './schema-parts.ts';
import type { PolicyParams } from './schema-vms.ts';
import { didYouMean } from './suggest.ts';

/** The policy that a scenario means. Undefined: there is none, which has been reported. */
export function policyOf(scheduler: Scheduler, load: PolicyLoader): SchedulerPolicy | undefined {
  if (!isOwn(scheduler)) {
    const name = typeof scheduler === 'string' ? scheduler : scheduler.policy;
    return SCHEDULERS.find((policy) => policy.name === name);
  }
  try {
    return load(scheduler.module, scheduler.export);
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

/** A scheduler of the user with its defaults filled in, and what is wrong with it. */
export function completeOwn(
  scheduler: OwnScheduler,
  load: PolicyLoader,
  at: Path,
): { readonly scheduler: OwnScheduler; readonly findings: readonly Finding[] } {
  const { module, export: exportName, sha256, ...written } = scheduler;
  try {
    const { params } = load(module, exportName, sha256);
    const { value, findings } = check(paramsObject(params), written, at);
    const hash = sha256 === undefined ? {} : { sha256 };
    return { scheduler: { module, export: exportName, ...hash, ...value }, findings };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { scheduler, findings: [finding([...at, 'module'], error.message)] };
  }
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
  return findings.map((item) => {
    const elsewhere = placeOfParam(policy, of(policy), String(item.path.at(-1)));
    const message = has ? `${item.message} (${policy.name})` : `scheduler ${policy.name} has no parameters here`;
    return { ...item, message: elsewhere === null ? message : `${message}; it stands under ${elsewhere}` };
  });
}

/** Where else a policy has a parameter of that name: the host, VMs and vCPUs have parameters of their own. */
function placeOfParam({ params, vmParams, vcpuParams }: SchedulerPolicy, here: ParamSet, name: string): string | null {
  if (Object.hasOwn(here, name)) return null;
  if (Object.hasOwn(vmParams, name)) return 'scheduling';
  if (Object.hasOwn(vcpuParams, name)) return 'vcpu_scheduling';
  return Object.hasOwn(params, name) ? 'host.scheduler' : null;
}

/** Written as `{rtds: {...}, cfs: {...}}`. */
function isByPolicy(written: PolicyParams): boolean {
  return Object.values(written).some(isPlainObject);
}
