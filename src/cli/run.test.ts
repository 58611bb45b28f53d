import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { multibootImage } from '../../test/support/multiboot-image.js';
import { UserError } from './errors.js';
import { openDisk, parseSize } from './files.js';
import { outcome, parseModules, run, type RunOptions } from './run.js';

let folder = '';
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), 'xenolith-'))));
afterAll(() => rmSync(folder, { recursive: true }));

function image(name: string, code: readonly number[]): string {
  const path = join(folder, name);
  writeFileSync(path, multibootImage(code));
  return path;
}

async function runImage(code: readonly number[], extra: Partial<RunOptions> = {}) {
  const said: string[] = [], serial = join(folder, 'serial');
  const spy = vi.spyOn(process.stderr, 'write').mockImplementation((text) => (said.push(String(text)), true));
  try {
    const status = await run({
      image: image('guest.elf', code), append: '', memory: '16M', cpus: 1, profile: 'barcelona-2007', mode: 'functional', engine: 'auto', nic: 'none', serial, seed: 1, ...extra,
    });
    return { status, said: said.join(''), serial: readFileSync(serial, 'latin1') };
  } finally {
    spy.mockRestore();
  }
}

const HI_AND_EXIT_5 = [0x66, 0xba, 0xf8, 0x03, 0xb0, 0x48, 0xee, 0xb0, 0x0a, 0xee, 0xb0, 0x05, 0xe6, 0xf4];
const FOREVER = [0xeb, 0xfe];

describe('xenolith run', () => {
  it('passes the serial port on raw and ends with (V << 1) | 1; statistics hold the counts', async () => {
    const stats = join(folder, 'stats.json');
    expect(await runImage(HI_AND_EXIT_5, { stats })).toEqual({ status: 11, said: '', serial: 'H\n' });
    expect(JSON.parse(readFileSync(stats, 'utf8'))).toMatchObject({ instructions: 7, cycles: 7, exits: {}, stop: { kind: 'debug-exit', value: 5 } });
  });

  it('in cycle mode the statistics hold what the timing core counted', async () => {
    const stats = join(folder, 'cycle.json');
    await runImage(HI_AND_EXIT_5, { stats, mode: 'cycle' });
    const { timing } = JSON.parse(readFileSync(stats, 'utf8')) as { timing: Record<string, number> };
    expect(Object.keys(timing)).toEqual(expect.arrayContaining(['l1d_misses', 'l1i_misses', 'l2_misses', 'dtlb_misses', 'walks', 'walk_cycles', 'mispredicts']));
    expect(timing.l1i_misses).toBeGreaterThan(0);
  });

  it('ends with 124 at a limit of instructions, exactly there', async () => {
    const stats = join(folder, 'stats.json'), { status } = await runImage(FOREVER, { limitInstructions: 12_345, stats });
    expect([status, JSON.parse(readFileSync(stats, 'utf8')).instructions]).toEqual([124, 12_345]);
  });

  it('ends with 124 at a limit of seconds', async () => {
    expect((await runImage(FOREVER, { limitSeconds: 0.05 })).status).toBe(124);
  });

  it('ends with 3 and the reason when the guest cannot go on', async () => {
    const { status, said } = await runImage([0xfa, 0xf4]);
    expect([status, said]).toEqual([3, 'xenolith: guest.elf: halted with interrupts off at 10:0x100022\n']);
  });

  it('Ctrl-C ends with 130 and statistics are written', async () => {
    const stats = join(folder, 'interrupted.json');
    setTimeout(() => process.emit('SIGINT'), 100);
    expect((await runImage(FOREVER, { stats })).status).toBe(130);
    expect(JSON.parse(readFileSync(stats, 'utf8')).stop.kind).toBe('interrupted');
  });

  it('names what is wrong before anything runs', async () => {
    const fails = async (o: Partial<RunOptions>, message: RegExp): Promise<void> => {
      const error = await runImage(FOREVER, o).then(() => undefined, (e: unknown) => e as Error);
      expect(error?.message).toMatch(message);
    };
    const odd = join(folder, 'odd.img');
    writeFileSync(odd, new Uint8Array(1000));
    await fails({ image: join(folder, 'none') }, /^cannot read .*none: no such file or directory$/);
    await fails({ image: odd }, /^odd.img: not a Multiboot/);
    await fails({ disk: [odd] }, /odd.img has 1000 bytes: not a multiple of 512/);
    await fails({ profile: 'i486' }, /^unknown profile "i486"; there are barcelona-2007, /);
    await fails({ memory: '1T' }, /^--memory: "1T" is not a size/);
    await fails({ stats: join(folder, 'no/where.json') }, /^cannot write .*where.json: no such file or directory$/);
    await fails({ image: undefined }, /^name an IMAGE/);
    await fails({ traceFormat: 'perfetto' }, /^--trace-format needs --trace FILE$/);
    await fails({ pcap: join(folder, 'x.pcapng') }, /^--pcap: there is no network card; add --nic e1000$/);
    await fails({ sampleCycles: 1 }, /^--sample-cycles: a whole number/);
    await fails({ trace: join(folder, 'no/where.pftrace') }, /^cannot write .*where.pftrace: no such file or directory$/);
  });
});

describe('parts of the command line', () => {
  it('modules: arguments after the first space, commas doubled', () => {
    expect(parseModules('a.elf,b.elf x=1,,2 y')).toEqual([{ file: 'a.elf', args: '' }, { file: 'b.elf', args: 'x=1,2 y' }]);
    expect(() => parseModules('a.elf,')).toThrow(UserError);
  });
  it('sizes take K, M and G', () => {
    expect(['1G', '64M', '512', '4KiB'].map((s) => parseSize(s, 'x'))).toEqual([1 << 30, 64 << 20, 512, 4096]);
  });
  it('a seeded disk depends on its seed only', () => {
    const read = (seed: number): string => {
      const b = new Uint8Array(512);
      openDisk('seeded:1M', seed).read(7, b);
      return Buffer.from(b).toString('hex');
    };
    expect(read(1)).toBe(read(1));
    expect(read(1)).not.toBe(read(2));
  });
  it('power-off is success', () => expect(outcome({ kind: 'power-off' }, 'x')).toEqual({ status: 0 }));
  it('the installed command gives wrong usage status 2 and one line', async () => {
    const bin = new URL('../../bin/xenolith.js', import.meta.url).pathname;
    const { code, stderr } = await new Promise<{ code: unknown; stderr: string }>((resolve) =>
      execFile(process.execPath, [bin, 'run', 'x', '--colour'], (error, _stdout, text) => resolve({ code: error?.code, stderr: text })));
    expect([code, stderr]).toEqual([2, 'xenolith: Unknown argument: colour (--help shows the options)\n']);
  });
});
