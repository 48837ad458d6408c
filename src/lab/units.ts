/**
 * Quantities as people write them: "2.4 GHz", "64 MiB", "30 ms".
 * Invariant: a parsed quantity is a whole number of its base unit (ns, bytes, Hz) below 2^53; nothing is rounded.
 */

export type QuantityKind = 'duration' | 'size' | 'frequency';

interface Kind {
  /** What a message calls it. */
  readonly noun: string;
  readonly example: string;
  /** Unit name and its size in base units, smallest first; the first is the base unit. */
  readonly units: readonly (readonly [name: string, factor: number])[];
}

const KINDS: Readonly<Record<QuantityKind, Kind>> = {
  duration: {
    noun: 'a duration with its unit',
    example: '30 ms',
    units: [
      ['ns', 1],
      ['us', 1_000],
      ['ms', 1_000_000],
      ['s', 1_000_000_000],
      ['min', 60_000_000_000],
    ],
  },
  size: {
    noun: 'a size with its unit',
    example: '64 MiB',
    units: [
      ['B', 1],
      ['KiB', 1024],
      ['MiB', 1024 * 1024],
      ['GiB', 1024 * 1024 * 1024],
    ],
  },
  frequency: {
    noun: 'a frequency with its unit',
    example: '2.4 GHz',
    units: [
      ['Hz', 1],
      ['kHz', 1_000],
      ['MHz', 1_000_000],
      ['GHz', 1_000_000_000],
    ],
  },
};

const SHAPE = /^(\d{1,15})(?:\.(\d{1,9}))?[ ]?([A-Za-z\u00b5]{1,6})$/;

/** What is expected where a quantity of this kind stands. */
export function quantityHelp(kind: QuantityKind): string {
  const { noun, example, units } = KINDS[kind];
  return `${noun}, such as "${example}" (units: ${units.map(([name]) => name).join(', ')})`;
}

/** Regular expression (as text, for JSON Schema) of the spellings that `parseQuantity` can accept. */
export function quantityPattern(kind: QuantityKind): string {
  return `^\\d{1,15}(\\.\\d{1,9})? ?(${KINDS[kind].units.map(([name]) => name).join('|')})$`;
}

/** Reads a quantity. Returns its value in base units, or what is wrong with it as text. */
export function parseQuantity(kind: QuantityKind, text: string): number | string {
  const match = SHAPE.exec(text);
  if (match === null) return `expected ${quantityHelp(kind)}`;
  const [, whole = '', fraction = '', unitName = ''] = match;
  const { units } = KINDS[kind];
  const unit = units.find(([name]) => name === unitName.replace('\u00b5', 'u'));
  if (unit === undefined) return `unknown unit "${unitName}"; ${unitHint(kind, unitName)}`;
  const denominator = 10n ** BigInt(fraction.length);
  const scaled = BigInt(whole + fraction) * BigInt(unit[1]);
  if (scaled % denominator !== 0n) return `not a whole number of ${units[0]?.[0]}`;
  const value = scaled / denominator;
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) return `too large: more than 2^53 ${units[0]?.[0]}`;
  return Number(value);
}

/** Base units of a text that has already been validated. */
export function quantity(kind: QuantityKind, text: string): number {
  const value = parseQuantity(kind, text);
  if (typeof value === 'string') throw new Error(`not validated: "${text}": ${value}`);
  return value;
}

/** A short exact spelling: in the largest unit (of powers of ten or two) that needs at most three decimals. */
export function formatQuantity(kind: QuantityKind, value: number): string {
  const { units } = KINDS[kind];
  for (let i = units.length - 1; i >= 0; i--) {
    const unit = units[i];
    if (unit === undefined) continue;
    const [name, factor] = unit;
    if (name === 'min' || value < factor || (value * 1000) % factor !== 0) continue;
    return `${value / factor} ${name}`;
  }
  return `${value} ${units[0]?.[0]}`;
}

function unitHint(kind: QuantityKind, found: string): string {
  const decimal: Record<string, string> = { KB: 'KiB', kB: 'KiB', MB: 'MiB', GB: 'GiB', K: 'KiB', M: 'MiB', G: 'GiB' };
  const names = KINDS[kind].units.map(([name]) => name);
  const meant =
    (kind === 'size' ? decimal[found] : undefined) ?? names.find((name) => name.toLowerCase() === found.toLowerCase());
  const allowed = `allowed: ${names.join(', ')}`;
  return meant === undefined ? allowed : `did you mean "${meant}"? ${allowed}`;
}
