/**
 * SVG charts as PNG, with a font that comes with the package, so that the picture is the same on every host.
 * The renderer and the font are loaded when the first picture is made.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Pixels per unit of the SVG. */
const ZOOM = 2;

export async function renderPng(svg: string): Promise<Uint8Array> {
  const { Resvg } = await import('@resvg/resvg-js');
  const fonts = dirname(createRequire(import.meta.url).resolve('dejavu-fonts-ttf/package.json'));
  const renderer = new Resvg(svg, {
    background: 'white',
    fitTo: { mode: 'zoom', value: ZOOM },
    font: { loadSystemFonts: false, fontDirs: [join(fonts, 'ttf')], defaultFontFamily: 'DejaVu Sans' },
  });
  return renderer.render().asPng();
}
