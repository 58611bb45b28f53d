/** `xenolith run IMAGE`: starts an image on a machine, with its serial port on the terminal. The contract is docs/cli.md's. */

import { closeSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { ArgumentsCamelCase, Argv, CommandModule } from 'yargs';
import type { BootModule, EngineChoice, MachineConfig, NicModel, StopReason, TimeMode } from '../machine/config.js';
import { Machine } from '../machine/machine.js';
import { EXIT_CANNOT_GO_ON, EXIT_INTERRUPTED, EXIT_LIMIT, LARGEST_SEED, reasonOf, refuseRepeated, UserError, wholeNumber } from './errors.js';
import { type Disk, loadProfile, openDisk, openOutput, parseSize, profileNames, readNamed } from './files.js';
import { SerialOutput } from './serial-output.js';
import { ExitTimes } from '../debug/exports/exit-times.js';
import { SAMPLE_CYCLES, type RunningExport } from '../debug/exports/formats.js';
import { startedPrograms } from '../debug/exports/program-accounts.js';
import { PcapngWriter } from '../experiments/pcapng.js';
import { FORMAT_NAMES, type FormatName, runSampled, traceFormat, traceTo, writeAll } from './trace-output.js';

export interface RunOptions {
  readonly image?: string | undefined;
  readonly append: string;
  readonly initrd?: string | undefined;
  readonly memory: string;
  readonly cpus: number;
  readonly profile: string;
  readonly mode: TimeMode;
  readonly engine: EngineChoice;
  readonly bios?: string | undefined;
  readonly disk?: readonly string[] | undefined;
  readonly nic: NicModel;
  readonly serial: string;
  readonly stats?: string | undefined;
  readonly trace?: string | undefined;
  readonly traceFormat?: FormatName | undefined;
  readonly sampleCycles?: number | undefined;
  readonly exits?: string | undefined;
  readonly pcap?: string | undefined;
  readonly limitInstructions?: number | undefined;
  readonly limitSeconds?: number | undefined;
  readonly seed: number;
}

/** `FILE ARGS,FILE ARGS`; a comma inside is written twice. */
export function parseModules(text: string): { file: string; args: string }[] {
  const parts = text.split(/(?<!,),(?!,)/).map((p) => p.replaceAll(',,', ',').trim());
  return parts.map((part) => {
    if (part === '') throw new UserError(`--initrd: "${text}" names an empty file; write FILE ARGS,FILE ARGS`);
    const space = part.indexOf(' ');
    return space < 0 ? { file: part, args: '' } : { file: part.slice(0, space), args: part.slice(space + 1).trim() };
  });
}

function readModule({ file, args }: { file: string; args: string }): BootModule {
  return { ...readNamed(file), commandLine: args === '' ? basename(file) : `${basename(file)} ${args}` };
}

/** The modules of `--initrd`, read. */
export const readModules = (text: string): BootModule[] => parseModules(text).map(readModule);

export function bootOf(o: Pick<RunOptions, 'image' | 'append' | 'initrd' | 'bios'>): MachineConfig['boot'] {
  if (o.bios !== undefined) {
    if (o.image !== undefined) throw new UserError('give an IMAGE or --bios, not both');
    return { kind: 'firmware', firmware: readNamed(o.bios) };
  }
  if (o.image === undefined) throw new UserError('name an IMAGE to run, or firmware with --bios');
  return { kind: 'image', image: readNamed(o.image), commandLine: o.append, modules: o.initrd === undefined ? [] : readModules(o.initrd) };
}

function positive(value: number | undefined, option: string): number | undefined {
  if (value !== undefined && !(Number.isFinite(value) && value > 0)) throw new UserError(`${option}: a number greater than zero is needed`);
  return value;
}

/** Host milliseconds that one call of `Machine.run` should take: Ctrl-C and input are seen in between. */
const PIECE_MS = 50, SMALLEST_PIECE = 100_000, LARGEST_PIECE = 2 ** 40;

const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface Watch {
  readonly instructions: number | undefined;
  readonly deadline: number;
  interrupted: boolean;
  readonly between: () => void;
  readonly trace: RunningExport | undefined;
}

/** Runs in pieces until something ends it. How it is cut does not change what the guest sees. */
async function runInPieces(machine: Machine, watch: Watch): Promise<StopReason> {
  let piece = 10 * SMALLEST_PIECE;
  for (;;) {
    const began = performance.now();
    const stop = runSampled(machine, { cycle: machine.cycles + piece, ...(watch.instructions === undefined ? {} : { instructions: watch.instructions }) }, watch.trace);
    watch.between();
    if (stop.kind !== 'limit') return stop;
    if (watch.instructions !== undefined && machine.instructions >= watch.instructions) return stop;
    const now = performance.now();
    if (now >= watch.deadline) return stop;
    if (now - began < PIECE_MS / 2) piece = Math.min(piece * 2, LARGEST_PIECE);
    else if (now - began > PIECE_MS * 2) piece = Math.max(Math.floor(piece / 2), SMALLEST_PIECE);
    await pause();
    if (watch.interrupted) return { kind: 'interrupted' };
  }
}

/** The exit status of a run, and what standard error is to say. */
export function outcome(stop: StopReason, name: string): { status: number; message?: string } {
  switch (stop.kind) {
    case 'debug-exit': return { status: ((stop.value << 1) | 1) & 0xff };
    case 'power-off': return { status: 0 };
    case 'shutdown': return { status: EXIT_CANNOT_GO_ON, message: `${name}: ${stop.what} at ${stop.address}` };
    case 'not-implemented': return { status: EXIT_CANNOT_GO_ON, message: `${name}: not implemented: ${stop.what} at ${stop.address}` };
    case 'limit': return { status: EXIT_LIMIT, message: `${name}: a limit was reached` };
    case 'breakpoint': case 'watchpoint': // nobody sets one here
    case 'interrupted': return { status: EXIT_INTERRUPTED, message: `${name}: interrupted` };
  }
}

/** `l1dMisses` as `l1d_misses`: the statistics' keys. */
const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);

