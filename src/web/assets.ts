/** The build's files: catalogue, images, profiles at once; sources when needed. All addresses are relative: any host, any sub-path. */

import type { Assets, FileBytes, MachineSpec } from './protocol.js';

export interface Catalogue {
  readonly version: string;
  /** Hash of everything that decides how a run goes. */
  readonly build: string;
  readonly images: Readonly<Record<string, { readonly file: string; readonly name: string; readonly bytes: number; readonly sha256: string }>>;
}

async function fetched(path: string): Promise<Response> {
  const response = await fetch(new URL(path, document.baseURI)).catch(() => undefined);
  if (response === undefined || !response.ok) throw new Error(`${path} cannot be loaded${response === undefined ? '' : ` (${response.status})`}`);
  return response;
}

let catalogue: Promise<Catalogue> | undefined;
export const loadCatalogue = (): Promise<Catalogue> => (catalogue ??= fetched('catalogue.json').then((r) => r.json() as Promise<Catalogue>));

const images = new Map<string, Promise<FileBytes>>();
function loadImage(key: string, { file, name, sha256 }: Catalogue['images'][string]): Promise<FileBytes> {
  const loading = images.get(key) ?? fetched(file).then(async (r) => ({ name, bytes: new Uint8Array(await r.arrayBuffer()), sha256 }));
  images.set(key, loading);
  return loading;
}

let profiles: Promise<Record<string, unknown>> | undefined;

/** What a machine needs of the build's files: an experiment its own images, an image of the user's none. */
export async function loadAssets(spec: MachineSpec): Promise<Assets> {
  profiles ??= fetched('profiles.json').then((r) => r.json() as Promise<Record<string, unknown>>);
  const keys = spec.kind === 'image' ? [] : spec.path === 'native' ? ['native'] : ['hypervisor', 'dom0', spec.path === 'pv' ? 'pv' : 'hvm'];
  const { images: all } = await loadCatalogue();
  const files = await Promise.all(keys.map(async (key): Promise<[string, FileBytes]> => [key, await loadImage(key, all[key]!)]));
  return { profiles: await profiles, images: Object.fromEntries(files) };
}

export const loadSources = async (): Promise<Record<string, string>> => (await fetched('sources.json')).json() as Promise<Record<string, string>>;

/** Hexadecimal SHA-256. Where the page was not served securely there is no such function, and images are known by name alone. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  if (globalThis.crypto?.subtle === undefined) return '0'.repeat(64);
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes as BufferSource));
  return Array.from(digest, (b) => b.toString(16).padStart(2, '0')).join('');
}
