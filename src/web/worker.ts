/// <reference lib="webworker" />
/** The worker's entry: requests one after the other, interruptions at once. */

import { SessionError } from '../debug/session.js';
import { SessionFileError } from '../debug/session-file.js';
import { ImageError } from '../machine/loaders/load.js';
import { ConfigError } from '../machine/machine.js';
import { ProfileError } from '../machine/profile.js';
import { Engine } from './engine/engine.js';
import type { FromWorker, Request, ToWorker } from './protocol.js';

declare const self: DedicatedWorkerGlobalScope;

const USERS = [SessionError, SessionFileError, ImageError, ConfigError, ProfileError];
const tell = (notice: FromWorker): void => self.postMessage(notice);
const engine = new Engine(tell);

async function answer({ id, name, args }: Request): Promise<void> {
  try {
    const result = await (engine.handlers[name] as (args: unknown) => unknown)(args);
    tell({ kind: 'answer', id, result });
  } catch (e) {
    const users = USERS.some((type) => e instanceof type);
    tell({ kind: 'failed', id, users, message: e instanceof Error ? (users ? e.message : e.stack ?? e.message) : String(e) });
  }
}

let last: Promise<void> = Promise.resolve();
self.onmessage = ({ data }: MessageEvent<ToWorker>): void => {
  if ('interrupt' in data) engine.interrupt();
  else last = last.then(() => answer(data));
};
tell({ kind: 'ready' });
