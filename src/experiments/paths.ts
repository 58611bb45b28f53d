/** The I/O paths of the comparison, as machine configurations: which images boot, and what they are told. */

import type { Boot, NamedBytes } from '../machine/config.js';

export const EXTENSIONS = { vtx: 'nehalem-2008', svm: 'barcelona-2007' } as const;
export type ExtensionName = keyof typeof EXTENSIONS;

export const PATHS = ['native', 'hvm', 'pvhvm', 'pv'] as const;
export type PathName = (typeof PATHS)[number];

export const PATH_TITLES: Record<PathName, string> = {
  native: 'bare machine, the same ATA and e1000 drivers',
  hvm: 'HVM domain, emulated ATA and e1000',
  pvhvm: 'HVM domain, paravirtual drivers',
  pv: 'paravirtual domain',
};

/** Built C images. */
export interface Images {
  readonly hypervisor: NamedBytes;
  readonly dom0: NamedBytes;
  readonly native: NamedBytes;
  readonly hvm: NamedBytes;
  readonly pv: NamedBytes;
}

/** Machine RAM of every run, bytes; and what the domains get of it. */
export const MEMORY_BYTES = 256 << 20;
/** Size of the generated disk of every run, in sectors: 128 MiB. */
export const DISK_SECTORS = 262_144;
const DOM0_MEMORY = '64M', DOMU_MEMORY = '64M';

/** What the machine of a path starts. @param specification the guest's `w=` option */
export function bootOf(path: PathName, images: Images, specification: string): Boot {
  if (path === 'native') return { kind: 'image', image: images.native, commandLine: `drivers=emulated w=${specification}` };
  const guest = path === 'pv' ? images.pv : images.hvm;
  const type = path === 'pv' ? 'pv' : 'hvm';
  const drivers = path === 'hvm' ? 'emulated' : 'pv';
  return {
    kind: 'image',
    image: images.hypervisor,
    modules: [
      { ...images.dom0, commandLine: `dom0 mem=${DOM0_MEMORY}` },
      { ...guest, commandLine: `domU type=${type} mem=${DOMU_MEMORY} -- drivers=${drivers} w=${specification}` },
    ],
  };
}

/** The image whose workloads run, and those below it. */
export const imagesOf = (path: PathName, images: Images): { guest: NamedBytes; hypervisor?: NamedBytes; dom0?: NamedBytes } =>
  path === 'native' ? { guest: images.native } : { guest: path === 'pv' ? images.pv : images.hvm, hypervisor: images.hypervisor, dom0: images.dom0 };
