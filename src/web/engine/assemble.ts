/** From what a person chose to a machine's configuration, and the programs on it whose symbols and sources are known. */

import { BACK_END, CodeOwners, DEVICE_MODEL, DOM0, GUEST, HYPERVISOR } from '../../experiments/code-owners.js';
import { bootOf, DISK_SECTORS, EXTENSIONS, type Images, imagesOf, MEMORY_BYTES } from '../../experiments/paths.js';
import { guestSpecification, WORKLOADS } from '../../experiments/workloads.js';
import { IDLE, ownerOf, partOf, TRANSITION } from '../../machine/attribution.js';
import type { ByteSink, MachineConfig, NamedBytes } from '../../machine/config.js';
import { SeededDisk } from '../../machine/disks.js';
import { Elf } from '../../machine/loaders/elf.js';
import { parseProfile } from '../../machine/profile.js';
import type { Assets, ExperimentSpec, FileBytes, ImageSpec, MachineSpec } from '../protocol.js';

/** Something that the user chose and that cannot be: the message is for the page. */
export class ChoiceError extends Error {}

/** A program on the machine: its level's name, the owner of its code, and its image. */
export interface Program {
  readonly level: string;
  readonly owner: number;
  readonly image: NamedBytes;
}
export interface Assembly {
  readonly config: MachineConfig;
  readonly programs: readonly Program[];
}

const IMAGE_NAMES = ['hypervisor', 'dom0', 'native', 'hvm', 'pv'] as const;

function profileOf(assets: Assets, name: string) {
  const profile = assets.profiles[name];
  if (profile === undefined) throw new ChoiceError(`there is no profile "${name}"; there are ${Object.keys(assets.profiles).join(', ')}`);
  return parseProfile(profile, name);
}

/** Code owners for the attribution of cycles; an image that is no ELF file has no owners. */
function ownersOf(programs: readonly Program[]): CodeOwners {
  const owners = new CodeOwners();
  for (const { owner, image } of programs) {
    try {
      owners.add(owner, image);
    } catch {
      // Not an ELF file: its cycles are nobody's.
    }
  }
  return owners;
}

function assembleExperiment(spec: ExperimentSpec, assets: Assets, serial: ByteSink): Assembly {
  const workload = WORKLOADS.find((w) => w.name === spec.workload);
  if (workload === undefined) throw new ChoiceError(`there is no workload "${spec.workload}"; there are ${WORKLOADS.map((w) => w.name).join(', ')}`);
  const images = Object.fromEntries(IMAGE_NAMES.map((name) => [name, assets.images[name]])) as unknown as Images;
  const { guest, hypervisor, dom0 } = imagesOf(spec.path, images);
  const programs: Program[] = [
    ...(hypervisor === undefined ? [] : [{ level: 'hypervisor', owner: HYPERVISOR, image: hypervisor }]),
    ...(dom0 === undefined ? [] : [{ level: 'dom0', owner: DOM0, image: dom0 }]),
    { level: 'guest', owner: GUEST, image: guest },
  ];
  const config: MachineConfig = {
    memoryBytes: MEMORY_BYTES, profile: profileOf(assets, EXTENSIONS[spec.extension]), mode: spec.mode,
    boot: bootOf(spec.path, images, guestSpecification([workload], true)),
    disks: [{ backend: new SeededDisk(DISK_SECTORS, spec.seed) }], nic: { model: 'e1000' }, serial, classifyCode: ownersOf(programs).classify,
  };
  return { config, programs };
}

function fileOf(files: readonly FileBytes[], name: string): FileBytes {
  const found = files.find((f) => f.name === name);
  if (found === undefined) throw new ChoiceError(`the file ${name} is not here: drop it onto the page`);
  return found;
}

function assembleImage(spec: ImageSpec, assets: Assets, files: readonly FileBytes[], serial: ByteSink): Assembly {
  const image = fileOf(files, spec.name);
  const modules = spec.modules.map((m) => ({ ...fileOf(files, m.name), commandLine: m.commandLine === '' ? m.name : `${m.name} ${m.commandLine}` }));
  // The program that starts stands lowest; what it is given as modules runs on it.
  const owner = (i: number): number => (modules.length === 0 ? GUEST : [HYPERVISOR, DOM0, GUEST][Math.min(i, 2)]!);
  const programs = [image, ...modules].filter((f) => isElf(f)).map((f, i) => ({ level: f.name, owner: owner(i), image: f }));
  const config: MachineConfig = {
    memoryBytes: MEMORY_BYTES, profile: profileOf(assets, spec.profile), mode: spec.mode,
    boot: { kind: 'image', image, commandLine: spec.commandLine, modules },
    disks: [{ backend: new SeededDisk(DISK_SECTORS, spec.seed) }], nic: { model: 'e1000' }, serial, classifyCode: ownersOf(programs).classify,
  };
  return { config, programs };
}

function isElf(file: NamedBytes): boolean {
  try {
    return new Elf(file.name, file.bytes).segments.length > 0;
  } catch {
    return false;
  }
}

/** @throws ChoiceError, and what the machine's constructor throws for profiles and images */
export const assemble = (spec: MachineSpec, assets: Assets, files: readonly FileBytes[], serial: ByteSink): Assembly =>
  spec.kind === 'experiment' ? assembleExperiment(spec, assets, serial) : assembleImage(spec, assets, files, serial);

/** An account of the attribution in words, as the reports of a comparison have it. */
export function accountName(account: number): string {
  if (account === TRANSITION) return 'VM transitions';
  if (account === IDLE) return 'idle';
  const owner = ownerOf(account), part = partOf(account);
  if (owner === GUEST) return 'guest';
  if (owner === HYPERVISOR) return 'hypervisor';
  if (owner !== DOM0) return 'unknown';
  return part === BACK_END ? 'dom0 back end' : part === DEVICE_MODEL ? 'dom0 device model' : 'dom0, other';
}
