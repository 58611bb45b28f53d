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
  return new Session({ ...experimentSession({ path, extension, workloads, quick: true, seed: 1, mode: 'cycle' }, profile, images()), sources: (f) => {
    try {
      return readFileSync(join(ROOT, f), 'utf8');
    } catch {
      return undefined;
    }
  } });
}

describe.each(['vtx', 'svm'])('a session on an HVM guest, %s', (extension) => {
  let s: Session;
  beforeAll(() => {
    s = sessionOf('hvm', extension, ['cpuid-exit']);
  });
  const place = () => s.state().place;
  const here = () => ({ hash: s.machine.hash(), position: s.position, cycle: s.cycle, consoles: s.consoles() });

  it('starts in the boot code, seen relocated', () => {
    expect(place()).toMatchObject({ level: 'hypervisor', symbol: 'start', file: 'src/hypervisor/boot.S' });
    expect(s.describe(s.resolve('hvm_io'))).toMatch(/^hvm_io \(src\/hypervisor\/hvm\/io\.c:\d+\)$/); // not mapped yet
  });

  it('goes to the first VM exit, back into the guest, and forth to the same state', async () => {
    await s.step('exit');
    const exit = here(), state = s.state();
    expect(state.place).toMatchObject({ level: 'hypervisor', file: `src/hypervisor/hvm/${extension === 'vtx' ? 'vmx' : 'svm'}_run.S`, inGuest: false });
    expect([state.control?.kind, state.lastExit?.position.instructions]).toEqual([extension === 'vtx' ? 'VMCS' : 'VMCB', state.position.instructions - (state.lastExit!.position.instructions < state.position.instructions ? 1 : 0)]);
    await s.step('instruction', 'back');
    expect(place()).toMatchObject({ level: 'guest', inGuest: true });
    expect(s.exitCount).toBe(0);
    await s.step('instruction', 'back', 25);
    await s.step('instruction', 'forward', 26);
    expect(here()).toEqual(exit);
  }, 120_000);

  it('every kind of step forward, and back again, ends where it says', async () => {
    await s.step('entry');
    expect(place()).toMatchObject({ level: 'guest', inGuest: true });
    const entry = here();
    await s.step('exit');
    await s.step('entry', 'back');
    expect(here()).toEqual(entry);

    s.breakAt('hvm_io');
    expect((await s.continue()).kind).toBe('breakpoint');
    expect(place()).toMatchObject({ symbol: 'hvm_io', level: 'hypervisor' });
    const inside = here();
    await s.step('out');
    expect(place().file).toBe(`src/hypervisor/hvm/${extension === 'vtx' ? 'vmx' : 'svm'}.c`);
    expect((await s.continue('back')).kind).toBe('breakpoint');
    expect(here()).toEqual(inside);
    s.removePoint(s.points[0]!.id);

    await s.step('entry');
    const exits = s.exitCount, resumed = here();
    await s.step('over'); // an OUT, inlined: it exits, and the guest goes on at the next one
    expect([place().level, s.exitCount]).toEqual(['guest', exits + 1]);
    await s.step('over', 'back');
    expect(here()).toEqual(resumed);
    await s.goTo(inside.position);
    await s.step('out', 'back');
    expect(s.look().instruction).toMatchObject({ flow: 'call' });

    await s.step('hypercall', 'back');
    expect(s.look()).toMatchObject({ level: 'dom0' });
    expect(s.look().instruction?.text).toBe('syscall');
    await s.step('domain');
    expect(place()).toMatchObject({ level: 'guest', symbol: 'image_start' });
    expect((await s.step('exit', 'back')).kind).toBe('beginning');
  }, 120_000);

  it('looking changes nothing; a walk ends where the memory management unit does', async () => {
    await s.goTo({ instructions: s.position.instructions - 5000, events: 0 });
    const before = here(), look = s.look();
    s.state();
    for (const linear of [look.linear, look.rsp, 0x1000n, 0xdead_beef_0000n]) s.walk(linear);
    expect(here()).toEqual(before);
    const { mmu } = s.machine.processors[0]!.vcpu, walk = s.walk(look.linear);
    expect(mmu.translate(Number(look.linear >> 32n), Number(look.linear & 0xffff_ffffn) | 0, 1, false)).toBe(0);
    expect(walk.hostPhysical).toBe(`0x${mmu.hpa.toString(16)}`);
  }, 120_000);
});
