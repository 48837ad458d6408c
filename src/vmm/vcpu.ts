/**
 * A vCPU that executes a guest: the loop of entry, run and exit, and the accounting that every technique shares.
 * It has a local APIC, which decides what interrupts it; a vCPU other than the first does nothing before another one
 * has sent it a start-up message.
 * Invariants: every cycle that the CPU object consumed for the guest is passed to the pCPU exactly once (spendGuest),
 * or declared not to have happened on hardware (discardGuest, for instructions that the VMM emulated);
 * VMM cycles are charged to the exit reason that is being answered.
 */
import { assert } from '../core/errors.ts';
import {
  ACCOUNT_EXIT,
  ACCOUNT_GUEST,
  ACCOUNT_TRANSLATED,
  ACCOUNT_VMM,
  ACCOUNT_WALK,
  DOING_KERNEL,
  DOING_SPIN,
  type Pcpu,
  type Runnable,
  type RunnableHost,
  type RunStop,
} from '../core/runnable.ts';
import { type Cycles, type Ns, PAGE_BYTES } from '../core/units.ts';
import type { Cpu } from '../machine/cpu.ts';
import { codeBytes, describeFault } from '../machine/describe.ts';
import { type ApicMessage, DELIVER_FIXED, DELIVER_LOWEST } from '../machine/devices/apic-bus.ts';
import { Lapic } from '../machine/devices/lapic.ts';
import { EXIT_BUDGET, EXIT_TRIPLE_FAULT, EXIT_UNIMPLEMENTED } from '../machine/exits.ts';
import type { Mmu } from '../machine/mmu.ts';
import { DeviceMemory } from './device-memory.ts';
import type { HostSide } from './host-side.ts';
import { devicePath, type VmmOperation } from './paths.ts';
import { type Disposition, type Executor, isBare, type Technique } from './technique.ts';
import type { ExecutedVm, VmCpu } from './vm.ts';

/** More vCPUs than a VM can have. */
const TAGS_PER_VM = 256;

/** What a vCPU that does not execute waits for. */
type Rest =
  /** Nothing: it executes. */
  | 'none'
  /** After HLT: an interrupt or an NMI. */
  | 'halted'
  /** After HLT with interrupts off: an NMI, or INIT. */
  | 'out'
  /** After INIT: a start-up message. */
  | 'startup';

export class ExecutedVcpu implements Runnable, VmCpu {
  readonly vm: ExecutedVm;
  readonly index: number;
  readonly lapic: Lapic;
  private readonly executor: Executor;
  /** What is below the VMM; null: the hardware. */
  private readonly side: HostSide | null;
  /** The pCPU that this vCPU's context is loaded on. */
  private pcpu: Pcpu | null = null;
  private wasRunning = false;
  /** Where the present run() ends, on the pCPU's clock. */
  private endCycles: Cycles = 0;
  private seenCycles: Cycles = 0;
  private seenInstructions = 0;
  /** Guest instructions that were executed from a translation. */
  private translated = 0;
  private seenWalkCycles: Cycles = 0;
  /** Exit reason that VMM cycles go to. */
  private reason = 'entry';
  private rest: Rest;
  /** The CPU that executed the last HLT. */
  private haltedCpu: Cpu | null = null;
  /** The last run() ended because it was caught in a loop of PAUSE. */
  private spins = false;
  private wake: () => void = () => {};
  private host: RunnableHost | null = null;
  /** Called after each run(), for whoever audits the machine. */
  afterRun: (() => void) | null = null;

  constructor(vm: ExecutedVm, index: number, technique: Technique) {
    this.vm = vm;
    this.index = index;
    this.rest = index === 0 ? 'none' : 'startup';
    this.lapic = new Lapic({ id: index, isBootCpu: index === 0 }, vm.clock.of(this), vm.pc.apicBus);
    if (index === 0) this.lapic.setUpVirtualWire();
    // While it runs it looks by itself before each entry.
    this.lapic.onSignal = () => {
      if (vm.clock.cpu !== this) this.wake();
    };
    vm.cpus.push(this);
    this.side = vm.spec.hostSide?.(this) ?? null;
    this.executor = technique.make(this);
  }

  /** Guest instructions retired, emulated ones included. */
  get instructions(): number {
    return this.executor.instructions;
  }

