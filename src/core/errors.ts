/**
 * The kinds of failure, never mixed and never silent.
 *   the user's mistake   UserError (ScenarioError adds places): exit code 2, message without a stack trace
 *   the guest's fault    not an exception at all: it is delivered to the guest, or ends its VM with an outcome
 *   our bug              assert / Bug: always on, exit code 70 with a stack trace
 */

/** The user asked for something that cannot be done. The message names what was found and what is allowed. */
export class UserError extends Error {
  override readonly name: string = 'UserError';
}

/** A defect of hvsim itself. Never caught except to be reported. */
export class Bug extends Error {
  override readonly name = 'Bug';
}

/** Fails loudly when an invariant of ours does not hold. Stays on in every build. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Bug(message);
}

/** For the default branch of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new Bug(`unhandled case ${JSON.stringify(value)}`);
}
