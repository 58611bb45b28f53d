/** The built C images. `npm run build` makes them; here they are only read. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Images } from '../experiments/paths.js';
import { Elf } from '../machine/loaders/elf.js';
import { UserError } from './errors.js';
import { readNamed } from './files.js';

const BUILD = fileURLToPath(new URL('../../build/', import.meta.url));
const FILES: Record<keyof Images, string> = {
  hypervisor: 'hypervisor/xenolith.elf', dom0: 'guests/dom0.elf', native: 'guests/workload-native.elf', hvm: 'guests/workload-hvm.elf', pv: 'guests/workload-pv.elf',
};

/** Where a built image is. */
export const imagePath = (name: keyof Images): string => join(BUILD, FILES[name]);

export function loadImages(): Images {
  const out: Partial<Record<keyof Images, Images[keyof Images]>> = {};
  for (const [name, file] of Object.entries(FILES) as [keyof Images, string][]) {
    const path = imagePath(name);
    if (!existsSync(path)) throw new UserError(`the image build/${file} is missing: run "npm run build"`);
    out[name] = readNamed(path);
    new Elf(`build/${file}`, out[name].bytes).sections(); // a damaged image is found now, not when its path is run
  }
  return out as Images;
}
