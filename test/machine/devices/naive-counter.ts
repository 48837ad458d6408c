/**
 * A slow, plain model of one 8254 counter, for comparison: it is told of every CLK pulse and does what the mode's
 * paragraph of the data sheet says for one pulse.
 */
export class NaiveCounter {
  mode = 0;
  access = 3;
  bcd = false;
  word = 0;
  cr = 0;
  low: number | null = null;
  ce = 0;
  /** Modes 2, 3: the count in effect. */
  loaded = 0;
  nullCount = true;
  hasCount = false;
  loadNext = false;
  counting = false;
  fired = false;
  gate = true;
  out = false;
  rises = 0;

  control(word: number): void {
    this.word = word;
    const field = (word >> 1) & 7;
    this.mode = field >= 6 ? field - 4 : field;
    this.access = word >> 4;
    this.bcd = (word & 1) === 1;
    this.cr = 0;
    this.low = null;
    this.nullCount = true;
    this.hasCount = false;
    this.loadNext = false;
    this.counting = false;
    this.setOut(this.mode !== 0);
  }

  write(byte: number): void {
    if (this.access === 3 && this.low === null) {
      this.low = byte;
      if (this.mode === 0) {
        this.counting = false;
        this.loadNext = false;
        this.setOut(false);
      }
      return;
    }
    const bytes = this.access === 3 ? [this.low!, byte] : this.access === 1 ? [byte, 0] : [0, byte];
    this.low = null;
    const digits = [bytes[0]! & 15, bytes[0]! >> 4, bytes[1]! & 15, bytes[1]! >> 4];
    const base = this.bcd ? 10 : 16;
    this.cr = digits.reduce((sum, digit, place) => sum + digit * base ** place, 0) % this.modulus();
    this.nullCount = true;
    this.hasCount = true;
    if (this.mode === 0) this.setOut(false);
    if (this.mode === 0 || this.mode === 4) this.loadNext = true;
    if ((this.mode === 2 || this.mode === 3) && !this.counting) this.loadNext = true;
  }

  setGate(high: boolean): void {
    const rises = high && !this.gate;
    this.gate = high;
    if (!high && (this.mode === 2 || this.mode === 3)) this.setOut(true);
    if (rises && this.hasCount && this.mode !== 0 && this.mode !== 4) this.loadNext = true;
  }

  clk(): void {
    if (this.mode >= 4) this.setOut(true); // a strobe ends with the next pulse
    if (this.loadNext) {
      this.load();
      if (this.mode === 1) this.setOut(false);
      if (this.mode === 2 || this.mode === 3) this.setOut(true);
      return;
    }
    const needsGate = this.mode !== 1 && this.mode !== 5;
    if (!this.counting || (needsGate && !this.gate)) return;
    if (this.mode === 2) this.clkRate();
    else if (this.mode === 3) this.clkSquare();
    else this.clkOnce();
  }

  count(): number {
    if (!this.bcd) return this.ce;
    return Number.parseInt(String(this.ce), 16);
  }

  status(): number {
    return (this.out ? 0x80 : 0) + (this.nullCount ? 0x40 : 0) + this.word;
  }

  private clkOnce(): void {
    this.ce = (this.ce + this.modulus() - 1) % this.modulus();
    if (this.ce !== 0 || this.fired) return;
    this.fired = true;
    this.setOut(this.mode < 2);
  }

  private clkRate(): void {
    if (this.ce === 1) {
      this.load();
      this.setOut(true);
    } else {
      this.ce = (this.ce + this.modulus() - 1) % this.modulus();
    }
    if (this.ce === 1) this.setOut(false);
  }

  private clkSquare(): void {
    const lingers = this.loaded % 2 === 1 && this.out; // odd: one more pulse at 0 while OUT is high
    const isDone = lingers ? this.ce === 0 : this.ce === 2;
    if (isDone) {
      this.setOut(!this.out);
      this.load();
    } else {
      this.ce = (this.ce + this.modulus() - 2) % this.modulus();
    }
  }

  private load(): void {
    this.loadNext = false;
    this.nullCount = false;
    this.counting = true;
    this.fired = false;
    this.loaded = this.cr;
    this.ce = this.mode === 3 ? this.cr - (this.cr % 2) : this.cr;
  }

  private modulus(): number {
    return this.bcd ? 10_000 : 65_536;
  }

  private setOut(high: boolean): void {
    if (high && !this.out) this.rises++;
    this.out = high;
  }
}
