/**
 * One IDE channel with up to two disks: PIO data transfer, interrupts, CHS and 28-bit LBA. The primary channel has
 * ports 0x1F0-0x1F7 and 0x3F6 and IRQ14, the secondary 0x170-0x177 and 0x376 and IRQ15.
 * Time: a command that moves data keeps BSY for COMMAND_NS before the first block, and TRANSFER_NS for each sector of
 * every block after that (a drive whose cache answers); commands without data take SHORT_NS. All are our choice.
 * Invariants: a timer is pending exactly while BSY is set, but for a reset that the host holds; DRQ is set only while
 * `position` < `length`; the interrupt pin is up iff `interrupt` is set, nIEN is clear and the drive selected is
 * there. A command block register is one register on the bus: both drives take every write.
 * A drive that is not there: the other one answers 0 in its place (status: neither busy nor ready); if there is only
 * drive 1, nobody drives the bus for drive 0 and it reads 0x7F.
 * Source: ATA/ATAPI-5 (T13/1321D), clauses 7 to 9. Not there: DMA, 48-bit LBA, packet devices, security, SMART.
 */
import type { Ns } from '../../core/units.ts';
import { type BlockStore, SECTOR_BYTES } from './block-store.ts';
import type { AccessBytes, DeviceClock, IrqLine, PortDevice, TimerHandle } from './device.ts';
import {
  DEFAULT_HEADS,
  DEFAULT_SECTORS_PER_TRACK,
  fillIdentify,
  type Geometry,
  geometryOf,
  MULTIPLE_MAX,
} from './ide-identify.ts';

const COMMAND_NS: Ns = 100_000;
const TRANSFER_NS: Ns = 31_000; // 16.6 MB/s: PIO mode 4
const SHORT_NS: Ns = 10_000;
const RESET_NS: Ns = 50_000;

// Command block registers, from the first port.
const DATA = 0;
const ERROR_FEATURES = 1;
const COUNT = 2;
const LBA_LOW = 3;
const LBA_MID = 4;
const LBA_HIGH = 5;
const DEVICE = 6;
const STATUS_COMMAND = 7;
const COMMAND_BLOCK_PORTS = 8;

const BSY = 0x80;
const DRDY = 0x40;
const DSC = 0x10;
const DRQ = 0x08;
const ERR = 0x01;
const READY = DRDY | DSC;

const ABRT = 0x04;
const IDNF = 0x10;
const DIAGNOSTIC_OK = 0x01;

const DEVICE_LBA = 0x40;
const DEVICE_SELECT = 0x10;
const CONTROL_NIEN = 0x02;
const CONTROL_SRST = 0x04;

const NO_DRIVE = 0x7f;
/** Sector count 0 means this. */
const SECTORS_MAX = 256;

export interface IdeSpec {
  readonly name: string;
  readonly commandPort: number;
  readonly controlPort: number;
}

export const IDE_PRIMARY: IdeSpec = { name: 'ide0', commandPort: 0x1f0, controlPort: 0x3f6 };
export const IDE_SECONDARY: IdeSpec = { name: 'ide1', commandPort: 0x170, controlPort: 0x376 };

/** What is to happen when BSY falls. */
type Pending = 'none' | 'reset' | 'diagnostic' | 'done' | 'identify' | 'read' | 'write';

interface DriveState {
  status: number;
  error: number;
  heads: number;
  sectorsPerTrack: number;
  /** Sectors of a block of READ and WRITE MULTIPLE; 0: not set. */
  multiple: number;
}

export interface IdeState {
  readonly drives: readonly [DriveState, DriveState];
  features: number;
  count: number;
  lbaLow: number;
  lbaMid: number;
  lbaHigh: number;
  device: number;
  control: number;
  interrupt: boolean;
  pending: Pending;
  /** The data block that moves through the data port. */
  readonly buffer: Uint8Array;
  position: number;
  length: number;
  writing: boolean;
  /** Sectors that the command has still to move, the block in the buffer included. */
  left: number;
  /** Sectors of one block of this command. */
  block: number;
  /** First sector of the next block. */
  sector: number;
}

function newDriveState(present: boolean): DriveState {
  return {
    status: present ? READY : 0,
    error: DIAGNOSTIC_OK,
    heads: DEFAULT_HEADS,
    sectorsPerTrack: DEFAULT_SECTORS_PER_TRACK,
    multiple: 0,
  };
}

