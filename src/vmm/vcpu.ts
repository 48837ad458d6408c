/**
 * A vCPU that executes a guest: the loop of entry, run and exit, and the accounting that every technique shares.
 * Invariants: every cycle that the CPU object consumed for the guest is passed to the pCPU exactly once (spendGuest),
 * or declared not to have happened on hardware (discardGuest, for instructions that the VMM emulated);
 * VMM cycles are charged to the exit reason that is being answered.
 */
import { assert } from '../core/errors.ts';
import {
  ACCOUNT_EXIT,
  ACCOUNT_GUEST,
  ACCOUNT_VMM,
  ACCOUNT_WALK,
  type Pcpu,
  type Runnable,
  type RunStop,
} from '../core/runnable.ts';
import type { Cycles } from '../core/units.ts';
import type { Cpu } from '../machine/cpu.ts';
import { codeBytes, describeFault } from '../machine/describe.ts';
import { EXIT_BUDGET, EXIT_TRIPLE_FAULT, EXIT_UNIMPLEMENTED } from '../machine/exits.ts';
import type { Mmu } from '../machine/mmu.ts';
import type { VmmOperation } from './paths.ts';
import type { Disposition, Executor, Technique } from './technique.ts';
import type { ExecutedVm } from './vm.ts';

/** Device path of our VMM for each device of the PC; others take the shortest. */
const DEVICE_OPERATIONS: Readonly<Record<string, VmmOperation>> = {
  pic: 'device-pic',
  pit: 'device-pit',
  uart16550: 'device-uart',
  cmos: 'device-cmos',
  i8042: 'device-keyboard',
};

export class ExecutedVcpu implements Runnable {
  readonly vm: ExecutedVm;
  readonly index: number;
  private readonly executor: Executor;
  /** The pCPU that this vCPU's context is loaded on. */
  private pcpu: Pcpu | null = null;
  private wasRunning = false;
  private seenCycles: Cycles = 0;
  private seenWalkCycles: Cycles = 0;
  /** Exit reason that VMM cycles go to. */
  private reason = 'entry';

  constructor(vm: ExecutedVm, index: number, technique: Technique) {
    this.vm = vm;
    this.index = index;
    this.executor = technique.make(this);
  }

  /** Guest instructions retired, emulated ones included. */
  get instructions(): number {
    return this.executor.instructions;
  }

  /** The guest's view of its registers. */
  guestView(): Cpu {
    return this.executor.guestView();
  }

  /** The guest loops on one jump to itself with interrupts off: nothing can ever change. */
  spinsForever(): boolean {
    const guest = this.guestView();
    return !guest.interruptsEnabled() && /^(eb fe|e9 fb ff ff ff)/.test(codeBytes(guest, guest.eip, 5));
  }

  // ------------------------------------------------------------------ Runnable

  onAttach(wake: () => void): void {
    this.vm.wake = wake;
  }

  onDispatch(pcpu: Pcpu): void {
    this.pcpu = pcpu;
    this.executor.dispatched(this.vm.machine.mmus[pcpu.id]!);
  }

  onDeschedule(_pcpu: Pcpu): void {
    this.pcpu = null;
    this.wasRunning = false;
  }

  run(pcpu: Pcpu, budget: Cycles): RunStop {
    const { vm, executor } = this;
    if (vm.outcome !== null) return 'end';
    assert(this.pcpu === pcpu, 'run() on a pCPU where the vCPU is not loaded');
    vm.clock.pcpu = pcpu;
    vm.clock.scheduled = false;
    const end = pcpu.clock.cycles + budget;
    let stop: RunStop = 'budget';
    do {
      const disposition = this.enter(pcpu, end);
      if (vm.outcome !== null) stop = 'end';
      else if (disposition !== 'resume') stop = disposition;
    } while (stop === 'budget' && pcpu.clock.cycles < end && !vm.clock.scheduled);
    vm.clock.pcpu = null;
    this.wasRunning = stop === 'budget' && executor.cpu.cycles > 0;
    return stop;
  }

  /** Delivers what is pending, runs the guest until it exits or the budget ends, answers the exit. */
  private enter(pcpu: Pcpu, end: Cycles): Disposition {
    const { executor, vm } = this;
    const { cpu } = executor;
    const first = executor.prepare(this.wasRunning);
    this.wasRunning = false;
    if (first !== 'resume' || vm.outcome !== null) return first;
    const left = end - pcpu.clock.cycles;
    if (left <= 0) return 'resume';
    cpu.tscOffset = pcpu.clock.cycles - cpu.cycles;
    const exit = cpu.run(Math.min(left, executor.budgetMax));
    this.spendGuest();
    return exit === EXIT_BUDGET ? 'resume' : executor.handle(exit);
  }

