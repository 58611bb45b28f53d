/**
 * The connection of `xenolith gdb`: a loopback socket, one client at a time. The protocol itself is src/debug/gdb/.
 *
 * Between pieces of a run the event loop has its turn, so that an interrupt is heard while the machine runs. Whatever becomes of a client, the machine
 * stays where it is, and another may connect.
 */

import { createServer, type Server, type Socket } from 'node:net';
import { Client } from '../debug/gdb/client.js';
import { frame } from '../debug/gdb/packets.js';
import { endText, statusOf } from '../debug/gdb/stop-reply.js';
import type { Target } from '../debug/gdb/target.js';
import { reasonOf, UserError } from './errors.js';

/** Host milliseconds that one piece of a run should take, and the smallest piece in cycles. */
const PIECE_MS = 40, SMALLEST_PIECE = 20_000, LARGEST_PIECE = 2 ** 40;
/** What a refused client sends first is waited for this long, in milliseconds. */
const REFUSAL_WAIT = 2000;

const HOST = '127.0.0.1';

const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export interface ServerHooks {
  /** One line on standard error. */
  note(text: string): void;
  /** Between pieces of a run: the place to write serial output. */
  between(): void;
}

export class GdbServer {
  /** Exit status, when the session is over. */
  readonly over: Promise<number>;
  private readonly server: Server;
  private finish!: (status: number) => void;
  private fail!: (error: unknown) => void;
  private client: Client | undefined;
  private socket: Socket | undefined;
  private pumping = false;
  private stopping = false;
  /** The last client said that the machine is to run without it. */
  private free = false;
  private piece = 10 * SMALLEST_PIECE;

  constructor(private readonly target: Target, private readonly hooks: ServerHooks) {
    this.over = new Promise((resolve, reject) => {
      this.finish = resolve;
      this.fail = reject;
    });
    this.server = createServer((socket) => this.connected(socket));
  }

  /** Starts listening; the port, chosen by the system when 0 is asked for. @throws UserError when that is not possible */
  listen(port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once('error', (e: NodeJS.ErrnoException) => reject(new UserError(`--port: cannot listen on ${HOST}:${port}: ${e.code === 'EADDRINUSE' ? 'the port is in use' : reasonOf(e)}`)));
      this.server.listen(port, HOST, () => resolve((this.server.address() as { port: number }).port));
    });
  }

  /** Ends the session. */
  end(status: number): void {
    if (this.stopping) return;
    this.stopping = true;
    this.socket?.destroy();
    this.server.close();
    this.finish(status);
  }

  private connected(socket: Socket): void {
    socket.on('error', () => undefined); // what matters of it arrives as `close`
    if (this.client !== undefined) {
      this.refuse(socket);
      return;
    }
    socket.setNoDelay(true);
    this.hooks.note('a client has connected');
    this.free = false;
    this.socket = socket;
    const client = (this.client = new Client(this.target, { send: (text) => socket.write(Buffer.from(text, 'latin1')), note: (text) => this.hooks.note(text) }));
    socket.on('data', (bytes: Buffer) => {
      this.guarded(() => {
        client.receive(bytes);
        if (client.over !== undefined) this.done(client, socket);
        else void this.pump();
      });
    });
    socket.on('close', () => this.gone(client));
  }

  /** gdb shows the text of an error reply to its first packet. */
  private refuse(socket: Socket): void {
    this.hooks.note('another client tried to connect; it was refused');
    const answer = (): void => {
      socket.end(Buffer.from(`+${frame('E.another gdb is connected to this machine; one at a time')}`, 'latin1'));
    };
    socket.setTimeout(REFUSAL_WAIT, () => socket.destroy());
    socket.once('data', answer);
    socket.resume();
  }

  /** A client has said or done its last. */
  private done(client: Client, socket: Socket): void {
    const { over } = client;
    if (over === 'refused') socket.destroySoon();
    else if (over === 'detached') {
      this.free = true;
      socket.end();
    } else {
      const { end } = this.target.resumer;
      if (end !== undefined) this.hooks.note(endText(end));
      socket.end(() => this.end(end === undefined ? 0 : statusOf(end)));
      socket.destroySoon();
    }
  }

  private gone(client: Client): void {
    if (this.client !== client) return;
    const running = client.running;
    client.close();
    this.client = this.socket = undefined;
    if (this.stopping) return;
    if (client.over === 'killed' || client.over === 'ended') this.end(this.target.resumer.end === undefined ? 0 : statusOf(this.target.resumer.end));
    else if (client.over === 'detached') {
      this.hooks.note('the client has detached; the machine runs on');
      void this.pump();
    } else this.hooks.note(`the client has gone${running ? ' while the machine was running' : ''}; the machine waits for the next one`);
  }

  /** Lets the machine run while somebody wants that. */
  private async pump(): Promise<void> {
    if (this.pumping) return;
    this.pumping = true;
    try {
      while (!this.stopping && (this.client?.running === true || (this.client === undefined && this.free))) {
        const began = performance.now();
        if (this.client !== undefined) this.client.work(this.piece);
        else this.runFree();
        const took = performance.now() - began;
        if (took < PIECE_MS / 2) this.piece = Math.min(this.piece * 2, LARGEST_PIECE);
        else if (took > PIECE_MS * 2) this.piece = Math.max(Math.floor(this.piece / 2), SMALLEST_PIECE);
        this.hooks.between();
        await pause();
      }
    } catch (e) {
      this.fail(e);
    } finally {
      this.pumping = false;
    }
  }

  private runFree(): void {
    const halt = this.target.resumer.work({ kind: 'continue' }, this.piece);
    if (halt?.kind !== 'ended') return;
    this.hooks.note(endText(halt.reason));
    this.end(statusOf(halt.reason));
  }

  /** An error in the server is ours: it ends the session and is reported. */
  private guarded(action: () => void): void {
    try {
      action();
    } catch (e) {
      this.fail(e);
    }
  }
}
