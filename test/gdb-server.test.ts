/** The socket of `xenolith gdb`: one client at a time, and none can harm the machine. Needs no gdb. */
import { connect, type Socket } from 'node:net';
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { GdbServer } from '../src/cli/gdb-server.js';
import { Timeline } from '../src/debug/timeline.js';
import { frame } from '../src/debug/gdb/packets.js';
import { Target } from '../src/debug/gdb/target.js';
import { Machine } from '../src/machine/machine.js';
import { parseProfile } from '../src/machine/profile.js';
import { multibootImage } from './support/multiboot-image.js';

const profile = parseProfile(JSON.parse(readFileSync(new URL('../profiles/nehalem-2008.json', import.meta.url), 'utf8')), 'nehalem-2008.json');
const LOOP = [0x43, 0xeb, 0xfd]; // L: inc ebx; jmp L

interface Peer {
  readonly socket: Socket;
  /** Waits until what has arrived and not been waited for before matches, and returns it. */
  until(pattern: RegExp): Promise<string>;
  readonly closed: Promise<void>;
}

function peerOn(port: number): Peer {
  const socket = connect(port, '127.0.0.1');
  let text = '', wake = (): void => undefined;
  socket.on('data', (b) => {
    text += b.toString('latin1');
    wake();
  });
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => void socket.on('close', () => resolve()));
  return {
    socket, closed,
    async until(pattern) {
      while (!pattern.test(text)) await new Promise<void>((resolve) => (wake = resolve));
      const got = text;
      text = '';
      return got;
    },
  };
}

let running: GdbServer | undefined;
afterEach(() => running?.end(0));

async function server(code: readonly number[] = LOOP) {
  const machine = new Machine({ memoryBytes: 16 << 20, profile, boot: { kind: 'image', image: { name: 'test', bytes: multibootImage(code) } } });
  const notes: string[] = [];
  const s = (running = new GdbServer(new Target({ machine, history: new Timeline(machine) }), { note: (t) => void notes.push(t), between: () => undefined }));
  const port = await s.listen(0);
  /** Waits for a note. */
  const noted = async (pattern: RegExp): Promise<void> => {
    while (!notes.some((n) => pattern.test(n))) await new Promise((resolve) => setImmediate(resolve));
  };
  return { machine, server: s, port, notes, noted };
}

describe('the socket of xenolith gdb', () => {
  it('serves one client; another is told so, and the first is not disturbed', async () => {
    const { port, notes } = await server();
    const first = peerOn(port);
    first.socket.write(frame('qC'));
    await first.until(/QC1/);
    const second = peerOn(port);
    second.socket.write(frame('qSupported'));
    expect(await second.until(/#../)).toBe(`+${frame('E.another gdb is connected to this machine; one at a time')}`);
    await second.closed;
    first.socket.write(frame('qAttached'));
    await first.until(/\$0#30/);
    expect(notes).toContain('another client tried to connect; it was refused');
  });

  it('interrupts a machine that runs', async () => {
    const { port, machine } = await server();
    const gdb = peerOn(port);
    gdb.socket.write(frame('vCont;c'));
    await gdb.until(/\+/);
    gdb.socket.write('\x03');
    expect(await gdb.until(/#../)).toMatch(/\$T02/);
    expect(machine.instructions).toBeGreaterThan(0);
  });

  it.each([
    ['speaks another protocol', 'GET / HTTP/1.1\r\n\r\n', /does not speak gdb's protocol/],
    ['sends a packet without end', `$${'m'.repeat(100_000)}`, /a packet of more than 16384 bytes/],
  ])('sends away a client that %s, and the next one may connect', async (_what, text, message) => {
    const { port, noted } = await server();
    const bad = peerOn(port);
    bad.socket.write(text);
    await bad.closed;
    await noted(message);
    const good = peerOn(port);
    good.socket.write(frame('qC'));
    await good.until(/QC1/);
  });

  it('survives a client that goes in the middle of a packet or of a run', async () => {
    const { port, noted, machine } = await server();
    const one = peerOn(port);
    one.socket.write('$m100020,');
    await new Promise((resolve) => one.socket.once('connect', resolve));
    one.socket.end();
    await noted(/in the middle of a packet/);
    const two = peerOn(port);
    two.socket.write(frame('c'));
    await two.until(/\+/);
    two.socket.destroy();
    await noted(/while the machine was running/);
    const at = machine.instructions;
    const three = peerOn(port);
    three.socket.write(frame('?'));
    await three.until(/\$T05.*thread:1;/);
    expect(machine.instructions).toBe(at);
  });

  it('ends with the status of the run, when its client has detached', async () => {
    const { port, server: s } = await server([0xb0, 3, 0xe6, 0xf4]); // mov al, 3; out 0xf4, al
    const gdb = peerOn(port);
    gdb.socket.write(frame('D'));
    await gdb.until(/OK/);
    expect(await s.over).toBe(7);
  });

  it('ends when its client kills the run', async () => {
    const { port, server: s } = await server();
    peerOn(port).socket.write(frame('vKill;1'));
    expect(await s.over).toBe(0);
  });
});
