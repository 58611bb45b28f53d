/**
 * The installed command as its users meet it: child processes, wrong input, interruption. What a comparison computes is tested
 * elsewhere; here it must be refused before it starts, or end in order.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compare, type CompareOptions } from '../src/cli/compare.js';
import { UserError } from '../src/cli/errors.js';
import { ProfileError } from '../src/machine/profile.js';
import { multibootImage } from './support/multiboot-image.js';

const ROOT = join(import.meta.dirname, '..'), BIN = join(ROOT, 'bin/xenolith.js'), GUEST = join(ROOT, 'build/guests/workload-native.elf');
const PROFILE = readFileSync(join(ROOT, 'profiles/barcelona-2007.json'), 'utf8');
let folder = '';
const path = (name: string): string => join(folder, name);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'xenolith-'));
  writeFileSync(path('file'), 'text\n');
  writeFileSync(path('odd.img'), new Uint8Array(1000));
  writeFileSync(path('small.img'), new Uint8Array(512));
  writeFileSync(path('short.elf'), readFileSync(GUEST).subarray(0, 3000));
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(args: readonly string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [BIN, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '', stderr = '';
  child.stdout!.on('data', (text) => (stdout += text));
  child.stderr!.on('data', (text) => (stderr += text));
  return { child, ended: new Promise((resolve) => child.on('close', (status) => resolve({ status, stdout, stderr }))) };
}
const xenolith = (...args: string[]): Promise<Ended> => start(args).ended;

/** Wrong input: status 2, nothing on standard output, one line on standard error, no results. */
async function refused(args: readonly string[], line: RegExp): Promise<void> {
  const { status, stdout, stderr } = await xenolith(...args);
  expect(stderr).toMatch(/^xenolith: [^\n]*\n$/);
  expect(stderr).toMatch(line);
  expect([status, stdout]).toEqual([2, '']);
  expect(existsSync(path('results'))).toBe(false);
}

describe('wrong input is one line and status 2, before anything runs', () => {
  it.each<[string[], RegExp]>([
    [['fly'], /unknown command "fly"; there are compare, run/],
    [['compare', '--colour'], /Unknown argument: colour/],
    [['compare', '--path', 'pv', '--path', 'hvm'], /--path is given 2 times/],
    [['compare', '--jobs', 'many'], /--jobs: a whole number from 1 /],
    [['compare', '--out', 'file/results'], /cannot write into the output folder file\/results: a part of the path is not a directory/],
    [['compare', '--disk', 'odd.img'], /odd\.img has 1000 bytes: not a multiple of 512/],
    [['run', 'none'], /cannot read none: no such file/],
    [['run', 'short.elf'], /short\.elf: truncated: the segment \d+ ends at byte \d+, the file at 3000/],
    [['run', GUEST, '--cpus', 'many'], /--cpus: a whole number from 1 to 8/],
  ])('%j', refused);
});

describe('compare refuses', () => {
  const DEFAULTS = { extension: 'vtx,svm', path: 'pv', workload: 'disk-write', seed: 1, quick: true, json: false, jobs: 1, engine: 'auto' as const, 'code-cache': false };
  const refuses = async (o: Partial<CompareOptions>, message: RegExp): Promise<void> => {
    const error = await compare({ ...DEFAULTS, out: path('results'), ...o }).then(() => undefined, (e: unknown) => e as Error);
    expect(error?.message).toMatch(message);
    expect(error?.message).not.toContain('\n');
    expect(error instanceof UserError || error instanceof ProfileError).toBe(true);
    expect(existsSync(path('results'))).toBe(false);
  };
  it('names that do not exist, and says which do', async () => {
    await refuses({ extension: 'vt' }, /unknown extension "vt"; there are vtx, svm/);
    await refuses({ path: 'pv,x' }, /unknown path "x"; there are native, hvm, pvhvm, pv/);
    await refuses({ workload: 'disk' }, /unknown workload "disk"; there are disk-sequential-read, /);
    await refuses({ profile: 'i486' }, /unknown profile "i486"; there are barcelona-2007, /);
    await refuses({ profile: 'nehalem-2008', extension: 'svm' }, /profile nehalem-2008 has vtx, which is not chosen \(svm\)/);
  });
  it('numbers and folders that make no sense', async () => {
    await refuses({ seed: NaN }, /--seed: a whole number from 0 to 4294967295/);
    await refuses({ jobs: 0 }, /--jobs: a whole number from 1 /);
    await refuses({ out: '' }, /--out: the name of a folder/);
  });
  it('a disk that the workloads cannot use', async () => {
    await refuses({ disk: path('small.img') }, /small\.img has 1 sectors; the chosen workloads use \d+/);
    await refuses({ disk: folder }, /is not a file/);
    await refuses({ disk: path('none') }, /cannot open disk image .*none for reading: no such file/);
  });
  // One of each part that reads the profile: the timing core, the platform, CPUID.
  it.each(['cache.l2.latency', 'transition.entry', 'platform.disk.rate_mib_s', 'instructions.alu', 'cpuid.leaves.80000000', 'cpuid'])('a profile without %s', async (figure) => {
    const profile = JSON.parse(PROFILE) as Record<string, unknown>, parts = figure.split('.'), last = parts.pop()!;
    const holder = parts.reduce((at, part) => at[part] as Record<string, unknown>, profile);
    expect(holder).toHaveProperty([last]);
    delete holder[last];
    writeFileSync(path('profile.json'), JSON.stringify(profile));
    await refuses({ profile: path('profile.json'), extension: 'svm' }, new RegExp(`profile barcelona-2007: .*"${figure.replaceAll('.', '\\.')}.*`));
  });
  it('a profile whose VM entry is published as cheaper than its parts', async () => {
    const profile = JSON.parse(PROFILE) as { transition: { entry: { value: number } } };
    profile.transition.entry.value = 2;
    writeFileSync(path('profile.json'), JSON.stringify(profile));
    await refuses({ profile: path('profile.json'), extension: 'svm' }, /profile barcelona-2007: figure "transition\.entry" \(2\) is less than the parts of a minimal transition/);
  });
});