/** `hit_rate`: of the looks at where the guest was, the share that found it in compiled code. */
function compilerStatistics(machine: Machine): object {
  const c = machine.compilerStats();
  if (c === undefined) return {};
  return {
    compiler: {
      regions: c.regions, bytes: c.bytes, hit_rate: c.samples > 0 ? c.hits / c.samples : 0, compile_ms: c.milliseconds, longest_compile_ms: c.longest,
      compiled: c.compiled, shared: c.shared, compiled_instructions: c.instructions, evictions: c.evictions,
    },
  };
}

function writeStatistics(file: string, machine: Machine, stop: StopReason, seconds: number): void {
  const { instructions, cycles } = machine, counts = machine.timingCounts();
  const statistics = {
    instructions, cycles, wall_seconds: seconds, mips: seconds > 0 ? instructions / seconds / 1e6 : 0, exits: Object.fromEntries(machine.exitCounts()),
    ...compilerStatistics(machine),
    ...(counts === undefined ? {} : { timing: Object.fromEntries(Object.entries(counts).map(([name, n]) => [snakeCase(name), n])) }),
    stop,
  };
  try {
    writeFileSync(file, `${JSON.stringify(statistics, null, 2)}\n`);
  } catch (e) {
    throw new UserError(`cannot write ${file}: ${reasonOf(e)}`);
  }
}

/** Opens what the run records beside its serial output. Everything is opened before anything runs. */
function openRecords(o: RunOptions): { trace: number | undefined; exits: number | undefined; pcap: number | undefined } {
  wholeNumber(o.sampleCycles ?? SAMPLE_CYCLES, '--sample-cycles', 100, 1e12);
  if (o.traceFormat !== undefined && o.trace === undefined) throw new UserError('--trace-format needs --trace FILE');
  if (o.pcap !== undefined && o.nic === 'none') throw new UserError('--pcap: there is no network card; add --nic e1000');
  const open = (file: string | undefined): number | undefined => (file === undefined ? undefined : openOutput(file));
  return { trace: open(o.trace), exits: open(o.exits), pcap: open(o.pcap) };
}

