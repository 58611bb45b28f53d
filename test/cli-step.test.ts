/** `xenolith step` as its users meet it: scripts, output of 80 columns, wrong input, statuses. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { multibootImage } from './support/multiboot-image.js';

const ROOT = join(import.meta.dirname, '..'), BIN = join(ROOT, 'bin/xenolith.js');
let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'xenolith-'));
  // mov dx, 0x3f8; mov al, 'H'; out dx, al; mov al, 5; out 0xf4, al
  writeFileSync(join(folder, 'hi.elf'), multibootImage([0x66, 0xba, 0xf8, 0x03, 0xb0, 0x48, 0xee, 0xb0, 0x05, 0xe6, 0xf4]));
});
afterAll(() => rmSync(folder, { recursive: true }));

function step(args: readonly string[], input: string): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [BIN, 'step', ...args], { cwd: folder, stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, XDG_CACHE_HOME: folder } });
  let stdout = '', stderr = '';
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  child.stdin.end(input);
  return new Promise((resolve) => child.on('close', (status) => resolve({ status, stdout, stderr })));
}
/** What follows each command of a transcript. */
const answers = (stdout: string): string[] => stdout.split(/^\(xenolith\) .*\n/m).slice(1);
const EXPERIMENT = ['--experiment', 'hvm', '--workload', 'cpuid-exit', '--quick'];

