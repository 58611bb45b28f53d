/**
 * Session files and what the page starts: a file names images, command lines, profile, mode and seed, the page starts experiments and images
 * of the user's own. Here is the way from one to the other and back.
 */

import { devicesOf, type SessionConfiguration, type SessionImage, type SessionRecord } from '../debug/session-file.js';
import { bootOf, EXTENSIONS, type ExtensionName, type Images, PATHS } from '../experiments/paths.js';
import { guestSpecification, WORKLOADS } from '../experiments/workloads.js';
import type { Boot, MachineConfig } from '../machine/config.js';
import type { MachineSpec } from './protocol.js';

/** Names and hashes of the page's own images, by key of `Images`. */
export type KnownImages = Readonly<Record<string, { readonly name: string; readonly sha256: string }>>;

function imagesOf(boot: Boot, hashOf: (name: string) => string): SessionImage[] {
  if (boot.kind === 'firmware') return [{ name: boot.firmware.name, sha256: hashOf(boot.firmware.name), commandLine: '' }];
  const one = (name: string, commandLine: string): SessionImage => ({ name, sha256: hashOf(name), commandLine });
  return [one(boot.image.name, boot.commandLine ?? ''), ...(boot.modules ?? []).map((m) => one(m.name, m.commandLine))];
}

/** What a session file says of a machine. @param hashOf SHA-256 of a file by its name */
export const configurationOf = (config: MachineConfig, spec: MachineSpec, hashOf: (name: string) => string): SessionConfiguration => ({
  images: imagesOf(config.boot, hashOf), profile: config.profile.name, mode: spec.mode, memoryBytes: config.memoryBytes, cpus: config.cpus ?? 1, seed: spec.seed,
  devices: devicesOf(config),
});

const same = (a: readonly SessionImage[], b: readonly SessionImage[]): boolean =>
  a.length === b.length && a.every((x, i) => x.name === b[i]!.name && x.sha256 === b[i]!.sha256 && x.commandLine === b[i]!.commandLine);

/** The experiment, or the image of the user's own, that a session was made with. */
export function specOf({ configuration }: SessionRecord, known: KnownImages): MachineSpec {
  const { images, profile, mode, seed } = configuration, empty = new Uint8Array(0);
  const own = Object.fromEntries(Object.entries(known).map(([key, { name }]) => [key, { name, bytes: empty }])) as unknown as Images;
  const hashOf = (name: string): string => Object.values(known).find((k) => k.name === name)?.sha256 ?? '';
  for (const extension of Object.keys(EXTENSIONS) as ExtensionName[])
    for (const path of PATHS)
      for (const workload of EXTENSIONS[extension] === profile ? WORKLOADS : [])
        if (same(images, imagesOf(bootOf(path, own, guestSpecification([workload], true)), hashOf))) return { kind: 'experiment', path, extension, workload: workload.name, mode, seed };
  const [image, ...modules] = images;
  // A module's command line begins with its name, as the loader passes it.
  const rest = ({ name, commandLine }: SessionImage): string => (commandLine === name ? '' : commandLine.startsWith(`${name} `) ? commandLine.slice(name.length + 1) : commandLine);
  return {
    kind: 'image', name: image?.name ?? '', sha256: image?.sha256 ?? '', commandLine: image?.commandLine ?? '', profile, mode, seed,
    modules: modules.map((m) => ({ name: m.name, sha256: m.sha256, commandLine: rest(m) })),
  };
}