/** The programs whose code can be told apart: the image and its modules. */
function programsOf(boot: MachineConfig['boot']): ReturnType<typeof startedPrograms> {
  return startedPrograms(boot.kind === 'image' ? [boot.image, ...(boot.modules ?? [])] : []);
}

/** Feeds standard input to the guest; returns the function that lets go of it. */
function attachInput(machine: Machine): () => void {
  const onData = (chunk: Buffer): void => machine.serialInput(chunk);
  process.stdin.on('data', onData);
  process.stdin.on('error', () => undefined); // a closed standard input is an input that never comes
  return () => {
    process.stdin.off('data', onData);
    process.stdin.pause();
  };
}

/** Runs the command; the value is the exit status. */
export async function run(o: RunOptions): Promise<number> {
  const limitSeconds = positive(o.limitSeconds, '--limit-seconds'), instructions = positive(o.limitInstructions, '--limit-instructions');
  wholeNumber(o.seed, '--seed', 0, LARGEST_SEED);
  wholeNumber(o.cpus, '--cpus', 1, 8);
  const boot = bootOf(o), profile = loadProfile(o.profile), memoryBytes = parseSize(o.memory, '--memory');
  if ((o.disk ?? []).length > 4) throw new UserError('--disk: at most four disks are possible');
  const disks: Disk[] = (o.disk ?? []).map((text) => openDisk(text, o.seed));
  if (o.stats !== undefined) closeSync(openOutput(o.stats));
  const records = openRecords(o), programs = programsOf(boot);
  const onTerminal = o.serial === 'stdio';
  const serial = new SerialOutput(onTerminal ? 1 : o.serial === 'null' ? undefined : openOutput(o.serial));
  let capture: PcapngWriter | undefined;
  const tap = (frame: Uint8Array, cycle: number): void => capture?.add(frame, cycle);
  const machine = new Machine({
    memoryBytes, profile, boot, cpus: o.cpus, mode: o.mode, engine: o.engine, stopwatch: () => performance.now(), serial: serial.sink,
    disks: disks.map((backend) => ({ backend })), ...(o.nic === 'none' ? {} : { nic: { model: o.nic, ...(records.pcap === undefined ? {} : { tap }) } }),
    ...(records.trace === undefined || programs.empty ? {} : { classifyCode: programs.classify }),
  });
  if (records.pcap !== undefined) capture = new PcapngWriter(machine.frequencyHz, (block) => writeAll(records.pcap!, block, o.pcap!));
  const name = boot.kind === 'image' ? boot.image.name : boot.firmware.name;
  const exitTimes = records.exits === undefined ? undefined : new ExitTimes(machine);
  const trace = records.trace === undefined ? undefined : traceTo(records.trace, o.trace!, traceFormat(o.trace!, o.traceFormat), { machine, programs, title: name, sampleCycles: o.sampleCycles ?? SAMPLE_CYCLES });
  const detach = onTerminal ? attachInput(machine) : undefined;
  const began = performance.now();
  const watch: Watch = { instructions, deadline: limitSeconds === undefined ? Infinity : began + limitSeconds * 1000, interrupted: false, trace, between: () => {
    serial.flush();
    // A reader that went away (`xenolith run ... | head`) ends the run as Ctrl-C does: it could go on for ever, unseen.
    if (serial.closed) watch.interrupted = true;
  } };
  const onInterrupt = (): void => {
    watch.interrupted = true;
  };
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onInterrupt);
  try {
    const stop = await runInPieces(machine, watch);
    if (o.stats !== undefined) writeStatistics(o.stats, machine, stop, (performance.now() - began) / 1000);
    const { status, message } = outcome(stop, name);
    if (message !== undefined) process.stderr.write(`xenolith: ${message}\n`);
    return status;
  } finally {
    serial.flush();
    trace?.finish();
    if (exitTimes !== undefined) writeAll(records.exits!, new TextEncoder().encode(exitTimes.table(`Exits of all guests of ${name}, all vCPUs`)), o.exits!);
    detach?.();
    process.off('SIGINT', onInterrupt);
    process.off('SIGTERM', onInterrupt);
    for (const disk of disks) disk.close?.();
  }
}