describe('xenolith step', () => {
  it('goes to the first port access of the HVM guest and says why it exited', async () => {
    const script = join(folder, 'first-exit.xs');
    writeFileSync(script, '# comments are left out\ncatch exit io-instruction\nc\ninfo exits last\nlist\nb hvm_io\ndelete 1\nc\nfin\ndelete\nsn\nn\ninfo registers rip cr3\ninfo walk\nx/2xg $rsp\n');
    const { status, stdout, stderr } = await step([...EXPERIMENT, '-x', script], '');
    expect([status, stderr]).toEqual([0, '']);
    const [, , caught, details, listed, set, , atBreakpoint, finished, , entered, next, registers, walk] = answers(stdout);
    expect(caught).toMatch(/^VM exit: IO_INSTRUCTION\.\nIO_INSTRUCTION: OUT 0x20 \(AL = 0x11\) in ring 0 exited because/);
    expect(caught).toContain('vmx_exited at src/hypervisor/hvm/vmx_run.S:');
    expect(details).toMatch(/ {2}port +0x20\n[^]* {2}asked for in src\/hypervisor\/hvm\/vmx_setup\.c:\d+\n/);
    expect(listed).toMatch(/^src\/hypervisor\/hvm\/vmx_run\.S\n[^]*=> +\d+ {2}/);
    expect(set).toMatch(/^Breakpoint 2 at 0xffff8300/);
    expect(atBreakpoint).toMatch(/^Breakpoint 2 at hvm_io\+\d+ \(src\/hypervisor\/hvm\/io\.c:\d+\)/);
    expect(finished).toMatch(/^Returned from hvm_io\.\nhypervisor, ring 0: run\+\d+ at src\/hypervisor\/hvm\/vmx\.c:/);
    expect(entered).toContain('guest (guest mode), ring 0: interrupts_init');
    expect(next).toContain('guest (guest mode), ring 0: ');
    expect(registers).toMatch(/^RIP 0{10}10[0-9a-f]{4}\nCR3 /);
    expect(walk).toMatch(/EPT PML4E +\[0\][^]*=> guest-physical 0x10[0-9a-f]{4}, physical 0x/);
    expect(stdout.split('\n').filter((l) => l.length > 80 && !l.startsWith('(xenolith)'))).toEqual([]);
  }, 180_000);

  it('saves a session and goes on with it; another image, and a file cut short, are one line', async () => {
    const saved = await step(['hi.elf'], 'si 3\nb *0x100026\nsave s.json\nsi 2\nload s.json\n');
    expect([saved.status, saved.stdout]).toEqual([0, expect.stringMatching(/Saved to s\.json\.[^]*instruction 5, cycle 5[^]*The session as it was saved\.[^]*instruction 3, cycle 3/)]);
    const again = await step(['hi.elf', '--session', 's.json'], 'where\ninfo breakpoints\n');
    expect([again.status, again.stdout]).toEqual([0, expect.stringMatching(/instruction 3, cycle 3[^]*0x100026/)]);
    const other = await step(['hi.elf', '--session', 's.json', '--memory', '64M'], '');
    expect([other.status, other.stderr]).toEqual([2, 'xenolith: the session was made with a memory size of 268435456, not 67108864\n']);
    writeFileSync(join(folder, 'cut.json'), readFileSync(join(folder, 's.json')).subarray(0, 300));
    const cut = await step(['hi.elf', '--session', 'cut.json'], '');
    expect([cut.status, cut.stderr]).toEqual([2, 'xenolith: cut.json: not a session file, or one that was cut short: it is not complete JSON\n']);
  }, 180_000);

  it('runs an image of one\'s own to its end; the link of a place leads back there', async () => {
    const { status, stdout } = await step(['hi.elf'], 'si 3\nlink\np $al\nc\nc\ncon\n');
    const [there, link, value, end] = answers(stdout);
    expect(status).toBe(0);
    expect(there).toContain('instruction 3, cycle 3');
    expect(value).toBe('0x48 (72)\n');
    expect(end).toMatch(/^The run has ended: the software wrote 5 to the debug-exit port\.\n/);
    expect(stdout).toContain('serial:\n  H\n');
    const again = await step(['hi.elf', '--link', link!.trim()], 'where\n');
    expect(again.stdout).toContain('instruction 3, cycle 3');
    const other = await step(['hi.elf', '--memory', '64M', '--link', link!.trim()], '');
    expect([other.status, other.stderr]).toEqual([2, expect.stringMatching(/^xenolith: the link was made with other images or options \(\w{16}; here \w{16}\)\n$/)]);
  }, 180_000);

  it('Ctrl-C ends a script that runs for ever: where it stands, status 130', async () => {
    writeFileSync(join(folder, 'forever.elf'), multibootImage([0xeb, 0xfe]));
    const child = spawn(process.execPath, [BIN, 'step', 'forever.elf', '--cpus', '2'], { cwd: folder, stdio: ['pipe', 'pipe', 'pipe'] });
    let stdout = '', sent = false;
    child.stdout.on('data', (text) => {
      stdout += text;
      if (!sent && /^\(xenolith\) c$/m.test(stdout)) sent = child.kill('SIGINT');
    });
    child.stdin.end('info vcpus\nc\nwhere\n');
    expect(await new Promise((resolve) => child.on('close', resolve))).toBe(130);
    expect(stdout).toMatch(/^=> vCPU 0 {2}\S+: 0x100020\n {3}vCPU 1 {2}\S+: 0xfffffff0\n[^]*\nInterrupted\.\n/m);
    expect(stdout).not.toContain('(xenolith) where');
  }, 180_000);

  it('refuses wrong input in one line with status 2: in a script with its line, on the command line', async () => {
    expect(await step(['hi.elf'], 'si\nfrobnicate\nsi\n')).toMatchObject({ status: 2, stderr: 'xenolith: standard input, line 2: "frobnicate" is not a command (help lists them)\n' });
    for (const [args, message] of [
      [[], 'name an IMAGE, or an experiment with --experiment'],
      [['--experiment', 'tea'], 'unknown path "tea"; there are native, hvm, pvhvm, pv'],
      [['hi.elf', '--link', 'xenolith:9?x=1'], 'the link was made by another version: it has format 9, this version reads 1'],
      [['hi.elf', '-x', 'missing.xs'], 'cannot read missing.xs: no such file or directory'],
    ] as const) expect(await step(args, '')).toMatchObject({ status: 2, stderr: `xenolith: ${message}\n` });
  }, 180_000);
});
