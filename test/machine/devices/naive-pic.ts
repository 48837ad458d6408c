/**
 * A slow, plain model of two cascaded 8259A, for comparison: priorities as an explicit list that is rotated,
 * every level as an object. It starts after ICW1-ICW4 with vectors 0x20 and 0x28.
 */
interface Level {
  pin: boolean;
  edge: boolean;
  masked: boolean;
  inService: boolean;
}

class NaiveChip {
  levels: Level[] = Array.from({ length: 8 }, () => ({ pin: false, edge: false, masked: false, inService: false }));
  /** Highest priority first. */
  order = [0, 1, 2, 3, 4, 5, 6, 7];
  specialMask = false;
  rotateAuto = false;
  readsIsr = false;
  poll = false;
  readonly levelMode: boolean;
  readonly icw4: number;
  readonly slavePin: number;

  constructor(levelMode: boolean, icw4: number, slavePin: number) {
    this.levelMode = levelMode;
    this.icw4 = icw4;
    this.slavePin = slavePin;
  }

  setPin(pin: number, high: boolean): void {
    const level = this.levels[pin]!;
    if (high && !level.pin) level.edge = true;
    if (!high) level.edge = false;
    level.pin = high;
  }

  isRequested(pin: number): boolean {
    return this.levelMode ? this.levels[pin]!.pin : this.levels[pin]!.edge;
  }

  /** Walk from the highest priority down; stop at the first level in service that still counts. */
  winner(): number {
    for (const pin of this.order) {
      const level = this.levels[pin]!;
      const wants = this.isRequested(pin) && !level.masked;
      const holds = level.inService && !(this.specialMask && level.masked);
      const nests = (this.icw4 & 0x10) !== 0 && pin === this.slavePin;
      if (holds) return wants && nests ? pin : -1;
      if (wants) return pin;
    }
    return -1;
  }

  take(): number {
    const pin = this.winner();
    if (pin < 0) return -1;
    this.levels[pin]!.edge = false;
    if ((this.icw4 & 0x02) === 0) this.levels[pin]!.inService = true;
    else if (this.rotateAuto) this.makeLowest(pin);
    return pin;
  }

  makeLowest(pin: number): void {
    while (this.order.at(-1) !== pin) this.order.push(this.order.shift()!);
  }

  command(value: number): void {
    if ((value & 0x08) !== 0) {
      if ((value & 0x60) === 0x60) this.specialMask = true;
      if ((value & 0x60) === 0x40) this.specialMask = false;
      this.poll = (value & 0x04) !== 0;
      if (!this.poll && (value & 0x03) === 0x02) this.readsIsr = false;
      if (!this.poll && (value & 0x03) === 0x03) this.readsIsr = true;
      return;
    }
    const rotate = (value & 0x80) !== 0;
    const specific = (value & 0x40) !== 0;
    const end = (value & 0x20) !== 0;
    if (!end && !specific) this.rotateAuto = rotate;
    if (end && specific) this.levels[value & 7]!.inService = false;
    if (rotate && specific) this.makeLowest(value & 7);
    if (end && !specific) {
      const pin = this.order.find((each) => {
        const level = this.levels[each]!;
        return level.inService && !(this.specialMask && level.masked);
      });
      if (pin === undefined) return;
      this.levels[pin]!.inService = false;
      if (rotate) this.makeLowest(pin);
    }
  }

  register(a0: number): number {
    const bit = (pin: number): boolean => {
      if (a0 === 1) return this.levels[pin]!.masked;
      return this.readsIsr ? this.levels[pin]!.inService : this.isRequested(pin);
    };
    return [0, 1, 2, 3, 4, 5, 6, 7].reduce((byte, pin) => byte + (bit(pin) ? 2 ** pin : 0), 0);
  }
}

export class NaivePic {
  readonly master: NaiveChip;
  readonly slave: NaiveChip;

  constructor(levelMode: boolean, icw4: number) {
    this.master = new NaiveChip(levelMode, icw4, 2);
    this.slave = new NaiveChip(levelMode, icw4, -1);
  }

  intr(): boolean {
    return this.master.winner() >= 0;
  }

  setLine(irq: number, high: boolean): void {
    if (irq < 8) this.master.setPin(irq, high);
    else this.slave.setPin(irq - 8, high);
    this.wire();
  }

  acknowledge(): number {
    const pin = this.master.take();
    let vector = 0x20 + (pin < 0 ? 7 : pin);
    if (pin === 2) vector = 0x28 + this.takeSlave();
    this.wire();
    return vector;
  }

  write(toSlave: boolean, a0: number, value: number): void {
    const chip = toSlave ? this.slave : this.master;
    if (a0 === 0) chip.command(value);
    else for (const [pin, level] of chip.levels.entries()) level.masked = ((value >> pin) & 1) === 1;
    this.wire();
  }

  read(fromSlave: boolean, a0: number): number {
    const chip = fromSlave ? this.slave : this.master;
    let value = chip.register(a0);
    if (chip.poll) {
      chip.poll = false;
      const pin = chip.take();
      value = pin < 0 ? 0 : 0x80 + pin;
      if (fromSlave) this.master.setPin(2, false);
    }
    this.wire();
    return value;
  }

  private takeSlave(): number {
    const pin = this.slave.take();
    this.master.setPin(2, false); // INT falls with INTA
    return pin < 0 ? 7 : pin;
  }

  private wire(): void {
    this.master.setPin(2, this.slave.winner() >= 0);
  }
}
