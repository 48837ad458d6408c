/**
 * Paravirtualization: a kernel built for the VMM runs at ring 1, its user programs at ring 3. It never executes an
 * instruction that must be emulated: it asks by hypercall, and takes events instead of interrupts. The MMU walks the
 * guest's own page tables (direct paging), which the VMM alone writes, after it has checked each update; system calls
 * go from ring 3 to ring 1 through a gate of the guest's, without the VMM; other exceptions come to the VMM, which
 * passes them on ("bounces" them) to the handler that the guest has registered.
 * Invariants: a hostile kernel can ask for anything: what breaks a rule is refused with an error and counted, and what
 * is not a question (a privileged instruction, a write to a page table) is an exception of its own; the real IF is
 * always set while the guest runs, only a byte of the shared page keeps events away.
 * Source: Barham et al., "Xen and the Art of Virtualization", SOSP 2003, section 3. docs/paravirtual.md is the interface.
 */
import { assert, UserError } from '../../core/errors.ts';
import type { Ns } from '../../core/units.ts';
import { Cpu } from '../../machine/cpu.ts';
import type { TimerHandle } from '../../machine/devices/device.ts';
import { EXIT_EXCEPTION, EXIT_UNIMPLEMENTED, NO_ERROR_CODE, VECTOR_NP, VECTOR_PF } from '../../machine/exits.ts';
import { FLAG_IF, FLAG_NT, FLAG_RF, FLAG_TF } from '../../machine/flags.ts';
import type { Mmu } from '../../machine/mmu.ts';
import {
  CR0_EM,
  CR0_ET,
  CR0_MP,
  CR0_NE,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  CR0_WP,
  PTE_ACCESSED,
  PTE_DIRTY,
  PTE_PRESENT,
  PTE_WRITABLE,
} from '../../machine/paging.ts';
import { DirectWalker } from '../paging/direct.ts';
import { EPERM, SEL_KERNEL_DATA, TRAP_DPL, TRAP_MASKS, VECTOR_HYPERCALL } from '../paravirtual/abi.ts';
import { buildDomain } from '../paravirtual/domain-builder.ts';
import { FrameTypes, TYPE_WRITABLE } from '../paravirtual/frame-types.ts';
import { HostTables, LINEAR_LIMIT, VMM_BASE } from '../paravirtual/host-tables.ts';
import { type HypercallHost, Hypercalls } from '../paravirtual/hypercalls.ts';
import { SharedInfo } from '../paravirtual/shared-info.ts';
import type { VmmOperation } from '../paths.ts';
import { BUDGET_UNLIMITED, type Disposition, type Executor, type Preparation, type Technique } from '../technique.ts';
import { type ExecutedVcpu, hex32 } from '../vcpu.ts';
import { bootCpu, identifyCpu } from '../vm.ts';

/** Paging on, read-only pages bind ring 1, and every use of the floating-point unit is an exception for the guest. */
const GUEST_CR0 = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_PG;
/** Error code of a gate in the IDT (SDM vol 3, 6.13), by which a software interrupt shows at a gate not present. */
const ERROR_IDT = 2;
const HYPERCALL_ERROR = VECTOR_HYPERCALL * 8 + ERROR_IDT;

/** A handler that the guest has registered. */
interface Trap {
  readonly address: number;
  readonly flags: number;
}

class ParavirtualExecutor implements Executor, HypercallHost {
  readonly cpu: Cpu;
  readonly budgetMax = BUDGET_UNLIMITED;
  readonly frames: FrameTypes;
  readonly shared: SharedInfo;
  private readonly vcpu: ExecutedVcpu;
  private readonly tables: HostTables;
  private readonly walker: DirectWalker;
  private readonly calls: Hypercalls;
  private readonly traps = new Map<number, Trap>();
  private kernelStack = { selector: SEL_KERNEL_DATA, esp: 0 };
  private eventHandler = 0;
  private timer: TimerHandle | null = null;
  private isBlocked = false;
  /** The pending event was already noticed by the VMM. */
  private noticed = false;
  private clockIsStale = true;
  /** Steal time that the guest was told of. */
  private stealNs: Ns = 0;
  private hypercalls = 0;

