/**
 * One virtual machine that executes a guest image: its memory, its devices, its vCPUs, and what became of it.
 * Invariants: a VM never touches a frame that it does not own; its devices run on the VM's clock, which is the local
 * time of the vCPU that runs and engine time otherwise; once `outcome` is set nothing of it runs again.
 */
import type { Engine, EventHandle } from '../core/engine.ts';
import { assert, UserError } from '../core/errors.ts';
import { newHash } from '../core/hash.ts';
import type { Pcpu } from '../core/runnable.ts';
import { type Bytes, type Cycles, type Ns, PAGE_BYTES } from '../core/units.ts';
import { firmwareBlocks } from '../guest/firmware-tables.ts';
import type { GuestImage } from '../guest/image.ts';
import type { InputStep } from '../guest/input-script.ts';
import { type LoadOptions, loadGuest } from '../guest/load.ts';
import { CPU_SIGNATURE, type CpuStart, type StartSegment } from '../guest/start.ts';
import type { Cpu } from '../machine/cpu.ts';
import type { CpuidLeaves } from '../machine/cpu-core.ts';
import type { ApicMessage } from '../machine/devices/apic-bus.ts';
import type { BlockStore } from '../machine/devices/block-store.ts';
import type { DeviceClock, TimerHandle } from '../machine/devices/device.ts';
import { IOAPIC_BASE, IOAPIC_VERSION } from '../machine/devices/ioapic.ts';
import { type ApicBase, LAPIC_BASE, LAPIC_VERSION, type Lapic } from '../machine/devices/lapic.ts';
import { VGA_TEXT_BASE, VGA_TEXT_BYTES } from '../machine/devices/vga-text.ts';
import { createPc, ioApicPin, type Pc } from '../machine/pc.ts';
import { PhysMap } from '../machine/physmap.ts';
import { SEG_LDTR, SEG_TR, setSegment } from '../machine/segments.ts';
import { ExitTable } from './exit-table.ts';
import type { HostSide } from './host-side.ts';
import type { PhysicalMachine } from './machine.ts';
import { vmxObstacle } from './nested-vmx/offer.ts';
import type { NestedPaging } from './paging/nested.ts';
import type { ShadowGroup } from './paging/shadow-group.ts';
import { checkGuestKind } from './paravirtual/header.ts';
import { tableFrames } from './table-frames.ts';
import type { PagingName, TechniqueName } from './technique.ts';
import type { Translator } from './translator/listing.ts';
import { Typist } from './typist.ts';
import type { ExecutedVcpu } from './vcpu.ts';
import type { VmxOptions } from './vmx-options.ts';

/**
 * How a VM ended.
 *   completed      wrote the exit port; exitCode holds the value
 *   halted         halted with interrupts off: nothing can wake it
 *   triple-fault   the CPU shut down
 *   unimplemented  used something that the emulated CPU lacks; detail says what and where
 *   reset          asked for a reset
 *   stalled        blocked, and no event can ever wake it
 *   time-limit     the run ended before the guest did
 */
export type OutcomeKind =
  | 'completed'
  | 'halted'
  | 'triple-fault'
  | 'unimplemented'
  | 'reset'
  | 'stalled'
  | 'time-limit';

export interface Outcome {
  readonly kind: OutcomeKind;
  /** Value written to the exit port; null unless completed. */
  readonly exitCode: number | null;
  /** For people: where and why. Empty for completed. */
  readonly detail: string;
}

/** A sensitive instruction that did something else than it would have done at CPL 0. */
export interface Divergence {
  readonly address: number;
  /** Instruction bytes in hex. */
  readonly bytes: string;
  readonly mnemonic: string;
  /** How often an instruction of this kind went wrong. */
  count: number;
  /** What a real CPL-0 run would have done. */
  readonly expected: string;
  /** What happened here instead. */
  readonly seen: string;
}

/** A part of the run of a program that a runtime carries, as the runtime divides it. */
export interface Section {
  readonly name: string;
  /** Instructions of the program; null where nobody counts them (translated code). */
  readonly guestInstructions: number | null;
  /** What the CPU executed for them. */
  readonly hostInstructions: number;
  readonly hostCycles: Cycles;
}

