/** The `xenolith` command: one yargs program, one file for each subcommand. */

import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { ConfigError } from '../machine/machine.js';
import { ImageError } from '../machine/loaders/load.js';
import { ProfileError } from '../machine/profile.js';
import { EXIT_USAGE, UserError } from './errors.js';
import { compareCommand } from './compare.js';
import { runCommand } from './run.js';

const USER_ERRORS = [UserError, ImageError, ProfileError, ConfigError];
const debug = process.argv.includes('--debug');

/** One line on standard error; where it happened only with --debug, or when it is not the user's error. */
function report(error: unknown): void {
  const users = USER_ERRORS.some((type) => error instanceof type);
  const text = error instanceof Error ? (debug ? error.stack : error.message) : String(error);
  process.stderr.write(`xenolith: ${users ? '' : 'internal error: '}${text}\n`);
  process.exitCode = users ? EXIT_USAGE : 1;
}

try {
  await yargs(hideBin(process.argv))
    .scriptName('xenolith')
    .usage('$0 COMMAND [OPTIONS]\n\nA cycle-level x86-64 machine with Intel VT-x and AMD SVM.')
    .command(compareCommand)
    .command(runCommand)
    .option('debug', { type: 'boolean', default: false, describe: 'show stack traces of errors' })
    .completion('completion', 'print a completion script for the shell')
    .demandCommand(1, 'name a command; xenolith --help lists them')
    .strict()
    .wrap(Math.min(120, process.stdout.columns ?? 100))
    .exitProcess(false)
    .fail((message: string | null, error: Error | undefined) => {
      throw error ?? new UserError(`${message ?? 'wrong usage'} (--help shows the options)`.replaceAll('\n', ' '));
    })
    .parseAsync();
} catch (error) {
  report(error);
}
