/**
 * Vega-Lite specifications as pictures, without a browser.
 * Vega is imported when the first chart is drawn: it is large, and cannot be loaded by `require`.
 * Invariant: the same specification gives the same bytes in every process and on every host. For that, Vega's random
 * numbers and its counter of element ids start anew for each chart, and text is measured by estimate, not by a canvas.
 */
import type { TopLevelSpec } from 'vega-lite';

/** A Vega-Lite specification: plain JSON. */
export type Spec = Readonly<Record<string, unknown>>;

/** Missing from the type declarations of vega. */
interface VegaExtras {
  setRandom(random: () => number): void;
  randomLCG(seed: number): () => number;
  resetSVGDefIds(): void;
}

/** Draws a chart. Warnings of the compiler and of the renderer go to `onWarning`. */
export async function renderSvg(spec: Spec, onWarning: (text: string) => void = () => {}): Promise<string> {
  const [vega, { compile }] = await Promise.all([import('vega'), import('vega-lite')]);
  const extras = vega as unknown as VegaExtras;
  extras.setRandom(extras.randomLCG(0.42));
  extras.resetSVGDefIds();
  const logger = quietLogger(onWarning);
  const compiled = compile(spec as unknown as TopLevelSpec, { logger });
  const view = new vega.View(vega.parse(compiled.spec), { renderer: 'none', logger });
  try {
    await view.runAsync();
    return `${await view.toSVG()}\n`;
  } finally {
    view.finalize();
  }
}

interface Logger {
  level(): number;
  level(value: number): Logger;
  error(...texts: readonly unknown[]): Logger;
  warn(...texts: readonly unknown[]): Logger;
  info(...texts: readonly unknown[]): Logger;
  debug(...texts: readonly unknown[]): Logger;
}

function quietLogger(onWarning: (text: string) => void): Logger {
  const report = (...texts: readonly unknown[]): Logger => {
    onWarning(texts.map(String).join(' '));
    return logger;
  };
  const ignore = (): Logger => logger;
  function level(): number;
  function level(value: number): Logger;
  function level(value?: number): number | Logger {
    return value === undefined ? 2 : logger;
  }
  const logger: Logger = { level, error: report, warn: report, info: ignore, debug: ignore };
  return logger;
}