export interface VmSpec {
  readonly name: string;
  readonly image: GuestImage;
  /** Command line of the kernel; under Multiboot it comes behind the file name. */
  readonly append: string;
  /** How the image is started, when its content does not tell or is not all. */
  readonly load?: Omit<LoadOptions, 'append'>;
  readonly memoryBytes: Bytes;
  readonly technique: TechniqueName;
  readonly paging: PagingName;
  /** Entries and exits keep the TLB (VPID); ignored by techniques without VM exits. */
  readonly taggedTlb: boolean;
  /** The guest's CPU has VMX, so that it can be a VMM itself; `shadowing`: VMREAD and VMWRITE need no exit. Default: none. */
  readonly guestVmx?: 'plain' | 'shadowing';
  /** What is below the VMM of each vCPU; default: the bare hardware. */
  readonly hostSide?: (vcpu: ExecutedVcpu) => HostSide;
  /** Called when the VM has ended. */
  readonly onEnd?: () => void;
  /** More about hardware assistance; DEFAULT_VMX unless told. */
  readonly vmx?: VmxOptions;
  /** Ring of the guest's kernel where it does not have ring 0; default 1. */
  readonly ring?: 1 | 3;
  /** Shadow paging lets page tables of the lowest level go out of sync until the guest flushes. Default false. */
  readonly outOfSync?: boolean;
  /** Shadow paging keeps the shadows of address spaces that are not in use. Default true. */
  readonly keepShadows?: boolean;
  /** Number of vCPUs; default 1. */
  readonly vcpus?: number;
  /** Vectors by which the guest's kernel asks for TLB flushes, as far as anybody has told the VMM; default: none. */
  readonly shootdownVectors?: readonly number[];
  /** Disks by index: PcOptions.disks. */
  readonly disks?: readonly (BlockStore | null)[];
  /** What somebody types at COM1 and at the keyboard. */
  readonly serialInput?: readonly InputStep[];
  readonly keyboardInput?: readonly InputStep[];
  /** Told of every write of the guest to these ports. */
  readonly portLogs?: ReadonlyMap<number, PortLog>;
  /** Takes console bytes (port 0xE9 and COM1) as they come, for interactive use. */
  readonly onConsole?: (byte: number) => void;
}

/** Takes one write of the guest: bytes of the access, and its value. */
export type PortLog = (bytes: number, value: number) => void;

/** Console output that is kept: a guest that prints without end must not take the host's memory. */
const CONSOLE_BYTES_MAX = 2 ** 20;

const SECTIONS_MAX = 1000;

/** A vCPU as its VM sees it. */
export interface VmCpu {
  readonly lapic: Lapic;
  /** Makes it run again if it is blocked. */
  wakeUp(): void;
  /** Goes on in spite of an x87 error that waits, until that is cleared. */
  ignoreErrors(): void;
  /** Nothing but a message of another CPU can make it execute again. */
  readonly isOut: boolean;
  /** Its local APIC sends a message to that of vCPU number `to`. */
  sent(message: ApicMessage, to: number): void;
}

/**
 * The time of the devices that the VM's vCPUs share: the local time of the one that runs, engine time otherwise.
 * vCPUs run in windows one after the other, so with several of them that could go back by up to a quantum: it stands
 * still instead until it is reached again.
 */
export class VmClock implements DeviceClock {
  /** The vCPU that runs right now and its pCPU, or null. */
  cpu: VmCpu | null = null;
  pcpu: Pcpu | null = null;
  /** A timer was set since this was last cleared: the dispatcher must look at the event list again. */
  scheduled = false;
  private readonly engine: Engine;
  private readonly isShared: boolean;
  private latest: Ns = 0;

  constructor(engine: Engine, isShared: boolean) {
    this.engine = engine;
    this.isShared = isShared;
  }

  now(): Ns {
    const now = this.local();
    if (!this.isShared) return now;
    this.latest = Math.max(this.latest, now);
    return this.latest;
  }

  /** The present moment of whoever runs, also if others were ahead. */
  local(): Ns {
    return this.pcpu === null ? this.engine.now : this.pcpu.clock.now;
  }

  /** The time of devices that belong to one vCPU alone. */
  of(cpu: VmCpu): DeviceClock {
    return {
      now: () => (this.cpu === cpu ? this.local() : this.engine.now),
      at: (time, action) => this.at(time, action),
      cancel: (timer) => this.cancel(timer),
    };
  }

  /** What one vCPU does to another takes effect when every pCPU has reached the moment at which it did it. */
  crossing(target: VmCpu | undefined, action: () => void): void {
    if (this.cpu === null || this.cpu === target) action();
    else this.at(this.local(), action);
  }

  at(time: Ns, action: () => void): TimerHandle {
    this.scheduled = true;
    return this.engine.at(Math.max(time, this.engine.now), action);
  }

  cancel(timer: TimerHandle): void {
    this.engine.cancel(timer as EventHandle);
  }
}

