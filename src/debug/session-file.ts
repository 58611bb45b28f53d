/**
 * Session files: what was started, where in its run somebody stood, with which breakpoints, and what they had typed. JSON; loading one
 * runs to the position again and compares the hash of the state.
 *
 * Nothing of the machine's state is in the file, so it is small and does not depend on how the engine works. It does depend on every
 * byte of the images: their SHA-256 is in it (the caller computes them).
 *
 * Invariant: `parseSession` believes nothing. Whatever is wrong with a file is one sentence.
 */

import type { MachineConfig, Position, TimeMode } from '../machine/config.js';
import type { Machine } from '../machine/machine.js';
import { comparePositions, SessionError } from './history.js';
import type { InputRecord, Timeline } from './timeline.js';

export const SESSION_FILE_KIND = 'xenolith-session', SESSION_FILE_VERSION = 1;

/** A session file that cannot be used, in one line for the person who gave it. */
export class SessionFileError extends SessionError {}

/** An image that the machine starts with. */
export interface SessionImage {
  readonly name: string;
  /** 64 hexadecimal digits. */
  readonly sha256: string;
  readonly commandLine: string;
}
/** What decides the run, beside input. */
export interface SessionConfiguration {
  /** The one that boots, then its modules. */
  readonly images: readonly SessionImage[];
  readonly profile: string;
  readonly mode: TimeMode;
  readonly memoryBytes: number;
  readonly cpus: number;
  readonly seed: number;
  /** Disks and network card. */
  readonly devices: readonly string[];
}
export interface SessionRecord {
  /** How the machine was named on a command line, or in the page: link.ts. */
  readonly link: string;
  readonly configuration: SessionConfiguration;
  readonly position: Position;
  readonly cycle: number;
  /** `Machine.hash()` at the position. */
  readonly hash: string;
  readonly breakpoints: readonly bigint[];
  readonly inputs: readonly InputRecord[];
}

/** What of a configuration decides the run. @param sha256 of a file, 64 hexadecimal digits */
export function configurationOf(config: MachineConfig, seed: number, sha256: (bytes: Uint8Array) => string): SessionConfiguration {
  const { boot } = config;
  const images = boot.kind === 'firmware' ? [{ ...boot.firmware, commandLine: '' }] : [{ ...boot.image, commandLine: boot.commandLine ?? '' }, ...(boot.modules ?? [])];
  return {
    images: images.map(({ name, bytes, commandLine }) => ({ name, sha256: sha256(bytes), commandLine })), profile: config.profile.name, mode: config.mode ?? 'functional',
    memoryBytes: config.memoryBytes, cpus: config.cpus ?? 1, seed, devices: devicesOf(config),
  };
}
/** Disks and network card of a configuration. */
export const devicesOf = (config: MachineConfig): string[] => [
  ...(config.disks ?? []).map((d, i) => `disk ${d.position ?? i}: ${d.backend.sectors} sectors`), ...(config.nic === undefined ? [] : [`card: ${config.nic.model}`]),
];

/** What there is to save now. @throws SessionFileError when the state does not follow from configuration and input */
export function recordOf(machine: Machine, timeline: Timeline, configuration: SessionConfiguration, link: string, breakpoints: readonly bigint[]): SessionRecord {
  if (timeline.edited) throw new SessionFileError('this session cannot be saved: memory or registers were changed by hand');
  return {
    link, configuration, position: machine.position, cycle: machine.cycles, hash: machine.hash(), breakpoints,
    inputs: timeline.inputs.filter((i) => comparePositions(i.position, machine.position) <= 0 && i.cycle <= machine.cycles),
  };
}

export function writeSession({ link, configuration, position, cycle, hash, breakpoints, inputs }: SessionRecord): string {
  return `${JSON.stringify({
    kind: SESSION_FILE_KIND, version: SESSION_FILE_VERSION, link, configuration, position, cycle, hash,
    breakpoints: breakpoints.map((b) => `0x${b.toString(16)}`),
    inputs: inputs.map((i) => ({ position: i.position, cycle: i.cycle, bytes: [...i.bytes].map((b) => b.toString(16).padStart(2, '0')).join('') })),
  }, undefined, 2)}\n`;
}