export class IdeChannel implements PortDevice {
  readonly name: string;
  readonly ports;
  readonly spec: IdeSpec;
  state: IdeState;
  private readonly disks: readonly (BlockStore | null)[];
  private readonly clock: DeviceClock;
  private readonly irq: IrqLine;
  private timer: TimerHandle | null = null;

  /** @param disks drive 0 and drive 1, null where there is none */
  constructor(spec: IdeSpec, clock: DeviceClock, irq: IrqLine, disks: readonly (BlockStore | null)[]) {
    this.spec = spec;
    this.name = spec.name;
    this.ports = [
      { first: spec.commandPort, count: COMMAND_BLOCK_PORTS, widestBytes: 4 as const },
      { first: spec.controlPort, count: 1 },
    ];
    this.disks = disks;
    this.clock = clock;
    this.irq = irq;
    this.state = this.newState();
  }

  reset(): void {
    this.stopTimer();
    this.state = this.newState();
    this.updateIrq();
  }

  readPort(port: number, bytes: AccessBytes): number {
    const register = port - this.spec.commandPort;
    if (port === this.spec.controlPort) return this.status();
    if (register === DATA) return this.readData(bytes);
    // A wide access to registers of one byte: byte by byte, as the bus does for others.
    let value = 0;
    for (let i = 0; i < bytes; i++) value += this.readRegister(register + i) * 2 ** (8 * i);
    return value;
  }

  writePort(port: number, bytes: AccessBytes, value: number): void {
    const register = port - this.spec.commandPort;
    if (port === this.spec.controlPort) this.writeControl(value & 0xff);
    else if (register === DATA) this.writeData(bytes, value);
    else for (let i = 0; i < bytes; i++) this.writeRegister(register + i, (value >>> (8 * i)) & 0xff);
  }

  // ------------------------------------------------------------------ registers

  private newState(): IdeState {
    return {
      drives: [newDriveState(this.isPresent(0)), newDriveState(this.isPresent(1))],
      features: 0,
      count: 1, // the signature of a disk: 1, 1, 0, 0
      lbaLow: 1,
      lbaMid: 0,
      lbaHigh: 0,
      device: 0,
      control: 0,
      interrupt: false,
      pending: 'none',
      buffer: new Uint8Array(MULTIPLE_MAX * SECTOR_BYTES),
      position: 0,
      length: 0,
      writing: false,
      left: 0,
      block: 1,
      sector: 0,
    };
  }

  private isPresent(drive: number): boolean {
    return (this.disks[drive] ?? null) !== null;
  }

  private get selected(): 0 | 1 {
    return (this.state.device & DEVICE_SELECT) === 0 ? 0 : 1;
  }

  private get drive(): DriveState {
    return this.state.drives[this.selected];
  }

  private get disk(): BlockStore | null {
    return this.disks[this.selected] ?? null;
  }

  private status(): number {
    if (this.isPresent(this.selected)) return this.drive.status;
    return this.isPresent(0) ? 0 : NO_DRIVE;
  }

  private readRegister(register: number): number {
    const { state } = this;
    if (register === STATUS_COMMAND) {
      const status = this.status();
      state.interrupt = false;
      this.updateIrq();
      return status;
    }
    if (!this.isPresent(this.selected) && !this.isPresent(0)) return NO_DRIVE;
    switch (register) {
      case DATA:
        return this.readData(1);
      case ERROR_FEATURES:
        return this.isPresent(this.selected) ? this.drive.error : 0;
      case COUNT:
        return state.count;
      case LBA_LOW:
        return state.lbaLow;
      case LBA_MID:
        return state.lbaMid;
      case LBA_HIGH:
        return state.lbaHigh;
      default:
        return state.device | 0xa0; // bits 7 and 5 are obsolete and read as 1
    }
  }

  private writeRegister(register: number, value: number): void {
    const { state } = this;
    if (register === DATA) this.writeData(1, value);
    if (this.isBusy()) return; // BSY: the drive owns its registers
    switch (register) {
      case ERROR_FEATURES:
        state.features = value;
        return;
      case COUNT:
        state.count = value;
        return;
      case LBA_LOW:
        state.lbaLow = value;
        return;
      case LBA_MID:
        state.lbaMid = value;
        return;
      case LBA_HIGH:
        state.lbaHigh = value;
        return;
      case DEVICE:
        this.select(value);
        return;
      case STATUS_COMMAND:
        this.command(value);
        return;
      default: // the data port
    }
  }

