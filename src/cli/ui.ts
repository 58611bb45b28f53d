/** `xenolith ui`: the page in which the machine runs, served on loopback or written as a folder of static files. */

import { spawn } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Argv, CommandModule } from 'yargs';
import { EXIT_INTERRUPTED, reasonOf, refuseRepeated, UserError, wholeNumber } from './errors.js';
import { serveFolder } from './static-server.js';

export interface UiOptions {
  readonly port: number;
  readonly open: boolean;
  readonly out?: string | undefined;
}

const PAGE = fileURLToPath(new URL('../ui/', import.meta.url));
const BUILD = new URL('../../scripts/build-ui.mjs', import.meta.url);

/** Shows an address in the user's browser. Where there is no way to, the printed address has to do. */
function showInBrowser(url: string): void {
  const [command, ...args] = process.platform === 'darwin' ? ['open', url] : process.platform === 'win32' ? ['cmd', '/c', 'start', '', url] : ['xdg-open', url];
  spawn(command!, args, { stdio: 'ignore', detached: true }).on('error', () => undefined).unref();
}

function writeFolder(out: string): void {
  try {
    mkdirSync(out, { recursive: true });
    cpSync(PAGE, out, { recursive: true });
  } catch (e) {
    throw new UserError(`cannot write ${out}: ${reasonOf(e)}`);
  }
}

/** Runs the command; the value is the exit status. */
export async function ui(o: UiOptions): Promise<number> {
  wholeNumber(o.port, '--port', 0, 65535);
  const { buildUi } = (await import(BUILD.href)) as { buildUi: () => Promise<number> };
  const built = await buildUi();
  if (built !== 0) return built;
  if (o.out !== undefined) {
    writeFolder(o.out);
    process.stdout.write(`${o.out}\n`);
    return 0;
  }
  const { server, url } = await serveFolder(PAGE, o.port).catch((e: NodeJS.ErrnoException) => {
    throw new UserError(`cannot listen on port ${o.port}: ${e.code === 'EADDRINUSE' ? 'it is in use' : reasonOf(e)}`);
  });
  process.stdout.write(`${url}\n`);
  if (process.stderr.isTTY) process.stderr.write('xenolith: Ctrl-C ends the server\n');
  if (o.open) showInBrowser(url);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, resolve);
  });
  server.closeAllConnections();
  server.close();
  return EXIT_INTERRUPTED;
}

export const uiCommand: CommandModule<object, UiOptions> = {
  command: 'ui',
  describe: 'open the page in which the machine runs: step through VM exits, forward and backward',
  builder: (y: Argv) =>
    y.options({
      port: { type: 'number', default: 0, describe: 'port on loopback; 0: any that is free' },
      open: { type: 'boolean', default: process.stdout.isTTY, defaultDescription: 'on a terminal', describe: 'open the page in the browser' },
      out: { type: 'string', requiresArg: true, describe: 'write the page into a folder instead, for any static host' },
    }).example('$0 ui --out site', 'the page as a folder of files').check((args) => refuseRepeated(args)) as unknown as Argv<UiOptions>,
  handler: async (args) => {
    process.exitCode = await ui(args);
  },
};
