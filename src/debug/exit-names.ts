/** Names of VM exits, as each manual has them, and how people may write them. */

import type { ExtensionKind } from '../machine/extension.js';
import { exitName } from '../svm/index.js';
import { allExitCodes } from '../svm/intercepts.js';
import { REASON_NAMES } from '../vtx/index.js';

/** @param code `a` of PROBE.vmExit: exit reason or exit code */
export const exitReasonName = (extension: ExtensionKind, code: number): string =>
  extension === 'svm' ? exitName(code) : (REASON_NAMES[code & 0xffff] ?? `exit reason ${code & 0xffff}`);

const plain = (name: string): string => name.toLowerCase().replace(/^(vmexit|exit)[_ ]/, '').replace(/[^a-z0-9]/g, '');

/** Case, spaces, hyphens and a leading VMEXIT_ do not matter. */
export const sameReason = (wanted: string, name: string): boolean => plain(wanted) === plain(name);

/** All names that exits of this extension can have. */
export const exitReasonNames = (extension: ExtensionKind): string[] =>
  extension === 'svm' ? allExitCodes().map(exitName) : REASON_NAMES.filter((n): n is NonNullable<typeof n> => n !== undefined);
