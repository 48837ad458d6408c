/** The abscissa and the lines that the charts over VMs per CPU share. */
import type { DensityRun } from '../density.ts';
import type { Spec } from '../svg.ts';
import { colourScale } from '../theme.ts';

/** Room left and right of the outermost points, in VMs. */
const MARGIN = 0.3;

const TICKS_MIN = 4;

/** Names in a line of the legend, so that it is not wider than the chart. */
const LEGEND_COLUMNS = 4;

export function densityAxis(runs: readonly DensityRun[]): Spec {
  const values = [...new Set(runs.map((run) => run.density))].sort((a, b) => a - b);
  const whole = values.filter(Number.isInteger);
  // Labels of all values would overlap where there are many; few have room also where they are no whole numbers.
  const ticks = whole.length >= Math.min(values.length, TICKS_MIN) ? whole : values;
  return {
    field: 'density',
    type: 'quantitative',
    title: 'VMs per physical CPU',
    scale: { domain: [Math.min(...values) - MARGIN, Math.max(...values) + MARGIN], nice: false, zero: false },
    axis: { values: ticks, format: '~g', grid: false, labelFlush: false },
  };
}

/** One line with points per series. The first is the widest, so that it shows below others that coincide with it. */
export function seriesLayers(names: readonly string[], x: Spec, y: Spec): Spec[] {
  return names.map((name, index) => {
    const strokeWidth = names.length === 1 ? 2.5 : 5.5 - (3.5 * index) / (names.length - 1);
    return {
      transform: [{ filter: { field: 'series', equal: name } }],
      mark: { type: 'line', strokeWidth, point: { filled: true, size: 25 + strokeWidth * 18 } },
      encoding: { x, y, color: colourOf(names) },
    };
  });
}

/** The range from the smallest to the largest VM, behind the line of its series. */
export function rangeLayer(names: readonly string[], x: Spec, y: Spec): Spec {
  return {
    mark: { type: 'area', opacity: 0.15 },
    encoding: {
      x,
      y: { ...y, field: 'low' },
      y2: { field: 'high' },
      color: colourOf(names),
    },
  };
}

function colourOf(names: readonly string[]): Spec {
  const legend = names.length > 1 ? { orient: 'top', symbolType: 'circle', columns: LEGEND_COLUMNS } : null;
  return { field: 'series', type: 'nominal', title: null, scale: colourScale(names), legend };
}