export class ExecutedVm {
  readonly id: number;
  readonly spec: VmSpec;
  readonly machine: PhysicalMachine;
  readonly clock: VmClock;
  readonly physmap: PhysMap;
  readonly pc: Pc;
  readonly boot: CpuStart;
  readonly exits = new ExitTable();
  /** The first sensitive instruction of each kind that went wrong, in the order of their execution. */
  readonly divergences: Divergence[] = [];
  /** What runtimes report; empty where none runs. */
  readonly sections: Section[] = [];
  /** Sensitive instructions that executed without the VMM's knowledge, by mnemonic. */
  readonly unseen = new Map<string, number>();
  /** Work units that the guest reported on port 0xE4. */
  workUnits = 0;
  outcome: Outcome | null = null;
  /** Time at which `outcome` was set. */
  endedAt: Ns = 0;
  /** External interrupts that the guest took. */
  interruptsTaken = 0;
  /** Tables of the VMM that the vCPUs have in common; the technique makes what it needs. */
  readonly tables: { shadows: ShadowGroup | null; nested: NestedPaging | null; readonly translators: Translator[] } = {
    shadows: null,
    nested: null,
    translators: [],
  };
  /** The vCPUs by number; 0 is the boot CPU. Each enters itself. */
  readonly cpus: VmCpu[] = [];
  /** Console bytes kept, and how many came beyond the bound. */
  private readonly consoleBytes: number[] = [];
  private consoleDropped = 0;
  private readonly typists: Typist[] = [];
  private gfnOfMfn: Map<number, number> | null = null;

  /**
   * Creates the VM and loads its image.
   * @throws UserError when the machine has too few free frames, or the image does not load
   */
  constructor(id: number, machine: PhysicalMachine, engine: Engine, spec: VmSpec) {
    checkGuestKind(spec.name, spec.image, spec.technique);
    this.id = id;
    this.spec = spec;
    this.machine = machine;
    const vcpus = spec.vcpus ?? 1;
    const obstacle =
      spec.guestVmx === undefined
        ? null
        : vmxObstacle({ ...spec, shadowing: spec.guestVmx === 'shadowing' }, machine.preset);
    if (obstacle !== null) throw new UserError(`VM ${spec.name}: ${obstacle}`);
    this.clock = new VmClock(engine, vcpus > 1);
    this.physmap = allocateRam(machine, spec, this.owner);
    const tables = tableFrames(spec.technique, spec.paging, this.physmap.ramFrames, vcpus);
    if (!machine.memory.reserve(this.vmmOwner, tables)) {
      throw new UserError(
        `VM ${spec.name}: needs ${tables} frames of 4 KiB for the VMM's tables, the host has ${machine.memory.freeFrameCount} free`,
      );
    }
    const emit = (byte: number): void => {
      if (this.consoleBytes.length < CONSOLE_BYTES_MAX) this.consoleBytes.push(byte);
      else this.consoleDropped++;
      spec.onConsole?.(byte);
      for (const typist of this.typists) typist.printed(byte);
    };
    this.pc = createPc({
      clock: this.clock,
      cpus: vcpus,
      memoryBytes: spec.memoryBytes,
      console: emit,
      serial: emit,
      onExit: (value) => this.end('completed', '', value),
      onProgress: (units) => {
        this.workUnits = units;
      },
      ...(spec.disks === undefined ? {} : { disks: spec.disks }),
      // Only the boot CPU's FERR and IGNNE are wired (MultiProcessor Specification 1.4, section 3.6).
      onErrorIgnored: () => this.cpus[0]?.ignoreErrors(),
      onReset: (device) => this.end('reset', `the guest asked for a reset through ${device}`),
    });
    this.seatTypists();
    this.pc.pic.onIntr = (level) => {
      this.cpus[0]?.lapic.setLint0(level);
      if (level) this.cpus[0]?.wakeUp();
    };
    this.pc.apicBus.transport = (target, deliver, message, from) => {
      const cpu = this.cpus.find(({ lapic }) => lapic === target);
      if (from !== null && from !== target) this.cpus[from.id]?.sent(message, target.id);
      this.clock.crossing(cpu, deliver);
    };
    for (const { page } of this.pc.memoryBus.devices) this.physmap.deviceFrames.add(page / PAGE_BYTES);
    for (const { at, bytes } of firmwareBlocks(firmwareOf(vcpus))) this.physmap.write(at, bytes);
    this.boot = loadGuest(
      spec.image,
      { physmap: this.physmap, memory: machine.memory, owner: this.owner },
      { ...spec.load, append: spec.append },
    );
  }

