import { expect, it } from 'vitest';
import { FwCfg } from './fw-cfg.js';

it('the firmware configuration device lists its files, and each selection starts anew', () => {
  const device = new FwCfg(64 << 20, 2, [{ name: 'etc/one', bytes: Uint8Array.of(7, 8) }]);
  const item = (key: number, bytes: number): number[] => {
    device.ioWrite(0x510, 2, key);
    return Array.from({ length: bytes }, () => device.ioRead(0x511));
  };
  expect(String.fromCharCode(...item(0, 4))).toBe('QEMU');
  expect(item(3, 8)).toEqual([0, 0, 0, 4, 0, 0, 0, 0]);
  const directory = item(0x19, 68);
  expect([...directory.slice(0, 10), String.fromCharCode(...directory.slice(12, 19))]).toEqual([0, 0, 0, 1, 0, 0, 0, 2, 0, 0x20, 'etc/one']);
  expect([item(0x20, 3), item(0x20, 1)]).toEqual([[7, 8, 0], [7]]);
});
