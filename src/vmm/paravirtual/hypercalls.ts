/**
 * What each hypercall does: reads its arguments from the guest's registers and memory, checks them, acts, and answers
 * with a result or a negative error.
 * Invariants: every argument is taken for hostile; an error means that the rest of the call did not happen, and what was
 * done before it in the same batch stands; every list has a bound, so no call takes the VMM long.
 * Source: our own; the calls mean what those of Xen mean (public/xen.h, sched.h, event_channel.h).
 */
import type { Ns } from '../../core/units.ts';
import type { VmmOperation } from '../paths.ts';
import type { Disposition } from '../technique.ts';
import {
  CONSOLE_BYTES_MAX,
  EBUSY,
  EFAULT,
  EINVAL,
  ENOSYS,
  EPERM,
  EVENT_BIND_TIMER,
  EVENT_CLOSE,
  EVENT_POLL,
  EVENT_PORTS,
  EVENT_SEND,
  EXT_INVLPG,
  EXT_NEW_BASE,
  EXT_PIN_L1,
  EXT_PIN_L2,
  EXT_TLB_FLUSH,
  EXT_UNPIN,
  HYPERCALLS,
  type HypercallName,
  MMU_EXTENDED,
  MMU_NORMAL,
  MMU_REQUEST_BYTES,
  MMU_REQUESTS_MAX,
  MULTICALL_ENTRY_BYTES,
  MULTICALLS_MAX,
  PORT_READ,
  PORT_WRITE,
  SCHED_BLOCK,
  SCHED_SHUTDOWN,
  SCHED_YIELD,
  TRAP_DPL,
  TRAP_ENTRY_BYTES,
  TRAP_MASKS,
  TRAPS_MAX,
  UVM_INVLPG,
  VECTOR_HYPERCALL,
} from './abi.ts';
import { type FrameTypes, TYPE_L1, TYPE_L2 } from './frame-types.ts';
import { VMM_BASE } from './host-tables.ts';

/** What hypercalls need of the vCPU that makes them. */
export interface HypercallHost {
  readonly frames: FrameTypes;
  /** Charges a path of the VMM. */
  vmm(operation: VmmOperation, times?: number): void;
  /** Charges what `frames` has done. */
  takeWork(): void;
  /** Counts a call that broke a rule. */
  refused(name: string): void;
  newBase(mfn: number): number;
  flushTlb(): void;
  invalidate(lin: number): void;
  setTrap(vector: number, flags: number, address: number): void;
  setStack(selector: number, esp: number): number;
  setEventHandler(address: number): void;
  raise(port: number): void;
  setTimer(at: Ns | null, port: number): void;
  block(): Disposition;
  shutdown(code: number): void;
  accessPort(port: number, bytes: 1 | 2 | 4, isIn: boolean, value: number): number;
  consoleByte(byte: number): void;
  /** Guest memory as its kernel sees it; null or false where it may not go. Words are aligned. */
  read8(lin: number): number | null;
  read32(lin: number): number | null;
  write32(lin: number, value: number): boolean;
  /** Machine address of the table entry for a linear address, or -1. */
  entryAddress(lin: number): number;
}

type Arguments = readonly [number, number, number, number];
const NAMES = new Map<number, HypercallName>(
  Object.entries(HYPERCALLS).map(([name, number]) => [number, name as HypercallName]),
);
const TWO_32 = 2 ** 32;
const COUNT_MAX = 2 ** 53 - 1;

export class Hypercalls {
  private readonly host: HypercallHost;
  private disposition: Disposition = 'resume';
  private timerPort = -1;
  /** Ports in use, by number. */
  private readonly ports = new Set<number>();
  private readonly table: Readonly<Record<HypercallName, (args: Arguments) => number>>;

