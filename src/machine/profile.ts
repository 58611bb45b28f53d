/**
 * A processor profile: the parsed `profiles/NAME.json`, and how its figures are read.
 *
 * A figure is a number, or an object `{ "value": number, "source": "..." }`. Parts of the file belong to the folders that use
 * them: `cpuid` to cpu/, costs to timing/. This file knows only what the machine itself needs, and fails with a message that
 * names profile and figure when one is missing.
 */

export interface Profile {
  readonly name: string;
  /** Everything else of the file, as parsed. */
  readonly [part: string]: unknown;
}

/** A profile that cannot be used; the message is one line for people. */
export class ProfileError extends Error {}

/** Checks that `json` is a profile at all. */
export function parseProfile(json: unknown, file: string): Profile {
  if (typeof json !== 'object' || json === null || typeof (json as { name?: unknown }).name !== 'string')
    throw new ProfileError(`${file}: not a processor profile: it has no "name"`);
  return json as Profile;
}

/** The figure at a dotted path such as `platform.disk.latency_us`; throws ProfileError when it is missing or not a finite number. */
export function figure(profile: Profile, path: string): number {
  let at: unknown = profile;
  for (const key of path.split('.')) at = typeof at === 'object' && at !== null ? (at as Record<string, unknown>)[key] : undefined;
  const value = typeof at === 'object' && at !== null ? (at as { value?: unknown }).value : at;
  if (typeof value !== 'number' || !Number.isFinite(value)) throw new ProfileError(`profile ${profile.name}: figure "${path}" is missing`);
  return value;
}

/** What devices take from the profile. Rates in bytes or bits a second, latencies in seconds. */
export interface PlatformFigures {
  readonly frequencyHz: number;
  /** Undivided ticks a second of the local APIC timer. */
  readonly apicTimerHz: number;
  readonly diskLatency: number;
  readonly diskBytesPerSecond: number;
  readonly wireLatency: number;
  readonly wireBitsPerSecond: number;
}

/** Reads `frequency_hz`, `platform.apic_timer_hz` and `platform.{disk,wire}.*` (microseconds, MiB/s, Mbit/s). */
export function platformFigures(profile: Profile): PlatformFigures {
  return {
    frequencyHz: figure(profile, 'frequency_hz'),
    apicTimerHz: figure(profile, 'platform.apic_timer_hz'),
    diskLatency: figure(profile, 'platform.disk.latency_us') / 1e6,
    diskBytesPerSecond: figure(profile, 'platform.disk.rate_mib_s') * 1048576,
    wireLatency: figure(profile, 'platform.wire.latency_us') / 1e6,
    wireBitsPerSecond: figure(profile, 'platform.wire.rate_mbit_s') * 1e6,
  };
}
