/** `xenolith gdb IMAGE`: a machine that waits for gdb on a loopback port. The contract is docs/cli.md's, a walk-through is docs/gdb.md. */

import type { ArgumentsCamelCase, Argv, CommandModule } from 'yargs';
import { GdbServer } from './gdb-server.js';
import { gdbCommands, hiddenPrograms } from './gdb-commands.js';
import { type DebugMachine, debugMachine, type DebugMachineOptions, debugMachineOptions } from './debug-machine.js';
import { EXIT_INTERRUPTED, refuseRepeated, UserError, wholeNumber } from './errors.js';
import { openOutput, parseSize } from './files.js';
import { Timeline } from '../debug/timeline.js';
import { ExitExplainer } from '../debug/exits/explainer.js';
import { hostLine } from '../debug/host-line.js';
import { Target } from '../debug/gdb/target.js';
import { Look } from '../debug/look.js';
import { Programs } from '../debug/programs.js';
import { Machine } from '../machine/machine.js';
import { OnceOnly } from './once-only.js';
import { SerialOutput } from './serial-output.js';

export interface GdbOptions extends DebugMachineOptions {
  readonly port: number;
  readonly serial: string;
  readonly history: string;
  readonly printGdbCommands: boolean;
}

const toStandardError = (line: string): void => void process.stderr.write(`${line}\n`);

/** Feeds standard input to the guest, as a part of the run's history; returns the function that lets go of it. */
function attachInput(history: Timeline, changed: () => void): () => void {
  const onData = (chunk: Buffer): void => {
    history.input(chunk);
    changed();
  };
  process.stdin.on('data', onData);
  process.stdin.on('error', () => undefined); // a closed standard input is an input that never comes
  return () => {
    process.stdin.off('data', onData);
    process.stdin.pause();
  };
}

/** What is typed or written changes the future: the explainer forgets the one that it knows. */
class ExplainedTimeline extends Timeline {
  constructor(machine: Machine, options: { memoryLimit?: number }, private readonly explainer: ExitExplainer) {
    super(machine, options);
  }
  override input(bytes: Uint8Array): void {
    super.input(bytes);
    this.explainer.forgetFuture();
  }
  override edit(change: (machine: Machine) => void): void {
    super.edit(change);
    this.explainer.forgetFuture();
  }
}

/** Runs the command; the value is the exit status. @param print receives its messages, line by line */
export async function gdb(o: GdbOptions, print = toStandardError): Promise<number> {
  wholeNumber(o.port, '--port', 0, 65535);
  const described = debugMachine(o);
  try {
    if (o.printGdbCommands) {
      if (o.port === 0) throw new UserError('--print-gdb-commands: give the port with --port; 0 is known only when it listens');
      process.stdout.write(`${gdbCommands(described.programs, o.port).join('\n')}\n`);
      return 0;
    }
    return await serve(described, o, print);
  } finally {
    described.close();
  }
}

async function serve({ config, programs }: DebugMachine, o: GdbOptions, print: (line: string) => void): Promise<number> {
  const note = (text: string): void => print(`xenolith: gdb: ${text}`);
  const historyBytes = parseSize(o.history, '--history');
  const serial = new SerialOutput(o.serial === 'stdio' || o.serial === 'stdout' ? 1 : o.serial === 'null' ? undefined : openOutput(o.serial));
  const once = new OnceOnly(() => machine, serial.sink);
  const machine: Machine = new Machine({ ...config, serial: once.sink });
  const known = new Programs(programs.map((p) => ({ name: p.name, image: { name: p.name, bytes: p.bytes } })));
  const explainer = new ExitExplainer({ place: (linear, stack) => hostLine(known, linear, stack) });
  const history = new ExplainedTimeline(machine, { memoryLimit: historyBytes }, explainer);
  explainer.attach(machine);
  const changed = (): void => {
    explainer.forgetFuture();
    once.forget();
  };
  const target: Target = new Target({
    machine,
    history,
    changed,
    explain() {
      if (explainer.canLearn) explainer.learnFrom(history);
      return explainer.last()?.sentence;
    },
    programs: programs.map((p) => p.name),
    hidden: hiddenPrograms(programs),
    program: (vcpu) => new Look(machine, known, vcpu).program?.program.name,
  });
  const server = new GdbServer(target, { note, between: () => serial.flush() });
  const port = await server.listen(o.port);
  note(`listening on 127.0.0.1:${port}; in gdb, type:`);
  for (const line of gdbCommands(programs, port)) print(`    ${line}`);
  const onInterrupt = (): void => server.end(EXIT_INTERRUPTED);
  const detach = o.serial === 'stdio' ? attachInput(history, changed) : undefined;
  process.on('SIGINT', onInterrupt);
  process.on('SIGTERM', onInterrupt);
  try {
    return await server.over;
  } finally {
    serial.flush();
    detach?.();
    process.off('SIGINT', onInterrupt);
    process.off('SIGTERM', onInterrupt);
  }
}

function options(y: Argv): Argv<GdbOptions> {
  return debugMachineOptions(y)
    .options({
      port: { type: 'number', default: 1234, describe: 'TCP port on 127.0.0.1; 0: any that is free' },
      serial: { type: 'string', default: 'stdout', describe: 'where COM1 goes: stdout, stdio (with input), null, or a file' },
      history: { type: 'string', default: '1G', describe: 'memory that snapshots may take, for going back' },
      'print-gdb-commands': { type: 'boolean', default: false, describe: 'print what to type into gdb (symbols, connection) and exit' },
    })
    .check((args) => refuseRepeated(args, ['disk']))
    .example('$0 gdb --experiment hvm', 'a guest under the hypervisor; gdb sees both')
    .example('$0 gdb kernel.elf --port 0', 'an image of your own, on any free port')
    .epilogue('Exit status: that of the run when it came to its end (see "run"); 0 when gdb killed it; 130 interrupted.') as unknown as Argv<GdbOptions>;
}

export const gdbCommand: CommandModule<object, GdbOptions> = {
  command: 'gdb [image]',
  describe: "serve gdb's remote protocol: one machine, all levels, backwards too",
  builder: options,
  handler: async (o: ArgumentsCamelCase<GdbOptions>) => {
    process.exitCode = await gdb(o);
  },
};