  constructor(vcpu: ExecutedVcpu) {
    const { vm } = vcpu;
    const { machine } = vm;
    this.vcpu = vcpu;
    this.tables = new HostTables(machine.memory, vm.vmmOwner, vm.spec.name);
    this.walker = new DirectWalker(machine.memory);
    this.cpu = new Cpu(machine.memory, machine.mmus[0]!, machine.codeCache);
    identifyCpu(this.cpu, vcpu.lapic);
    bootCpu(this.cpu, vm.boot);
    this.frames = new FrameTypes(
      machine.memory,
      vm.owner,
      this.tables.entry,
      (mfn, offset) => this.stored(mfn, offset, 4),
      () => this.cpu.flushTlb(true),
    );
    const domain = buildDomain(vm.physmap, vm.boot, vm.spec.name);
    this.shared = new SharedInfo(machine.memory, domain.shared, () => this.stored(domain.shared, 0, 4096));
    this.shared.isMasked = true;
    // The VMM writes to the shared page whatever the guest does with it: it can never become a table.
    this.frames.pin(domain.shared, TYPE_WRITABLE);
    const error = this.frames.setRoot(domain.root);
    assert(error === 0, `the first page tables were refused with error ${error}`);
    this.takeWork();
    this.enterKernel(domain.root, domain.startInfo);
    this.calls = new Hypercalls(this);
  }

  /** What the guest finds at its first instruction. */
  private enterKernel(root: number, startInfo: number): void {
    const { cpu } = this;
    cpu.linearLimit = LINEAR_LIMIT;
    cpu.interceptExceptions = -1;
    cpu.cr0 = GUEST_CR0;
    cpu.cr3 = root << 12;
    this.tables.loadInto(cpu);
    cpu.setCpl(1);
    cpu.setEflags(FLAG_IF, -1);
    cpu.regs[6] = startInfo;
  }

  get instructions(): number {
    return this.cpu.instructions + this.hypercalls;
  }

  /** The kernel has ring 1. */
  get guestCpl(): number {
    return this.cpu.cpl === 1 ? 0 : this.cpu.cpl;
  }

  dispatched(mmu: Mmu): void {
    mmu.flushAll();
    mmu.attach(this.walker, this.vcpu.addressSpaceTag);
    this.cpu.attach(mmu);
    this.frames.flushed();
    this.clockIsStale = true;
  }

  start(): void {
    assert(false, 'a paravirtual VM has one vCPU');
  }

  guestView(): Cpu {
    return this.cpu;
  }

  prepare(wasRunning: boolean): Preparation {
    if (this.isBlocked && !this.shared.isPending) return 'block';
    this.isBlocked = false;
    // It may have waited and go on where it was, without a switch of contexts.
    if (this.clockIsStale || this.vcpu.waitedNs !== this.stealNs) this.updateClock();
    if (!this.shared.isPending) {
      this.noticed = false;
      return 'resume';
    }
    if (wasRunning && !this.noticed) this.trap('external-interrupt', 'external-interrupt');
    this.noticed = true;
    if (this.shared.isMasked || this.eventHandler === 0) return 'resume';
    this.noticed = false;
    if (!wasRunning) this.vcpu.exit('event', 0);
    return this.bounceTo({ address: this.eventHandler, flags: TRAP_MASKS }, NO_ERROR_CODE) ? 'resume' : 'end';
  }

