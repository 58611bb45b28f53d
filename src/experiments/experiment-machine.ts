/** The machine of one experiment: a path with its images, disk, card and workloads, as a configuration that a run and a stepper share. */

import type { DiskBackend, EngineChoice, MachineConfig, TimeMode } from '../machine/config.js';
import { SeededDisk } from '../machine/disks.js';
import type { Profile } from '../machine/profile.js';
import { CodeOwners, DOM0, GUEST, HYPERVISOR } from './code-owners.js';
import { bootOf, DISK_SECTORS, type Images, imagesOf, MEMORY_BYTES, type PathName } from './paths.js';
import { guestSpecification, type Workload } from './workloads.js';

export interface ExperimentRequest {
  readonly path: PathName;
  readonly profile: Profile;
  readonly images: Images;
  readonly workloads: readonly Workload[];
  readonly quick: boolean;
  readonly seed: number;
  readonly mode: TimeMode;
  /** Default `auto`. */
  readonly engine?: EngineChoice | undefined;
  /** MachineConfig. */
  readonly makingRegion?: MachineConfig['makingRegion'];
  /** The disk; default: generated from the seed. Written sectors stay in memory. */
  readonly disk?: DiskBackend | undefined;
}

/** Everything but where its serial output goes. Cycles are attributed to the hypervisor, dom0 and the guest. */
export function experimentMachine(request: ExperimentRequest): MachineConfig {
  const { path, profile, images, workloads, quick, seed, mode } = request;
  const owners = new CodeOwners(), programs = imagesOf(path, images);
  if (programs.hypervisor !== undefined) owners.add(HYPERVISOR, programs.hypervisor);
  if (programs.dom0 !== undefined) owners.add(DOM0, programs.dom0);
  owners.add(GUEST, programs.guest);
  return {
    memoryBytes: MEMORY_BYTES,
    profile,
    mode,
    engine: request.engine ?? 'auto',
    makingRegion: request.makingRegion,
    boot: bootOf(path, images, guestSpecification(workloads, quick)),
    disks: [{ backend: request.disk ?? new SeededDisk(DISK_SECTORS, seed) }],
    nic: { model: 'e1000' },
    classifyCode: owners.classify,
  };
}
