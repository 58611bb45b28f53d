/** What runs, in a line. */

import { PATH_TITLES } from '../experiments/paths.js';
import { WORKLOADS } from '../experiments/workloads.js';
import type { MachineSpec } from './protocol.js';

export const EXTENSION_TITLES = { vtx: 'VT-x', svm: 'SVM' } as const;

export function specTitle(spec: MachineSpec): string {
  if (spec.kind === 'image') return `${spec.name} on ${spec.profile}`;
  const workload = WORKLOADS.find((w) => w.name === spec.workload)?.title ?? spec.workload;
  return `${PATH_TITLES[spec.path]} · ${EXTENSION_TITLES[spec.extension]} · ${workload}`;
}