  /** Going to the other drive gives up a transfer that is not finished. */
  private select(value: number): void {
    const { state } = this;
    if (((value ^ state.device) & DEVICE_SELECT) !== 0 && state.length > 0) {
      this.endTransfer();
      this.drive.status = READY;
    }
    state.device = value;
    this.updateIrq();
  }

  private isBusy(): boolean {
    return this.state.pending !== 'none';
  }

  /** SRST holds both drives in reset; its fall starts their self-test. */
  private writeControl(value: number): void {
    const { state } = this;
    const before = state.control;
    state.control = value;
    if ((value & ~before & CONTROL_SRST) !== 0) {
      this.stopTimer();
      this.endTransfer();
      state.interrupt = false;
      this.busy('reset', -1);
    } else if ((before & ~value & CONTROL_SRST) !== 0) this.busy('reset', RESET_NS);
    this.updateIrq();
  }

  private updateIrq(): void {
    const { state } = this;
    const isOn = state.interrupt && (state.control & CONTROL_NIEN) === 0 && this.isPresent(this.selected);
    if (isOn) this.irq.raise();
    else this.irq.lower();
  }

  // ------------------------------------------------------------------ commands

  private command(code: number): void {
    const { state } = this;
    state.interrupt = false;
    this.updateIrq();
    this.endTransfer();
    if (code === 0x90) {
      this.busy('diagnostic', RESET_NS); // for both drives, whichever is selected
      return;
    }
    if (!this.isPresent(this.selected)) return;
    this.drive.error = 0;
    this.drive.status = READY;
    switch (code) {
      case 0x20: // READ SECTORS, with and without retry
      case 0x21:
        this.startMedia(false, 1);
        return;
      case 0x30: // WRITE SECTORS
      case 0x31:
        this.startMedia(true, 1);
        return;
      case 0xc4: // READ MULTIPLE
      case 0xc5: // WRITE MULTIPLE
        if (this.drive.multiple === 0) this.abort();
        else this.startMedia(code === 0xc5, this.drive.multiple);
        return;
      case 0xc6:
        this.setMultiple(state.count);
        return;
      case 0xec:
        this.busy('identify', SHORT_NS);
        return;
      case 0x91:
        this.initializeParameters();
        return;
      case 0x40: // READ VERIFY SECTORS
      case 0x41:
        this.verify();
        return;
      case 0xe7: // FLUSH CACHE
        this.disk!.flush();
        this.busy('done', COMMAND_NS);
        return;
      case 0xef:
        this.setFeatures();
        return;
      case 0xf8:
        this.readNativeMax();
        return;
      case 0xe5: // CHECK POWER MODE: active
        state.count = 0xff;
        this.busy('done', SHORT_NS);
        return;
      default:
        // RECALIBRATE 1x and SEEK 7x move no data; STANDBY, IDLE and their IMMEDIATE forms change nothing here.
        if ((code & 0xf0) === 0x10 || (code & 0xf0) === 0x70 || (code >= 0xe0 && code <= 0xe3)) {
          this.busy('done', SHORT_NS);
        } else this.abort();
    }
  }

  /** Ends a command at once with an error. */
  private abort(): void {
    this.fail(ABRT);
  }

  private fail(error: number): void {
    this.endTransfer();
    this.drive.error = error;
    this.drive.status = DRDY | ERR;
    this.interruptNow();
  }

  private interruptNow(): void {
    this.state.interrupt = true;
    this.updateIrq();
  }

  private setMultiple(count: number): void {
    const isPowerOfTwo = (count & (count - 1)) === 0;
    if (!isPowerOfTwo || count > MULTIPLE_MAX) {
      this.abort();
      return;
    }
    this.drive.multiple = count;
    this.busy('done', SHORT_NS);
  }

  private initializeParameters(): void {
    const { state } = this;
    if (state.count === 0) {
      this.abort();
      return;
    }
    this.drive.heads = (state.device & 0x0f) + 1;
    this.drive.sectorsPerTrack = state.count;
    this.busy('done', SHORT_NS);
  }

