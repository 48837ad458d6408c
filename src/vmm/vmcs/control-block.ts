/**
 * The virtual-machine control structure of one vCPU: what exits, what an entry injects, and what the last exit was.
 *
 *   VMM:       write(controls) ─► enter() ═ guest runs ═ recorded(exit) ─► read(exit information), write(event) ─► ...
 *
 * The VMM sees it through read and write alone, which cost what VMREAD and VMWRITE cost on the machine. peek() and what
 * follows under "the hardware's side" are the processor's own accesses, which are part of the price of exits and entries.
 * Invariants: exit-information fields are written by exits alone; an event is injected only if the guest can take it
 * (asserted at entry); the emulated CPU obeys the control fields as of the last enter().
 * Source: SDM vol 3, chapters 24 to 27.
 */
import { assert } from '../../core/errors.ts';
import type { Cycles } from '../../core/units.ts';
import type { Cpu } from '../../machine/cpu.ts';
import { NO_ERROR_CODE, VECTOR_NMI } from '../../machine/exits.ts';
import type { VmxCosts } from '../costs.ts';
import {
  CPU_ALLOWED,
  CPU_INTERRUPT_WINDOW_EXITING,
  CPU_NMI_WINDOW_EXITING,
  CPU_SECONDARY_CONTROLS,
  CPU2_ALLOWED,
  CPU2_PAUSE_LOOP_EXITING,
  ExitBitmap,
  IO_BITMAP_BITS,
  instructionExits,
  interceptsOf,
  MSR_BITMAP_BITS,
  PauseLoop,
  PIN_ALLOWED,
  PIN_VIRTUAL_NMIS,
} from './controls.ts';
import { type Field, VMCS, VMCS_WORDS } from './fields.ts';

/** Interruption information: bits and types (SDM vol 3, 24.8.3). */
export const INTERRUPTION_VALID = 1 << 31;
export const INTERRUPTION_ERROR_CODE = 1 << 11;
export const TYPE_EXTERNAL = 0;
export const TYPE_NMI = 2;
export const TYPE_HARDWARE_EXCEPTION = 3;

/** Format of an event in an interruption-information field. */
export function interruptionInformation(vector: number, type: number, errorCode: number): number {
  return INTERRUPTION_VALID | (errorCode === NO_ERROR_CODE ? 0 : INTERRUPTION_ERROR_CODE) | (type << 8) | vector;
}

/** Exceptions that push an error code (SDM vol 3, table 6-1). */
const HAS_ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17]);

export class ControlBlock {
  /** Bitmaps and PAUSE history that fields point at or switch on. */
  readonly ioBitmap = new ExitBitmap(IO_BITMAP_BITS, true);
  readonly msrBitmap = new ExitBitmap(MSR_BITMAP_BITS, true);
  readonly pauses = new PauseLoop();
  /** VMREADs and VMWRITEs executed by the VMM. */
  vmreads = 0;
  vmwrites = 0;

  private readonly words = new Int32Array(VMCS_WORDS);
  private readonly cpu: Cpu;
  private readonly costs: Pick<VmxCosts, 'vmreadCycles' | 'vmwriteCycles'>;
  private due: Cycles = 0;
  /** Control fields were written since the last entry. */
  private isDirty = true;

  constructor(cpu: Cpu, costs: Pick<VmxCosts, 'vmreadCycles' | 'vmwriteCycles'>) {
    this.cpu = cpu;
    this.costs = costs;
  }

  // ------------------------------------------------------------------ the VMM's side

  /** VMREAD. */
  read(field: Field): number {
    this.vmreads++;
    this.due += this.costs.vmreadCycles;
    return this.peek(field);
  }

  /**
   * VMWRITE. The VMM emulates instructions on the very registers that the guest-state area stands for, so for a field of
   * that area `value` must be there already: the write is then what makes it true on hardware, and what costs.
   */
  write(field: Field, value: number): void {
    this.vmwrites++;
    this.due += this.costs.vmwriteCycles;
    assert(field.area !== 'exit', `${field.name} is read-only`);
    if (field.register !== null) {
      assert(field.register(this.cpu) === value, `${field.name}: the emulated register does not hold what is written`);
      return;
    }
    this.words[field.index] = value;
    this.isDirty = true;
  }

  /** Cycles of the reads and writes since the last call. */
  takeDue(): Cycles {
    const { due } = this;
    this.due = 0;
    return due;
  }

  // ------------------------------------------------------------------ the hardware's side

  /** A field, as the processor itself looks at it. */
  peek(field: Field): number {
    return field.register === null ? this.words[field.index]! : field.register(this.cpu);
  }