  /** Of them, executed by the CPU as they are in the guest's memory. */
  get direct(): number {
    const { instructions, emulated } = this.executor;
    return instructions - (emulated ?? 0) - this.translated;
  }

  /** The guest's view of its registers. */
  guestView(): Cpu {
    return this.executor.guestView();
  }

  /** The guest loops on one jump to itself with interrupts off: nothing can ever change. */
  spinsForever(): boolean {
    if (this.isOut) return true;
    const guest = this.guestView();
    return !guest.interruptsEnabled() && /^(eb fe|e9 fb ff ff ff)/.test(codeBytes(guest, guest.eip, 5));
  }

  // ------------------------------------------------------------------ Runnable

  onAttach(host: RunnableHost): void {
    this.wake = () => host.wake();
    this.host = host;
  }

  /** Time in which it could have run and did not; what its guest may know as steal time. */
  get waitedNs(): Ns {
    return this.host?.waitedNs() ?? 0;
  }

  /** What shows at its last exit: a loop of PAUSE, and whether its kernel ran. */
  get doing(): number {
    return (this.spins ? DOING_SPIN : 0) | (this.executor.guestCpl === 0 ? DOING_KERNEL : 0);
  }

  wakeUp(): void {
    this.wake();
  }

  ignoreErrors(): void {
    this.executor.cpu.fpu.ignoreErrors();
  }

  get isOut(): boolean {
    return this.rest === 'out' || this.rest === 'startup';
  }

  onDispatch(pcpu: Pcpu): void {
    this.pcpu = pcpu;
    this.executor.dispatched(this.vm.machine.mmus[pcpu.id]!);
  }

  onDeschedule(): void {
    this.pcpu = null;
    this.wasRunning = false;
    this.side?.unloaded();
  }

  run(pcpu: Pcpu, budget: Cycles): RunStop {
    const { vm, executor } = this;
    if (vm.outcome !== null) return 'end';
    assert(this.pcpu === pcpu, 'run() on a pCPU where the vCPU is not loaded');
    vm.clock.cpu = this;
    vm.clock.pcpu = pcpu;
    vm.clock.scheduled = false;
    this.side?.resumed(pcpu.clock.now);
    const end = pcpu.clock.cycles + budget;
    this.endCycles = end;
    let stop: RunStop = 'budget';
    do {
      const disposition = this.side === null ? this.enter(pcpu, end) : this.enterBetween(pcpu, end, this.side);
      if (vm.outcome !== null) stop = 'end';
      else if (disposition !== 'resume') stop = disposition;
    } while (stop === 'budget' && pcpu.clock.cycles < end && !vm.clock.scheduled);
    this.spins = stop === 'spin';
    if (stop === 'block') this.side?.blocked();
    vm.clock.cpu = null;
    vm.clock.pcpu = null;
    this.wasRunning = stop === 'budget' && executor.cpu.cycles > 0;
    if (this.wasRunning && pcpu.clock.now >= pcpu.sliceEnd && executor.sliceOver?.() === true) this.wasRunning = false;
    this.afterRun?.();
    return stop;
  }

  /** Delivers what is pending, runs the guest until it exits or the budget ends, answers the exit. */
  private enter(pcpu: Pcpu, end: Cycles): Disposition {
    const { executor, vm } = this;
    const { cpu } = executor;
    if (!this.isUp()) return vm.outcome === null ? 'block' : 'end';
    cpu.tscOffset = pcpu.clock.cycles - cpu.cycles;
    const first = executor.prepare(this.wasRunning);
    this.wasRunning = false;
    if (first === 'emulated') return 'resume';
    if (first !== 'resume' || vm.outcome !== null) return first;
    const left = end - pcpu.clock.cycles;
    if (left <= 0) return 'resume';
    cpu.tscOffset = pcpu.clock.cycles - cpu.cycles;
    const exit = cpu.run(Math.min(left, executor.budgetMax));
    this.spendGuest();
    return exit === EXIT_BUDGET ? 'resume' : executor.handle(exit);
  }

