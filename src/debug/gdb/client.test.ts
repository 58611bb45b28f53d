import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Machine } from '../../machine/machine.js';
import { parseProfile } from '../../machine/profile.js';
import { multibootImage } from '../../../test/support/multiboot-image.js';
import { Timeline } from '../timeline.js';
import { Client } from './client.js';
import { hexToBytes } from './hex.js';
import { frame } from './packets.js';
import { Target } from './target.js';

const profile = parseProfile(JSON.parse(readFileSync(new URL('../../../profiles/nehalem-2008.json', import.meta.url), 'utf8')), 'nehalem-2008.json');
const CODE = 0x10_0020;
/** mov eax, 0x11223344; L: inc ebx; jmp L */
const LOOP = [0xb8, 0x44, 0x33, 0x22, 0x11, 0x43, 0xeb, 0xfd];

function session(code: readonly number[] = LOOP) {
  const machine = new Machine({ memoryBytes: 16 << 20, profile, boot: { kind: 'image', image: { name: 'test', bytes: multibootImage(code) } } });
  const target = new Target({ machine, history: new Timeline(machine) });
  const sent: string[] = [], notes: string[] = [];
  const client = new Client(target, { send: (t) => sent.push(t), note: (t) => notes.push(t) });
  const raw = (text: string): string[] => {
    sent.length = 0;
    client.receive(Uint8Array.from(text, (c) => c.charCodeAt(0)));
    return [...sent];
  };
  /** The text of the reply to a packet. */
  const ask = (packet: string): string => raw(frame(packet)).filter((t) => t.startsWith('$')).map((t) => t.slice(1, -3)).join('');
  /** The stop reply to a packet that makes the machine go. */
  const go = (packet: string): string => {
    const before = raw(frame(packet));
    while (client.running) client.work(1000);
    return [...before, ...sent].filter((t) => t.startsWith('$')).map((t) => t.slice(1, -3)).at(-1)!;
  };
  return { machine, target, client, raw, ask, go, notes, sent };
}

