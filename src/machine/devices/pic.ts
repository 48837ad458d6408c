/**
 * The pair of 8259A interrupt controllers of a PC/AT: ports 0x20, 0x21 (master) and 0xA0, 0xA1 (slave on IR2).
 * Invariants: the master's IR2 pin follows the slave's INT output; `intr` is the master's INT output;
 * after every call both are up to date.
 * Source: Intel 8259A data sheet (231468), "Cascade Mode"; IBM PC/AT Technical Reference for the wiring.
 */
import { assert } from '../../core/errors.ts';
import type { AccessBytes, IrqLine, PortDevice } from './device.ts';
import {
  acknowledgeChip,
  isSingle,
  newPicChip,
  type PicChipState,
  readChip,
  resolve,
  setPin,
  vectorOf,
  writeCommand,
  writeData,
} from './pic-chip.ts';

const MASTER_PORT = 0x20;
const SLAVE_PORT = 0xa0;
const CASCADE_PIN = 2;
const CASCADE_BIT = 1 << CASCADE_PIN;

export interface PicState {
  readonly master: PicChipState;
  readonly slave: PicChipState;
  intr: boolean;
}

function newPicState(): PicState {
  return { master: newPicChip(), slave: newPicChip(), intr: false };
}

export class Pic implements PortDevice {
  readonly name = 'pic';
  readonly ports = [
    { first: MASTER_PORT, count: 2 },
    { first: SLAVE_PORT, count: 2 },
  ];
  state = newPicState();
  /** Told when `intr` changes. */
  onIntr: ((level: boolean) => void) | null = null;

  /** The INTR pin of the CPU. */
  get intr(): boolean {
    return this.state.intr;
  }

  /** The input pin for interrupt request 0-15. IRQ2 is taken by the slave. */
  line(irq: number): IrqLine {
    assert(Number.isInteger(irq) && irq >= 0 && irq < 16 && irq !== CASCADE_PIN, `no such interrupt line: ${irq}`);
    return { raise: () => this.setLine(irq, true), lower: () => this.setLine(irq, false) };
  }

  /**
   * The CPU's interrupt acknowledge cycles: puts the request in service and returns its vector.
   * If the request has gone, this is the spurious vector of IR7, or of IRQ15 when it was the slave's.
   */
  acknowledge(): number {
    const { master } = this.state;
    const pin = acknowledgeChip(master, this.slavePins());
    let vector = vectorOf(master, pin < 0 ? 7 : pin);
    if (pin === CASCADE_PIN && this.slavePins() !== 0) vector = this.acknowledgeSlave();
    this.update();
    return vector;
  }

  /** Power-on state. Pins keep the levels that the devices drive. */
  reset(): void {
    const { master, slave } = this.state;
    Object.assign(master, newPicChip(), { pins: master.pins & ~CASCADE_BIT });
    Object.assign(slave, newPicChip(), { pins: slave.pins });
    this.update();
  }

  readPort(port: number, _bytes: AccessBytes): number {
    const isMaster = (port & SLAVE_PORT) !== SLAVE_PORT;
    const chip = isMaster ? this.state.master : this.state.slave;
    const wasPolled = chip.polled;
    const value = readChip(chip, port & 1, isMaster ? this.slavePins() : 0);
    if (wasPolled && !isMaster) this.pulseCascade();
    this.update();
    return value;
  }

  writePort(port: number, _bytes: AccessBytes, value: number): void {
    const chip = (port & SLAVE_PORT) === SLAVE_PORT ? this.state.slave : this.state.master;
    if ((port & 1) === 0) writeCommand(chip, value & 0xff);
    else writeData(chip, value & 0xff);
    this.update();
  }

  private setLine(irq: number, high: boolean): void {
    setPin(irq < 8 ? this.state.master : this.state.slave, irq & 7, high);
    this.update();
  }

  /** Inputs that the master takes for a slave: ICW3, unless ICW1 said single. */
  private slavePins(): number {
    const { master } = this.state;
    return isSingle(master) ? 0 : master.icw3 & CASCADE_BIT;
  }

  /** The second INTA goes to the slave that the cascade lines name; with a wrong identity nobody answers. */
  private acknowledgeSlave(): number {
    const { slave } = this.state;
    if ((slave.icw3 & 7) !== CASCADE_PIN) return 0xff;
    const pin = acknowledgeChip(slave, 0);
    this.pulseCascade();
    return vectorOf(slave, pin < 0 ? 7 : pin);
  }

  /** INT of the slave falls with INTA, so that a request still waiting gives the master a new edge. */
  private pulseCascade(): void {
    setPin(this.state.master, CASCADE_PIN, false);
  }

  private update(): void {
    const { state } = this;
    setPin(state.master, CASCADE_PIN, resolve(state.slave, 0) >= 0);
    const intr = resolve(state.master, this.slavePins()) >= 0;
    if (intr === state.intr) return;
    state.intr = intr;
    this.onIntr?.(intr);
  }
}
