/** The comparison's charts as plain chart.js configurations: the same data draws the report's page and the PNG files. */

import type { CycleParts } from './measure.js';
import { PATHS } from './paths.js';
import { PART_NAMES, slowdown, type Cell } from './rows.js';
import type { Workload } from './workloads.js';

export interface ChartConfig {
  readonly type: 'bar';
  readonly data: { labels: string[]; datasets: { label: string; data: (number | null)[]; backgroundColor: string; stack?: string; base?: number }[] };
  readonly options: object;
}
export interface NamedChart {
  readonly file: string;
  readonly title: string;
  readonly config: ChartConfig;
}

const COLOURS: Readonly<Record<keyof CycleParts, string>> = {
  guest: '#3b7dd8', transitions: '#d94f4f', hypervisor: '#e8963a', dom0BackEnd: '#4caf7a', dom0DeviceModel: '#8e63c7', dom0Other: '#8aa86f', idle: '#c9ced6', unknown: '#555555',
};
const EXTENSION_COLOURS = ['#3b7dd8', '#e8963a'];

const axis = (text: string, more: object = {}): object => ({ title: { display: true, text }, ...more });
const frame = (title: string, x: object, y: object): object => ({
  responsive: false, animation: false, layout: { padding: 12 },
  plugins: { title: { display: true, text: title }, legend: { position: 'bottom' } },
  scales: { x, y },
});

/** Where an operation's cycles go: one stacked bar for each path and extension. */
function partsChart(workload: Workload, cells: readonly Cell[]): NamedChart | undefined {
  const mine = cells.filter((c) => c.measurement.workload === workload.name && c.measurement.status === 'ok' && c.dataError === '' && c.measurement.operations > 0);
  if (mine.length === 0) return undefined;
  const parts = (Object.keys(PART_NAMES) as (keyof CycleParts)[]).filter((p) => mine.some((c) => c.measurement.parts[p] > 0));
  return {
    file: `cycles-${workload.name}`,
    title: workload.title,
    config: {
      type: 'bar',
      data: {
        labels: mine.map((c) => `${c.path} ${c.extension}`),
        datasets: parts.map((p) => ({
          label: PART_NAMES[p], backgroundColor: COLOURS[p], stack: 'cycles',
          data: mine.map((c) => Math.round(c.measurement.parts[p] / c.measurement.operations)),
        })),
      },
      options: frame(`${workload.title}: cycles per operation`, axis('path and extension', { stacked: true }), axis('cycles per operation', { stacked: true })),
    },
  };
}

/** Slow-down against the bare machine, every workload. */
function slowdownChart(path: string, workloads: readonly Workload[], cells: readonly Cell[]): NamedChart | undefined {
  const extensions = [...new Set(cells.map((c) => c.extension))];
  const value = (extension: string, w: Workload): number | null => {
    const cell = cells.find((c) => c.extension === extension && c.path === path && c.measurement.workload === w.name);
    const s = cell === undefined ? undefined : slowdown(cell, cells);
    return s === undefined ? null : Number(s.toFixed(3));
  };
  const shown = workloads.filter((w) => extensions.some((e) => value(e, w) !== null));
  if (shown.length === 0) return undefined;
  return {
    file: `slowdown-${path}`,
    title: `Slow-down against the bare machine: ${path}`,
    config: {
      type: 'bar',
      data: {
        labels: shown.map((w) => w.name),
        // Bars begin at the bare machine's 1: upwards is slower, downwards faster.
        datasets: extensions.map((e, i) => ({ label: e, base: 1, backgroundColor: EXTENSION_COLOURS[i % 2]!, data: shown.map((w) => value(e, w)) })),
      },
      options: frame(`${path}: time per operation, bare machine = 1`, axis('workload'), axis('times the bare machine', { type: 'logarithmic' })),
    },
  };
}

export function charts(workloads: readonly Workload[], cells: readonly Cell[]): NamedChart[] {
  const paths = PATHS.filter((p) => p !== 'native' && cells.some((c) => c.path === p));
  return [...paths.map((p) => slowdownChart(p, workloads, cells)), ...workloads.map((w) => partsChart(w, cells))].filter((c) => c !== undefined);
}
