/** `vCont`, `c`, `s`, `C`, `S`, `bc` and `bs` as actions. gdb manual, E.2 "Packets". Signals are not delivered to anything: there is nobody to take them. */

import type { Client } from './client.js';
import { parseNumber } from './hex.js';
import type { Action } from './resume.js';

export const VCONT_ACTIONS = 'vCont;c;C;s;S;r';

/** The action of a `vCont` packet's list, or undefined when it is not one. */
export function parseVcont(client: Client, list: string): Action | undefined {
  let action: Action | undefined;
  for (const part of list.split(';')) {
    const [what = '', thread] = part.split(':', 2), vcpu = thread === undefined ? client.current : client.vcpuOf(thread);
    if (vcpu === undefined) return undefined;
    const one = parseOne(what, vcpu);
    if (one === undefined) return undefined;
    // All vCPUs run or none: a step of one decides when that is over.
    if (action === undefined || (action.kind === 'continue' && one.kind !== 'continue')) action = one;
  }
  return action;
}

function parseOne(what: string, vcpu: number): Action | undefined {
  if (/^(c|C[0-9a-fA-F]{2})$/.test(what)) return { kind: 'continue' };
  if (/^(s|S[0-9a-fA-F]{2})$/.test(what)) return { kind: 'step', vcpu };
  if (!what.startsWith('r')) return undefined;
  const [from, to] = what.slice(1).split(',').map(parseNumber);
  return from === undefined || to === undefined ? undefined : { kind: 'range', vcpu, from, to };
}