  constructor(host: HypercallHost) {
    this.host = host;
    this.table = {
      'set-trap-table': ([list, count]) => this.setTrapTable(list, count),
      'mmu-update': ([list, count, done]) => this.mmuUpdate(list, count, done),
      'stack-switch': ([selector, esp]) => this.stackSwitch(selector, esp),
      'set-callbacks': ([address]) => this.setCallbacks(address),
      multicall: ([list, count]) => this.multicall(list, count),
      'update-va-mapping': ([lin, entry, flags]) => this.updateVaMapping(lin, entry, flags),
      'set-timer': ([low, high]) => this.setTimer(low, high),
      'console-write': ([text, length]) => this.consoleWrite(text, length),
      'sched-op': ([operation, code]) => this.schedule(operation, code),
      'event-channel-op': ([operation, port]) => this.eventChannel(operation, port),
      'port-io': ([operation, port, bytes, value]) => this.portIo(operation, port, bytes, value),
    };
  }

  /** Name of a call in the table of exits. */
  nameOf(number: number): string {
    return NAMES.get(number) ?? 'unknown';
  }

  /** Makes a call; the answer is for EAX. */
  call(number: number, args: Arguments): number {
    const name = NAMES.get(number);
    const result = name === undefined ? -ENOSYS : this.table[name](args);
    if (result < 0) this.host.refused(this.nameOf(number));
    return result;
  }

  /** What the vCPU does after the call. */
  takeDisposition(): Disposition {
    const { disposition } = this;
    this.disposition = 'resume';
    return disposition;
  }

  // ------------------------------------------------------------------ traps, stack, callbacks

  private setTrapTable(list: number, count: number): number {
    if (count >>> 0 > TRAPS_MAX) return -EINVAL;
    for (let i = 0; i < count; i++) {
      this.host.vmm('pv-traps');
      const at = (list + i * TRAP_ENTRY_BYTES) | 0;
      const [vector, flags, address] = [this.host.read32(at), this.host.read32(at + 4), this.host.read32(at + 8)];
      if (vector === null || flags === null || address === null) return -EFAULT;
      if (vector >>> 0 > 255 || (flags & ~(TRAP_DPL | TRAP_MASKS)) !== 0) return -EINVAL;
      if (vector === VECTOR_HYPERCALL || address >>> 0 >= VMM_BASE) return -EPERM;
      this.host.setTrap(vector, flags, address);
    }
    return 0;
  }

  private stackSwitch(selector: number, esp: number): number {
    this.host.vmm('pv-stack');
    return -this.host.setStack(selector, esp);
  }

  private setCallbacks(address: number): number {
    if (address >>> 0 >= VMM_BASE) return -EPERM;
    this.host.setEventHandler(address);
    return 0;
  }

  // ------------------------------------------------------------------ page tables

  private mmuUpdate(list: number, count: number, done: number): number {
    const { host } = this;
    if (count >>> 0 > MMU_REQUESTS_MAX) return -EINVAL;
    let result = 0;
    let completed = 0;
    for (; completed < count && result === 0; completed++) {
      host.vmm('pv-update');
      const at = (list + completed * MMU_REQUEST_BYTES) | 0;
      const [target, value] = [host.read32(at), host.read32((at + 4) | 0)];
      result = target === null || value === null ? EFAULT : this.mmuRequest(target, value);
      host.takeWork();
    }
    if (result !== 0) completed--;
    if (done !== 0 && !host.write32(done, completed)) return -EFAULT;
    return -result;
  }

  private mmuRequest(target: number, value: number): number {
    if ((target & 3) === MMU_NORMAL) return this.host.frames.update(target >>> 0, value);
    return (target & 3) === MMU_EXTENDED ? this.mmuExtended(target & ~3, value) : EINVAL;
  }

  private mmuExtended(target: number, command: number): number {
    const { host } = this;
    const mfn = target >>> 12;
    switch (command) {
      case EXT_PIN_L1:
        return host.frames.pin(mfn, TYPE_L1);
      case EXT_PIN_L2:
        return host.frames.pin(mfn, TYPE_L2);
      case EXT_UNPIN:
        return host.frames.unpin(mfn);
      case EXT_NEW_BASE:
        return host.newBase(mfn);
      case EXT_TLB_FLUSH:
        host.flushTlb();
        return 0;
      case EXT_INVLPG:
        host.invalidate(target);
        return 0;
      default:
        return ENOSYS;
    }
  }

