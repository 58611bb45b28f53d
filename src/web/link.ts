/**
 * A link reproduces a state: the page's address holds, behind `#`, what runs and where it stands. Nothing of it goes to a server.
 *
 *   #v=0.1.0-0123456789ab&path=hvm&ext=vtx&w=disk-random-read&mode=cycle&seed=1&at=2114997.3
 *   #v=...&image=kernel.elf&sha256=...&append=...&module=NAME,SHA256,ARGS&profile=nehalem-2008&mode=cycle&seed=1&at=0
 *
 * `v` is the version and a hash of everything that decides how a run goes: with another one the position may be another place.
 */

import type { Position } from '../debug/api.js';
import { EXTENSIONS, type ExtensionName, PATHS, type PathName } from '../experiments/paths.js';
import { WORKLOADS } from '../experiments/workloads.js';
import type { ExperimentSpec, ImageSpec, MachineSpec } from './protocol.js';

export interface LinkState {
  /** Version and build of the page that made the link. */
  readonly version: string;
  readonly spec: MachineSpec;
  readonly position: Position;
}

/** A link that cannot be followed; the message says which part and why. */
export class LinkError extends Error {}

export const DEFAULT_SPEC: ExperimentSpec = { kind: 'experiment', path: 'hvm', extension: 'vtx', workload: 'disk-random-read', mode: 'cycle', seed: 1 };
const LARGEST_SEED = 0xffff_ffff;

export function encodeLink({ version, spec, position }: LinkState): string {
  const q = new URLSearchParams({ v: version });
  if (spec.kind === 'experiment') {
    q.set('path', spec.path);
    q.set('ext', spec.extension);
    q.set('w', spec.workload);
  } else {
    q.set('image', spec.name);
    q.set('sha256', spec.sha256);
    if (spec.commandLine !== '') q.set('append', spec.commandLine);
    for (const m of spec.modules) q.append('module', [m.name, m.sha256, m.commandLine].map(encodeURIComponent).join(','));
    q.set('profile', spec.profile);
  }
  q.set('mode', spec.mode);
  q.set('seed', String(spec.seed));
  q.set('at', position.events === 0 ? `${position.instructions}` : `${position.instructions}.${position.events}`);
  return `#${q}`;
}

function oneOf<T extends string>(q: URLSearchParams, key: string, allowed: readonly T[]): T {
  const value = q.get(key);
  if (value === null) throw new LinkError(`the link does not say "${key}"`);
  if (!allowed.includes(value as T)) throw new LinkError(`the link has ${key}=${value}; there are ${allowed.join(', ')}`);
  return value as T;
}

function wholeNumber(text: string | null, what: string, most: number): number {
  const n = text === null || !/^\d+$/.test(text) ? NaN : Number(text);
  if (!(n <= most)) throw new LinkError(`the link has ${what}=${text}; a whole number up to ${most} is needed`);
  return n;
}

function hashIn(text: string | null): string {
  if (text === null || !/^[0-9a-f]{64}$/.test(text)) throw new LinkError(`the link has sha256=${text}; 64 hexadecimal digits are needed`);
  return text;
}

function unescape(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new LinkError(`the link is damaged at "${text}"`);
  }
}

function imageSpec(q: URLSearchParams, common: Pick<ImageSpec, 'mode' | 'seed'>): ImageSpec {
  const modules = q.getAll('module').map((text) => {
    const [name = '', sha256 = '', commandLine = ''] = text.split(',').map(unescape);
    return { name, sha256: hashIn(sha256), commandLine };
  });
  return { kind: 'image', name: q.get('image')!, sha256: hashIn(q.get('sha256')), commandLine: q.get('append') ?? '', modules, profile: q.get('profile') ?? 'nehalem-2008', ...common };
}

/** @param hash the part of the address from `#` @returns undefined when it holds no state @throws LinkError */
export function decodeLink(hash: string): LinkState | undefined {
  const q = new URLSearchParams(hash.replace(/^#/, ''));
  if (!q.has('v')) return undefined;
  const common = { mode: oneOf(q, 'mode', ['functional', 'cycle'] as const), seed: wholeNumber(q.get('seed'), 'seed', LARGEST_SEED) };
  const [instructions = '', events = '0'] = (q.get('at') ?? '0').split('.');
  const position = { instructions: wholeNumber(instructions, 'at', Number.MAX_SAFE_INTEGER), events: wholeNumber(events, 'at', Number.MAX_SAFE_INTEGER) };
  const spec: MachineSpec = q.has('image')
    ? imageSpec(q, common)
    : {
        kind: 'experiment', path: oneOf<PathName>(q, 'path', PATHS), extension: oneOf(q, 'ext', Object.keys(EXTENSIONS) as ExtensionName[]),
        workload: oneOf(q, 'w', WORKLOADS.map((w) => w.name)), ...common,
      };
  return { version: q.get('v')!, spec, position };
}