/** @param name the file, for messages @throws SessionFileError */
export function parseSession(text: string, name = 'session file'): SessionRecord {
  const fail = (what: string): never => {
    throw new SessionFileError(`${name}: ${what}`);
  };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    fail('not a session file, or one that was cut short: it is not complete JSON');
  }
  const read = new Reader(fail), top = read.object(json, 'the file');
  if (top['kind'] !== SESSION_FILE_KIND) fail(`not a session file: "kind" is not "${SESSION_FILE_KIND}"`);
  const version = read.integer(top['version'], 'version');
  if (version !== SESSION_FILE_VERSION) fail(`written by another version: it has format ${version}, this version reads ${SESSION_FILE_VERSION}`);
  const c = read.object(top['configuration'], 'configuration'), mode = c['mode'];
  if (mode !== 'functional' && mode !== 'cycle') fail('configuration.mode is neither "functional" nor "cycle"');
  const position = read.position(top['position'], 'position'), cycle = read.integer(top['cycle'], 'cycle');
  const inputs = read.list(top['inputs'], 'inputs').map((v, i) => {
    const o = read.object(v, `inputs[${i}]`);
    return { position: read.position(o['position'], `inputs[${i}].position`), cycle: read.integer(o['cycle'], `inputs[${i}].cycle`), bytes: read.bytes(o['bytes'], `inputs[${i}].bytes`) };
  });
  inputs.forEach((input, i) => {
    const last = inputs[i - 1];
    if (last !== undefined && (comparePositions(last.position, input.position) > 0 || last.cycle > input.cycle)) fail(`inputs[${i}] comes before inputs[${i - 1}]`);
    if (comparePositions(input.position, position) > 0 || input.cycle > cycle) fail(`inputs[${i}] comes after the position of the session`);
  });
  return {
    configuration: {
      images: read.list(c['images'], 'configuration.images').map((v, i) => {
        const at = `configuration.images[${i}]`, o = read.object(v, at);
        return { name: read.text(o['name'], `${at}.name`), sha256: read.match(o['sha256'], `${at}.sha256`, /^[0-9a-f]{64}$/), commandLine: read.text(o['commandLine'], `${at}.commandLine`) };
      }),
      profile: read.text(c['profile'], 'configuration.profile'), mode: mode as TimeMode, memoryBytes: read.integer(c['memoryBytes'], 'configuration.memoryBytes'),
      cpus: read.integer(c['cpus'], 'configuration.cpus'), seed: read.integer(c['seed'], 'configuration.seed'),
      devices: read.list(c['devices'], 'configuration.devices').map((v, i) => read.text(v, `configuration.devices[${i}]`)),
    },
    link: read.text(top['link'], 'link'), position, cycle, inputs,
    hash: read.match(top['hash'], 'hash', /^[0-9a-f]{32}$/),
    breakpoints: read.list(top['breakpoints'], 'breakpoints').map((v, i) => BigInt(read.match(v, `breakpoints[${i}]`, /^0x[0-9a-f]{1,16}$/))),
  };
}

/** Is this what the session was made with? @throws SessionFileError that names the first difference */
export function checkConfiguration(record: SessionRecord, here: SessionConfiguration): void {
  const there = record.configuration;
  const differs = (what: string, a: unknown, b: unknown): void => {
    if (a !== b) throw new SessionFileError(`the session was made with ${what} ${String(a)}, not ${String(b)}`);
  };
  differs('a number of images of', there.images.length, here.images.length);
  there.images.forEach((image, i) => {
    const own = here.images[i]!;
    differs('the image', image.name, own.name);
    if (image.sha256 !== own.sha256) throw new SessionFileError(`${image.name} is another file than the session was made with: its SHA-256 begins with ${own.sha256.slice(0, 12)}, not ${image.sha256.slice(0, 12)}`);
    differs(`the command line of ${image.name}`, JSON.stringify(image.commandLine), JSON.stringify(own.commandLine));
  });
  differs('the profile', there.profile, here.profile);
  differs('the mode', there.mode, here.mode);
  differs('a memory size of', there.memoryBytes, here.memoryBytes);
  differs('a number of processors of', there.cpus, here.cpus);
  differs('the seed', there.seed, here.seed);
  differs('the devices', there.devices.join(', '), here.devices.join(', '));
}

/**
 * Runs a fresh machine to where the session was saved. Breakpoints are the caller's to set.
 * @param timeline of the machine, at power-on @throws SessionFileError when the run comes to another state
 */
export function replaySession(record: SessionRecord, machine: Machine, timeline: Timeline): void {
  timeline.expect(record.inputs);
  timeline.goTo(record.position);
  if (comparePositions(timeline.position, record.position) === 0 && machine.cycles < record.cycle) timeline.run({ cycle: record.cycle, exact: true });
  if (comparePositions(timeline.position, record.position) !== 0) {
    const { instructions } = timeline.position;
    throw new SessionFileError(`the run ended after ${instructions} instructions, before the position of the session (${record.position.instructions})`);
  }
  if (machine.hash() !== record.hash) throw new SessionFileError('the replay came to another state than the session had: the file was changed, or written by a version whose machine behaves otherwise');
}

/** Reads values of JSON; what has another type than it must have fails with its name. */
class Reader {
  constructor(private readonly fail: (what: string) => never) {}

  object(v: unknown, what: string): Record<string, unknown> {
    return typeof v === 'object' && v !== null && !Array.isArray(v) ? (v as Record<string, unknown>) : this.fail(`${what} is not an object`);
  }
  list(v: unknown, what: string): unknown[] {
    return Array.isArray(v) ? v : this.fail(`${what} is not a list`);
  }
  text(v: unknown, what: string): string {
    return typeof v === 'string' ? v : this.fail(`${what} is not a text`);
  }
  match(v: unknown, what: string, form: RegExp): string {
    return typeof v === 'string' && form.test(v) ? v : this.fail(`${what} is not well formed`);
  }
  integer(v: unknown, what: string): number {
    return typeof v === 'number' && Number.isSafeInteger(v) && v >= 0 ? v : this.fail(`${what} is not a number from 0 on`);
  }
  position(v: unknown, what: string): Position {
    const o = this.object(v, what);
    return { instructions: this.integer(o['instructions'], `${what}.instructions`), events: this.integer(o['events'], `${what}.events`) };
  }
  bytes(v: unknown, what: string): Uint8Array {
    const text = this.match(v, what, /^([0-9a-f]{2})*$/);
    return Uint8Array.from({ length: text.length / 2 }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16));
  }
}
