/**
 * How all charts look. Text and lines take the colour of the page (`currentColor`), so that one SVG suits a light and a
 * dark page; data colours are chosen to be told apart on both, also by colour-blind readers.
 * Source of the colours: Okabe & Ito, "Color Universal Design" (2008), a little darker or lighter where needed.
 */
import type { Spec } from './svg.ts';

export const FONT = 'system-ui, "Segoe UI", Helvetica, Arial, "DejaVu Sans", sans-serif';

/** Width of the drawing area of a chart, in pixels: with labels it fits a page. */
export const WIDTH = 620;

const GREY = '#8b929c';
const BLUE = '#2f7fc1';
const SKY = '#56b4e9';
const GREEN = '#1a9e77';
const ORANGE = '#e39a1b';
const RED = '#d5602a';
const PINK = '#c774a6';
const VIOLET = '#7d6cc4';

/** For series that have no colour of their own. */
export const PALETTE: readonly string[] = [BLUE, RED, GREEN, PINK, ORANGE, VIOLET, SKY, GREY];

const TECHNIQUE_COLOURS: Readonly<Record<string, string>> = {
  native: GREY,
  'trap-and-emulate': RED,
  'binary-translation': ORANGE,
  paravirtual: PINK,
  'hardware, shadow': BLUE,
  'hardware, nested': GREEN,
};

export const ACCOUNT_COLOURS: Readonly<Record<string, string>> = {
  guest: SKY,
  'page walks': VIOLET,
  'exits (hardware)': ORANGE,
  'VMM software': RED,
  'context switches': PINK,
  idle: GREY,
};

/** A scale that gives every name its colour: that of its technique if nobody has it yet, else the next of the palette. */
export function colourScale(names: readonly string[]): Spec {
  const range: string[] = [];
  for (const name of names) {
    const own = TECHNIQUE_COLOURS[name.split(' \u00b7 ')[0] ?? ''];
    const free = PALETTE.filter((colour) => !range.includes(colour));
    range.push(own !== undefined && !range.includes(own) ? own : (free[0] ?? PALETTE[range.length % PALETTE.length]!));
  }
  return { domain: names, range };
}

/** A complete specification: the chart with its title, the data inside it, and the look that all charts share. */
export function page(title: string, subtitle: string | readonly string[], chart: Spec): Spec {
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title: { text: title, subtitle },
    ...chart,
    config: CONFIG,
  };
}

const LINE = { domainColor: 'currentColor', domainOpacity: 0.5, tickColor: 'currentColor', tickOpacity: 0.4 };

const CONFIG: Spec = {
  background: 'transparent',
  font: FONT,
  padding: 8,
  view: { stroke: null },
  title: {
    anchor: 'start',
    color: 'currentColor',
    subtitleColor: 'currentColor',
    fontSize: 17,
    fontWeight: 600,
    subtitleFontSize: 12.5,
    subtitlePadding: 5,
    offset: 18,
    frame: 'bounds',
  },
  axis: {
    ...LINE,
    labelColor: 'currentColor',
    titleColor: 'currentColor',
    gridColor: 'currentColor',
    gridOpacity: 0.13,
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    titlePadding: 10,
    labelPadding: 5,
  },
  legend: {
    labelColor: 'currentColor',
    titleColor: 'currentColor',
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    symbolStrokeWidth: 0,
    symbolOpacity: 1,
    labelLimit: 300,
  },
  header: {
    labelColor: 'currentColor',
    titleColor: 'currentColor',
    labelFontSize: 13,
    labelFontWeight: 600,
    labelAnchor: 'start',
  },
  text: { color: 'currentColor', fontSize: 11.5 },
};
