/** A horizontal bar chart on chart.js. */

import { BarController, BarElement, CategoryScale, Chart, LinearScale, Tooltip } from 'chart.js';

Chart.register(BarController, BarElement, CategoryScale, LinearScale, Tooltip);

export interface Bars {
  show(rows: readonly { readonly name: string; readonly value: number }[], ink: string, line: string, fill: string): void;
  close(): void;
}

/** 12,500,000 as 12.5M. */
const tick = (value: string | number): string => Number(value).toLocaleString('en-US', { notation: 'compact' });

export function openBars(canvas: HTMLCanvasElement, unit: string): Bars {
  const colours = { fill: '#888888' };
  const chart = new Chart<'bar', number[], string>(canvas, {
    type: 'bar',
    data: { labels: [] as string[], datasets: [{ label: unit, data: [] as number[], backgroundColor: () => colours.fill, maxBarThickness: 18 }] },
    options: { indexAxis: 'y', animation: false, responsive: true, maintainAspectRatio: false, plugins: { legend: { display: false } } },
  });
  return {
    show(rows, ink, line, fill) {
      chart.data.labels = rows.map((r) => r.name);
      chart.data.datasets[0]!.data = rows.map((r) => r.value);
      colours.fill = fill;
      const ticks = { color: ink, font: { size: 11 } };
      chart.options.scales = { x: { ticks: { ...ticks, maxRotation: 0, callback: tick }, grid: { color: line }, beginAtZero: true, title: { display: true, text: unit, color: ink } }, y: { ticks: { ...ticks, autoSkip: false }, grid: { display: false } } };
      chart.update('none');
    },
    close: () => chart.destroy(),
  };
}
