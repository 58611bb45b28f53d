/** The parts that the extensions count fit the published round trips of the profiles. Above the layers: it joins timing, vtx and svm. */

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as svm from '../src/svm/index.js';
import { readTimingProfile } from '../src/timing/profile.js';
import { TransitionCost } from '../src/timing/transition.js';
import * as vtx from '../src/vtx/index.js';

it.each([
  ['nehalem-2008', vtx.MINIMAL_TRANSITIONS, 1009], // A004: Agesen et al., ATC 2012, table 1
  ['barcelona-2007', svm.MINIMAL_TRANSITIONS, 1360],
] as const)('%s: a minimal exit and entry', (name, minimal, roundTrip) => {
  const cost = new TransitionCost(readTimingProfile(JSON.parse(readFileSync(`profiles/${name}.json`, 'utf8'))), minimal);
  expect(cost.cost('vm-exit', minimal.exit) + cost.cost('vm-entry', minimal.entry)).toBe(roundTrip);
});
