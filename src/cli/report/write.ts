/** Writes what a comparison leaves in its folder. Rows can be written while others still run: the files are replaced as a whole. */

import { createHash } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'csv-stringify/sync';
import { charts } from '../../experiments/charts.js';
import { exitRows, rowOf, type Cell } from '../../experiments/rows.js';
import type { Workload } from '../../experiments/workloads.js';
import { reasonOf, UserError } from '../errors.js';
import { reportHtml, type ReportFacts } from './html.js';

export class ResultFolder {
  /** Where the traces go: the runs write them themselves. */
  readonly traces: string;

  /** Makes the folder, and finds out now whether it can be written. */
  constructor(readonly path: string, withTraces = false) {
    this.traces = join(path, 'traces');
    try {
      mkdirSync(join(path, 'charts'), { recursive: true });
      mkdirSync(join(path, 'captures'), { recursive: true });
      if (withTraces) mkdirSync(this.traces, { recursive: true });
      const probe = join(path, '.write-test');
      writeFileSync(probe, '');
      rmSync(probe);
    } catch (e) {
      throw new UserError(`cannot write into the output folder ${path}: ${reasonOf(e)}`);
    }
  }

  private replace(name: string, data: string | Uint8Array): void {
    const temporary = join(this.path, `${name}.tmp`);
    try {
      writeFileSync(temporary, data);
      renameSync(temporary, join(this.path, name));
    } catch (e) {
      throw new UserError(`cannot write ${join(this.path, name)}: ${reasonOf(e)}`);
    }
  }

  /** results.csv and exits.csv. */
  tables(cells: readonly Cell[]): void {
    this.replace('results.csv', stringify(cells.map((c) => rowOf(c, cells)), { header: true }));
    this.replace('exits.csv', stringify(exitRows(cells), { header: true, columns: ['extension', 'profile', 'path', 'workload', 'reason', 'exits', 'exits_per_op'] }));
  }
  /** exits.txt: the tables of exit times, one after the other. */
  exitTimes(tables: readonly string[]): void {
    this.replace('exits.txt', tables.join('\n'));
  }
  capture(name: string, blocks: readonly Uint8Array[]): void {
    this.replace(join('captures', `${name}.pcapng`), Buffer.concat(blocks));
  }
  manifest(facts: object): void {
    this.replace('manifest.json', `${JSON.stringify(facts, null, 2)}\n`);
  }
  /** report.html and charts/*.png. */
  async report(about: ReportFacts, workloads: readonly Workload[], cells: readonly Cell[]): Promise<void> {
    // Drawing comes with a library of machine code, which other commands and the runs should not wait for.
    const { chartPng } = await import('./png.js');
    const drawn = charts(workloads, cells);
    this.replace('report.html', reportHtml(about, workloads, cells, drawn));
    for (const c of drawn) this.replace(join('charts', `${c.file}.png`), chartPng(c.config));
  }
}

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