  handle(exit: number): Disposition {
    const { cpu, vcpu } = this;
    if (exit !== EXIT_EXCEPTION) {
      assert(exit === EXIT_UNIMPLEMENTED, `exit ${exit} cannot come from a paravirtual guest`);
      return vcpu.crashed(exit, cpu);
    }
    if (cpu.exitVector === VECTOR_NP && cpu.exitError === HYPERCALL_ERROR) return this.hypercall();
    return this.exception();
  }

  // ------------------------------------------------------------------ exits

  /** Charges one exception to ring 0 and the return from it. */
  private trap(reason: string, operation: VmmOperation | null = null): void {
    const { trapCycles, returnCycles } = this.vcpu.vm.machine.preset.deprivileged;
    this.vcpu.exit(reason, trapCycles + returnCycles);
    this.vcpu.vmm('trap-dispatch');
    if (operation !== null) this.vcpu.vmm(operation);
  }

  private hypercall(): Disposition {
    const { cpu } = this;
    const [number, a, b, c, d] = [cpu.regs[0]!, cpu.regs[3]!, cpu.regs[1]!, cpu.regs[2]!, cpu.regs[6]!];
    cpu.eip = (cpu.eip + cpu.exitInsn.length) | 0;
    this.hypercalls++;
    this.trap(`hypercall-${this.calls.nameOf(number)}`, 'hypercall');
    cpu.regs[0] = this.calls.call(number, [a, b, c, d]);
    return this.calls.takeDisposition();
  }

  /** An exception of the guest's: its own handler gets it. */
  private exception(): Disposition {
    const { cpu } = this;
    let vector = cpu.exitVector;
    let errorCode = cpu.exitError;
    const asked = errorCode >>> 3;
    const registered = vector === VECTOR_NP && (errorCode & 7) === ERROR_IDT ? this.traps.get(asked) : undefined;
    if (registered !== undefined) {
      // INT3 or INTO: the guest's gate is there, but the VMM stands in it.
      vector = asked;
      errorCode = NO_ERROR_CODE;
      cpu.eip = (cpu.eip + cpu.exitInsn.length) | 0;
      this.hypercalls++;
    }
    this.trap(vector === VECTOR_PF ? 'page-fault' : `exception-${vector}`);
    if (vector === VECTOR_PF) this.shared.setFaultAddress(cpu.exitLin);
    const trap = this.traps.get(vector);
    if (trap === undefined) {
      this.crash(`exception ${vector} at ${hex32(cpu.eip)}, and no handler is registered`);
      return 'end';
    }
    return this.bounceTo(trap, errorCode) ? 'resume' : 'end';
  }

  /** Enters a handler of the guest kernel as the CPU would. False: its stack cannot be written, and the guest is over. */
  private bounceTo(trap: Trap, errorCode: number): boolean {
    const { cpu, vcpu } = this;
    vcpu.vmm('bounce');
    const fromUser = cpu.cpl === 3;
    let flags = cpu.getEflags() & ~FLAG_IF;
    if (!this.shared.isMasked) flags |= FLAG_IF;
    if (cpu.resumeAt === cpu.instructions) flags |= FLAG_RF;
    const words = [...(errorCode === NO_ERROR_CODE ? [] : [errorCode]), cpu.eip, cpu.segSelector[1]!, flags];
    if (fromUser) words.push(cpu.regs[4]!, cpu.segSelector[2]!);
    let at = fromUser ? this.kernelStack.esp : cpu.regs[4]!;
    for (const word of words.reverse()) {
      at = (at - 4) | 0;
      if (this.pushed(at, word)) continue;
      this.crash(`the kernel stack at ${hex32(at)} cannot be written for an event or exception at ${hex32(cpu.eip)}`);
      return false;
    }
    cpu.setEflags(0, FLAG_TF | FLAG_NT);
    this.tables.loadKernelSegments(cpu);
    cpu.setCpl(1);
    cpu.regs[4] = at;
    cpu.eip = trap.address;
    if ((trap.flags & TRAP_MASKS) !== 0) this.shared.isMasked = true;
    return true;
  }

