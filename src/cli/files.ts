/** Files that commands read and write, with errors that name the file and what is wrong with it. */

import { closeSync, constants, fstatSync, fsyncSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OverlayDisk } from '../experiments/overlay-disk.js';
import type { DiskBackend, NamedBytes } from '../machine/config.js';
import { SeededDisk } from '../machine/disks.js';
import { parseProfile, type Profile } from '../machine/profile.js';
import { reasonOf, UserError } from './errors.js';

const PROFILES = fileURLToPath(new URL('../../profiles/', import.meta.url));
const SECTOR = 512;

/** Reads a whole file. The name that guests and messages see is without the folder: runs do not depend on where files lie. */
export function readNamed(path: string): NamedBytes {
  try {
    return { name: basename(path), bytes: readFileSync(path) };
  } catch (e) {
    throw new UserError(`cannot read ${path}: ${reasonOf(e)}`);
  }
}

/** Names of the profiles that come with the program. */
export const profileNames = (): string[] => readdirSync(PROFILES).filter((f) => f.endsWith('.json')).map((f) => f.slice(0, -5)).sort();

/** A profile by name, or by path when the name ends in .json. */
export function loadProfile(name: string): Profile {
  const path = name.endsWith('.json') ? name : join(PROFILES, `${name}.json`);
  if (path !== name && !profileNames().includes(name)) throw new UserError(`unknown profile "${name}"; there are ${profileNames().join(', ')}, or give the path of a .json file`);
  const { bytes } = readNamed(path);
  try {
    return parseProfile(JSON.parse(new TextDecoder().decode(bytes)), path);
  } catch (e) {
    throw new UserError(e instanceof SyntaxError ? `${path}: not JSON: ${e.message}` : (e as Error).message);
  }
}

/** A disk image file of the host, read and written in place. */
export class FileDisk implements DiskBackend {
  readonly sectors: number;
  private readonly fd: number;

  constructor(path: string, access: 'read-write' | 'read-only' = 'read-write') {
    try {
      this.fd = openSync(path, access === 'read-write' ? constants.O_RDWR : constants.O_RDONLY);
    } catch (e) {
      throw new UserError(`cannot open disk image ${path} for ${access === 'read-write' ? 'reading and writing' : 'reading'}: ${reasonOf(e)}`);
    }
    const status = fstatSync(this.fd);
    if (!status.isFile()) throw new UserError(`disk image ${path} is not a file`);
    const { size } = status;
    if (size === 0 || size % SECTOR !== 0) throw new UserError(`disk image ${path} has ${size} bytes: not a multiple of ${SECTOR} greater than zero`);
    this.sectors = size / SECTOR;
  }

  read(lba: number, into: Uint8Array): void {
    for (let done = 0; done < into.length; ) {
      const n = readSync(this.fd, into, done, into.length - done, lba * SECTOR + done);
      if (n === 0) throw new Error('the disk image has become shorter');
      done += n;
    }
  }
  write(lba: number, from: Uint8Array): void {
    for (let done = 0; done < from.length; ) done += writeSync(this.fd, from, done, from.length - done, lba * SECTOR + done);
  }
  flush(): void {
    fsyncSync(this.fd);
  }
  close(): void {
    closeSync(this.fd);
  }
  /** The file's contents cannot go back in time: machines that are snapshot have an OverlayDisk over it. */
  saveState(): never {
    throw new Error('a disk image that is written in place cannot be part of a snapshot');
  }
}

export interface Disk extends DiskBackend {
  close?(): void;
}

const SEEDED = 'seeded:';

/** `seeded:SIZE`, or the path of an image file. */
export function openDisk(text: string, seed: number): Disk {
  if (!text.startsWith(SEEDED)) return new FileDisk(text);
  const bytes = parseSize(text.slice(SEEDED.length), '--disk');
  if (bytes === 0 || bytes % SECTOR !== 0) throw new UserError(`--disk: ${bytes} bytes are not a multiple of ${SECTOR} greater than zero`);
  return new SeededDisk(bytes / SECTOR, seed);
}

/** As `openDisk`, for machines that can go back in time: an image file is only read, what the guest writes stays in memory. */
export function openSessionDisk(text: string, seed: number): Disk {
  if (text.startsWith(SEEDED)) return openDisk(text, seed);
  const file = new FileDisk(text, 'read-only');
  return Object.assign(new OverlayDisk(file), { close: () => file.close() });
}

/** Opens a file for writing, before anything long begins. */
export function openOutput(path: string): number {
  try {
    return openSync(path, 'w');
  } catch (e) {
    throw new UserError(`cannot write ${path}: ${reasonOf(e)}`);
  }
}

/** A byte count with an optional suffix K, M or G (powers of 1024). */
export function parseSize(text: string, what: string): number {
  const match = /^(\d+)\s*([KMG])?(?:i?B)?$/i.exec(text.trim());
  if (match === null) throw new UserError(`${what}: "${text}" is not a size such as 256M or 1G`);
  return Number(match[1]) * { K: 1024, M: 1024 ** 2, G: 1024 ** 3, '': 1 }[(match[2] ?? '').toUpperCase() as 'K' | 'M' | 'G' | '']!;
}
