import { describe, expect, it } from 'vitest';
import { decodeLink, DEFAULT_SPEC, encodeLink, LinkError, type LinkState } from './link.js';

const SHA = 'ab'.repeat(32);
const image: LinkState = {
  version: '0.1.0-abc',
  spec: {
    kind: 'image', name: 'a & b#.elf', sha256: SHA, commandLine: 'w=x,y z=%41', profile: 'barcelona-2007', mode: 'functional', seed: 7,
    modules: [{ name: 'm,1', sha256: SHA, commandLine: 'mem=64M -- w=a:b,c' }, { name: 'm2', sha256: SHA, commandLine: '' }],
  },
  position: { instructions: 9_007_199_254_740_991, events: 3 },
};

describe('a link', () => {
  it.each([['an experiment', { version: 'v', spec: DEFAULT_SPEC, position: { instructions: 0, events: 0 } }], ['an image', image]])('holds %s', (_what, state) => {
    expect(decodeLink(encodeLink(state))).toEqual(state);
  });
  it('that is damaged says where', () => {
    expect(() => decodeLink(encodeLink(image).replace('m%252C1', '%25E0'))).toThrow(/damaged at "%E0"/);
  });
  it('without a state is none', () => {
    expect(decodeLink('')).toBeUndefined();
    expect(decodeLink('#help')).toBeUndefined();
  });
  it.each([
    ['path=hvm', 'path=xyz', /path=xyz; there are native, hvm/],
    ['seed=1', 'seed=-1', /seed=-1/],
    ['seed=1', 'seed=4294967296', /seed=4294967296/],
    ['at=5', 'at=5x', /at=5x/],
    ['ext=vtx', '', /does not say "ext"/],
  ])('with %s made %s says what is wrong', (from, to, message) => {
    const link = encodeLink({ version: 'v', spec: DEFAULT_SPEC, position: { instructions: 5, events: 0 } });
    expect(link).toContain(from);
    expect(() => decodeLink(link.replace(from, to))).toThrow(message);
    expect(() => decodeLink(link.replace(from, to))).toThrow(LinkError);
  });
});
