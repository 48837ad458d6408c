/** hvsim boot: one multiboot kernel on one vCPU, its console on stdout, a short ledger on stderr. */
import { UserError } from '../core/errors.ts';

export interface BootOptions {
  readonly technique: string;
  readonly paging: string;
  readonly memory: string;
  readonly append: string;
  readonly preset: string;
  readonly maxSeconds: string;
  readonly screen?: boolean;
}

export function bootCommand(guest: string, _options: BootOptions): number {
  throw new UserError(`${guest}: cannot be booted yet`);
}
