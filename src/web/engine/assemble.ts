/** From what a person chose to a session's source: the machine's configuration, and the programs whose symbols and sources are known. */

import { experimentSession, profileOfExtension } from '../../debug/experiments.js';
import { fingerprint } from '../../debug/link.js';
import { SessionError, type SessionSource } from '../../debug/session.js';
import { BACK_END, CodeOwners, DEVICE_MODEL, DOM0, GUEST, HYPERVISOR } from '../../experiments/code-owners.js';
import { DISK_SECTORS, type Images, MEMORY_BYTES } from '../../experiments/paths.js';
import { IDLE, ownerOf, partOf, TRANSITION } from '../../machine/attribution.js';
import { SeededDisk } from '../../machine/disks.js';
import { isElf } from '../../machine/loaders/elf.js';
import { parseProfile, type Profile } from '../../machine/profile.js';
import type { Assets, FileBytes, ImageSpec, MachineSpec } from '../protocol.js';

const IMAGE_NAMES = ['hypervisor', 'dom0', 'native', 'hvm', 'pv'] as const;

function profileOf(assets: Assets, name: string): Profile {
  const profile = assets.profiles[name];
  if (profile === undefined) throw new SessionError(`there is no profile "${name}"; there are ${Object.keys(assets.profiles).join(', ')}`);
  return parseProfile(profile, name);
}

function fileOf(files: readonly FileBytes[], name: string): FileBytes {
  const found = files.find((f) => f.name === name);
  if (found === undefined) throw new SessionError(`the file ${name} is not here: drop it onto the page`);
  return found;
}

/** The program that starts stands lowest; what it is given as modules runs on it. */
const ownerOfImage = (at: number, of: number): number => (of === 1 ? GUEST : [HYPERVISOR, DOM0, GUEST][Math.min(at, 2)]!);

function ofImage(spec: ImageSpec, assets: Assets, files: readonly FileBytes[]): SessionSource {
  const image = fileOf(files, spec.name);
  const modules = spec.modules.map((m) => ({ ...fileOf(files, m.name), commandLine: m.commandLine === '' ? m.name : `${m.name} ${m.commandLine}` }));
  const programs = [image, ...modules].filter((f) => isElf(f.bytes)), owners = new CodeOwners();
  for (const [i, f] of programs.entries()) owners.add(ownerOfImage(i, programs.length), f);
  const options = JSON.stringify([spec.commandLine, ...spec.modules.map((m) => m.commandLine)]);
  return {
    config: {
      memoryBytes: MEMORY_BYTES, profile: profileOf(assets, spec.profile), mode: spec.mode, boot: { kind: 'image', image, commandLine: spec.commandLine, modules },
      disks: [{ backend: new SeededDisk(DISK_SECTORS, spec.seed) }], nic: { model: 'e1000' }, classifyCode: owners.classify,
    },
    programs: programs.map((f) => ({ name: f.name, image: f })),
    origin: { kind: 'image', name: spec.name, fingerprint: fingerprint(image.bytes, ...modules.map((m) => m.bytes)), options, profile: spec.profile, mode: spec.mode, seed: spec.seed },
    markedConsole: modules.length > 0,
  };
}

/** @throws SessionError; what starting it throws comes from the machine */
export function assemble(spec: MachineSpec, assets: Assets, files: readonly FileBytes[]): SessionSource {
  if (spec.kind === 'image') return ofImage(spec, assets, files);
  const images = Object.fromEntries(IMAGE_NAMES.map((name) => [name, assets.images[name]])) as unknown as Images;
  const { path, extension, workload, seed, mode } = spec;
  return experimentSession({ path, extension, workloads: [workload], quick: true, seed, mode }, profileOf(assets, profileOfExtension(extension)), images);
}

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
