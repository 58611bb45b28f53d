import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { Machine } from './machine.js';
import { parseProfile } from './profile.js';
import { isUntouched, type Screen } from './screen.js';

const profile = parseProfile(JSON.parse(readFileSync(new URL('../../profiles/barcelona-2007.json', import.meta.url), 'utf8')), 'barcelona-2007.json');
const le32 = (v: number): number[] => [v & 255, (v >>> 8) & 255, (v >>> 16) & 255, v >>> 24];
const crtc = (index: number, value: number): number[] => [0x66, 0xba, 0xd4, 0x03, 0x66, 0xb8, index, value, 0x66, 0xef]; // mov dx, 0x3d4; mov ax, ...; out dx, ax
const poke = (hpa: number, value: number): number[] => [0x66, 0xc7, 0x05, ...le32(hpa), value & 255, value >> 8]; // mov word [hpa], value

function boot(code: readonly number[], mode: 'functional' | 'cycle' = 'functional'): Machine {
  const bytes = new Uint8Array(32 + code.length), v = new DataView(bytes.buffer), base = 0x10_0000;
  [0x1bad_b002, 0x0001_0000, -(0x1bad_b002 + 0x0001_0000), base, base, 0, 0, base + 32].forEach((w, i) => v.setInt32(4 * i, w | 0, true));
  bytes.set(code, 32);
  return new Machine({ memoryBytes: 16 << 20, profile, mode, boot: { kind: 'image', image: { name: 'test', bytes } } });
}
const line = ({ cells, columns }: Screen, row: number, length: number): string =>
  String.fromCharCode(...Array.from({ length }, (_, i) => cells[2 * (row * columns + i)]!));

/** Two characters in the corner, the cursor behind them; then the picture one row down. */
const GUEST = [...poke(0xb_8000, 0x1f48), ...poke(0xb_8002, 0x1f69), ...crtc(0x0f, 2), ...poke(0xb_80a0, 0x0721), ...crtc(0x0d, 80), 0xf4];

it.each(['functional', 'cycle'] as const)('shows what a guest writes, its cursor and its start address (%s mode); a snapshot brings them back', (mode) => {
  const machine = boot(GUEST, mode), screen = (): Screen => machine.screen() as Screen;
  expect(isUntouched(screen())).toBe(true);
  machine.run({ instructions: 5, exact: true });
  const written = screen(), hash = machine.hash();
  expect([written.columns, written.rows, line(written, 0, 3), written.cells[1], written.cursor]).toEqual([80, 25, 'Hi ', 0x1f, { column: 2, row: 0, visible: true }]);
  expect([isUntouched(written), machine.unmarkedPages()]).toEqual([false, []]);
  const snapshot = machine.snapshot();
  machine.run();
  expect([line(screen(), 0, 1), screen().cursor.visible]).toEqual(['!', false]);
  expect(machine.hash()).not.toBe(hash);
  machine.restore(snapshot);
  expect([screen(), machine.hash()]).toEqual([written, hash]);
  machine.run();
  expect(line(screen(), 0, 1)).toBe('!');
});

it('text memory is part of the hash', () => {
  const [one, other] = [0x0741, 0x0742].map((value) => {
    const machine = boot([...poke(0xb_8f00, value), 0xeb, 0xfe]);
    machine.run({ instructions: 3, exact: true });
    return machine.hash();
  });
  expect(one).not.toBe(other);
});

it('a reset clears the screen, as firmware does', () => {
  // CMOS byte 0x40 survives: the second time round the guest halts before it writes.
  const machine = boot([0xb0, 0x40, 0xe6, 0x70, 0xe4, 0x71, 0xfe, 0xc0, 0xe6, 0x71, 0x3c, 0x02, 0x75, 0x01, 0xf4, ...poke(0xb_8000, 0x4f58), ...crtc(0x0f, 9), 0x66, 0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee, 0xf4]);
  expect(machine.run({ instructions: 1000 }).kind).toBe('shutdown');
  expect(isUntouched(machine.screen() as Screen)).toBe(true);
});
