/** `xenolith step`: a machine at a prompt, by instruction, line, VM exit, forward and back. The contract is docs/cli.md's. */

import { existsSync, readFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ArgumentsCamelCase, Argv, CommandModule } from 'yargs';
import { experimentSession, profileOfExtension } from '../debug/experiments.js';
import { fingerprint, type Link, parseLink } from '../debug/link.js';
import { parseSession } from '../debug/session-file.js';
import { type Program, Session, SessionError, type SessionSource } from '../debug/session.js';
import { EXTENSIONS, PATHS } from '../experiments/paths.js';
import { WORKLOADS } from '../experiments/workloads.js';
import type { MachineConfig, NicModel, TimeMode } from '../machine/config.js';
import { LARGEST_SEED, refuseRepeated, UserError, wholeNumber } from './errors.js';
import { loadProfile, openSessionDisk, parseSize, profileNames, readNamed } from './files.js';
import { loadImages } from './images.js';
import { readModules } from './run.js';
import { sha256 } from './report/write.js';
import { Dialogue } from './step/prompt.js';

export interface StepOptions {
  readonly image?: string | undefined;
  readonly experiment?: string | undefined;
  readonly extension: string;
  readonly workload?: string | undefined;
  readonly quick: boolean;
  readonly link?: string | undefined;
  readonly session?: string | undefined;
  readonly append: string;
  readonly initrd?: string | undefined;
  readonly symbols?: readonly string[] | undefined;
  readonly memory: string;
  readonly cpus: number;
  readonly profile?: string | undefined;
  readonly mode?: TimeMode | undefined;
  readonly disk?: readonly string[] | undefined;
  readonly nic: NicModel;
  readonly seed: number;
  readonly commands?: readonly string[] | undefined;
  readonly history: boolean;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const DEFAULT_PROFILE = 'nehalem-2008';

/** The text of a source file that an image was compiled from: its path is relative to the repository, or to where we are. */
function sourceText(file: string): string | undefined {
  const path = normalize(file);
  if (path.startsWith('..')) return undefined;
  for (const base of [ROOT, process.cwd()]) if (existsSync(join(base, path))) return readFileSync(join(base, path), 'utf8');
  return undefined;
}

type Parts = Pick<SessionSource, 'config' | 'programs' | 'origin' | 'markedConsole'>;

function experiment(o: StepOptions): Parts {
  const workloads = o.workload?.split(',').map((w) => w.trim()).filter((w) => w !== '');
  return experimentSession(
    { path: o.experiment!, extension: o.extension, workloads, quick: o.quick, seed: o.seed, mode: o.mode ?? 'cycle' }, loadProfile(o.profile ?? profileOfExtension(o.extension)), loadImages(),
  );
}

/** `--symbols FILE` for the image, `--symbols NAME=FILE` for a module. */
function symbolFiles(o: StepOptions): Map<string, string> {
  return new Map((o.symbols ?? []).map((text) => {
    const at = text.indexOf('=');
    return at < 0 ? ['', text] : [text.slice(0, at), text.slice(at + 1)];
  }));
}

function ownImage(o: StepOptions): Parts {
  const image = readNamed(o.image!), modules = o.initrd === undefined ? [] : readModules(o.initrd), symbols = symbolFiles(o), profile = loadProfile(o.profile ?? DEFAULT_PROFILE);
  const mode = o.mode ?? 'functional', programs: Program[] = [image, ...modules].map((p, i) => {
    const file = symbols.get(i === 0 ? '' : p.name) ?? symbols.get(p.name);
    return { name: p.name, image: p, symbols: file === undefined ? undefined : readNamed(file) };
  });
  for (const name of symbols.keys()) if (name !== '' && !programs.some((p) => p.name === name)) throw new UserError(`--symbols: there is no image "${name}"; there are ${programs.map((p) => p.name).join(', ')}`);
  const config: MachineConfig = {
    memoryBytes: parseSize(o.memory, '--memory'), profile, mode, cpus: o.cpus, boot: { kind: 'image', image, commandLine: o.append, modules },
    disks: (o.disk ?? []).map((text) => ({ backend: openSessionDisk(text, o.seed) })), ...(o.nic === 'none' ? {} : { nic: { model: o.nic } }),
  };
  const options = [o.append, ...modules.map((m) => m.commandLine), o.memory, String(o.cpus), ...(o.disk ?? []), o.nic].join('\n');
  return {
    config, programs, markedConsole: false,
    origin: { kind: 'image', name: image.name, fingerprint: fingerprint(image.bytes, ...modules.map((m) => m.bytes), new TextEncoder().encode(options)), options: '', profile: profile.name, mode, seed: o.seed },
  };
}

/** What a link asks for, over the options. */
function withLink(o: StepOptions, link: Link): StepOptions {
  const { origin } = link, base = { ...o, profile: origin.profile, mode: origin.mode, seed: origin.seed };
  if (origin.kind === 'image') {
    if (o.image === undefined) throw new UserError(`the link is of the image ${origin.name}: name it too (xenolith step ${origin.name} --link ...)`);
    return base;
  }
  if (o.image !== undefined) throw new UserError('the link is of an experiment: give no IMAGE with it');
  return { ...base, experiment: origin.path, extension: origin.extension, workload: origin.workloads.join(','), quick: origin.quick };
}

/** Options that an image has and an experiment has not, and the other way round, with what they are when they are not given. */
const OF_IMAGES = { append: '', initrd: undefined, symbols: undefined, memory: '256M', cpus: 1, disk: undefined, nic: 'none' } as const;
const OF_EXPERIMENTS = { extension: 'vtx', workload: undefined, quick: false } as const;

/** An option without effect is a mistake. */
function refuseOthers(o: StepOptions): void {
  const others = o.experiment === undefined ? OF_EXPERIMENTS : OF_IMAGES;
  for (const [name, value] of Object.entries(others))
    if (o[name as keyof StepOptions] !== value) throw new UserError(`--${name} is for ${o.experiment === undefined ? 'experiments, and there is no --experiment' : 'images; an experiment has its own'}`);
}

function partsOf(o: StepOptions, link: Link | undefined): Parts {
  if ((o.image === undefined) === (o.experiment === undefined)) throw new UserError(o.image === undefined ? 'name an IMAGE, or an experiment with --experiment' : 'give an IMAGE or --experiment, not both');
  refuseOthers(o);
  const parts = o.experiment !== undefined ? experiment(o) : ownImage(o), { origin } = parts;
  if (link === undefined) return parts;
  const made = link.origin.kind === 'experiment' ? link.origin.images : link.origin.fingerprint, here = origin.kind === 'experiment' ? origin.images : origin.fingerprint;
  if (made !== here) throw new UserError(`the link was made with other ${origin.kind === 'experiment' ? 'images' : 'images or options'} (${made}; here ${here})`);
  return parts;
}

/** Runs the command; the value is the exit status. */
export async function step(o: StepOptions): Promise<number> {
  wholeNumber(o.seed, '--seed', 0, LARGEST_SEED);
  wholeNumber(o.cpus, '--cpus', 1, 8);
  try {
    if (o.link !== undefined && o.session !== undefined) throw new UserError('give --link or --session, not both');
    const record = o.session === undefined ? undefined : parseSession(new TextDecoder().decode(readNamed(o.session).bytes), o.session);
    const text = o.link ?? record?.link, link = text === undefined ? undefined : parseLink(text), wanted = link === undefined ? o : withLink(o, link);
    const open = (): Session => new Session({ ...partsOf(wanted, record === undefined ? link : undefined), sources: sourceText, pause: () => dialogue.pause() });
    const dialogue: Dialogue = new Dialogue({ open, scripts: o.commands ?? [], history: o.history }), session = open();
    if (record !== undefined) await session.resume(record, sha256);
    return await dialogue.run(session, record === undefined ? link?.position : undefined);
  } catch (e) {
    throw e instanceof SessionError ? new UserError(e.message) : e;
  }
}

function options(y: Argv): Argv<StepOptions> {
  return y
    .positional('image', { type: 'string', describe: 'image as for run; or none with --experiment' })
    .options({
      experiment: { type: 'string', describe: `machine of the comparison: ${PATHS.join(', ')}` },
      extension: { type: 'string', default: 'vtx', describe: `of the experiment: ${Object.keys(EXTENSIONS).join(' or ')}` },
      workload: { type: 'string', defaultDescription: 'all', describe: `workloads of the experiment: ${WORKLOADS.map((w) => w.name).join(', ')}` },
      quick: { type: 'boolean', default: false, describe: 'fewer operations of each workload' },
      link: { type: 'string', requiresArg: true, describe: 'go to the state that a link names' },
      session: { type: 'string', requiresArg: true, describe: 'go on with a session that the command save has written' },
      append: { type: 'string', default: '', describe: 'command line of the image' },
      initrd: { type: 'string', describe: 'modules: FILE[ ARGS],...' },
      symbols: { type: 'string', array: true, requiresArg: true, nargs: 1, describe: 'where the symbols are: FILE of the image, or NAME=FILE of a module' },
      memory: { type: 'string', default: '256M', describe: 'guest RAM' },
      cpus: { type: 'number', default: 1, describe: 'virtual processors, 1 to 8' },
      profile: { type: 'string', describe: `processor: ${profileNames().join(', ')}, or a .json file` },
      mode: { choices: ['functional', 'cycle'] as const, defaultDescription: 'cycle for experiments, functional for images', describe: 'one cycle an instruction, or the timing core' },
      disk: { type: 'string', array: true, requiresArg: true, nargs: 1, describe: 'disk image file, or seeded:SIZE (up to four)' },
      nic: { choices: ['e1000', 'none'] as const, default: 'none' as NicModel, describe: 'network card' },
      seed: { type: 'number', default: 1, describe: 'seed of generated disks' },
      commands: { alias: 'x', type: 'string', array: true, requiresArg: true, nargs: 1, describe: 'run the commands of this file first' },
      history: { type: 'boolean', default: true, describe: 'keep the lines typed for the next time' },
    })
    .check((args) => {
      if ((args['disk'] as unknown[] | undefined ?? []).length > 4) throw new UserError('--disk: at most four disks are possible');
      return refuseRepeated(args, ['disk', 'commands', 'x', 'symbols']);
    })
    .example('$0 step --experiment hvm', 'the HVM guest of the comparison, on VT-x')
    .example('$0 step --experiment hvm --extension svm -x first-exit.xs', 'the same on SVM, commands from a file')
    .example('$0 step kernel.elf --append console=com1', 'an image of your own')
    .epilogue('Commands come from -x FILE, from the terminal, or from standard input when it is no terminal; "help" lists them. Exit status: 0; 2 wrong usage, or wrong input in a script; 130 interrupted.') as unknown as Argv<StepOptions>;
}

export const stepCommand: CommandModule<object, StepOptions> = {
  command: 'step [image]',
  describe: 'step through a machine at a prompt: instructions, lines, VM exits, forward and back',
  builder: options,
  handler: async (o: ArgumentsCamelCase<StepOptions>) => {
    process.exitCode = await step(o);
  },
};
