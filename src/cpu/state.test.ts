import { setFlagsFromString } from 'node:v8';
import { expect, test } from 'vitest';
import { P, R } from './engine/record.js';
import { S, SEG } from './state.js';

test('tables of addresses have a shape, so that the host reads them without a hash table', () => {
  setFlagsFromString('--allow-natives-syntax');
  const hasShape = new Function('o', 'return %HasFastProperties(o)') as (o: object) => boolean;
  expect([S, SEG, P, R].map(hasShape)).toEqual([true, true, true, true]);
});