  /** Transfer modes up to PIO 4; write cache and look-ahead are taken and change nothing. */
  private setFeatures(): void {
    const { features, count } = this.state;
    const isPio = count <= 0x01 || (count >= 0x08 && count <= 0x0c);
    const isKnown = [0x02, 0x82, 0x55, 0xaa, 0x66, 0xcc].includes(features) || (features === 0x03 && isPio);
    if (isKnown) this.busy('done', SHORT_NS);
    else this.abort();
  }

  private readNativeMax(): void {
    if ((this.state.device & DEVICE_LBA) === 0) {
      this.abort();
      return;
    }
    this.setAddress(Math.min(this.disk!.sectors, 0x1000_0000) - 1);
    this.busy('done', SHORT_NS);
  }

  private verify(): void {
    const first = this.address();
    const count = this.state.count || SECTORS_MAX;
    if (first < 0 || first + count > this.disk!.sectors) this.fail(IDNF);
    else this.busy('done', COMMAND_NS + count * TRANSFER_NS);
  }

  private startMedia(isWrite: boolean, block: number): void {
    const { state } = this;
    state.sector = this.address();
    state.left = state.count || SECTORS_MAX;
    state.block = block;
    state.writing = isWrite;
    if (!this.isNextBlockThere()) this.fail(IDNF);
    else if (isWrite) this.openBlock();
    else this.busy('read', COMMAND_NS);
  }

  private isNextBlockThere(): boolean {
    const { sector, left, block } = this.state;
    return sector >= 0 && sector + Math.min(left, block) <= this.disk!.sectors;
  }

  // ------------------------------------------------------------------ addresses

  private geometry(): Geometry {
    const { heads, sectorsPerTrack } = this.drive;
    return geometryOf(this.disk!.sectors, heads, sectorsPerTrack);
  }

  /** The sector that the registers name, or -1 for a CHS address that does not exist. */
  private address(): number {
    const { state } = this;
    const high = state.device & 0x0f;
    if ((state.device & DEVICE_LBA) !== 0) {
      return state.lbaLow | (state.lbaMid << 8) | (state.lbaHigh << 16) | (high << 24);
    }
    const { heads, sectorsPerTrack } = this.geometry();
    const cylinder = state.lbaMid | (state.lbaHigh << 8);
    if (state.lbaLow === 0 || state.lbaLow > sectorsPerTrack || high >= heads) return -1;
    return (cylinder * heads + high) * sectorsPerTrack + state.lbaLow - 1;
  }

  private setAddress(sector: number): void {
    const { state } = this;
    if ((state.device & DEVICE_LBA) !== 0) {
      state.lbaLow = sector & 0xff;
      state.lbaMid = (sector >> 8) & 0xff;
      state.lbaHigh = (sector >> 16) & 0xff;
      state.device = (state.device & 0xf0) | ((sector >> 24) & 0x0f);
      return;
    }
    const { heads, sectorsPerTrack } = this.geometry();
    const track = Math.floor(sector / sectorsPerTrack);
    const cylinder = Math.floor(track / heads);
    state.lbaLow = (sector % sectorsPerTrack) + 1;
    state.lbaMid = cylinder & 0xff;
    state.lbaHigh = (cylinder >> 8) & 0xff;
    state.device = (state.device & 0xf0) | (track % heads);
  }

  // ------------------------------------------------------------------ time

  /** BSY until `delay` has passed; without end if it is negative. */
  private busy(pending: Pending, delay: Ns): void {
    const { state } = this;
    state.pending = pending;
    for (const drive of [0, 1] as const) {
      const takesPart = pending === 'reset' || pending === 'diagnostic' || drive === this.selected;
      if (takesPart && this.isPresent(drive)) state.drives[drive].status = BSY;
    }
    this.stopTimer();
    if (delay < 0) return;
    this.timer = this.clock.at(this.clock.now() + delay, () => {
      this.timer = null;
      this.complete();
    });
  }

  private stopTimer(): void {
    if (this.timer !== null) this.clock.cancel(this.timer);
    this.timer = null;
  }

  private complete(): void {
    const { state } = this;
    const { pending } = state;
    state.pending = 'none';
    switch (pending) {
      case 'reset':
      case 'diagnostic':
        this.signature(pending === 'diagnostic');
        return;
      case 'identify':
        this.identify();
        return;
      case 'read':
        this.loadBlock();
        return;
      case 'write':
        this.storeBlock();
        return;
      default:
        this.drive.status = READY;
        this.interruptNow();
    }
  }

