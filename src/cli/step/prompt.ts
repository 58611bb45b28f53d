/**
 * The stepper's dialogue: lines from a terminal, a script or a pipe; output, progress, Ctrl-C.
 *
 * On a terminal wrong input is one line and the dialogue goes on. In a script it ends the script, with its file and line, because what
 * follows would run in another place than meant.
 */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { Position } from '../../debug/api.js';
import { comparePositions } from '../../debug/history.js';
import type { Session } from '../../debug/session.js';
import { parseSession } from '../../debug/session-file.js';
import { EXIT_INTERRUPTED, UserError } from '../errors.js';
import { sha256 } from '../report/write.js';
import type { Context } from './command.js';
import { Interpreter, isWrongInput, scriptLines, textOf } from './interpreter.js';
import { grouped, Paint, wantsColour } from './paint.js';
import { stopText } from './show.js';

const PROMPT = '(xenolith) ';
const HISTORY_LINES = 1000, DEEPEST_SCRIPT = 16;
/** Host milliseconds between two updates of the progress line. */
const PROGRESS_MS = 200;

export interface DialogueOptions {
  /** Makes the machine anew, at power-on. */
  readonly open: () => Session;
  /** Scripts to run first. */
  readonly scripts: readonly string[];
  /** Lines are kept for the next time. */
  readonly history: boolean;
}

/** Where lines are kept between sessions. */
function historyFile(): string {
  const base = process.env['XDG_CACHE_HOME'] ?? (process.platform === 'win32' ? process.env['LOCALAPPDATA'] : undefined) ?? join(homedir(), '.cache');
  return join(base, 'xenolith', 'step-history');
}

export class Dialogue {
  private readonly paint = new Paint(wantsColour(process.stdout, process.env));
  private readonly interpreter: Interpreter;
  private session!: Session;
  private ended = false;
  private depth = 0;
  private progressAt = 0;
  private progressShown = false;
  private lastExit: Position | undefined;
  private lastPosition: Position = { instructions: 0, events: 0 };
  /** Ctrl-C was pressed, and nothing has answered it yet. */
  private interrupts = 0;
  private status = 0;

  constructor(private readonly options: DialogueOptions) {
    const dialogue = this;
    const context: Context = {
      get session() {
        return dialogue.session;
      },
      paint: this.paint,
      print: (...lines) => this.print(lines),
      script: (file) => this.script(file),
      load: (file) => this.load(file),
      quit: () => {
        this.ended = true;
      },
      showStop: () => this.showStop(),
    };
    this.interpreter = new Interpreter(context);
  }

  /** Awaited between slices of a run: shows progress, lets the terminal's input in. */
  readonly pause = async (): Promise<void> => {
    const now = performance.now();
    if (process.stderr.isTTY === true && now - this.progressAt > PROGRESS_MS) {
      this.progressAt = now;
      this.progressShown = true;
      process.stderr.write(`\r\x1b[K${grouped(this.session.position.instructions)} instructions, cycle ${grouped(this.session.cycle)} (Ctrl-C interrupts)`);
    }
    await new Promise<void>((resolve) => setImmediate(resolve));
  };

  private clearProgress(): void {
    if (this.progressShown) process.stderr.write('\r\x1b[K');
    this.progressShown = false;
  }
  private print(lines: readonly string[]): void {
    this.clearProgress();
    process.stdout.write(lines.map((l) => `${l}\n`).join(''));
  }
  /** With the VM exit that the move has come by, or that the host is dealing with. */
  private showStop(): void {
    const { session } = this, last = session.exits(-1, 1)[0], now = session.position, forward = comparePositions(now, this.lastPosition) > 0;
    const isNew = last !== undefined && (this.lastExit === undefined || comparePositions(last.position, this.lastExit) !== 0) && (forward || !session.look().inGuest);
    this.lastExit = last?.position;
    this.lastPosition = now;
    this.print(stopText(session, this.paint, isNew ? last : undefined));
  }

  private async load(file: string): Promise<void> {
    const record = parseSession(textOf(file), file), fresh = this.options.open();
    await fresh.resume(record, sha256);
    this.session = fresh;
    this.lastExit = undefined;
    this.lastPosition = { instructions: 0, events: 0 };
  }