  /** Writes a word of a frame; stacks need not be aligned. */
  private pushed(at: number, word: number): boolean {
    if ((at & 3) === 0) return this.write32(at, word);
    const { bytes } = this.vcpu.vm.machine.memory;
    const to = [0, 1, 2, 3].map((i) => this.machineAddress((at + i) | 0, true));
    if (to.some((address) => address < 0)) return false;
    for (const [i, address] of to.entries()) {
      this.stored(address >>> 12, address & 0xfff, 1);
      bytes[address] = word >> (8 * i);
    }
    return true;
  }

  private crash(detail: string): void {
    this.vcpu.vm.end('triple-fault', detail);
  }

  // ------------------------------------------------------------------ for the hypercalls

  vmm(operation: VmmOperation, times = 1): void {
    if (times > 0) this.vcpu.vmmCycles(times * this.vcpu.vm.machine.preset.vmm[operation]);
  }

  refused(name: string): void {
    this.vcpu.vm.exits.count(`refused-${name}`);
  }

  /** Bills what the frame types did since they were last asked. */
  takeWork(): void {
    const { work } = this.frames;
    if (this.calls !== undefined) {
      this.vmm('pv-scan', work.scans);
      this.vmm('pv-reference', work.references);
      if (work.flushes > 0) this.hardware('control', work.flushes);
    }
    work.scans = 0;
    work.references = 0;
    work.flushes = 0;
  }

  /** The VMM executes a privileged instruction on behalf of the guest. */
  private hardware(kind: 'control' | 'invlpg', times = 1): void {
    this.vcpu.vmmCycles(times * this.vcpu.vm.machine.preset.timing.instructions[kind]);
  }

  newBase(mfn: number): number {
    this.vmm('pv-root');
    const error = this.frames.setRoot(mfn);
    if (error !== 0) return error;
    if (this.cpu.cr3 !== mfn << 12) this.vcpu.switchedTo(mfn << 12);
    this.cpu.cr3 = mfn << 12;
    this.flushTlb();
    return 0;
  }

  flushTlb(): void {
    this.hardware('control');
    this.cpu.flushTlb(true);
    this.frames.flushed();
  }

  invalidate(lin: number): void {
    this.hardware('invlpg');
    this.cpu.mmu.invalidatePage(lin);
    this.cpu.dropCode();
  }

  setTrap(vector: number, flags: number, address: number): void {
    this.traps.set(vector, { address, flags });
    // Where nothing has to be masked ring 3 enters by itself; the vectors of exceptions always come to the VMM.
    const isFast = vector >= 32 && (flags & TRAP_MASKS) === 0 && (flags & TRAP_DPL) === 3;
    this.tables.setGate(vector, address, flags & TRAP_DPL, isFast);
  }

  setStack(selector: number, esp: number): number {
    if (selector !== SEL_KERNEL_DATA) return EPERM;
    this.kernelStack = { selector, esp };
    this.tables.setKernelStack(selector, esp);
    return 0;
  }

  setEventHandler(address: number): void {
    this.eventHandler = address;
  }

  raise(port: number): void {
    const wasPending = this.shared.isPending;
    this.shared.raise(port);
    if (wasPending || !this.shared.isPending) return;
    if (this.isBlocked) {
      if (this.vcpu.vm.clock.cpu !== this.vcpu) this.vcpu.wakeUp();
    }
  }

  setTimer(at: Ns | null, port: number): void {
    const { clock } = this.vcpu.vm;
    if (this.timer !== null) clock.cancel(this.timer);
    this.timer = null;
    if (at === null) return;
    this.timer = clock.at(at, () => {
      this.timer = null;
      this.raise(port);
    });
  }

  block(): Disposition {
    this.shared.isMasked = false;
    if (this.shared.isPending) return 'resume';
    this.isBlocked = true;
    return 'block';
  }

  shutdown(code: number): void {
    this.vcpu.vm.end('completed', '', code);
  }