  /** VM entry: checks the fields and puts the controls in force. Delivery of an event is the caller's. */
  enter(): void {
    if (!this.isDirty) return;
    this.isDirty = false;
    this.checkControls();
    const { cpu } = this;
    cpu.intercepts = interceptsOf(this);
    cpu.interceptFilter = (insn) => instructionExits(this, cpu, insn);
    cpu.interceptExceptions = this.peek(VMCS.EXCEPTION_BITMAP);
    cpu.pageFaultMask = this.peek(VMCS.PAGE_FAULT_ERROR_CODE_MASK);
    cpu.pageFaultMatch = this.peek(VMCS.PAGE_FAULT_ERROR_CODE_MATCH);
    const primary = this.peek(VMCS.PRIMARY_CONTROLS);
    cpu.interruptPending = (primary & CPU_INTERRUPT_WINDOW_EXITING) !== 0;
    cpu.nmiPending = (primary & CPU_NMI_WINDOW_EXITING) !== 0;
    this.pauses.gapCycles = this.peek(VMCS.PLE_GAP);
    this.pauses.windowCycles = this.peek(VMCS.PLE_WINDOW);
  }

  /** VM-entry checks on control fields (SDM vol 3, 26.2.1), as far as they concern what is offered. */
  private checkControls(): void {
    const pin = this.peek(VMCS.PIN_BASED_CONTROLS);
    const primary = this.peek(VMCS.PRIMARY_CONTROLS);
    const secondary = this.peek(VMCS.SECONDARY_CONTROLS);
    const extra = (pin & ~PIN_ALLOWED) | (primary & ~CPU_ALLOWED) | (secondary & ~CPU2_ALLOWED);
    assert(extra === 0, 'VM entry: a control is set that is not offered');
    assert(
      secondary === 0 || (primary & CPU_SECONDARY_CONTROLS) !== 0,
      'VM entry: secondary controls are not activated',
    );
    assert(
      (primary & CPU_NMI_WINDOW_EXITING) === 0 || (pin & PIN_VIRTUAL_NMIS) !== 0,
      'VM entry: NMI-window exiting needs virtual NMIs',
    );
    assert(this.peek(VMCS.CR3_TARGET_COUNT) <= 4, 'VM entry: more than four CR3-target values');
    const loops = (secondary & CPU2_PAUSE_LOOP_EXITING) === 0 || this.peek(VMCS.PLE_WINDOW) > 0;
    assert(loops, 'VM entry: PAUSE-loop exiting needs a window');
    for (const [mask, shadow, value] of [
      [VMCS.CR0_GUEST_HOST_MASK, VMCS.CR0_READ_SHADOW, VMCS.GUEST_CR0],
      [VMCS.CR4_GUEST_HOST_MASK, VMCS.CR4_READ_SHADOW, VMCS.GUEST_CR4],
    ] as const) {
      const differs = ((this.peek(shadow) ^ this.peek(value)) & this.peek(mask)) !== 0;
      assert(!differs, `VM entry: ${shadow.name} is not what the guest wrote`);
    }
  }

  /** The event that the next entry injects, checked as the processor does (SDM vol 3, 26.2.1.3 and 26.3.1.4); null: none. */
  checkInjection(): { vector: number; errorCode: number; type: number } | null {
    const info = this.peek(VMCS.VM_ENTRY_INTERRUPTION_INFORMATION);
    if ((info & INTERRUPTION_VALID) === 0) return null;
    const vector = info & 0xff;
    const type = (info >>> 8) & 7;
    const { cpu } = this;
    const withError = (info & INTERRUPTION_ERROR_CODE) !== 0;
    switch (type) {
      case TYPE_EXTERNAL:
        assert(cpu.interruptsEnabled(), 'VM entry: an external interrupt needs IF = 1');
        assert(!cpu.inInterruptShadow(), 'VM entry: an external interrupt is blocked by STI or MOV SS');
        assert(!withError, 'VM entry: an external interrupt has no error code');
        break;
      case TYPE_NMI:
        assert(vector === VECTOR_NMI, 'VM entry: an NMI has vector 2');
        assert(cpu.nmiAllowed(), 'VM entry: the NMI is blocked');
        assert(!withError, 'VM entry: an NMI has no error code');
        break;
      default:
        assert(type === TYPE_HARDWARE_EXCEPTION && vector < 32, `VM entry: event of type ${type}, vector ${vector}`);
        // In real mode no exception pushes one.
        assert(!withError || HAS_ERROR_CODE.has(vector), `VM entry: vector ${vector} has no error code`);
    }
    return { vector, type, errorCode: withError ? this.peek(VMCS.VM_ENTRY_EXCEPTION_ERROR_CODE) : NO_ERROR_CODE };
  }

  /** The entry took the event: the valid bit is clear again (SDM vol 3, 24.8.3). */
  injected(): void {
    this.words[VMCS.VM_ENTRY_INTERRUPTION_INFORMATION.index] = 0;
  }

  /** An exit writes a field of the exit information. */
  record(field: Field, value: number): void {
    assert(field.area === 'exit', `${field.name} is not written by exits`);
    this.words[field.index] = value;
  }
}
