/**
 * A state as one line of text: what was started, and where in its run. The same line gives the same state on every host, because a run
 * is the same whenever its machine is.
 *
 *     xenolith:1?experiment=hvm&extension=vtx&profile=nehalem-2008&mode=cycle&seed=1&workloads=cpuid-exit&quick=1&at=123456.0
 *     xenolith:1?image=3f29c0d1a2b4e6f8&name=kernel.elf&profile=nehalem-2008&mode=functional&seed=1&at=1000.2
 *
 * An image of the reader's own is named by a fingerprint (FNV-1a of its bytes, 64 bits): a link says which file is wanted, it does not carry it.
 */

import type { TimeMode } from '../machine/config.js';
import type { Position } from './api.js';
import { SessionError } from './history.js';

export const LINK_VERSION = 1;

/** What a session was made from. */
export type Origin = { readonly profile: string; readonly mode: TimeMode; readonly seed: number } & (
  | { readonly kind: 'experiment'; readonly path: string; readonly extension: string; readonly workloads: readonly string[]; readonly quick: boolean; readonly images: string }
  | { readonly kind: 'image'; readonly name: string; readonly fingerprint: string; readonly options: string }
);

export interface Link {
  readonly origin: Origin;
  readonly position: Position;
}

/** FNV-1a, 64 bits, over all files one after the other; 16 hexadecimal digits. */
export function fingerprint(...files: readonly Uint8Array[]): string {
  let lo = 0x84222325, hi = 0xcbf29ce4;
  for (const bytes of files)
    for (let i = 0; i < bytes.length; i++) {
      lo = (lo ^ bytes[i]) >>> 0;
      // Times 0x100000001b3 in two halves: the low one splits once more so that no product loses bits.
      const low = (lo & 0xffff) * 0x1b3, middle = (lo >>> 16) * 0x1b3 + (low >>> 16);
      const carry = middle / 0x1_0000 | 0;
      hi = (Math.imul(hi, 0x1b3) + (lo << 8) + carry) >>> 0;
      lo = (((middle & 0xffff) << 16) | (low & 0xffff)) >>> 0;
    }
  return hi.toString(16).padStart(8, '0') + lo.toString(16).padStart(8, '0');
}

export function writeLink({ origin, position }: Link): string {
  const own: Record<string, string> = origin.kind === 'experiment'
    ? { experiment: origin.path, extension: origin.extension, workloads: origin.workloads.join(','), ...(origin.quick ? { quick: '1' } : {}), images: origin.images }
    : { image: origin.fingerprint, name: origin.name, ...(origin.options === '' ? {} : { options: origin.options }) };
  const all = { ...own, profile: origin.profile, mode: origin.mode, seed: String(origin.seed), at: `${position.instructions}.${position.events}` };
  return `xenolith:${LINK_VERSION}?${Object.entries(all).map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join('&')}`;
}

/** @throws SessionError when the text is no link, or one of another version */
export function parseLink(text: string): Link {
  const m = /^xenolith:(\d+)\?(\S+)$/.exec(text.trim());
  if (m === null) throw new SessionError('not a link: a link begins with "xenolith:" and a version');
  if (Number(m[1]) !== LINK_VERSION) throw new SessionError(`the link was made by another version: it has format ${m[1]}, this version reads ${LINK_VERSION}`);
  const values = new Map<string, string>();
  for (const part of m[2].split('&')) {
    const at = part.indexOf('=');
    try {
      values.set(part.slice(0, Math.max(at, 0)), decodeURIComponent(part.slice(at + 1)));
    } catch {
      throw new SessionError(`the link is damaged at "${part}"`);
    }
  }
  const need = (name: string): string => {
    const v = values.get(name);
    if (v === undefined || v === '') throw new SessionError(`the link lacks "${name}"`);
    return v;
  };
  const whole = (name: string, value: string): number => {
    if (!/^\d{1,15}$/.test(value)) throw new SessionError(`the link's "${name}" is not a number: "${value}"`);
    return Number(value);
  };
  const mode = need('mode'), at = /^(\d+)\.(\d+)$/.exec(need('at'));
  if (mode !== 'functional' && mode !== 'cycle') throw new SessionError(`the link's mode "${mode}" is neither functional nor cycle`);
  if (at === null) throw new SessionError(`the link's position "${values.get('at')}" is not INSTRUCTIONS.EVENTS`);
  const base = { profile: need('profile'), mode, seed: whole('seed', need('seed')) } as const;
  const position = { instructions: whole('at', at[1]), events: whole('at', at[2]) };
  if (values.has('experiment'))
    return { position, origin: { ...base, kind: 'experiment', path: need('experiment'), extension: need('extension'), workloads: need('workloads').split(','), quick: values.get('quick') === '1', images: need('images') } };
  return { position, origin: { ...base, kind: 'image', fingerprint: need('image'), name: need('name'), options: values.get('options') ?? '' } };
}