  // ------------------------------------------------------------------ services for techniques

  /** Passes what the executing CPU consumed since the last call to the pCPU: page walks, and the rest. */
  spendGuest(): void {
    const { cpu } = this.executor;
    const cycles = cpu.cycles - this.seenCycles;
    const walk = cpu.walkCycles - this.seenWalkCycles;
    this.seenCycles = cpu.cycles;
    this.seenWalkCycles = cpu.walkCycles;
    if (walk > 0) this.loaded.spend(ACCOUNT_WALK, walk);
    if (cycles - walk > 0) this.loaded.spend(ACCOUNT_GUEST, cycles - walk);
  }

  /** Forgets what the executing CPU consumed since the last call: the VMM emulated that instruction, at its own cost. */
  discardGuest(): void {
    this.seenCycles = this.executor.cpu.cycles;
    this.seenWalkCycles = this.executor.cpu.walkCycles;
  }

  /** Begins to answer an exit: counts it, and charges the hardware part of leaving and entering again. */
  exit(reason: string, hardwareCycles: Cycles): void {
    this.reason = reason;
    this.vm.exits.count(reason);
    this.vm.exits.charge(reason, hardwareCycles);
    this.loaded.spend(ACCOUNT_EXIT, hardwareCycles);
  }

  /** Charges one path of the VMM to the exit that is being answered. */
  vmm(operation: VmmOperation): void {
    this.vmmCycles(this.vm.machine.preset.vmm[operation]);
  }

  /** Charges VMM cycles to the exit that is being answered. */
  vmmCycles(cycles: Cycles): void {
    this.vm.exits.charge(this.reason, cycles);
    this.loaded.spend(ACCOUNT_VMM, cycles);
  }

  /** Carries out the port access that `cpu` asked for with EXIT_IO. Returns the value for an IN. */
  accessPort(cpu: Cpu): number {
    const { pc, spec } = this.vm;
    const { bus } = pc;
    if (!cpu.ioIsIn) spec.portLogs?.get(cpu.ioPort)?.(cpu.ioBytes, cpu.ioValue);
    if (cpu.ioIsIn) return bus.read(cpu.ioPort, cpu.ioBytes);
    bus.write(cpu.ioPort, cpu.ioBytes, cpu.ioValue);
    return 0;
  }

  /** Charges the emulation of the device behind the port that `cpu` asked for. */
  chargeDevice(cpu: Cpu): void {
    this.vmm('io-decode');
    const device = this.vm.pc.bus.deviceAt(cpu.ioPort)?.name ?? '';
    this.vmm(DEVICE_OPERATIONS[device] ?? 'device-debug');
  }

  /** Acknowledges the pending interrupt at the virtual interrupt controller. Returns its vector. */
  acknowledgeInterrupt(): number {
    this.vm.interruptsTaken++;
    return this.vm.pc.pic.acknowledge();
  }

  /** After HLT: goes on if an interrupt waits, blocks until one comes, or ends the VM if none can be taken. */
  halted(cpu: Cpu): Disposition {
    if (!cpu.interruptsEnabled()) {
      this.vm.end('halted', `HLT with interrupts off before ${hex32(cpu.eip)}`);
      return 'end';
    }
    return this.vm.pc.pic.intr ? 'resume' : 'block';
  }

  /** Ends the VM for EXIT_TRIPLE_FAULT and EXIT_UNIMPLEMENTED; `cpu` is the one that exited. */
  crashed(exit: number, cpu: Cpu): Disposition {
    const where = `at ${hex32(cpu.eip)}`;
    if (exit === EXIT_TRIPLE_FAULT) {
      this.vm.end('triple-fault', `${where}: ${describeFault(cpu)}, and no handler could be entered`);
      return 'end';
    }
    assert(exit === EXIT_UNIMPLEMENTED, `exit ${exit} is not a crash`);
    this.vm.end('unimplemented', `${cpu.exitText} ${where}, bytes ${codeBytes(cpu, cpu.eip, 8)}`);
    return 'end';
  }

  /** MMU of the pCPU that this vCPU is loaded on. */
  get mmu(): Mmu {
    return this.vm.machine.mmus[this.loaded.id]!;
  }

  private get loaded(): Pcpu {
    assert(this.pcpu !== null, 'the vCPU is not loaded on a pCPU');
    return this.pcpu;
  }
}

/** An address as people read it. */
export function hex32(value: number): string {
  return `0x${(value >>> 0).toString(16).padStart(8, '0')}`;
}
