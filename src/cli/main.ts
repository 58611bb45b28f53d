/** The `xenolith` command: one yargs program, one file for each subcommand. */

import yargs, { type CommandModule } from 'yargs';
import { hideBin } from 'yargs/helpers';
import { SessionError } from '../debug/history.js';
import { ConfigError } from '../machine/machine.js';
import { ImageError } from '../machine/loaders/load.js';
import { ProfileError } from '../machine/profile.js';
import { EXIT_INTERRUPTED, EXIT_USAGE, UserError } from './errors.js';
import { useBranchHints } from './host-flags.js';

useBranchHints();

const USER_ERRORS = [UserError, SessionError, ImageError, ProfileError, ConfigError];
/** A command is loaded when it is named: each has libraries of its own. */
const COMMANDS: Readonly<Record<string, () => Promise<CommandModule<object, never>>>> = {
  compare: async () => (await import('./compare.js')).compareCommand as CommandModule<object, never>,
  run: async () => (await import('./run.js')).runCommand as CommandModule<object, never>,
  step: async () => (await import('./step.js')).stepCommand as CommandModule<object, never>,
  gdb: async () => (await import('./gdb.js')).gdbCommand as CommandModule<object, never>,
  ui: async () => (await import('./ui.js')).uiCommand as CommandModule<object, never>,
};
const COMMAND_NAMES = [...Object.keys(COMMANDS), 'completion'];
const words = hideBin(process.argv);
const debug = words.includes('--debug');

/** One line on standard error; where it happened only with --debug, or when it is not the user's error. */
function report(error: unknown): void {
  const users = USER_ERRORS.some((type) => error instanceof type);
  const text = error instanceof Error ? (debug ? error.stack : error.message) : String(error);
  process.stderr.write(`xenolith: ${users ? '' : 'internal error: '}${text}\n`);
  process.exitCode = users ? EXIT_USAGE : 1;
}

// A reader of our output that goes away (`xenolith compare | head`) wants no more of it: that is no error of ours to print.
process.stdout.on('error', (e: NodeJS.ErrnoException) => {
  if (e.code !== 'EPIPE') throw e;
  process.exitCode ??= EXIT_INTERRUPTED;
});
process.stderr.on('error', () => undefined);

/**
 * What the command line asks for. It is done when yargs has finished: behind a handler it lays out the text of --help, whether somebody wants it
 * or not, for a tenth of a second. A handler that throws is the end of its work.
 */
let wanted: (() => void | Promise<void>) | undefined;
const PARSED = new Error('parsed');
const later = async (load: () => Promise<CommandModule<object, never>>): Promise<CommandModule<object, never>> => {
  const command = await load();
  return {
    ...command,
    handler: (args) => {
      wanted = () => command.handler(args);
      throw PARSED;
    },
  };
};

const named = COMMANDS[words[0] ?? ''];
const program = yargs(words)
  .scriptName('xenolith')
  .usage('$0 COMMAND [OPTIONS]\n\nA cycle-level x86-64 machine with Intel VT-x and AMD SVM.')
  .command(await Promise.all((named === undefined ? Object.values(COMMANDS) : [named]).map(later)) as unknown as CommandModule[])
  .option('debug', { type: 'boolean', default: false, describe: 'show stack traces of errors' })
  .completion('completion', 'print a completion script for the shell')
  .demandCommand(1, 'name a command')
  .strict()
  .wrap(Math.min(120, process.stdout.columns ?? 80))
  .exitProcess(false)
  .fail((message: string | null, error: Error | undefined) => {
    throw error ?? new UserError(`${(message ?? 'wrong usage').replace(/\s*\n\s*/g, ' ')} (--help shows the options)`);
  });

try {
  const [first] = words;
  if (first !== undefined && !first.startsWith('-') && !COMMAND_NAMES.includes(first)) throw new UserError(`unknown command "${first}"; there are ${COMMAND_NAMES.join(', ')}`);
  try {
    await program.parseAsync();
  } catch (e) {
    if (e !== PARSED) throw e;
  }
  await wanted?.();
} catch (error) {
  report(error);
}
