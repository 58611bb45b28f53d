import { expect, it } from 'vitest';
import { splitConsole } from './console-text.js';

const split = (text: string): Record<string, string> =>
  Object.fromEntries([...splitConsole(new TextEncoder().encode(text))].map(([id, bytes]) => [id, new TextDecoder().decode(Uint8Array.from(bytes))]));

it('splits COM1 by the marks of hypervisor and dom0, without them', () => {
  expect(split('(XEN) hello\r\ndom0: up\n(d1) guest\n(d12) other\n(XEN) bye')).toEqual({ XEN: 'hello\r\nbye', rest: 'dom0: up\n', d1: 'guest\n', d12: 'other\n' });
});
it('takes a mark inside a line, or none, for text', () => {
  expect(split('x (XEN) y\n(d) z\n(d123456) w\n')).toEqual({ rest: 'x (XEN) y\n(d) z\n(d123456) w\n' });
});
it('keeps bytes that are no text', () => {
  expect([...splitConsole(Uint8Array.of(0xff, 0, 0x1b, 10))]).toEqual([['rest', [0xff, 0, 0x1b, 10]]]);
});