  /** Owner id of the guest's frames. */
  get owner(): number {
    return this.id * 2;
  }

  /** Owner id of frames that the VMM holds for this VM (page tables, its own tables). */
  get vmmOwner(): number {
    return this.id * 2 + 1;
  }

  /** Ends the VM. The first reason stands. */
  end(kind: OutcomeKind, detail: string, exitCode: number | null = null): void {
    if (this.outcome !== null) return;
    this.outcome = { kind, exitCode, detail };
    this.endedAt = this.clock.now();
    for (const cpu of this.cpus) cpu.wakeUp();
    this.spec.onEnd?.();
  }

  /** Ends the VM if none of its vCPUs can ever execute again; `detail` says what the last one did. */
  endIfAllOut(detail: string): void {
    if (this.cpus.every((cpu) => cpu.isOut)) this.end('halted', detail);
  }

  private seatTypists(): void {
    const { uart, i8042 } = this.pc;
    const { serialInput, keyboardInput } = this.spec;
    if (serialInput !== undefined) {
      const target = { take: (bytes: Uint8Array) => uart.receive(bytes), isListening: () => uart.isListening() };
      const typist = new Typist(serialInput, this.clock, target);
      uart.onListening = () => typist.listening();
      this.typists.push(typist);
    }
    if (keyboardInput === undefined) return;
    // A keyboard cannot tell whether anybody reads it.
    const target = { take: (bytes: Uint8Array) => i8042.type(bytes), isListening: () => true };
    this.typists.push(new Typist(keyboardInput, this.clock, target));
  }

  /** Notes that a sensitive instruction went wrong. */
  recordDivergence(found: Divergence): void {
    const known = this.divergences.find((one) => one.mnemonic === found.mnemonic);
    if (known === undefined) this.divergences.push(found);
    else known.count++;
  }

  /** Notes what a section of a program took. A runtime that reports without end is heard up to a bound. */
  recordSection(section: Section): void {
    if (this.sections.length < SECTIONS_MAX) this.sections.push(section);
  }

  /** What the guest wrote to its console (port 0xE9 and COM1), as Latin-1 text; says so if it wrote too much to keep. */
  consoleText(): string {
    const text = Buffer.from(this.consoleBytes).toString('latin1');
    return this.consoleDropped === 0 ? text : `${text}\n[${this.consoleDropped} more bytes]\n`;
  }

  /** What the VGA text screen shows, lines right-trimmed. */
  screenText(): string {
    const bytes = new Uint8Array(VGA_TEXT_BYTES);
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.physmap.read8(VGA_TEXT_BASE + i);
    return this.pc.vga.screenText(bytes);
  }

  /** SHA-256 of guest RAM in guest-physical order, in hex. */
  memoryHash(): string {
    const hash = newHash('sha256');
    for (let gfn = 0; gfn < this.physmap.ramFrames; gfn++) {
      const at = this.physmap.lookup(gfn) * PAGE_BYTES;
      hash.update(this.machine.memory.bytes.subarray(at, at + PAGE_BYTES));
    }
    return hash.digest('hex');
  }

  /** Guest frame that a machine frame of this VM backs. */
  gfnOf(mfn: number): number {
    if (this.gfnOfMfn === null) {
      this.gfnOfMfn = new Map();
      for (let gfn = 0; gfn < this.physmap.ramFrames; gfn++) this.gfnOfMfn.set(this.physmap.lookup(gfn), gfn);
    }
    const gfn = this.gfnOfMfn.get(mfn);
    assert(gfn !== undefined, `frame ${mfn} does not belong to VM ${this.spec.name}`);
    return gfn;
  }
}

/** Large leaves need guest memory in aligned runs; 4 MiB is the largest leaf, and the guest's own large page. */
const LARGE_RUN_FRAMES = 1024;

function allocateRam(machine: PhysicalMachine, spec: VmSpec, owner: number): PhysMap {
  const { memory } = machine;
  const frames = spec.memoryBytes / PAGE_BYTES;
  if (!Number.isInteger(frames) || frames < 256) {
    throw new UserError(
      `VM ${spec.name}: memory of ${spec.memoryBytes} bytes, allowed: whole 4 KiB pages, at least 1 MiB`,
    );
  }
  if (frames > memory.freeFrameCount) {
    throw new UserError(`VM ${spec.name}: needs ${frames} frames of 4 KiB, the host has ${memory.freeFrameCount} free`);
  }
  const physmap = new PhysMap(memory, frames);
  if (spec.vmx?.nestedLargePages === true && !memory.preferRun(frames, LARGE_RUN_FRAMES)) {
    throw new UserError(
      `VM ${spec.name}: large nested pages need ${frames} frames of 4 KiB in a row that starts at a multiple of 4 MiB, and the host has none; give it more memory`,
    );
  }
  for (let gfn = 0; gfn < frames; gfn++) physmap.mfnOf[gfn] = memory.allocateFrame(owner);
  return physmap;
}