describe('a gdb client', () => {
  it('is told what the server can do, and what it cannot by an empty reply', () => {
    const { ask } = session();
    expect(ask('qSupported:swbreak+;hwbreak+')).toMatch(/^PacketSize=4000;qXfer:features:read\+;.*ReverseStep\+;ReverseContinue\+/);
    expect(ask('vMustReplyEmpty')).toBe('');
    expect(ask('qOffsets')).toBe('');
    expect(ask('vCont?')).toBe('vCont;c;C;s;S;r');
  });

  it('gets acknowledgements until it asks for none', () => {
    const { raw } = session();
    expect(raw(frame('qC'))).toEqual(['+', frame('QC1')]);
    expect(raw('-')).toEqual([frame('QC1')]);
    expect(raw(frame('QStartNoAckMode'))).toEqual(['+', frame('OK')]);
    expect(raw(frame('qC'))).toEqual([frame('QC1')]);
  });

  it('reads the target description in pieces', () => {
    const { ask, target } = session();
    let text = '';
    for (let piece = 'm'; piece.startsWith('m'); text += piece.slice(1)) {
      piece = ask(`qXfer:features:read:target.xml:${text.length.toString(16)},ff8`).replace(/}(.)/gs, (_, c: string) => String.fromCharCode(c.charCodeAt(0) ^ 0x20));
      expect(piece[0]).toMatch(/[ml]/);
    }
    expect(text).toBe(target.description);
    expect(text).toContain('<field name="exit_reason" type="uint32"/>');
  });

  it('reads and writes registers and memory by linear address', () => {
    const { ask, machine } = session();
    expect(ask(`m${CODE.toString(16)},5`)).toBe('b844332211');
    expect(ask(`M${CODE.toString(16)},2:9090`)).toBe('OK');
    expect(ask(`m${CODE.toString(16)},5`)).toBe('9090332211');
    expect(ask('X100020,1:}')).toBe('OK'); // travels as an escape
    expect(machine.phys.read(CODE, 1)[0]).toBe(0x7d);
    expect(ask('m100020,0')).toBe('');
    expect(ask('P1=8877665544332211')).toBe('OK');
    expect(ask('p1')).toBe('8877665544332211');
    expect(ask('g').slice(16, 32)).toBe('8877665544332211');
  });

  it('may not write what has no meaning without its instruction', () => {
    const { ask, target } = session();
    const cr3 = target.registers.findIndex((r) => r.name === 'cr3'), vmcs = target.registers.findIndex((r) => r.name === 'vmcs');
    expect(ask(`P${cr3.toString(16)}=0000000000000000`)).toBe('E.cr3 is read-only');
    expect(ask(`p${vmcs.toString(16)}`)).toMatch(/^x+$/); // no VMCS is current
  });

  it('does not touch devices and what is not mapped', () => {
    const { ask } = session();
    expect(ask('mfee00020,4')).toBe('E0e');
    expect(ask('Mfee00020,1:00')).toBe('E0e');
    expect(ask('m9fffe,4')).toHaveLength(4); // ends where the video memory's hole begins
  });

  it('reads physical memory when it says so', () => {
    const { ask } = session();
    expect(ask('Qqemu.PhyMemMode:1')).toBe('OK');
    expect(ask(`m${CODE.toString(16)},2`)).toBe('b844');
    expect(ask('mffffffffffffffff,2')).toBe('E0e');
  });

  it('is answered while the machine runs only to the interrupt byte', () => {
    const { raw, client, sent, notes } = session();
    raw(frame('vCont;c'));
    client.work(1000);
    expect(client.running).toBe(true);
    expect(raw(frame('g'))).toEqual(['+']);
    expect(notes).toEqual(['a packet came while the machine was running; it is not answered']);
    raw('\x03');
    sent.length = 0;
    client.work(1000);
    expect(client.running).toBe(false);
    expect(sent.join('')).toMatch(/^\$T0206:[0-9a-f]{16};07:[0-9a-f]{16};10:[0-9a-f]{16};thread:1;#/);
  });

  it('that sends nonsense gets an error, and nothing happens', () => {
    const { ask, machine, client } = session();
    const before = machine.phys.read(0, 16 << 20);
    const wrong = ['', 'm', 'mzz,4', 'm100020,10000', 'M100020,4:00', 'X100020,4:abc', 'G00', 'P1', 'P1=00', 'Pzz=00', 'p', 'pffff', 'Z0', 'Z0,zz,1', 'Z9,0,0', 'Z2,100,ffffffff',
      'z1', 'H', 'Hx1', 'Hg99', 'Tzz', 'vCont;', 'vCont;q', 'vCont;s:77', 'vCont;r1:1', 'c10', 'qXfer:features:read:other.xml:0,10', 'qXfer:features:read:target.xml:zz', 'qRcmd,zz',
      'qThreadExtraInfo,77', 'Qqemu.PhyMemMode:7', 'b', 'bx', 'R00', '!'];
    for (const packet of wrong) {
      expect(ask(packet), packet).toMatch(/^(|E.*)$/);
      expect(client.running, packet).toBe(false);
    }
    expect(machine.instructions).toBe(0);
    expect(Buffer.compare(machine.phys.read(0, 16 << 20), before)).toBe(0);
  });

  it('that does not speak the protocol is refused with a message', () => {
    const { raw, client, notes } = session();
    raw('GET / HTTP/1.1\r\n\r\n');
    expect(client.over).toBe('refused');
    expect(notes).toEqual(["the client does not speak gdb's protocol: a byte 0x47 between packets; connection closed"]);
  });

  it('with wrong checksums is asked to send again, and refused when it wants no acknowledgements', () => {
    const { raw, client } = session();
    expect(raw('$g#00')).toEqual(['-']);
    expect(client.over).toBeUndefined();
    raw(frame('QStartNoAckMode'));
    raw('$g#00');
    expect(client.over).toBe('refused');
  });

  it('is told of the end of the run, and ends the session by going on', () => {
    const { raw, client, sent, ask } = session([0xb0, 3, 0xe6, 0xf4]); // mov al, 3; out 0xf4, al
    raw(frame('c'));
    while (client.running) client.work(1000);
    const [message, stop] = sent.filter((t) => t.startsWith('$')).map((t) => t.slice(1, -3));
    expect(String.fromCharCode(...hexToBytes(message!.slice(1))!)).toMatch(/the guest wrote 3 to the debug-exit port \(status 7\)/);
    expect(stop).toMatch(/^T05.*thread:1;replaylog:end;$/);
    expect(ask('vCont;c')).toBe('W07');
    expect(client.over).toBe('ended');
  });

  it('goes back, to the beginning of history at most', () => {
    const { go, ask } = session();
    for (let i = 0; i < 4; i++) go('vCont;s:1');
    expect(ask('p1')).toBe('02e0090000000000'); // RBX, from 0x9e000: mov, inc, jmp, inc
    go('bs');
    expect(ask('p1')).toBe('01e0090000000000');
    expect(go('bc')).toMatch(/replaylog:begin;$/);
    expect(ask('p10')).toBe('2000100000000000');
    expect(go('bs')).toMatch(/replaylog:begin;$/);
  });

  it('stops at breakpoints and watchpoints, both ways', () => {
    // L: inc ebx; mov [0x200000], ebx; jmp L
    const { go, ask } = session([0x43, 0x89, 0x1d, 0, 0, 0x20, 0, 0xeb, 0xf7]);
    ask('qSupported:swbreak+;hwbreak+');
    expect(ask('Z1,100021,1')).toBe('OK');
    expect(go('c')).toMatch(/10:2100100000000000;thread:1;hwbreak:;$/);
    expect(ask('z1,100021,1')).toBe('OK');
    expect(ask('Z2,200000,4')).toBe('OK');
    expect(go('c')).toMatch(/10:2700100000000000;thread:1;watch:200000;$/); // behind the store
    go('c');
    expect(ask('m200000,4')).toBe('02e00900');
    expect(go('bc')).toMatch(/10:2100100000000000;thread:1;watch:200000;$/); // before it
    expect(ask('m200000,4')).toBe('01e00900');
    go('bc');
    expect(ask('m200000,4')).toBe('00000000');
  });

  it('writes into history: a replay writes it again, and what came after is forgotten', () => {
    const { go, ask } = session();
    for (let i = 0; i < 2; i++) go('s');
    expect(ask('P1=6400000000000000')).toBe('OK'); // RBX = 100
    for (let i = 0; i < 2; i++) go('s');
    expect(ask('p1')).toBe('6500000000000000');
    go('bc');
    expect(ask('p1')).toBe('00e0090000000000');
    for (let i = 0; i < 4; i++) go('s');
    expect(ask('p1')).toBe('6500000000000000');
  });

  it('has monitor commands, and a line for one that does not exist', () => {
    const { ask } = session();
    const monitor = (text: string): string => {
      const reply = ask(`qRcmd,${Buffer.from(text).toString('hex')}`);
      expect(reply.endsWith('OK')).toBe(true);
      return reply.slice(0, -2).split('O').map((h) => String.fromCharCode(...hexToBytes(h)!)).join('');
    };
    expect(monitor('position')).toBe('instruction 0, cycle 0\n');
    expect(monitor('phys 0x100020 4')).toBe('000000100020  b8 44 33 22\n');
    expect(monitor('phys nonsense')).toBe('phys: a number such as 0x1000 is needed, not "nonsense"\n');
    expect(monitor('exits')).toBe('no VM exit yet\n');
    expect(monitor('stop exit VMCALL')).toBe('continue stops at: exit VMCALL\n');
    expect(monitor('stop exit NOTHING')).toMatch(/^"NOTHING" is no exit reason/);
    expect(monitor('sing')).toBe('no monitor command "sing"; "monitor help" lists them\n');
  });
});
