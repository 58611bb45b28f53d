/** A machine of the comparison: hypervisor, dom0 and a guest, as `runPath` starts it, for tests that drive it themselves. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CodeOwners, DOM0, GUEST, HYPERVISOR } from '../../src/experiments/code-owners.js';
import { OverlayDisk } from '../../src/experiments/overlay-disk.js';
import { bootOf, DISK_SECTORS, EXTENSIONS, type ExtensionName, type Images, imagesOf, MEMORY_BYTES, type PathName } from '../../src/experiments/paths.js';
import { guestSpecification, type Workload } from '../../src/experiments/workloads.js';
import type { MachineConfig, TimeMode } from '../../src/machine/config.js';
import { SeededDisk } from '../../src/machine/disks.js';
import { Machine } from '../../src/machine/machine.js';
import { parseProfile } from '../../src/machine/profile.js';

const root = join(import.meta.dirname, '..', '..');
const image = (path: string) => ({ name: path.split('/').pop()!, bytes: new Uint8Array(readFileSync(join(root, 'build', path))) });
export const images: Images = {
  hypervisor: image('hypervisor/xenolith.elf'), dom0: image('guests/dom0.elf'), native: image('guests/workload-native.elf'),
  hvm: image('guests/workload-hvm.elf'), pv: image('guests/workload-pv.elf'),
};
export const loadProfile = (name: string) => parseProfile(JSON.parse(readFileSync(join(root, 'profiles', `${name}.json`), 'utf8')), name);

/** @param more what differs from the configuration of a comparison */
export function pathMachine(extension: ExtensionName, path: PathName, mode: TimeMode, workloads: readonly Workload[], more: Partial<MachineConfig> = {}) {
  const owners = new CodeOwners(), programs = imagesOf(path, images), out: number[] = [];
  if (programs.hypervisor !== undefined) owners.add(HYPERVISOR, programs.hypervisor);
  if (programs.dom0 !== undefined) owners.add(DOM0, programs.dom0);
  owners.add(GUEST, programs.guest);
  const machine = new Machine({
    memoryBytes: MEMORY_BYTES, profile: loadProfile(EXTENSIONS[extension]), boot: bootOf(path, images, guestSpecification(workloads, true)), mode,
    disks: [{ backend: new OverlayDisk(new SeededDisk(DISK_SECTORS, 1)) }], nic: { model: 'e1000' }, serial: (b) => out.push(b), classifyCode: owners.classify,
    ...more,
  });
  return { machine, console: () => String.fromCharCode(...out) };
}
