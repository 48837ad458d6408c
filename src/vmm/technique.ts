/**
 * What a virtualization technique is: it configures the CPU for entry and answers exits, and charges every cycle that
 * it spends through the machine's cost table. It never reads the scheduler.
 *
 * Order of calls on an Executor: dispatched -> ( prepare -> [CPU runs] -> handle )*
 */
import type { Cycles, Ns } from '../core/units.ts';
import type { Cpu } from '../machine/cpu.ts';
import type { Mmu } from '../machine/mmu.ts';
import type { ExecutedVcpu } from './vcpu.ts';

/** Names of the techniques, as in scenarios. */
export const TECHNIQUE_NAMES = [
  'native',
  'trap-and-emulate',
  'hardware-assisted',
  'binary-translation',
  'paravirtual',
] as const;
export type TechniqueName = (typeof TECHNIQUE_NAMES)[number];

/** Who owns the page tables that the MMU walks: the guest, shadow tables, guest and nested tables, or checked guest tables. */
export const PAGING_NAMES = ['native', 'shadow', 'nested', 'direct'] as const;
export type PagingName = (typeof PAGING_NAMES)[number];

/** No reason to come back before the dispatcher's budget ends. Fits the CPU's 32-bit countdown. */
export const BUDGET_UNLIMITED: Cycles = 2 ** 30;

/** What the vCPU does after an exit was answered. 'resume' enters the guest again; the others leave Runnable.run. */
export type Disposition = 'resume' | 'block' | 'yield' | 'end';

/** What prepare() found. 'emulated': the VMM carried an instruction out by itself; ask again instead of entering. */
export type Preparation = Disposition | 'emulated';

/** One vCPU under one technique. */
export interface Executor {
  /** The CPU that really executes. */
  readonly cpu: Cpu;
  /** Cycles to run at most before prepare() must be asked again; 1 = one instruction. */
  readonly budgetMax: Cycles;
  /** The guest was put on a pCPU: set up its MMU. Must not spend cycles. */
  dispatched(mmu: Mmu): void;
  /** The guest was taken off its pCPU at this time. Must not spend cycles. */
  descheduled?(now: Ns): void;
  /** Before each entry: deliver what is pending. `wasRunning`: the guest was interrupted, it did not exit by itself. */
  prepare(wasRunning: boolean): Preparation;
  /** The guest CPU waited after INIT and got a start-up message: it begins in real mode at vector * 4096. */
  start(vector: number): void;
  /** Answers an EXIT_* code other than EXIT_BUDGET. */
  handle(exit: number): Disposition;
  /** The guest's view of its registers, up to date. */
  guestView(): Cpu;
  /** Guest instructions retired, emulated ones included. */
  readonly instructions: number;
  /** What runs is code of a translation cache: its time goes to an account of its own. */
  readonly isTranslated?: boolean;
}

/** A technique: a plug-in. */
export interface Technique {
  readonly name: TechniqueName;
  /** One line for `hvsim list techniques`. */
  readonly summary: string;
  /** Paging modes that it can run with; the first is the default. */
  readonly pagings: readonly PagingName[];
  /** @throws UserError when the machine cannot do it */
  make(vcpu: ExecutedVcpu): Executor;
}
