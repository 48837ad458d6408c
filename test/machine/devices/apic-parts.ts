/** Local APICs on one bus and one clock, with their registers by offset, for tests. */
import { ApicBus } from '../../../src/machine/devices/apic-bus.ts';
import { Lapic } from '../../../src/machine/devices/lapic.ts';
import { FakeClock } from './fake-clock.ts';

export interface ApicMachine {
  readonly clock: FakeClock;
  readonly bus: ApicBus;
  readonly lapics: readonly Lapic[];
}

/** `cpus` local APICs, enabled by software, with flat logical identities 1 << n. */
export function apicMachine(cpus: number): ApicMachine {
  const clock = new FakeClock();
  const bus = new ApicBus();
  const lapics = Array.from({ length: cpus }, (_, id) => new Lapic({ id, isBootCpu: id === 0 }, clock, bus));
  for (const lapic of lapics) {
    lapic.writeMemory(0xf0, 4, 0x1ff);
    lapic.writeMemory(0xd0, 4, 2 ** (24 + lapic.id));
  }
  return { clock, bus, lapics };
}

export const read = (lapic: Lapic, offset: number): number => lapic.readMemory(offset, 4);
export const write = (lapic: Lapic, offset: number, value: number): void => lapic.writeMemory(offset, 4, value);

/** Vectors in one of the 256-bit registers at 0x100 (ISR), 0x180 (TMR), 0x200 (IRR), ascending. */
export function vectorsIn(lapic: Lapic, register: number): number[] {
  const found: number[] = [];
  for (let vector = 0; vector < 256; vector++) {
    const word = read(lapic, register + 0x10 * (vector >> 5));
    if (((word >>> (vector & 31)) & 1) !== 0) found.push(vector);
  }
  return found;
}