  private updateVaMapping(lin: number, entry: number, flags: number): number {
    const { host } = this;
    host.vmm('pv-update');
    if ((flags & ~UVM_INVLPG) !== 0) return -EINVAL;
    if (lin >>> 0 >= VMM_BASE) return -EPERM;
    const at = host.entryAddress(lin);
    if (at < 0) return -EINVAL;
    const error = host.frames.update(at, entry);
    host.takeWork();
    if (error === 0 && (flags & UVM_INVLPG) !== 0) host.invalidate(lin);
    return -error;
  }

  // ------------------------------------------------------------------ time, events, the scheduler

  private setTimer(low: number, high: number): number {
    this.host.vmm('pv-timer');
    if (this.timerPort < 0) return -EINVAL;
    const at = (high >>> 0) * TWO_32 + (low >>> 0);
    if (at > COUNT_MAX) return -EINVAL;
    this.host.setTimer(at === 0 ? null : at, this.timerPort);
    return 0;
  }

  private schedule(operation: number, code: number): number {
    const { host } = this;
    host.vmm('pv-block');
    if (operation === SCHED_YIELD) this.disposition = 'yield';
    else if (operation === SCHED_BLOCK) this.disposition = host.block();
    else if (operation === SCHED_SHUTDOWN) {
      host.shutdown(code);
      this.disposition = 'end';
    } else return -ENOSYS;
    return 0;
  }

  private eventChannel(operation: number, port: number): number {
    const { host, ports } = this;
    host.vmm('pv-event');
    switch (operation) {
      case EVENT_BIND_TIMER:
        return this.bindTimer();
      case EVENT_CLOSE:
        if (!ports.delete(port)) return -EINVAL;
        if (port === this.timerPort) {
          host.setTimer(null, port);
          this.timerPort = -1;
        }
        return 0;
      case EVENT_SEND:
        if (!ports.has(port)) return -EINVAL;
        host.raise(port);
        return 0;
      case EVENT_POLL:
        // Before the guest goes on it gets what is pending: that is all that this call is for.
        return 0;
      default:
        return -ENOSYS;
    }
  }

  private bindTimer(): number {
    if (this.timerPort >= 0) return -EBUSY;
    let port = 1;
    while (this.ports.has(port)) port++;
    if (port >= EVENT_PORTS) return -EBUSY;
    this.ports.add(port);
    this.timerPort = port;
    return port;
  }

  // ------------------------------------------------------------------ console and devices

  private consoleWrite(text: number, length: number): number {
    if (length >>> 0 > CONSOLE_BYTES_MAX) return -EINVAL;
    for (let i = 0; i < length; i++) {
      const byte = this.host.read8((text + i) | 0);
      if (byte === null) return -EFAULT;
      this.host.vmm('pv-console-byte');
      this.host.consoleByte(byte);
    }
    return length;
  }

  private portIo(operation: number, port: number, bytes: number, value: number): number {
    if (port >>> 0 > 0xffff || (bytes !== 1 && bytes !== 2 && bytes !== 4)) return -EINVAL;
    if (operation !== PORT_READ && operation !== PORT_WRITE) return -ENOSYS;
    // A result of 32 bits could be taken for an error.
    if (operation === PORT_READ && bytes === 4) return -EINVAL;
    return this.host.accessPort(port, bytes, operation === PORT_READ, value);
  }

  private multicall(list: number, count: number): number {
    const { host } = this;
    if (count >>> 0 > MULTICALLS_MAX) return -EINVAL;
    for (let i = 0; i < count; i++) {
      const at = (list + i * MULTICALL_ENTRY_BYTES) | 0;
      const words = [0, 4, 8, 12, 16].map((offset) => host.read32((at + offset) | 0));
      if (words.some((word) => word === null)) return -EFAULT;
      const [number, a, b, c, d] = words as [number, number, number, number, number];
      if (number === HYPERCALLS.multicall) return -EINVAL;
      host.vmm('hypercall');
      if (!host.write32((at + 20) | 0, this.call(number, [a, b, c, d]))) return -EFAULT;
      if (this.disposition === 'end') return 0;
    }
    return 0;
  }
}
