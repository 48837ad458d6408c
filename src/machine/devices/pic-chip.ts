/**
 * One 8259A interrupt controller: its registers, its priority logic, its commands. The pair is pic.ts.
 * Invariants: in edge mode a request exists only while its pin is high and its rising edge is not yet acknowledged;
 * `nextIcw` is 0 except inside an initialisation sequence, and only then can the chip interrupt.
 * Source: Intel 8259A/8259A-2 data sheet (231468), sections named at each function. Not modelled: the MCS-80/85
 * CALL sequence (the chip always answers with one vector byte) and buffered mode.
 */

/** Registers of one chip. Bit n of a mask is input IRn. */
export interface PicChipState {
  /** Levels on the input pins. */
  pins: number;
  /** Rising edges seen and not yet acknowledged (the edge sense latch). */
  edges: number;
  imr: number;
  isr: number;
  /** Which initialisation word comes next: 2, 3, 4; 0 in operation; 1 from power-on until ICW1. */
  nextIcw: number;
  icw1: number;
  icw2: number;
  icw3: number;
  icw4: number;
  /** The input with the lowest priority; the one after it, modulo 8, has the highest. */
  lowest: number;
  rotateOnAutoEoi: boolean;
  specialMask: boolean;
  readsIsr: boolean;
  polled: boolean;
}

const ICW1_IC4 = 0x01;
const ICW1_SNGL = 0x02;
const ICW1_LTIM = 0x08;
const ICW1_BIT = 0x10;
const ICW4_AEOI = 0x02;
const ICW4_SFNM = 0x10;
const OCW3_BIT = 0x08;

/** A chip at power-on. The data sheet leaves it undefined; here it is silent until its first ICW1. */
export function newPicChip(): PicChipState {
  return {
    pins: 0,
    edges: 0,
    imr: 0,
    isr: 0,
    nextIcw: 1,
    icw1: 0,
    icw2: 0,
    icw3: 0,
    icw4: 0,
    lowest: 7,
    rotateOnAutoEoi: false,
    specialMask: false,
    readsIsr: false,
    polled: false,
  };
}

/** Sets the level of one input pin. */
export function setPin(chip: PicChipState, pin: number, high: boolean): void {
  const bit = 1 << pin;
  if (!high) {
    chip.pins &= ~bit;
    chip.edges &= ~bit; // low before the first INTA: the request is gone ("Edge and Level Triggered Modes")
  } else if ((chip.pins & bit) === 0) {
    chip.pins |= bit;
    chip.edges |= bit;
  }
}

/** The interrupt request register. The mask does not affect it. */
export function requests(chip: PicChipState): number {
  return (chip.icw1 & ICW1_LTIM) !== 0 ? chip.pins : chip.edges;
}

/** True when ICW1 said that there is no cascade. */
export function isSingle(chip: PicChipState): boolean {
  return (chip.icw1 & ICW1_SNGL) !== 0;
}

/**
 * The input that may interrupt now, or -1 ("Fully Nested Mode", "Special Mask Mode", "Special Fully Nested Mode").
 * @param slavePins inputs with a slave on them: in special fully nested mode a slave in service does not lock
 *   itself out
 */
export function resolve(chip: PicChipState, slavePins: number): number {
  if (chip.nextIcw !== 0) return -1;
  const wanted = requests(chip) & ~chip.imr;
  if (wanted === 0) return -1;
  // In special mask mode a level in service that is masked holds back nobody.
  const blocking = chip.specialMask ? chip.isr & ~chip.imr : chip.isr;
  const nestedSlaves = (chip.icw4 & ICW4_SFNM) !== 0 ? slavePins : 0;
  for (let step = 1; step <= 8; step++) {
    const pin = (chip.lowest + step) & 7;
    const bit = 1 << pin;
    if ((blocking & bit) !== 0) return (wanted & nestedSlaves & bit) !== 0 ? pin : -1;
    // A masked level in service under special mask mode is not wanted, so it needs no test here.
    if ((wanted & bit) !== 0) return pin;
  }
  return -1;
}

/**
 * The INTA sequence ("Interrupt Sequence", 8086): puts the winning input in service. Returns that input,
 * or -1 when the request has gone meanwhile; the chip then answers with level 7 and sets no ISR bit.
 */
export function acknowledgeChip(chip: PicChipState, slavePins: number): number {
  const pin = resolve(chip, slavePins);
  if (pin < 0) return -1;
  chip.edges &= ~(1 << pin);
  if ((chip.icw4 & ICW4_AEOI) === 0) {
    chip.isr |= 1 << pin;
  } else if (chip.rotateOnAutoEoi) {
    chip.lowest = pin; // automatic EOI: the ISR bit is gone by the end of the second INTA
  }
  return pin;
}

