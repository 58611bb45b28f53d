/** `xenolith compare`: the same workloads over every I/O path on both extensions, one table. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Argv, CommandModule } from 'yargs';
import { EXTENSIONS, PATHS, PATH_TITLES, type ExtensionName } from '../experiments/paths.js';
import { rowOf, type Cell } from '../experiments/rows.js';
import { sectorsNeeded, type Workload, WORKLOADS } from '../experiments/workloads.js';
import type { CompiledCode } from '../machine/compiled-code.js';
import type { EngineChoice } from '../machine/config.js';
import { checkProfile } from '../machine/check-profile.js';
import type { ExtensionKind } from '../machine/extension.js';
import type { Profile } from '../machine/profile.js';
import { type Planned, runAll } from './compare-jobs.js';
import { EXIT_INTERRUPTED, LARGEST_SEED, refuseRepeated, UserError, wholeNumber } from './errors.js';
import { FileDisk, loadProfile, profileNames } from './files.js';
import { loadImages } from './images.js';
import { addRegions, keptRegionsFile } from './kept-regions.js';
import { Progress } from './progress.js';
import { table } from './report/table.js';
import { ResultFolder, sha256 } from './report/write.js';
import { FORMAT_NAMES, traceFormats } from './trace-output.js';

export interface CompareOptions {
  readonly extension: string;
  readonly path: string;
  readonly workload: string;
  readonly profile?: string | undefined;
  readonly disk?: string | undefined;
  readonly seed: number;
  readonly out: string;
  readonly quick: boolean;
  readonly json: boolean;
  readonly jobs: number;
  readonly engine: EngineChoice;
  readonly 'code-cache': boolean;
  readonly trace?: string | undefined;
}

/** A comma-separated choice; an unknown name is named with those that exist. */
function choose<T extends string>(text: string, all: readonly T[], what: string): T[] {
  const wanted = text.split(',').map((t) => t.trim()).filter((t) => t !== '');
  for (const w of wanted) if (!all.includes(w as T)) throw new UserError(`unknown ${what} "${w}"; there are ${all.join(', ')}`);
  if (wanted.length === 0) throw new UserError(`no ${what} chosen; there are ${all.join(', ')}`);
  return all.filter((a) => wanted.includes(a));
}

const EXTENSION_OF: Record<ExtensionKind, ExtensionName | undefined> = { vmx: 'vtx', svm: 'svm', none: undefined };

/** The processors to run on: each extension's own, or the one named if it has a chosen extension. */
function processors(o: CompareOptions): { extension: ExtensionName; profile: Profile; name: string }[] {
  const extensions = choose(o.extension, Object.keys(EXTENSIONS) as ExtensionName[], 'extension');
  const names = o.profile === undefined ? extensions.map((e) => EXTENSIONS[e]) : [o.profile];
  return names.map((name) => {
    const profile = loadProfile(name), extension = EXTENSION_OF[checkProfile(profile)];
    if (extension === undefined || !extensions.includes(extension)) throw new UserError(`profile ${profile.name} has ${extension ?? 'no virtualisation extension'}, which is not chosen (${extensions.join(', ')})`);
    return { extension, profile, name: profile.name };
  });
}

function commit(): string {
  try {
    const root = fileURLToPath(new URL('../../', import.meta.url));
    return execFileSync('git', ['rev-parse', 'HEAD'], { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] }).toString().trim();
  } catch {
    return 'unknown';
  }
}

/** Most workers at a time: each has a machine of some hundred MiB. */
const MOST_JOBS = 64;

/** The disk image is there, whole, and large enough for what the workloads read and write. */
function checkDisk(path: string, workloads: readonly Workload[], quick: boolean): void {
  const disk = new FileDisk(path, 'read-only'), needed = sectorsNeeded(workloads, quick);
  disk.close();
  if (disk.sectors < needed) throw new UserError(`disk image ${path} has ${disk.sectors} sectors; the chosen workloads use ${needed}`);
}