function options(y: Argv): Argv<RunOptions> {
  return y
    .positional('image', { type: 'string', describe: 'Multiboot 1 or 2 image, ELF with a PVH note, or Linux bzImage' })
    .options({
      append: { type: 'string', default: '', describe: 'command line of the image' },
      initrd: { type: 'string', describe: 'modules: FILE[ ARGS],...' },
      memory: { type: 'string', default: '256M', describe: 'guest RAM' },
      cpus: { type: 'number', default: 1, describe: 'virtual processors, 1 to 8' },
      profile: { type: 'string', default: 'nehalem-2008', describe: `processor: ${profileNames().join(', ')}, or a .json file` },
      mode: { choices: ['functional', 'cycle'] as const, default: 'functional' as TimeMode, describe: 'one cycle an instruction, or the timing core' },
      engine: { choices: ['auto', 'interpreter', 'compiler'] as const, default: 'auto' as EngineChoice, describe: 'how instructions are executed' },
      bios: { type: 'string', describe: 'firmware image to start instead of an IMAGE' },
      disk: { type: 'string', array: true, requiresArg: true, nargs: 1, describe: 'disk image file, or seeded:SIZE for contents made from --seed (up to four, in order of the IDE positions)' },
      nic: { choices: ['e1000', 'none'] as const, default: 'none' as NicModel, describe: 'network card, on a wire with the built-in peer 10.0.2.2' },
      serial: { type: 'string', default: 'stdio', describe: 'where COM1 goes: stdio, null, or a file' },
      stats: { type: 'string', describe: 'write statistics to this JSON file' },
      trace: { type: 'string', describe: 'write what happens to this file; its name says the format, else one JSON object a line' },
      'trace-format': { choices: FORMAT_NAMES, describe: 'format of the trace, whatever the file is called' },
      'sample-cycles': { type: 'number', default: SAMPLE_CYCLES, describe: 'cycles between the samples of folded and speedscope traces' },
      exits: { type: 'string', describe: 'write a table of VM exits and how long they took to this file' },
      pcap: { type: 'string', describe: 'write the frames on the wire to this pcapng file' },
      'limit-instructions': { type: 'number', describe: 'stop after so many instructions' },
      'limit-seconds': { type: 'number', describe: 'stop after so many seconds of real time' },
      seed: { type: 'number', default: 1, describe: 'seed of the contents of disks seeded:SIZE; nothing else is random' },
    })
    .check((args) => refuseRepeated(args, ['disk']))
    .example('$0 run kernel.elf --append "console=com1"', 'start a Multiboot kernel, its serial port on this terminal')
    .example('$0 run xen.elf --initrd "dom0.elf,guest.elf mem=64M" --memory 512M', 'a hypervisor with two modules')
    .example('$0 run vmlinuz --initrd initrd.img --append console=ttyS0 --disk hd.img', 'Linux with a disk')
    .example('$0 run xen.elf --initrd "dom0.elf,guest.elf" --mode cycle --trace run.pftrace', 'a timeline of the levels, for ui.perfetto.dev')
    .epilogue('Exit status: (V << 1) | 1 when the guest wrote V to port 0xf4; 0 after power-off; 2 wrong usage; 3 the guest cannot go on; 124 a limit; 130 interrupted.') as unknown as Argv<RunOptions>;
}

export const runCommand: CommandModule<object, RunOptions> = {
  command: 'run [image]',
  describe: 'run an image on the machine',
  builder: options,
  handler: async (o: ArgumentsCamelCase<RunOptions>) => {
    process.exitCode = await run(o);
  },
};
