/** Files of the user's: an image (with its modules) to run, or a session file to open; and the session saved as a file. */

import type { ImageSpec } from './protocol.js';
import { takeFiles } from './store.js';
import { chosenImage } from './own-image.js';
import { chooserOpen } from './keys.js';

/** The first file is the image, the others are its modules; the dialog shows them before anything starts. */
export async function offer(list: readonly File[]): Promise<void> {
  const taken = await takeFiles(list);
  const [image, ...modules] = taken;
  if (image === undefined) return;
  const spec: ImageSpec = {
    kind: 'image', name: image.name, sha256: image.sha256, commandLine: '', profile: 'nehalem-2008', mode: 'cycle', seed: 1,
    modules: modules.map(({ name, sha256 }) => ({ name, sha256, commandLine: '' })),
  };
  chosenImage.value = spec;
  chooserOpen.value = true;
}

export async function openFiles(input: HTMLInputElement): Promise<void> {
  const list = [...(input.files ?? [])];
  input.value = '';
  if (list.length > 0) await offer(list);
}
