import { describe, expect, it } from 'vitest';
import { Machine } from '../machine/machine.js';
import { multibootImage } from '../../test/support/multiboot-image.js';
import { loadProfile } from '../../test/support/path-machine.js';
import { checkConfiguration, parseSession, recordOf, replaySession, type SessionConfiguration, SessionFileError, writeSession } from './session-file.js';
import { Timeline } from './timeline.js';

// loop: mov dx, 0x3fd; in al, dx; test al, 1; jz loop; mov dl, 0xf8; in al, dx; mov [0x9000+ecx], al; inc ecx; jmp loop
const code = [0x66, 0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf7, 0xb2, 0xf8, 0xec, 0x88, 0x81, 0x00, 0x90, 0x00, 0x00, 0x41, 0xeb, 0xeb];
const configuration: SessionConfiguration = {
  images: [{ name: 'echo', sha256: 'ab'.repeat(32), commandLine: '' }], profile: 'barcelona-2007', mode: 'functional', memoryBytes: 16 << 20, cpus: 1, seed: 1, devices: [],
};
function make() {
  const machine = new Machine({ memoryBytes: configuration.memoryBytes, profile: loadProfile(configuration.profile), boot: { kind: 'image', image: { name: 'echo', bytes: multibootImage(code) } } });
  return { machine, timeline: new Timeline(machine) };
}

/** A session in which something was typed, as text. */
const saved = (() => {
  const { machine, timeline } = make();
  timeline.run({ instructions: 1000 });
  timeline.input(Uint8Array.of(0x78));
  timeline.run({ position: { instructions: 2_500_000, events: 0 } });
  return { text: writeSession(recordOf(machine, timeline, configuration, 'xenolith:1?', [0x10_0020n])), hash: machine.hash(), timeline };
})();
const changed = (change: (o: Record<string, never>) => void): string => {
  const o = JSON.parse(saved.text) as Record<string, never>;
  change(o);
  return JSON.stringify(o);
};

describe('session file', () => {
  it('gives the state again, with input and breakpoints', () => {
    const { machine, timeline } = make(), record = parseSession(saved.text);
    checkConfiguration(record, configuration);
    replaySession(record, machine, timeline);
    expect([machine.hash(), record.breakpoints, machine.phys.read(0x9000, 2)]).toEqual([saved.hash, [0x10_0020n], Uint8Array.of(0x78, 0)]);
  });

  it.each([
    ['cut short', saved.text.slice(0, -40), 'not a session file, or one that was cut short'],
    ['something else', '{"kind":"other"}', 'not a session file: "kind"'],
    ['another version', changed((o) => Object.assign(o, { version: 2 })), 'written by another version: it has format 2, this version reads 1'],
    ['a position that is none', changed((o) => Object.assign(o, { position: { instructions: -1, events: 0 } })), 'position.instructions is not a number from 0 on'],
    ['bytes that are none', changed((o) => Object.assign(o['inputs'][0]!, { bytes: '7' })), 'inputs[0].bytes is not well formed'],
    ['input from the future', changed((o) => Object.assign(o['inputs'][0]!, { cycle: 1e12 })), 'inputs[0] comes after the position of the session'],
    ['a field that is missing', changed((o) => delete o['hash']), 'hash is not well formed'],
  ])('refuses %s', (_name, text, message) => {
    expect(() => parseSession(text, 'a.json')).toThrow(SessionFileError);
    expect(() => parseSession(text, 'a.json')).toThrow(`a.json: ${message}`);
  });

  it('refuses another image, another mode, a state that the replay does not come to, and one that was changed by hand', () => {
    const record = parseSession(saved.text), image = configuration.images[0]!;
    expect(() => checkConfiguration(record, { ...configuration, images: [{ ...image, sha256: 'cd'.repeat(32) }] })).toThrow('echo is another file than the session was made with');
    expect(() => checkConfiguration(record, { ...configuration, mode: 'cycle' })).toThrow('the session was made with the mode functional, not cycle');
    const { machine, timeline } = make();
    expect(() => replaySession({ ...record, inputs: [] }, machine, timeline)).toThrow('the replay came to another state');
    timeline.edit((m) => m.phys.write(0x9000, Uint8Array.of(1)));
    expect(() => recordOf(machine, timeline, configuration, '', [])).toThrow('changed by hand');
  });
});
