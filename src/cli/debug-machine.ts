/**
 * The machine that a debugger looks at: an IMAGE as `xenolith run` takes it, or one experiment of the comparison, with the programs whose symbols
 * matter. Options and their help are shared by the commands that have one.
 */

import type { Argv } from 'yargs';
import { experimentSession } from '../debug/experiments.js';
import { EXTENSIONS, type ExtensionName, type Images, PATHS, type PathName } from '../experiments/paths.js';
import { WORKLOADS } from '../experiments/workloads.js';
import type { EngineChoice, MachineConfig, NamedBytes, NicModel, TimeMode } from '../machine/config.js';
import { LARGEST_SEED, UserError, wholeNumber } from './errors.js';
import { type Disk, loadProfile, openSessionDisk, parseSize, profileNames, readNamed } from './files.js';
import { imagePath, loadImages } from './images.js';
import { bootOf, parseModules } from './run.js';

export interface DebugMachineOptions {
  readonly image?: string | undefined;
  readonly experiment?: PathName | undefined;
  readonly extension: ExtensionName;
  readonly workload?: string | undefined;
  readonly quick: boolean;
  readonly append: string;
  readonly initrd?: string | undefined;
  readonly memory: string;
  readonly cpus: number;
  readonly profile?: string | undefined;
  readonly mode?: TimeMode | undefined;
  readonly engine: EngineChoice;
  readonly bios?: string | undefined;
  readonly disk?: readonly string[] | undefined;
  readonly nic: NicModel;
  readonly seed: number;
}

/** A program that runs on the machine, and the file that it is in. */
export interface DebugProgram {
  /** `hypervisor`, `dom0`, `guest`, or the image's name. */
  readonly name: string;
  readonly path: string;
  readonly bytes: Uint8Array;
}

export interface DebugMachine {
  /** Everything but the serial sink. */
  readonly config: MachineConfig;
  /** The most important first. */
  readonly programs: readonly DebugProgram[];
  close(): void;
}

const IMPORTANCE = ['hypervisor', 'guest', 'dom0'];

/** @throws UserError, SessionError, ProfileError or ImageError for what cannot be built */
export function debugMachine(o: DebugMachineOptions): DebugMachine {
  wholeNumber(o.seed, '--seed', 0, LARGEST_SEED);
  wholeNumber(o.cpus, '--cpus', 1, 8);
  return o.experiment === undefined ? imageMachine(o) : experiment(o, o.experiment);
}

function experiment(o: DebugMachineOptions, path: PathName): DebugMachine {
  if (o.image !== undefined || o.bios !== undefined) throw new UserError('give an IMAGE, --bios or --experiment, one of them');
  const images = loadImages(), profile = loadProfile(o.profile ?? EXTENSIONS[o.extension]), workloads = o.workload?.split(',').map((w) => w.trim());
  const { config, programs } = experimentSession({ path, extension: o.extension, workloads, quick: o.quick, seed: o.seed, mode: o.mode ?? 'cycle' }, profile, images);
  const fileOf = (image: NamedBytes): string => imagePath((Object.keys(images) as (keyof Images)[]).find((k) => images[k] === image)!);
  // dom0 and guests are linked at the same addresses; it is the guest that one looks at.
  const byImportance = [...programs].sort((x, y) => IMPORTANCE.indexOf(x.name) - IMPORTANCE.indexOf(y.name));
  return { config: { ...config, engine: o.engine }, programs: byImportance.map((p) => ({ name: p.name, path: fileOf(p.image), bytes: p.image.bytes })), close: () => undefined };
}

function imageMachine(o: DebugMachineOptions): DebugMachine {
  const boot = bootOf(o), profile = loadProfile(o.profile ?? EXTENSIONS.vtx), memoryBytes = parseSize(o.memory, '--memory');
  if ((o.disk ?? []).length > 4) throw new UserError('--disk: at most four disks are possible');
  const disks: Disk[] = (o.disk ?? []).map((text) => openSessionDisk(text, o.seed));
  const paths = [o.image, ...(o.initrd === undefined ? [] : parseModules(o.initrd).map((m) => m.file))].filter((p) => p !== undefined);
  return {
    config: {
      memoryBytes, profile, boot, cpus: o.cpus, mode: o.mode ?? 'functional', engine: o.engine,
      disks: disks.map((backend) => ({ backend })), ...(o.nic === 'none' ? {} : { nic: { model: o.nic } }),
    },
    programs: paths.map((path) => ({ ...readNamed(path), path })),
    close() {
      for (const disk of disks) disk.close?.();
    },
  };
}

/** The options of `debugMachine`, with their help. */
export const debugMachineOptions = <T>(y: Argv<T>): Argv<T & DebugMachineOptions> =>
  y.positional('image', { type: 'string', describe: 'Multiboot 1 or 2 image, ELF with a PVH note, or Linux bzImage' }).options({
    experiment: { choices: PATHS, describe: 'a path of the comparison instead of an IMAGE' },
    extension: { choices: Object.keys(EXTENSIONS) as ExtensionName[], default: 'vtx' as ExtensionName, describe: 'extension of an experiment' },
    workload: { type: 'string', defaultDescription: 'all', describe: `workloads of an experiment, comma-separated: ${WORKLOADS.map((w) => w.name).join(', ')}` },
    quick: { type: 'boolean', default: false, describe: 'fewer operations of each workload' },
    append: { type: 'string', default: '', describe: 'command line of the image' },
    initrd: { type: 'string', describe: 'modules: FILE[ ARGS],...' },
    memory: { type: 'string', default: '256M', describe: 'guest RAM' },
    cpus: { type: 'number', default: 1, describe: 'virtual processors, 1 to 8' },
    profile: { type: 'string', describe: `processor: ${profileNames().join(', ')}, or a .json file` },
    mode: { choices: ['functional', 'cycle'] as const, describe: 'one cycle an instruction, or the timing core' },
    engine: { choices: ['auto', 'interpreter', 'compiler'] as const, default: 'auto' as EngineChoice, describe: 'how instructions are executed' },
    bios: { type: 'string', describe: 'firmware image to start instead of an IMAGE' },
    disk: { type: 'string', array: true, requiresArg: true, nargs: 1, describe: 'disk image file, or seeded:SIZE (up to four)' },
    nic: { choices: ['e1000', 'none'] as const, default: 'none' as NicModel, describe: 'network card, on a wire with the built-in peer 10.0.2.2' },
    seed: { type: 'number', default: 1, describe: 'seed of generated disk contents' },
  }) as unknown as Argv<T & DebugMachineOptions>;