const CODE_ACCESS = 0x9b00;
const DATA_ACCESS = 0x9300;
const GRANULAR_32 = 0x00c0_0000;
const BYTES_32 = 0x0040_0000;

/** CPUID of the emulated processor: family 6, what a kernel of the i686 era needs. */
const FEATURES_EDX =
  (1 << 0) | // FPU
  (1 << 2) | // DE: breakpoints on ports
  (1 << 3) | // PSE
  (1 << 4) | // TSC
  (1 << 5) | // MSR
  (1 << 8) | // CMPXCHG8B
  (1 << 9) | // local APIC
  (1 << 11) | // SEP: SYSENTER
  (1 << 13) | // PGE
  (1 << 15) | // CMOV
  (1 << 19) | // CLFLUSH
  (1 << 23) | // MMX
  (1 << 24) | // FXSAVE, FXRSTOR
  (1 << 25) | // SSE
  (1 << 26); // SSE2

/** Bytes that CLFLUSH flushes, in units of eight, where leaf 1 has them. */
const FLUSH_LINE = 8 << 8;

export const CPUID_LEAVES: CpuidLeaves = {
  0: [1, 0x756e6547, 0x6c65746e, 0x49656e69], // "GenuineIntel"
  1: [CPU_SIGNATURE, FLUSH_LINE, 0, FEATURES_EDX],
};

/** Leaf 1 says which local APIC is the CPU's own. */
function cpuidOf(apicId: number): CpuidLeaves {
  const [eax, ebx, ecx, edx] = CPUID_LEAVES[1]!;
  return { ...CPUID_LEAVES, 1: [eax, ebx | (apicId << 24), ecx, edx] };
}

function firmwareOf(cpus: number): Parameters<typeof firmwareBlocks>[0] {
  const [signature, , , features] = CPUID_LEAVES[1]!;
  return {
    cpus,
    signature,
    features,
    lapic: { base: LAPIC_BASE, version: LAPIC_VERSION },
    ioApic: { id: cpus, base: IOAPIC_BASE, version: IOAPIC_VERSION },
    pinOf: ioApicPin,
  };
}

/** Gives a CPU what tells it from the others of its VM: its identity, and its half of the local APIC. */
export function identifyCpu(cpu: Cpu, lapic: { readonly id: number; readonly base: ApicBase }): void {
  cpu.cpuid = cpuidOf(lapic.id);
  cpu.apicBase = lapic.base;
}

/** Puts a CPU into the state in which a boot loader, or the reset line, starts it. */
export function bootCpu(cpu: Cpu, start: CpuStart): void {
  cpu.regs.fill(0);
  cpu.regs[0] = start.eax;
  cpu.regs[2] = start.edx;
  cpu.regs[3] = start.ebx;
  cpu.regs[4] = start.esp;
  cpu.regs[6] = start.esi;
  cpu.eip = start.eip | 0;
  cpu.gdtBase = start.gdt.base;
  cpu.gdtLimit = start.gdt.limit;
  cpu.cr0 = start.cr0;
  cpu.setEflags(start.eflags, -1);
  startSegment(cpu, 1, start.code, CODE_ACCESS);
  for (const seg of [0, 2, 3, 4, 5]) startSegment(cpu, seg, start.data, DATA_ACCESS);
  // As after reset (SDM vol 3, table 9-1): an LDT and a TSS at 0 that nobody asked for, but present.
  setSegment(cpu, SEG_LDTR, 0, 0xffff, 0x00008200);
  setSegment(cpu, SEG_TR, 0, 0xffff, 0x00008b00);
  cpu.setCpl(0);
}

/** Loads a segment register by way of the descriptor that would give it this content. */
function startSegment(cpu: Cpu, seg: number, segment: StartSegment, access: number): void {
  const { base, limit, is32 } = segment;
  const isPages = limit > 0xffff;
  const low = ((base & 0xffff) << 16) | 0xffff;
  const size = isPages ? GRANULAR_32 | 0x000f_0000 : is32 ? BYTES_32 : 0;
  setSegment(cpu, seg, segment.selector, low, (base & 0xff00_0000) | ((base >>> 16) & 0xff) | access | size);
}
