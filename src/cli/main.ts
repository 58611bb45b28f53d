/** The `xenolith` command: one yargs program, one file for each subcommand. */

import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { SessionError } from '../debug/history.js';
import { ConfigError } from '../machine/machine.js';
import { ImageError } from '../machine/loaders/load.js';
import { ProfileError } from '../machine/profile.js';
import { compareCommand } from './compare.js';
import { EXIT_INTERRUPTED, EXIT_USAGE, UserError } from './errors.js';
import { gdbCommand } from './gdb.js';
import { useBranchHints } from './host-flags.js';
import { runCommand } from './run.js';
import { stepCommand } from './step.js';
import { uiCommand } from './ui.js';

useBranchHints();

const USER_ERRORS = [UserError, SessionError, ImageError, ProfileError, ConfigError];
const COMMAND_NAMES = ['compare', 'run', 'step', 'gdb', 'ui', 'completion'];
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

const program = yargs(words)
  .scriptName('xenolith')
  .usage('$0 COMMAND [OPTIONS]\n\nA cycle-level x86-64 machine with Intel VT-x and AMD SVM.')
  .command(compareCommand)
  .command(runCommand)
  .command(stepCommand)
  .command(gdbCommand)
  .command(uiCommand)
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
  await program.parseAsync();
} catch (error) {
  report(error);
}
