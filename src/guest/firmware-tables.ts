/**
 * What a PC's firmware leaves in memory for kernels that know where to look: words of the BIOS data area, and the
 * tables of the MultiProcessor Specification that list CPUs and interrupt lines.
 * Invariants: all of it lies in ranges that the memory map reserves, or below address 0x500; every checksum is right;
 * entries are in the order that the specification demands.
 * Sources: MultiProcessor Specification 1.4, chapter 4; IBM PC/AT Technical Reference (BIOS data area).
 */
import type { Gpa } from '../core/units.ts';
import { LOW_MEMORY_END } from './multiboot-info.ts';

/** Segment of the extended BIOS data area, at 40:0E. */
const EBDA_POINTER_AT: Gpa = 0x40e;
/** Size of base memory in KiB, at 40:13. */
const BASE_MEMORY_AT: Gpa = 0x413;
/** Where the floating pointer lies, on a multiple of 16 in the BIOS area; the table follows it. */
const POINTER_AT: Gpa = 0xf_0000;
const TABLE_AT: Gpa = 0xf_0010;

const SPEC_REVISION = 4; // 1.4
const HEADER_BYTES = 44;
const ENTRY_PROCESSOR = 0;
const ENTRY_BUS = 1;
const ENTRY_IO_APIC = 2;
const ENTRY_INTERRUPT = 3;
const ENTRY_LOCAL_INTERRUPT = 4;
const PROCESSOR_USABLE = 1;
const PROCESSOR_BOOT = 2;
const SOURCE_INT = 0;
const SOURCE_NMI = 1;
const SOURCE_EXTINT = 3;
const ISA_BUS = 0;
const ISA_LINES = 16;
/** Line that the 8259 pair uses itself. */
const CASCADE = 2;
const EVERY_LOCAL_APIC = 0xff;

export interface FirmwareSpec {
  /** Local APICs have the identities 0 to cpus - 1; 0 is the boot CPU's. */
  readonly cpus: number;
  /** EAX and EDX of CPUID leaf 1. */
  readonly signature: number;
  readonly features: number;
  readonly lapic: { readonly base: Gpa; readonly version: number };
  readonly ioApic: { readonly id: number; readonly base: Gpa; readonly version: number };
  /** Pin of the I/O APIC behind an ISA line. */
  readonly pinOf: (irq: number) => number;
}

export interface FirmwareBlock {
  readonly at: Gpa;
  readonly bytes: Uint8Array;
}

/** The bytes to put into memory before the kernel is loaded. */
export function firmwareBlocks(spec: FirmwareSpec): FirmwareBlock[] {
  const table = configurationTable(spec);
  return [
    { at: EBDA_POINTER_AT, bytes: words16(LOW_MEMORY_END >> 4) },
    { at: BASE_MEMORY_AT, bytes: words16(LOW_MEMORY_END >> 10) },
    { at: LOW_MEMORY_END, bytes: Uint8Array.of(1) }, // size of the EBDA in KiB
    { at: POINTER_AT, bytes: floatingPointer() },
    { at: TABLE_AT, bytes: table },
  ];
}

/** "_MP_": where the table is. Its features say virtual wire mode, so there is no IMCR to switch (4.1). */
function floatingPointer(): Uint8Array {
  const bytes = new Uint8Array(16);
  putText(bytes, 0, '_MP_');
  new DataView(bytes.buffer).setUint32(4, TABLE_AT, true);
  bytes[8] = 1; // length in units of 16 bytes
  bytes[9] = SPEC_REVISION;
  return withChecksum(bytes, 10);
}

function configurationTable(spec: FirmwareSpec): Uint8Array {
  const entries = [
    ...Array.from({ length: spec.cpus }, (_, id) => processor(spec, id)),
    Uint8Array.of(ENTRY_BUS, ISA_BUS, ...new TextEncoder().encode('ISA   ')),
    ioApic(spec),
    ...interrupts(spec),
    localInterrupt(SOURCE_EXTINT, 0, 0),
    localInterrupt(SOURCE_NMI, EVERY_LOCAL_APIC, 1),
  ];
  const length = entries.reduce((sum, entry) => sum + entry.length, HEADER_BYTES);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  putText(bytes, 0, 'PCMP');
  view.setUint16(4, length, true);
  bytes[6] = SPEC_REVISION;
  putText(bytes, 8, 'HVSIM   ');
  putText(bytes, 16, 'PC          ');
  view.setUint16(34, entries.length, true);
  view.setUint32(36, spec.lapic.base, true);
  let at = HEADER_BYTES;
  for (const entry of entries) {
    bytes.set(entry, at);
    at += entry.length;
  }
  return withChecksum(bytes, 7);
}

function processor(spec: FirmwareSpec, id: number): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  bytes[0] = ENTRY_PROCESSOR;
  bytes[1] = id;
  bytes[2] = spec.lapic.version & 0xff;
  bytes[3] = PROCESSOR_USABLE | (id === 0 ? PROCESSOR_BOOT : 0);
  view.setUint32(4, spec.signature, true);
  view.setUint32(8, spec.features, true);
  return bytes;
}

function ioApic({ ioApic: { id, base, version } }: FirmwareSpec): Uint8Array {
  const bytes = new Uint8Array(8);
  bytes.set([ENTRY_IO_APIC, id, version & 0xff, 1]);
  new DataView(bytes.buffer).setUint32(4, base, true);
  return bytes;
}

/** The ISA lines with the pins behind them; polarity and trigger mode conform to the bus. */
function interrupts({ ioApic: { id }, pinOf }: FirmwareSpec): Uint8Array[] {
  const lines = Array.from({ length: ISA_LINES }, (_, irq) => irq).filter((irq) => irq !== CASCADE);
  return lines.map((irq) => Uint8Array.of(ENTRY_INTERRUPT, SOURCE_INT, 0, 0, ISA_BUS, irq, id, pinOf(irq)));
}

function localInterrupt(source: number, lapic: number, pin: number): Uint8Array {
  return Uint8Array.of(ENTRY_LOCAL_INTERRUPT, source, 0, 0, ISA_BUS, 0, lapic, pin);
}

function words16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8);
}

function putText(bytes: Uint8Array, at: number, text: string): void {
  bytes.set(new TextEncoder().encode(text), at);
}

/** Sets the byte at `at` so that all bytes together sum to 0. */
function withChecksum(bytes: Uint8Array, at: number): Uint8Array {
  bytes[at] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
  return bytes;
}