  /** Runs the guest up to the next interrupt of the host, which leaves it. */
  private enterBetween(pcpu: Pcpu, end: Cycles, side: HostSide): Disposition {
    const due = side.nextInterrupt;
    const until = due === Infinity ? end : Math.min(end, pcpu.clock.cycles + pcpu.clock.cyclesUntil(due));
    const disposition = this.enter(pcpu, until);
    if (disposition !== 'resume' || pcpu.clock.now < due || this.vm.outcome !== null) return disposition;
    if (this.executor.interrupted !== undefined) this.executor.interrupted();
    else {
      const { trapCycles, returnCycles } = this.vm.machine.preset.deprivileged;
      this.exit('external-interrupt', trapCycles + returnCycles);
    }
    side.resumed(pcpu.clock.now);
    return 'resume';
  }

  /** Acts on INIT and start-up messages. False while there is nothing to execute. */
  private isUp(): boolean {
    const { state } = this.lapic;
    if (state.initPending) this.initialize();
    if (state.startupVector >= 0) {
      const vector = state.startupVector;
      state.startupVector = -1;
      // Outside the wait a start-up message has no effect.
      if (this.rest === 'startup') {
        this.rest = 'none';
        this.executor.start(vector);
      }
    }
    if (this.rest === 'none') return true;
    // What woke it may have gone meanwhile (a timer's pulse through the 8259): then it waits for the next signal.
    if (this.rest === 'startup' || !this.endsHalt(this.rest === 'halted')) return false;
    this.rest = 'none';
    return true;
  }

  /** Something waits that ends HLT; `isOpen`: with interrupts on. An NMI that waits for the IRET of the one before does not. */
  private endsHalt(isOpen: boolean): boolean {
    return (isOpen && this.interruptWaiting) || (this.nmiWaiting && !this.haltedCpu!.nmiBlocked);
  }

  private initialize(): void {
    this.lapic.init();
    this.wasRunning = false;
    if (this.index === 0) this.vm.end('reset', 'INIT was sent to the boot CPU');
    this.rest = 'startup';
    this.vm.endIfAllOut('the last CPU that executed was sent INIT');
  }

  // ------------------------------------------------------------------ what the hypervisor sees

  /**
   * Its local APIC sends a message. The VMM emulates the page of the APIC, so it sees the destination and the vector; what the
   * vector means it knows where it was told (VmSpec.shootdownVectors), and else takes it for a reschedule interrupt.
   */
  sent({ mode, vector }: ApicMessage, to: number): void {
    const { spec } = this.vm;
    // On the bare machine nobody looks. INIT and start-up messages, and NMIs, are no demand of one vCPU on another.
    if (isBare(spec.technique) || (mode !== DELIVER_FIXED && mode !== DELIVER_LOWEST)) return;
    const why = spec.shootdownVectors?.includes(vector) === true ? 'shootdown' : 'reschedule';
    this.host?.signal({ kind: 'ipi', to, why });
  }

  /** The VMM has carried out a change of the guest's CR3: another of its processes is going to run. */
  switchedTo(cr3: number): void {
    this.host?.signal({ kind: 'address-space', id: cr3 >>> 12 });
  }

  // ------------------------------------------------------------------ services for techniques

  /** What this vCPU's accesses to memory-mapped devices reach. `charge` pays for one of them. */
  deviceMemory(charge = (device: string | undefined) => this.chargeAccess(device)): DeviceMemory {
    return new DeviceMemory(this.lapic, this.vm.pc.memoryBus, charge);
  }

  /** Whether a guest frame without RAM belongs to a device. */
  isDevice(gfn: number): boolean {
    return this.vm.physmap.deviceFrames.has(gfn) || gfn === this.lapic.page / PAGE_BYTES;
  }

  /** An interrupt is to be given to the guest when it takes interrupts. */
  get interruptWaiting(): boolean {
    return this.lapic.interruptWaiting;
  }

  /** An NMI is to be given to the guest. */
  get nmiWaiting(): boolean {
    return this.lapic.state.nmiPending;
  }

