/**
 * Numbers for people: at most three significant digits, with their unit.
 * Invariant: fixed rules, no locale, so that the same number is the same text everywhere.
 */

/** Three significant digits at most, without an exponent. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '?';
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 99.95) return String(Math.round(value));
  const decimals = size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3;
  return String(Number(value.toFixed(decimals)));
}

/** `1.02x`, `14.3x`, `2 290x` with the sign of multiplication. */
export function times(ratio: number): string {
  return `${ratio < 9.995 ? ratio.toFixed(2) : grouped(Number(short(ratio)))}\u00d7`;
}

/** 12.3 %, from a ratio. */
export function percent(ratio: number): string {
  return `${short(ratio * 100)} %`;
}

/** 870 ns, 12.3 us, 4 ms, 1.5 s. */
export function time(ns: number): string {
  if (ns < 1_000) return `${short(ns)} ns`;
  if (ns < 999_500) return `${short(ns / 1_000)} \u00b5s`;
  if (ns < 999_500_000) return `${short(ns / 1_000_000)} ms`;
  return `${short(ns / 1_000_000_000)} s`;
}

/** 950, 12.3 k, 4.5 M, 1.2 G. */
export function amount(value: number): string {
  const size = Math.abs(value);
  if (size >= 999_500_000) return `${short(value / 1_000_000_000)} G`;
  if (size >= 999_500) return `${short(value / 1_000_000)} M`;
  if (size >= 9_995) return `${short(value / 1_000)} k`;
  return short(value);
}

/** 1 234 567: groups of three, parted by a narrow space that does not break. */
export function grouped(value: number): string {
  const [whole = '', fraction] = String(value).split('.');
  const parted = whole.replace(/\B(?=(\d{3})+$)/g, '\u202f');
  return fraction === undefined ? parted : `${parted}.${fraction}`;
}

/** a, b and c */
export function listed(items: readonly string[], last: 'and' | 'or' = 'and'): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} ${last} ${items.at(-1)}`;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The middle one; the lower of two. */
export function median(values: readonly number[]): number {
  const ascending = [...values].sort((a, b) => a - b);
  return ascending[Math.ceil(ascending.length / 2) - 1] ?? Number.NaN;
}
