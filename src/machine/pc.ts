/**
 * The devices of one emulated PC, wired as on a PC/AT: which device is where, and which interrupt line it has.
 * A new device is one file under devices/, its test, and one line in createPc.
 * Every interrupt line goes to the 8259 pair and to the I/O APIC: to the pin of the same number there, but for the timer,
 * which is on pin 2, as on nearly every PC with an I/O APIC.
 * Invariants: every device is on `bus` or `memoryBus` exactly once; all of them share one clock; nothing here knows a
 * CPU, nor its local APIC, which is the CPU's own.
 * Source: IBM PC/AT Technical Reference for ports and interrupt lines; QEMU for ports 0xE9 and 0xF4.
 */
import type { Bytes } from '../core/units.ts';
import { PortBus } from './bus.ts';
import { ApicBus } from './devices/apic-bus.ts';
import type { BlockStore } from './devices/block-store.ts';
import { Cmos, EPOCH_2026 } from './devices/cmos.ts';
import { CoprocessorError } from './devices/coprocessor-error.ts';
import { Debugcon } from './devices/debugcon.ts';
import type { DeviceClock, IrqLine } from './devices/device.ts';
import { ExitPort } from './devices/exit-port.ts';
import { I8042 } from './devices/i8042.ts';
import { IDE_PRIMARY, IDE_SECONDARY, IdeChannel } from './devices/ide.ts';
import { IoApic } from './devices/ioapic.ts';
import { Pic } from './devices/pic.ts';
import { PC_PIT, Pit } from './devices/pit.ts';
import { Port61 } from './devices/port61.ts';
import { Port92 } from './devices/port92.ts';
import { PostPort } from './devices/post.ts';
import { Progress } from './devices/progress.ts';
import { COM1, Uart16550 } from './devices/uart16550.ts';
import { VgaText } from './devices/vga-text.ts';
import { MemoryBus } from './memory-bus.ts';

const IRQ_TIMER = 0;
const IRQ_KEYBOARD = 1;
const IRQ_COM1 = 4;
const IRQ_RTC = 8;
const IRQ_MOUSE = 12;
const IRQ_COPROCESSOR = 13;
const IRQ_IDE = [14, 15] as const;
/** Disks of one IDE channel. */
const CHANNEL_DISKS = 2;

/** Pin of the I/O APIC that an ISA interrupt line is connected to. */
export function ioApicPin(irq: number): number {
  return irq === IRQ_TIMER ? 2 : irq;
}

export interface PcOptions {
  readonly clock: DeviceClock;
  /** CPUs: their local APICs have the identities from 0, the I/O APIC the one after them. Default 1. */
  readonly cpus?: number;
  /** Size of RAM, which CMOS tells the guest. */
  readonly memoryBytes: Bytes;
  /** Takes each byte written to port 0xE9. */
  readonly console?: (byte: number) => void;
  /** Takes each byte sent through COM1. */
  readonly serial?: (byte: number) => void;
  /** The guest wrote the exit port. The call returns to the device: stopping the machine is the caller's next step. */
  readonly onExit?: (value: number) => void;
  /** The guest reports work done, in units since its start. */
  readonly onProgress?: (units: number) => void;
  /** The guest asked for a reset through the named device. */
  readonly onReset?: (device: string) => void;
  /** The guest acknowledged an x87 error: its CPU is to ignore that from now on. */
  readonly onErrorIgnored?: () => void;
  /**
   * Disks by index: 0 and 1 are master and slave of the primary IDE channel, 2 and 3 of the secondary; null is a gap.
   * A channel without disks is not there.
   */
  readonly disks?: readonly (BlockStore | null)[];
  /** Start of the real-time clock in seconds from 2000-01-01 00:00:00; 2026-01-01 unless told. */
  readonly epochSeconds?: number;
}

export interface Pc {
  readonly bus: PortBus;
  readonly memoryBus: MemoryBus;
  readonly apicBus: ApicBus;
  readonly ioApic: IoApic;
  readonly pic: Pic;
  readonly pit: Pit;
  readonly uart: Uart16550;
  readonly cmos: Cmos;
  readonly i8042: I8042;
  readonly vga: VgaText;
  readonly post: PostPort;
  readonly port92: Port92;
  readonly coprocessorError: CoprocessorError;
  readonly ide: readonly IdeChannel[];
  readonly progress: Progress;
  /** Power-on: every device anew, then what a BIOS sets up. */
  reset(): void;
}