  /** After a reset or EXECUTE DEVICE DIAGNOSTIC: both drives passed, device 0 is selected, the registers tell a disk. */
  private signature(withInterrupt: boolean): void {
    const { state } = this;
    state.count = 1;
    state.lbaLow = 1;
    state.lbaMid = 0;
    state.lbaHigh = 0;
    state.device = 0;
    for (const drive of [0, 1] as const) {
      state.drives[drive].status = this.isPresent(drive) ? READY : 0;
      state.drives[drive].error = DIAGNOSTIC_OK;
    }
    if (withInterrupt) this.interruptNow();
  }

  // ------------------------------------------------------------------ data

  private identify(): void {
    const { state, drive } = this;
    const serial = `HV${this.spec.name.toUpperCase()}${this.selected}`;
    fillIdentify(state.buffer, this.disk!.sectors, this.geometry(), drive.multiple, serial);
    state.left = 1;
    state.block = 1;
    state.sector = -1;
    state.writing = false;
    this.openBlock();
    this.interruptNow();
  }

  private loadBlock(): void {
    const { state } = this;
    const count = Math.min(state.left, state.block);
    for (let i = 0; i < count; i++) this.disk!.read(state.sector + i, state.buffer, i * SECTOR_BYTES);
    this.openBlock();
    this.interruptNow();
  }

  private storeBlock(): void {
    const { state } = this;
    const count = Math.min(state.left, state.block);
    for (let i = 0; i < count; i++) this.disk!.write(state.sector + i, state.buffer, i * SECTOR_BYTES);
    this.advance(count);
    if (state.left === 0) this.drive.status = READY;
    else if (!this.isNextBlockThere()) {
      this.fail(IDNF);
      return;
    } else this.openBlock();
    this.interruptNow();
  }

  /** Lets the host move a block through the data port. */
  private openBlock(): void {
    const { state } = this;
    state.position = 0;
    state.length = Math.min(state.left, state.block) * SECTOR_BYTES;
    this.drive.status = READY | DRQ;
  }

  private endTransfer(): void {
    const { state } = this;
    state.position = 0;
    state.length = 0;
    state.left = 0;
  }

  /** The registers follow: they name the last sector moved, and how many are left. */
  private advance(count: number): void {
    const { state } = this;
    state.sector += count;
    state.left -= count;
    state.count = state.left & 0xff;
    this.setAddress(state.sector - 1);
  }

  /** The host has moved the whole block. */
  private blockMoved(): void {
    const { state } = this;
    const count = Math.min(state.left, state.block);
    state.length = 0;
    state.position = 0;
    if (state.writing) {
      this.busy('write', COMMAND_NS + count * TRANSFER_NS);
      return;
    }
    if (state.sector < 0)
      state.left = 0; // IDENTIFY
    else this.advance(count);
    if (state.left === 0) this.drive.status = READY;
    else if (this.isNextBlockThere()) this.busy('read', Math.min(state.left, state.block) * TRANSFER_NS);
    else this.fail(IDNF);
  }

  /** Bytes of one access that the block still has; an access of one byte takes a word and loses its upper half. */
  private step(bytes: AccessBytes): number {
    const { position, length } = this.state;
    return Math.min(bytes === 1 ? 2 : bytes, length - position);
  }

  private readData(bytes: AccessBytes): number {
    const { state } = this;
    if (!this.isPresent(this.selected)) return 0;
    if (state.writing || state.position >= state.length) return 0;
    const count = this.step(bytes);
    let value = 0;
    for (let i = 0; i < Math.min(count, bytes); i++) value += state.buffer[state.position + i]! * 2 ** (8 * i);
    state.position += count;
    if (state.position >= state.length) this.blockMoved();
    return value;
  }

  private writeData(bytes: AccessBytes, value: number): void {
    const { state } = this;
    if (!this.isPresent(this.selected)) return;
    if (!state.writing || state.position >= state.length) return;
    const count = this.step(bytes);
    for (let i = 0; i < count; i++) state.buffer[state.position + i] = i < bytes ? value >>> (8 * i) : 0;
    state.position += count;
    if (state.position >= state.length) this.blockMoved();
  }
}
