/** Files of the user's: an image (with its modules) to run, or a session file to open; and the session saved as one. */

import type { ImageSpec } from './protocol.js';
import { openSession, save, takeFiles, takeWaitingSession } from './store.js';
import { chosenImage } from './own-image.js';
import { chooserOpen } from './keys.js';

const SESSION_ENDING = '.json';

/** The first file is the image, the others are its modules; the dialog shows them before anything starts. */
export async function offer(list: readonly File[]): Promise<void> {
  const sessions = list.filter((f) => f.name.endsWith(SESSION_ENDING)), taken = await takeFiles(list.filter((f) => !sessions.includes(f)));
  const waiting = taken.length > 0 ? takeWaitingSession() : undefined;
  if (sessions[0] !== undefined) return openSession({ name: sessions[0].name, text: await sessions[0].text() });
  if (waiting !== undefined) return openSession(waiting);
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

/** Hands the session to the browser as a file. */
export async function saveSession(): Promise<void> {
  const text = await save();
  if (text === undefined) return;
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  Object.assign(document.createElement('a'), { href: url, download: `xenolith-session${SESSION_ENDING}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
