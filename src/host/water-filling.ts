/**
 * Water filling: capacity divided by weight, with a lower and an upper bound for each claim; what one cannot use goes to
 * the others by their weights.
 * Invariants: min <= share <= max; the shares sum to min(capacity, sum of max), unless the lower bounds alone exceed the
 * capacity: then each gets its lower bound scaled down. There is one level such that every share is level x weight
 * between its bounds.
 * Source: Bertsekas and Gallager, Data Networks (max-min fairness); the dividing of capacity by shares, reservation and limit.
 */
export interface Claim {
  /** > 0 */
  readonly weight: number;
  readonly min: number;
  /** >= min */
  readonly max: number;
}

/** The share of each claim, in the unit of `capacity`. */
export function waterFill(claims: readonly Claim[], capacity: number): number[] {
  const floor = claims.reduce((sum, { min }) => sum + min, 0);
  if (floor >= capacity) return claims.map(({ min }) => (floor === 0 ? 0 : (min * capacity) / floor));
  if (claims.reduce((sum, { max }) => sum + max, 0) <= capacity) return claims.map(({ max }) => max);
  // The level rises from 0; at each bend a claim leaves its lower bound or reaches its upper one.
  const bends = claims.flatMap(({ weight, min, max }) => [
    { level: min / weight, slope: weight },
    { level: max / weight, slope: -weight },
  ]);
  bends.sort((a, b) => a.level - b.level || b.slope - a.slope);
  let level = 0;
  let slope = 0;
  let total = floor;
  for (const bend of bends) {
    const rise = slope * (bend.level - level);
    if (slope > 0 && total + rise >= capacity) break;
    if (slope > 0) total += rise;
    level = bend.level;
    slope += bend.slope;
  }
  if (slope > 0) level += (capacity - total) / slope;
  return claims.map(({ weight, min, max }) => Math.min(Math.max(level * weight, min), max));
}