  /** Passes what the executing CPU consumed since the last call to the pCPU: page walks, and the rest. */
  spendGuest(): void {
    const { cpu, account = ACCOUNT_GUEST } = this.executor;
    if (account === ACCOUNT_TRANSLATED) this.translated += cpu.instructions - this.seenInstructions;
    this.seenInstructions = cpu.instructions;
    const cycles = cpu.cycles - this.seenCycles;
    const walk = cpu.walkCycles - this.seenWalkCycles;
    this.seenCycles = cpu.cycles;
    this.seenWalkCycles = cpu.walkCycles;
    if (walk > 0) this.loaded.spend(ACCOUNT_WALK, walk);
    if (cycles - walk > 0) this.loaded.spend(account, cycles - walk);
  }

  /** Forgets what the executing CPU consumed since the last call: the VMM emulated that instruction, at its own cost. */
  discardGuest(): void {
    this.seenInstructions = this.executor.cpu.instructions;
    this.seenCycles = this.executor.cpu.cycles;
    this.seenWalkCycles = this.executor.cpu.walkCycles;
  }

  /** Begins to answer an exit: counts it, and charges the hardware part of leaving and entering again. */
  exit(reason: string, hardwareCycles: Cycles): void {
    this.reason = reason;
    this.vm.exits.count(reason);
    this.vm.exits.charge(reason, hardwareCycles);
    this.loaded.spend(ACCOUNT_EXIT, hardwareCycles);
    if (this.side !== null && reason.endsWith('external-interrupt')) this.side.interrupt();
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
    this.chargeAccess(this.vm.pc.bus.deviceAt(cpu.ioPort)?.name);
  }

  private chargeAccess(device: string | undefined): void {
    if (this.side === null) this.vmm(devicePath(device));
    else this.side.device(device);
  }

  /** The guest has its devices to itself. */
  get ownsDevices(): boolean {
    return this.side?.ownDevices === true;
  }

  /** Counts and charges VMM cycles in a row of their own, beside the exit that is being answered. */
  chargeApart(reason: string, cycles: Cycles): void {
    this.vm.exits.count(reason);
    this.vm.exits.charge(reason, cycles);
    this.loaded.spend(ACCOUNT_VMM, cycles);
  }

  /** The page tables were exchanged under the guest: without tags nothing of the TLB is left. */
  flushUntagged(): void {
    if (this.vm.spec.taggedTlb) return;
    this.mmu.flushAll();
    this.executor.cpu.dropCode();
  }

  /** Acknowledges the pending interrupt at the interrupt controller that has it. Returns its vector. */
  acknowledgeInterrupt(): number {
    this.vm.interruptsTaken++;
    const vector = this.lapic.acknowledge();
    return vector >= 0 ? vector : this.vm.pc.pic.acknowledge();
  }

  /** Acknowledges the pending NMI. */
  acknowledgeNmi(): void {
    this.vm.interruptsTaken++;
    this.lapic.takeNmi();
  }

  /** After EXIT_FERR: what an x87 error does on a PC with CR0.NE clear. */
  stoodStill(cpu: Cpu): Disposition {
    if (this.index === 0) this.vm.pc.coprocessorError.raise();
    return this.halted(cpu, 'an x87 error is waiting with interrupts off at');
  }

  /** After HLT: goes on if an interrupt waits, blocks until one comes, or ends the VM if no CPU can take any. */
  halted(cpu: Cpu, why = 'HLT with interrupts off before'): Disposition {
    const isOpen = cpu.interruptsEnabled();
    this.haltedCpu = cpu;
    if (this.endsHalt(isOpen)) return 'resume';
    this.rest = isOpen ? 'halted' : 'out';
    if (isOpen) return 'block';
    this.vm.endIfAllOut(`${why} ${hex32(cpu.eip)}`);
    return this.vm.outcome === null ? 'block' : 'end';
  }

  /** The guest waits in HLT without having left: the pCPU stays with it until this run() is over. */
  waitInside(): void {
    const left = this.endCycles - this.loaded.clock.cycles;
    if (left > 0) this.loaded.spend(ACCOUNT_GUEST, left);
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

  /** Tag of its TLB entries: every vCPU has its own; 0 is the host's. */
  get addressSpaceTag(): number {
    return tagOf(this.vm.id, this.index);
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

/** Tag of the TLB entries of a vCPU. */
export function tagOf(vmId: number, index: number): number {
  return 1 + vmId * TAGS_PER_VM + index;
}

/** An address as people read it. */
export function hex32(value: number): string {
  return `0x${(value >>> 0).toString(16).padStart(8, '0')}`;
}