  /** The whole dialogue; the value is the exit status. @throws UserError for wrong input in a script */
  async run(session: Session, start?: Position): Promise<number> {
    this.session = session;
    const onSignal = (): void => this.interrupt();
    process.on('SIGINT', onSignal);
    try {
      if (start !== undefined) await session.goTo(start);
      this.showStop();
      for (const file of this.options.scripts) if (!this.ended) await this.script(file);
      const interactive = process.stdin.isTTY === true;
      if (!this.ended && (interactive || this.options.scripts.length === 0)) await (interactive ? this.terminal() : this.lines(await pipedLines(), 'standard input'));
    } finally {
      process.off('SIGINT', onSignal);
    }
    return this.status;
  }

  private async script(file: string): Promise<void> {
    if (this.depth === DEEPEST_SCRIPT) throw new UserError(`${file}: scripts run each other more than ${DEEPEST_SCRIPT} deep`);
    this.depth++;
    try {
      await this.lines(scriptLines(file), file);
    } catch (e) {
      // A script that cannot be read: at a terminal the dialogue goes on.
      if (isWrongInput(e)) throw this.depth > 1 || process.stdin.isTTY === true ? e : new UserError(e.message);
      throw e;
    } finally {
      this.depth--;
    }
  }
  private async lines(lines: readonly string[], from: string): Promise<void> {
    for (const [i, line] of lines.entries()) {
      if (this.ended) return;
      if (line.trim() === '') continue;
      this.print([`${PROMPT}${line}`]);
      try {
        await this.interpreter.run(line);
      } catch (e) {
        if (isWrongInput(e)) throw new UserError(`${from}, line ${i + 1}: ${e.message}`);
        throw e;
      } finally {
        this.clearProgress();
      }
      if (this.interrupts > 0) return this.scriptInterrupted();
    }
  }
  /** What follows would run in another place than meant. At a terminal the dialogue goes on. */
  private scriptInterrupted(): void {
    if (process.stdin.isTTY === true) return;
    this.status = EXIT_INTERRUPTED;
    this.ended = true;
  }

  // --- the terminal

  private async terminal(): Promise<void> {
    const file = historyFile(), history = this.options.history && existsSync(file) ? readHistory(file) : [];
    const rl = createInterface({ input: process.stdin, output: process.stdout, prompt: PROMPT, history, historySize: HISTORY_LINES, completer: (line: string) => this.interpreter.complete(line) });
    const waiting: string[] = [];
    let wake: (() => void) | undefined, closed = false;
    rl.on('line', (line) => {
      waiting.push(line);
      wake?.();
    });
    rl.on('close', () => {
      closed = true;
      wake?.();
    });
    rl.on('SIGINT', () => this.interrupt(rl));
    rl.on('history', (lines) => history.splice(0, history.length, ...lines));
    try {
      while (!this.ended) {
        if (waiting.length === 0) {
          if (closed) break;
          rl.prompt();
          await new Promise<void>((resolve) => (wake = resolve));
          continue;
        }
        await this.one(waiting.shift()!);
      }
    } finally {
      rl.close();
      if (this.options.history) writeHistory(file, history);
    }
  }
  private async one(line: string): Promise<void> {
    this.interrupts = 0;
    try {
      await this.interpreter.run(line);
    } catch (e) {
      this.clearProgress();
      if (isWrongInput(e) || e instanceof UserError) process.stdout.write(`${this.paint.in('red', e.message)}\n`);
      else throw e;
    } finally {
      this.clearProgress();
    }
  }

  /** Ctrl-C: the first ends what runs, the second the program. */
  private interrupt(rl?: Interface): void {
    if (++this.interrupts >= 2) {
      this.clearProgress();
      process.exit(EXIT_INTERRUPTED);
    }
    if (this.session.busy) this.session.interrupt();
    else if (rl !== undefined) {
      process.stdout.write('\n(Ctrl-C again, q or Ctrl-D ends)\n');
      rl.prompt();
    } else process.exit(EXIT_INTERRUPTED);
  }
}

/** All lines of a standard input that is no terminal. */
async function pipedLines(): Promise<string[]> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8').split(/\r?\n/);
}

/** The newest line first, as readline has it. A history that cannot be read is none. */
function readHistory(file: string): string[] {
  try {
    return readFileSync(file, 'utf8').split('\n').filter((l) => l !== '').slice(-HISTORY_LINES).reverse();
  } catch {
    return [];
  }
}
/** A history that cannot be written is lost: that is no reason to disturb anybody. */
function writeHistory(file: string, lines: readonly string[]): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, [...lines].reverse().map((l) => `${l}\n`).join(''), { mode: 0o600 });
  } catch {
    // nothing to be done
  }
}
