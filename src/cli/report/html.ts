/** The report: one HTML file with everything in it, so that it can be mailed and opened anywhere. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { NamedChart } from '../../experiments/charts.js';
import { rowOf, type Cell, type Row } from '../../experiments/rows.js';
import type { Workload } from '../../experiments/workloads.js';

const escapeHtml = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
/** JSON inside a script element: `<` cannot end it. */
const scriptJson = (value: unknown): string => JSON.stringify(value).replaceAll('<', '\\u003c');

function chartLibrary(): string {
  const folder = dirname(createRequire(import.meta.url).resolve('chart.js'));
  return readFileSync(join(folder, 'chart.umd.min.js'), 'utf8').replaceAll('</script', '<\\/script');
}

const COLUMNS: readonly [keyof Row, string][] = [
  ['path', 'path'], ['operations', 'ops'], ['cycles_per_op', 'cycles/op'], ['busy_cycles_per_op', 'busy cycles/op'], ['throughput_mib_s', 'MiB/s'], ['operations_per_s', 'op/s'],
  ['exits_per_op', 'VM exits/op'], ['hypercalls_per_op', 'hypercalls/op'], ['notifications_per_op', 'events/op'], ['domain_switches_per_op', 'domain switches/op'],
  ['slowdown_vs_native', '× native'], ['data', 'data'],
];

/** Three digits or more of each number; all of them are in results.csv. */
const shown = (v: number): string => v.toLocaleString('en-US', { maximumFractionDigits: Math.abs(v) >= 100 ? 0 : Math.abs(v) >= 10 ? 1 : 2 });

function workloadTable(w: Workload, cells: readonly Cell[], all: readonly Cell[]): string {
  const mine = cells.filter((c) => c.measurement.workload === w.name);
  if (mine.length === 0) return '';
  const body = mine.map((c) => {
    const row = rowOf(c, all);
    if (row.status !== 'ok') return `<tr><th scope="row">${escapeHtml(row.path)}</th><td colspan="${COLUMNS.length - 1}">${row.status === 'skipped' ? 'not possible here' : 'failed'}: ${escapeHtml(row.reason)}</td></tr>`;
    return `<tr>${COLUMNS.map(([key], i) => (i === 0 ? `<th scope="row">${escapeHtml(String(row[key]))}</th>` : `<td>${escapeHtml(typeof row[key] === 'number' ? shown(row[key]) : row[key])}</td>`)).join('')}</tr>`;
  });
  return `<h3>${escapeHtml(w.title)}</h3><div class="scroll"><table><thead><tr>${COLUMNS.map(([, t]) => `<th scope="col">${t.replaceAll('/op', ' /op')}</th>`).join('')}</tr></thead><tbody>${body.join('')}</tbody></table></div>`;
}

export interface ReportFacts {
  readonly title: string;
  readonly facts: readonly (readonly [string, string])[];
}

export function reportHtml(about: ReportFacts, workloads: readonly Workload[], cells: readonly Cell[], charts: readonly NamedChart[]): string {
  const extensions = [...new Map(cells.map((c) => [c.extension, c])).values()];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(about.title)}</title>
<style>
:root { color-scheme: light; --ink: #1d2733; --line: #d8dee6; --soft: #f4f6f9; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; margin: 0 auto; padding: 1.5rem; max-width: 84rem; }
h1 { font-size: 1.6rem; margin: 0 0 .5rem; } h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line); } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
table { width: 100%; font-size: .82rem; border-collapse: collapse; font-variant-numeric: tabular-nums; } th, td { padding: .2rem .3rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { background: var(--soft); font-weight: 600; } th[scope=row] { text-align: left; } td[colspan] { text-align: left; white-space: normal; }
.scroll { overflow-x: auto; } dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dt { font-weight: 600; } dd { margin: 0; overflow-wrap: anywhere; }
thead th { white-space: normal; vertical-align: bottom; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 34rem), 1fr)); gap: 1rem 2rem; }
.chart { position: relative; height: 24rem; min-width: 0; }
</style>
</head>
<body>
<h1>${escapeHtml(about.title)}</h1>
<dl>${about.facts.map(([k, v]) => `<dt>${escapeHtml(k)}</dt><dd>${escapeHtml(v)}</dd>`).join('')}</dl>
<h2>Charts</h2>
<div class="charts">
${charts.map((c, i) => `<div class="chart"><canvas id="chart${i}" role="img" aria-label="${escapeHtml(c.title)}"></canvas></div>`).join('\n')}
</div>
${extensions.map((e) => `<h2>${escapeHtml(e.extension)}: ${escapeHtml(e.profile)}, ${(e.frequencyHz / 1e9).toFixed(2)} GHz</h2>${workloads.map((w) => workloadTable(w, cells.filter((c) => c.extension === e.extension), cells)).join('')}`).join('\n')}
<script>${chartLibrary()}</script>
<script>
const charts = ${scriptJson(charts.map((c) => c.config))};
charts.forEach((config, i) => {
  config.options.responsive = true;
  config.options.maintainAspectRatio = false;
  new Chart(document.getElementById('chart' + i), config);
});
</script>
</body>
</html>
`;
}