/** The vector byte for an input: T7-T3 of ICW2 and the level. */
export function vectorOf(chip: PicChipState, pin: number): number {
  return (chip.icw2 & 0xf8) | pin;
}

/** A write with A0 = 0: ICW1, OCW2 or OCW3, told apart by bits 4 and 3. */
export function writeCommand(chip: PicChipState, value: number): void {
  if ((value & ICW1_BIT) !== 0) writeIcw1(chip, value);
  else if ((value & OCW3_BIT) !== 0) writeOcw3(chip, value);
  else writeOcw2(chip, value);
}

/** A write with A0 = 1: the next initialisation word, or the mask (OCW1). */
export function writeData(chip: PicChipState, value: number): void {
  switch (chip.nextIcw) {
    case 2:
      chip.icw2 = value;
      if (!isSingle(chip)) chip.nextIcw = 3;
      else chip.nextIcw = (chip.icw1 & ICW1_IC4) !== 0 ? 4 : 0;
      return;
    case 3:
      chip.icw3 = value;
      chip.nextIcw = (chip.icw1 & ICW1_IC4) !== 0 ? 4 : 0;
      return;
    case 4:
      chip.icw4 = value;
      chip.nextIcw = 0;
      return;
    default:
      chip.imr = value;
  }
}

/** A read with A0 = 0 (IRR or ISR, as OCW3 chose) or A0 = 1 (IMR). A poll comes first, on either address. */
export function readChip(chip: PicChipState, a0: number, slavePins: number): number {
  if (chip.polled) {
    chip.polled = false;
    const pin = acknowledgeChip(chip, slavePins);
    return pin < 0 ? 0 : 0x80 | pin;
  }
  if (a0 !== 0) return chip.imr;
  return chip.readsIsr ? chip.isr : requests(chip);
}

/** ICW1 starts the sequence and does the five things of "Initialization Command Words 1 and 2", a-f. */
function writeIcw1(chip: PicChipState, value: number): void {
  chip.icw1 = value;
  chip.edges = 0; // an input must rise again to interrupt
  chip.imr = 0;
  chip.isr = 0;
  chip.lowest = 7;
  chip.icw3 = isSingle(chip) ? 0 : 7; // the slave mode address is set to 7
  chip.icw4 = 0;
  chip.specialMask = false;
  chip.rotateOnAutoEoi = false;
  chip.readsIsr = false;
  chip.polled = false;
  chip.nextIcw = 2;
}

/** OCW2: end of interrupt and rotation. Bits 7-5 are R, SL, EOI; bits 2-0 a level. */
function writeOcw2(chip: PicChipState, value: number): void {
  const level = value & 7;
  switch (value >> 5) {
    case 0b001:
      endOfInterrupt(chip);
      return;
    case 0b011:
      chip.isr &= ~(1 << level);
      return;
    case 0b101: {
      const ended = endOfInterrupt(chip);
      if (ended >= 0) chip.lowest = ended;
      return;
    }
    case 0b111:
      chip.isr &= ~(1 << level);
      chip.lowest = level;
      return;
    case 0b110:
      chip.lowest = level;
      return;
    case 0b100:
      chip.rotateOnAutoEoi = true;
      return;
    case 0b000:
      chip.rotateOnAutoEoi = false;
      return;
    default: // 010: no operation
  }
}

/**
 * Non-specific EOI: ends the level in service with the highest priority, and returns it (-1: none).
 * In special mask mode a masked level is passed over ("End of Interrupt").
 */
function endOfInterrupt(chip: PicChipState): number {
  const candidates = chip.specialMask ? chip.isr & ~chip.imr : chip.isr;
  for (let step = 1; step <= 8; step++) {
    const pin = (chip.lowest + step) & 7;
    if ((candidates & (1 << pin)) !== 0) {
      chip.isr &= ~(1 << pin);
      return pin;
    }
  }
  return -1;
}

/** OCW3: special mask mode (ESMM, SMM), poll, and which register the next reads give (RR, RIS). */
function writeOcw3(chip: PicChipState, value: number): void {
  if ((value & 0x40) !== 0) chip.specialMask = (value & 0x20) !== 0;
  chip.polled = (value & 0x04) !== 0; // P overrides RR when both are set
  if ((value & 0x06) === 0x02) chip.readsIsr = (value & 0x01) !== 0;
}