describe('interruption', () => {
  it('Ctrl-C leaves the finished rows of every worker, and status 130', async () => {
    const { child, ended } = start(['compare', '--extension', 'svm', '--path', 'native,hvm', '--workload', 'disk-write,net-transmit,net-receive', '--jobs', '2', '--out', 'interrupted']);
    const rows = (): string[] => (existsSync(path('interrupted/results.csv')) ? readFileSync(path('interrupted/results.csv'), 'utf8').trim().split('\n').slice(1) : []);
    while (rows().length === 0 && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill('SIGINT');
    const { status, stdout } = await ended;
    expect(status).toBe(130);
    expect(stdout).toContain('cycles/op');
    expect(rows().length).toBeGreaterThan(0);
    expect(rows().length).toBeLessThan(6);
    for (const row of rows()) expect(row).toMatch(/^svm,barcelona-2007,(native|hvm),[a-z-]+,ok,/);
    for (const file of ['report.html', 'manifest.json']) expect(existsSync(path(`interrupted/${file}`))).toBe(true);
  });

  it('a reader that goes away ends run: status 130, statistics written', async () => {
    // mov dx, 0x3f8; again: mov al, 'A'; out dx, al; mov al, 10; out dx, al; jmp again
    writeFileSync(path('chatter.elf'), multibootImage([0x66, 0xba, 0xf8, 0x03, 0xb0, 0x41, 0xee, 0xb0, 0x0a, 0xee, 0xeb, 0xf8]));
    const { child, ended } = start(['run', 'chatter.elf', '--stats', 'chatter.json']);
    child.stdout!.once('data', () => child.stdout!.destroy());
    const { status, stderr } = await ended;
    expect([status, stderr]).toEqual([130, 'xenolith: chatter.elf: interrupted\n']);
    expect(JSON.parse(readFileSync(path('chatter.json'), 'utf8'))).toMatchObject({ stop: { kind: 'interrupted' } });
  });

  it('Ctrl-C ends run: status 130, statistics written', async () => {
    writeFileSync(path('forever.elf'), multibootImage([0x66, 0xba, 0xf8, 0x03, 0xb0, 0x0a, 0xee, 0xeb, 0xfe])); // a line end on COM1, then jmp $
    const { child, ended } = start(['run', 'forever.elf', '--stats', 'forever.json']);
    child.stdout!.once('data', () => child.kill('SIGINT'));
    expect((await ended).status).toBe(130);
    expect(JSON.parse(readFileSync(path('forever.json'), 'utf8'))).toMatchObject({ stop: { kind: 'interrupted' } });
  });

  it('a reader that goes away ends compare without a complaint', async () => {
    const { child, ended } = start(['compare', '--extension', 'svm', '--path', 'native', '--workload', 'cpuid-exit', '--quick', '--json', '--out', 'closed']);
    child.stdout!.destroy();
    const { stderr } = await ended;
    expect(stderr).not.toMatch(/Error|EPIPE/);
    expect(existsSync(path('closed/results.csv'))).toBe(true);
  });
});
