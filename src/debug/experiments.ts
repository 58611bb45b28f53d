/** Sessions on the machines of the comparison, chosen by name as on the command line. */

import { experimentMachine } from '../experiments/experiment-machine.js';
import { EXTENSIONS, type ExtensionName, type Images, imagesOf, type PathName, PATHS } from '../experiments/paths.js';
import { type Workload, WORKLOADS } from '../experiments/workloads.js';
import type { TimeMode } from '../machine/config.js';
import type { Profile } from '../machine/profile.js';
import { SessionError } from './history.js';
import { fingerprint, type Origin } from './link.js';
import type { Program, SessionSource } from './session.js';

export interface ExperimentChoice {
  readonly path: string;
  /** `vtx` or `svm`: the processor's profile must have it. */
  readonly extension: string;
  /** Names of workloads; absent: all. */
  readonly workloads?: readonly string[] | undefined;
  readonly quick: boolean;
  readonly seed: number;
  readonly mode: TimeMode;
}

/** The profile of an extension, by name. @throws SessionError for an unknown one */
export function profileOfExtension(extension: string): string {
  const name = (EXTENSIONS as Readonly<Record<string, string>>)[extension];
  if (name === undefined) throw new SessionError(`unknown extension "${extension}"; there are ${Object.keys(EXTENSIONS).join(', ')}`);
  return name;
}

/** @throws SessionError for an unknown path or workload */
export function experimentSession(choice: ExperimentChoice, profile: Profile, images: Images): SessionSource {
  const { extension, quick, seed, mode } = choice;
  profileOfExtension(extension);
  if (!(PATHS as readonly string[]).includes(choice.path)) throw new SessionError(`unknown path "${choice.path}"; there are ${PATHS.join(', ')}`);
  const path = choice.path as PathName, workloads = chooseWorkloads(choice.workloads);
  const { guest, hypervisor, dom0 } = imagesOf(path, images);
  const programs: Program[] = [];
  if (hypervisor !== undefined) programs.push({ name: 'hypervisor', image: hypervisor });
  if (dom0 !== undefined) programs.push({ name: 'dom0', image: dom0 });
  programs.push({ name: 'guest', image: guest });
  const origin: Origin = {
    kind: 'experiment', path, extension: extension as ExtensionName, workloads: workloads.map((w) => w.name), quick, profile: profile.name, mode, seed,
    images: fingerprint(...programs.map((p) => p.image.bytes)),
  };
  return { config: experimentMachine({ path, profile, images, workloads, quick, seed, mode }), programs, origin, markedConsole: hypervisor !== undefined };
}

function chooseWorkloads(names: readonly string[] | undefined): readonly Workload[] {
  if (names === undefined || names.length === 0) return WORKLOADS;
  return names.map((name) => {
    const w = WORKLOADS.find((x) => x.name === name);
    if (w === undefined) throw new SessionError(`unknown workload "${name}"; there are ${WORKLOADS.map((x) => x.name).join(', ')}`);
    return w;
  });
}