/** Builds the devices of one PC and brings them to the state in which a boot loader finds them. */
export function createPc(options: PcOptions): Pc {
  const { clock } = options;
  const bus = new PortBus();
  const attach = <D extends Parameters<PortBus['attach']>[0]>(device: D): D => {
    bus.attach(device);
    return device;
  };
  const pic = attach(new Pic());
  const memoryBus = new MemoryBus();
  const apicBus = new ApicBus();
  const ioApic = memoryBus.attach(new IoApic(options.cpus ?? 1, apicBus));
  const line = (irq: number): IrqLine => both(pic.line(irq), ioApic.line(ioApicPin(irq)));
  const pit = attach(new Pit(PC_PIT, clock, line(IRQ_TIMER)));
  attach(new Port61(pit));
  const uart = attach(new Uart16550(COM1, line(IRQ_COM1), options.serial ?? ignore));
  const bootsFromDisk = (options.disks?.[0] ?? null) !== null;
  const cmosSpec = {
    memoryBytes: options.memoryBytes,
    epochSeconds: options.epochSeconds ?? EPOCH_2026,
    bootsFromDisk,
  };
  const cmos = attach(new Cmos(cmosSpec, clock, line(IRQ_RTC)));
  const i8042 = attach(new I8042(() => options.onReset?.('i8042'), line(IRQ_KEYBOARD), line(IRQ_MOUSE)));
  const port92 = attach(new Port92(() => options.onReset?.('port92')));
  const vga = attach(new VgaText(clock));
  const post = attach(new PostPort());
  attach(new Debugcon(options.console ?? ignore));
  attach(new ExitPort(options.onExit ?? ignore));
  const ide = [IDE_PRIMARY, IDE_SECONDARY].flatMap((spec, channel) => {
    const disks = (options.disks ?? []).slice(CHANNEL_DISKS * channel, CHANNEL_DISKS * (channel + 1));
    if (disks.every((disk) => disk === null)) return [];
    return [attach(new IdeChannel(spec, clock, line(IRQ_IDE[channel]!), disks))];
  });
  const progress = attach(new Progress(options.onProgress ?? ignore));
  const coprocessorError = attach(new CoprocessorError(line(IRQ_COPROCESSOR), options.onErrorIgnored ?? ignore));

  const reset = () => {
    bus.reset();
    memoryBus.reset();
    // Straight to the devices: these are not accesses of the guest.
    for (const [port, value] of BIOS_WRITES) bus.deviceAt(port)?.writePort(port, 1, value);
  };
  reset();
  const consoles = { uart, i8042, vga, post };
  return {
    bus,
    memoryBus,
    apicBus,
    ioApic,
    pic,
    pit,
    cmos,
    port92,
    ide,
    progress,
    coprocessorError,
    ...consoles,
    reset,
  };
}

/**
 * What is left of the BIOS: kernels may count on a timer of 18.2 Hz and on vectors 8-15 and 0x70-0x77.
 * The values are those that SeaBIOS leaves on QEMU 7.2: PIT status 0x34, interrupt masks 0xB8 and 0x8E.
 * The timer comes first, so that ICW1 clears the edge that its OUT pin makes.
 */
const BIOS_WRITES: readonly (readonly [port: number, value: number])[] = [
  [0x43, 0x34], // counter 0: low byte then high byte, mode 2, binary
  [0x40, 0x00],
  [0x40, 0x00], // 65536 pulses
  [0x20, 0x11], // ICW1: edge, cascade, ICW4 follows
  [0x21, 0x08], // ICW2: vectors 8-15
  [0x21, 0x04], // ICW3: a slave on IR2
  [0x21, 0x01], // ICW4: 8086, normal EOI
  [0xa0, 0x11],
  [0xa1, 0x70], // vectors 0x70-0x77
  [0xa1, 0x02], // ICW3: on the master's IR2
  [0xa1, 0x01],
  [0x21, 0xb8],
  [0xa1, 0x8e],
];

/** One line to two controllers. */
function both(first: IrqLine, second: IrqLine): IrqLine {
  return {
    raise: () => {
      first.raise();
      second.raise();
    },
    lower: () => {
      first.lower();
      second.lower();
    },
  };
}

function ignore(): void {
  // nobody listens
}
