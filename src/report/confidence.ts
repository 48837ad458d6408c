/**
 * How sure a mean of a few independent runs is: two-sided 95 % confidence intervals.
 * Source: Student, "The probable error of a mean", Biometrika 6 (1908); quantiles as tabulated in NIST/SEMATECH, e-Handbook of
 * Statistical Methods, section 1.3.6.7.2.
 */
import { mean } from './format.ts';

/** Upper 2.5 % points of the t distribution with 1, 2, 3, ... degrees of freedom. */
const T_975: readonly number[] = [
  12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11,
  2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042,
];

export interface Interval {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Mean and 95 % confidence interval of the mean of independent samples, in their unit. With one sample nothing is known of its spread, so
 * the interval is that point; with more than 31 that of 30 degrees of freedom is used, which is a little too wide.
 */
export function interval95(samples: readonly number[]): Interval {
  const centre = mean(samples);
  if (samples.length < 2) return { mean: centre, low: centre, high: centre };
  const degrees = samples.length - 1;
  const squares = samples.reduce((sum, sample) => sum + (sample - centre) * (sample - centre), 0);
  const half = T_975[Math.min(degrees, T_975.length) - 1]! * Math.sqrt(squares / degrees / samples.length);
  return { mean: centre, low: centre - half, high: centre + half };
}
