/** A session on the comparison's HVM machine: places, lines, walks and steps, checked against what binutils and the run say. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseProfile } from '../machine/profile.js';
import { experimentSession, profileOfExtension } from './experiments.js';
import { Session } from './session.js';

const ROOT = join(import.meta.dirname, '../..');
const named = (file: string) => ({ name: file.split('/').pop()!, bytes: new Uint8Array(readFileSync(join(ROOT, 'build', file))) });
const images = () => ({
  hypervisor: named('hypervisor/xenolith.elf'), dom0: named('guests/dom0.elf'), native: named('guests/workload-native.elf'),
  hvm: named('guests/workload-hvm.elf'), pv: named('guests/workload-pv.elf'),
});
function sessionOf(path: string, extension: string, workloads: string[]): Session {
  const name = profileOfExtension(extension);
  const profile = parseProfile(JSON.parse(readFileSync(join(ROOT, 'profiles', `${name}.json`), 'utf8')), name);
  return new Session({ ...experimentSession({ path, extension, workloads, quick: true, seed: 1, mode: 'functional' }, profile, images()), sources: (f) => {
    try {
      return readFileSync(join(ROOT, f), 'utf8');
    } catch {
      return undefined;
    }
  } });
}

describe('a session on an HVM guest', () => {
  let s: Session;
  beforeAll(() => {
    s = sessionOf('hvm', 'vtx', ['cpuid-exit']);
  });
  it('starts in the boot code, seen relocated', () => {
    const { place } = s.state();
    expect(place).toMatchObject({ level: 'hypervisor', symbol: 'start', file: 'src/hypervisor/boot.S' });
  });
  it('goes to the first VM exit: the host is at its handler', async () => {
    await s.step('exit');
    expect(s.state()).toMatchObject({
      stop: { kind: 'step' }, place: { level: 'hypervisor', symbol: 'vmx_exited', offset: 0, file: 'src/hypervisor/hvm/vmx_run.S', inGuest: false },
    });
    expect(s.consoles().map((c) => c.name)).toEqual(['hypervisor', 'dom0']);
  }, 120_000);
});
