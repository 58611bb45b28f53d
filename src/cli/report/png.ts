/** Charts as PNG files: chart.js on a canvas without a browser. Fonts come with a package, so that every computer draws the same text. */

import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { createCanvas, GlobalFonts } from '@napi-rs/canvas';
import { Chart, registerables } from 'chart.js';
import type { ChartConfig } from '../../experiments/charts.js';

const WIDTH = 960, HEIGHT = 540;
let ready = false;

function prepare(): void {
  if (ready) return;
  ready = true;
  const fonts = dirname(createRequire(import.meta.url).resolve('dejavu-fonts-ttf/package.json'));
  GlobalFonts.registerFromPath(join(fonts, 'ttf', 'DejaVuSans.ttf'), 'DejaVu Sans');
  GlobalFonts.registerFromPath(join(fonts, 'ttf', 'DejaVuSans-Bold.ttf'), 'DejaVu Sans');
  Chart.register(...registerables, {
    id: 'paper',
    beforeDraw: (chart: Chart) => {
      chart.ctx.fillStyle = '#ffffff';
      chart.ctx.fillRect(0, 0, WIDTH, HEIGHT);
    },
  });
  Chart.defaults.font.family = 'DejaVu Sans';
}

export function chartPng(config: ChartConfig): Uint8Array {
  prepare();
  const canvas = createCanvas(WIDTH, HEIGHT);
  // chart.js takes its own copy of what it changes; the configuration also goes into the report.
  const chart = new Chart(canvas as never, structuredClone(config) as never);
  const png = canvas.toBuffer('image/png');
  chart.destroy();
  return png;
}