  accessPort(port: number, bytes: 1 | 2 | 4, isIn: boolean, value: number): number {
    const { cpu } = this;
    cpu.ioPort = port;
    cpu.ioBytes = bytes;
    cpu.ioIsIn = isIn;
    cpu.ioValue = value;
    this.vcpu.chargeDevice(cpu);
    return this.vcpu.accessPort(cpu);
  }

  consoleByte(byte: number): void {
    this.vcpu.vm.pc.bus.write(0xe9, 1, byte);
  }

  read8(lin: number): number | null {
    const at = this.machineAddress(lin, false);
    return at < 0 ? null : this.vcpu.vm.machine.memory.bytes[at]!;
  }

  read32(lin: number): number | null {
    const at = (lin & 3) === 0 ? this.machineAddress(lin, false) : -1;
    return at < 0 ? null : this.vcpu.vm.machine.memory.words32[at >>> 2]!;
  }

  write32(lin: number, value: number): boolean {
    const at = (lin & 3) === 0 ? this.machineAddress(lin, true) : -1;
    if (at < 0) return false;
    this.stored(at >>> 12, at & 0xfff, 4);
    this.vcpu.vm.machine.memory.words32[at >>> 2] = value;
    return true;
  }

  entryAddress(lin: number): number {
    if (lin >>> 0 >= VMM_BASE) return -1;
    const pde = this.vcpu.vm.machine.memory.words32[(this.frames.root << 10) | (lin >>> 22)]!;
    return (pde & PTE_PRESENT) === 0 ? -1 : ((pde & ~0xfff) | ((lin >>> 10) & 0xffc)) >>> 0;
  }

  /** Machine address behind `lin` if the guest kernel may read or write it, or -1. */
  private machineAddress(lin: number, write: boolean): number {
    const { words32 } = this.vcpu.vm.machine.memory;
    const entryAt = this.entryAddress(lin);
    if (entryAt < 0) return -1;
    const pde = words32[(this.frames.root << 10) | (lin >>> 22)]!;
    const pte = words32[entryAt >>> 2]!;
    if ((pte & PTE_PRESENT) === 0) return -1;
    if (write && (pde & pte & PTE_WRITABLE) === 0) return -1;
    this.walker.mark(entryAt >>> 2, pte, pte | PTE_ACCESSED | (write ? PTE_DIRTY : 0));
    return ((pte & ~0xfff) | (lin & 0xfff)) >>> 0;
  }

  /** Bytes of a frame are about to change under the CPU's feet. */
  private stored(mfn: number, offset: number, count: number): void {
    const { memory, codeCache } = this.vcpu.vm.machine;
    if (memory.frameFlags[mfn] !== 0) codeCache.written(mfn, offset, count);
  }

  private updateClock(): void {
    const { clock } = this.vcpu.vm;
    const now = clock.local();
    this.stealNs = this.vcpu.waitedNs;
    this.clockIsStale = false;
    if (clock.pcpu === null) return;
    this.vcpu.exit('clock', 0);
    this.vcpu.vmm('pv-clock');
    this.shared.setClock(this.cpu.readTsc(), now, clock.pcpu.clock.hz);
    this.shared.setSteal(this.stealNs);
  }
}

export const paravirtual: Technique = {
  name: 'paravirtual',
  summary: 'a kernel built for the VMM at ring 1: hypercalls, checked page tables of its own, events for interrupts',
  pagings: ['direct'],
  make(vcpu) {
    const { name, paging, vcpus } = vcpu.vm.spec;
    if (paging !== 'direct') throw new UserError(`VM ${name}: technique paravirtual has paging direct, not ${paging}`);
    if ((vcpus ?? 1) !== 1) throw new UserError(`VM ${name}: ${vcpus} vCPUs, allowed under paravirtual: 1`);
    return new ParavirtualExecutor(vcpu);
  },
};
