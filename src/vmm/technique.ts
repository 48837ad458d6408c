/**
 * What a virtualization technique is: it configures the CPU for entry and answers exits, and charges every cycle that
 * it spends through the machine's cost table. It never reads the scheduler.
 *
 * Order of calls on an Executor: dispatched -> ( prepare -> [CPU runs] -> handle )*
 */
import type { Account } from '../core/runnable.ts';
import type { Cycles } from '../core/units.ts';
import type { ForeignProgram } from '../guest/foreign.ts';
import type { Cpu } from '../machine/cpu.ts';
import type { Mmu } from '../machine/mmu.ts';
import type { ExecutedVcpu } from './vcpu.ts';

/** Names of the techniques, as in scenarios. */
export const TECHNIQUE_NAMES = [
  'native',
  'trap-and-emulate',
  'hardware-assisted',
  'binary-translation',
  'emulation',
  'bytecode',
  'bytecode-translated',
  'paravirtual',
] as const;
export type TechniqueName = (typeof TECHNIQUE_NAMES)[number];

/** The guest, or the runtime that carries it, has the bare machine for itself: no hypervisor, no other VM. */
export function isBare(technique: string): boolean {
  return technique === 'native' || technique === 'emulation' || technique.startsWith('bytecode');
}

/** Who owns the page tables that the MMU walks: the guest, shadow tables, guest and nested tables, or checked guest tables. */
export const PAGING_NAMES = ['native', 'shadow', 'nested', 'direct'] as const;
export type PagingName = (typeof PAGING_NAMES)[number];

/** No reason to come back before the dispatcher's budget ends. Fits the CPU's 32-bit countdown. */
export const BUDGET_UNLIMITED: Cycles = 2 ** 30;

/** What the vCPU does after an exit was answered. 'resume' enters the guest again; the others leave Runnable.run. */
export type Disposition = 'resume' | 'block' | 'yield' | 'spin' | 'end';

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
  /** Before each entry: deliver what is pending. `wasRunning`: the guest was interrupted, it did not exit by itself. */
  prepare(wasRunning: boolean): Preparation;
  /** The guest CPU waited after INIT and got a start-up message: it begins in real mode at vector * 4096. */
  start(vector: number): void;
  /** A physical interrupt for the host came while the guest ran: leaves the guest, and pays for that. */
  interrupted?(): void;
  /** Answers an EXIT_* code other than EXIT_BUDGET. */
  handle(exit: number): Disposition;
  /** The time slice ended while the guest ran. True: the VMM was brought in by an exit, which was charged. */
  sliceOver?(): boolean;
  /** The guest's view of its registers, up to date. */
  guestView(): Cpu;
  /** The guest's privilege level, where it shows at an exit without looking into the guest. */
  readonly guestCpl?: number;
  /** Guest instructions retired, emulated ones included. */
  readonly instructions: number;
  /** Where the cycles of the executing CPU go; guest code run directly unless told. */
  readonly account?: Account;
  /** Of them, carried out by the VMM instead of the CPU; absent: none. */
  readonly emulated?: number;
}

/** A technique: a plug-in. */
export interface Technique {
  readonly name: TechniqueName;
  /** One line for `hvsim list techniques`. */
  readonly summary: string;
  /** Paging modes that it can run with; the first is the default. */
  readonly pagings: readonly PagingName[];
  /** The foreign programs that it runs, and on what; without it the guests are kernels for this machine. */
  readonly program?: ForeignProgram;
  /** @throws UserError when the machine cannot do it */
  make(vcpu: ExecutedVcpu): Executor;
}
