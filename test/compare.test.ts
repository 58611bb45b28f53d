/**
 * The whole system: hypervisor, dom0 and guests as C images on the machine, every path on both extensions, data checked.
 * One machine a path runs few operations of most workloads.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dataError } from '../src/experiments/data-checks.js';
import { runPath } from '../src/experiments/measure.js';
import { OverlayDisk } from '../src/experiments/overlay-disk.js';
import { EXTENSIONS, type ExtensionName, type Images, type PathName } from '../src/experiments/paths.js';
import { WORKLOADS } from '../src/experiments/workloads.js';
import { SeededDisk } from '../src/machine/disks.js';
import { parseProfile } from '../src/machine/profile.js';

const root = join(import.meta.dirname, '..');
const image = (path: string) => ({ name: path.split('/').pop()!, bytes: new Uint8Array(readFileSync(join(root, 'build', path))) });
const images: Images = {
  hypervisor: image('hypervisor/xenolith.elf'), dom0: image('guests/dom0.elf'), native: image('guests/workload-native.elf'),
  hvm: image('guests/workload-hvm.elf'), pv: image('guests/workload-pv.elf'),
};

function run(extension: ExtensionName, path: PathName) {
  const file = `${EXTENSIONS[extension]}.json`;
  const profile = parseProfile(JSON.parse(readFileSync(join(root, 'profiles', file), 'utf8')), file);
  const original = new SeededDisk(262_144, 1), disk = new OverlayDisk(original);
  const result = runPath({ path, profile, images, workloads: WORKLOADS, quick: true, seed: 1, mode: 'cycle', disk });
  return { result, original, disk, of: (name: string) => result.measurements.find((m) => m.workload === name)! };
}

const cases = (['vtx', 'svm'] as const).flatMap((e) => (['native', 'hvm', 'pvhvm', 'pv'] as const).map((p) => [e, p] as const));
const runs = new Map(cases.map((c) => [c.join(), undefined as ReturnType<typeof run> | undefined]));
const once = (e: ExtensionName, p: PathName) => {
  const key = `${e},${p}`;
  const known = runs.get(key) ?? run(e, p);
  runs.set(key, known);
  return known;
};

describe.each(cases)('%s %s', (extension, path) => {
  it('runs every workload that the path has, with the right data', () => {
    const { result, original, disk } = once(extension, path);
    const problems = WORKLOADS.map((w, i) => {
      const m = result.measurements[i]!;
      return m.status === 'failed' ? `${w.name}: ${m.reason}` : m.status === 'ok' ? dataError(w, m, result, original, disk) : '';
    }).filter((p) => p !== '');
    expect(problems).toEqual([]);
    const skipped = result.measurements.filter((m) => m.status === 'skipped').map((m) => m.workload);
    expect(skipped).toEqual(path === 'native' ? ['null-hypercall'] : []);
  });

  it('accounts for every cycle', () => {
    for (const m of once(extension, path).result.measurements) {
      expect([m.workload, Object.values(m.parts).reduce((a, b) => a + b)]).toEqual([m.workload, m.cycles]);
      expect(m.parts.unknown).toBe(0);
    }
  });

  it('exits exactly as often as the path must', () => {
    const { of } = once(extension, path);
    const hvm = path === 'hvm' || path === 'pvhvm';
    expect(of('cpuid-exit').exitsByReason['CPUID'] ?? 0).toBe(hvm ? 200 : 0);
    expect(of('null-hypercall').exitsByReason[extension === 'vtx' ? 'VMCALL' : 'VMMCALL'] ?? 0).toBe(hvm ? 200 : 0);
    expect(of('page-fault-storm').counts.exceptions).toBe(256);
    expect(of('disk-random-read').parts.dom0DeviceModel > 0).toBe(path === 'hvm');
    expect(of('disk-random-read').parts.dom0BackEnd > 0).toBe(path === 'pvhvm' || path === 'pv');
    expect(of('disk-random-read').parts.transitions > 0).toBe(hvm);
  });
});

it('the same run gives the same cycles', () => {
  const { result } = once('svm', 'pv');
  expect(run('svm', 'pv').result).toEqual(result);
});
