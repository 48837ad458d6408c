/**
 * What a chart is: rows in, a Vega-Lite specification and some honest sentences out.
 * To add one: copy a file of this folder, change it, and add one line to index.ts.
 * Invariants: a chart reads the results and nothing else; a sentence states only numbers that are in the rows.
 */
import type { Results } from '../results.ts';
import type { Spec } from '../svg.ts';

export interface Drawing {
  readonly spec: Spec;
  /** What the chart shows, with numbers; the first is the most important. */
  readonly sentences: readonly string[];
  /** How to read it; shown below the chart. */
  readonly caption: string;
}

export interface Chart {
  readonly name: string;
  /** For `hvsim list charts`. */
  readonly summary: string;
  /** Null when the results have nothing that this chart could show. */
  draw(results: Results, title: string | undefined): Drawing | null;
}
