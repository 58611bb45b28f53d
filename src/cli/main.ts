/** The `xenolith` command: one yargs program, one file for each subcommand. */

import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';

await yargs(hideBin(process.argv)).scriptName('xenolith').demandCommand(1, 'name a command; see xenolith --help').strict().help().parseAsync();