export async function compare(o: CompareOptions): Promise<number> {
  const paths = choose(o.path, PATHS, 'path');
  const workloads = WORKLOADS.filter((w) => choose(o.workload, WORKLOADS.map((x) => x.name), 'workload').includes(w.name));
  const chosen = processors(o);
  wholeNumber(o.seed, '--seed', 0, LARGEST_SEED);
  wholeNumber(o.jobs, '--jobs', 1, MOST_JOBS);
  if (o.out === '') throw new UserError('--out: the name of a folder is needed');
  if (o.disk !== undefined) checkDisk(o.disk, workloads, o.quick);
  const images = loadImages();
  const formats = o.trace === undefined ? [] : traceFormats(o.trace);
  const folder = new ResultFolder(o.out, formats.length > 0);

  const jobs: Planned[] = chosen.flatMap(({ extension, profile, name }) =>
    paths.map((path) => ({ extension, name, job: { path, profileName: name, profile, images, workloads: workloads.map((w) => w.name), quick: o.quick, seed: o.seed, disk: o.disk, engine: o.engine, name: `${extension}-${path}`, traces: folder.traces, formats } })),
  );
  const cells = new Map<Planned, Cell[]>();
  const inOrder = (): Cell[] => workloads.flatMap((w) => jobs.flatMap((j) => (cells.get(j) ?? []).filter((c) => c.measurement.workload === w.name)));
  const exits = new Map<Planned, string>();
  const failures: string[] = [];
  const progress = new Progress(jobs.length, 'compare');
  const interrupt = new AbortController();
  const onInterrupt = (): void => interrupt.abort();
  process.once('SIGINT', onInterrupt);

  const regions = o.engine === 'auto' && o['code-cache'] ? keptRegionsFile() : undefined, compiled: CompiledCode[] = [];
  await runAll(jobs, o.jobs, { regions }, {
    progress: (p, workload) => progress.now(`${p.extension} ${p.job.path}: ${workload}`),
    row: (p, { measurement, dataError, frequencyHz }) => {
      cells.set(p, [...(cells.get(p) ?? []), { extension: p.extension, profile: p.name, frequencyHz, path: p.job.path, measurement, dataError }]);
      folder.tables(inOrder());
    },
    finished: (p, { capture, instructions, cycles, exits: table, regions: made }) => {
      compiled.push(...made);
      folder.capture(p.job.name, capture);
      exits.set(p, table);
      folder.exitTimes(jobs.flatMap((j) => exits.get(j) ?? []));
      progress.step(`${p.extension} ${p.job.path}: ${(instructions / 1e6).toFixed(1)} M instructions, ${(cycles / 1e6).toFixed(1)} M cycles`);
    },
    failed: (p, message) => {
      failures.push(message);
      progress.step(`${p.extension} ${p.job.path}: failed`);
    },
  }, interrupt.signal);
  process.removeListener('SIGINT', onInterrupt);
  progress.end();
  if (regions !== undefined) addRegions(regions, compiled);

  const all = inOrder();
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  const facts = {
    version, commit: commit(), seed: o.seed, quick: o.quick, profiles: Object.fromEntries(chosen.map((c) => [c.extension, c.name])),
    paths: Object.fromEntries(paths.map((p) => [p, PATH_TITLES[p]])), workloads: workloads.map((w) => w.name), disk: o.disk ?? 'generated from the seed',
    images: Object.fromEntries(Object.values(images).map((i) => [i.name, sha256(i.bytes)])),
    options: { extension: o.extension, path: o.path, workload: o.workload, profile: o.profile ?? null },
  };
  folder.tables(all);
  folder.manifest(facts);
  await folder.report(
    { title: 'Xenolith: I/O paths compared', facts: [['version', `${version} (${facts.commit})`], ['seed', String(o.seed)], ['disk', facts.disk], ['data', 'checksums of every transfer are compared with what they must be']] },
    workloads, all,
  );
  process.stdout.write(o.json ? `${JSON.stringify(all.map((c) => rowOf(c, all)), null, 2)}\n` : `${table(workloads, all)}\n\nFiles in ${o.out}:\nresults.csv exits.csv exits.txt report.html charts/ captures/ ${formats.length > 0 ? 'traces/ ' : ''}manifest.json\n`);
  for (const f of failures) process.stderr.write(`xenolith: ${f}\n`);
  const wrong = all.filter((c) => c.measurement.status === 'failed' || c.dataError !== '');
  for (const c of wrong) process.stderr.write(`xenolith: ${c.extension} ${c.path} ${c.measurement.workload}: ${c.dataError || c.measurement.reason}\n`);
  if (interrupt.signal.aborted) return EXIT_INTERRUPTED;
  return failures.length > 0 || wrong.length > 0 ? 1 : 0;
}

export const compareCommand: CommandModule<object, CompareOptions> = {
  command: 'compare',
  describe: 'run the same workloads over every I/O path, on VT-x and on SVM, and compare',
  builder: (y: Argv) =>
    y
      .option('extension', { type: 'string', default: 'vtx,svm', describe: 'virtualisation extensions, comma-separated' })
      .option('path', { type: 'string', default: PATHS.join(','), describe: 'I/O paths, comma-separated' })
      .option('workload', { type: 'string', default: WORKLOADS.map((w) => w.name).join(','), defaultDescription: 'all', describe: 'workloads, comma-separated' })
      .option('profile', { type: 'string', describe: `processor profile instead of the extension's own: ${profileNames().join(', ')}, or a .json file` })
      .option('disk', { type: 'string', describe: 'disk image to read (never written); default: generated from the seed' })
      .option('seed', { type: 'number', default: 1, describe: 'seed of the generated disk; nothing else is random' })
      .option('out', { type: 'string', default: 'results', requiresArg: true, describe: 'folder for the results' })
      .option('quick', { type: 'boolean', default: false, describe: 'fewer operations' })
      .option('json', { type: 'boolean', default: false, describe: 'print the rows as JSON instead of the table' })
      .option('jobs', { type: 'number', default: Math.min(8, availableParallelism()), defaultDescription: 'number of cores', describe: 'runs at the same time' })
      .option('engine', { choices: ['auto', 'interpreter', 'compiler'] as const, default: 'auto' as EngineChoice, describe: 'how instructions are executed; the results are the same' })
      .option('code-cache', { type: 'boolean', default: true, describe: 'use what earlier comparisons compiled, and keep what this one does, in build/regions (--no-code-cache: neither)' })
      .option('trace', { type: 'string', requiresArg: true, describe: `also write a trace of each path, in formats comma-separated: ${FORMAT_NAMES.join(', ')}` })
      .check((args) => refuseRepeated(args))
      .epilogue(`Workloads: ${WORKLOADS.map((w) => w.name).join(', ')}.\nPaths: ${PATHS.map((p) => `${p} (${PATH_TITLES[p]})`).join('; ')}.`)
      .example('$0 compare --quick', 'a first look, in a few seconds')
      .example('$0 compare --path native,pv --workload net-transmit', 'one workload on two paths')
      .example('$0 compare --extension svm --out results/svm', 'one extension, results elsewhere') as Argv<CompareOptions>,
  handler: async (args) => {
    process.exitCode = await compare(args);
  },
};
