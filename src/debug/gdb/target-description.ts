/** The target description that gdb reads with qXfer: features and registers as XML. gdb manual, appendix G "Target Descriptions". */

import type { Feature, Register } from './registers.js';

const registerXml = (r: Register): string =>
  `<reg name="${r.name}" bitsize="${r.bits}" type="${r.type}"${r.group === undefined ? '' : ` group="${r.group}"`}${r.write === undefined ? ' save-restore="no"' : ''}/>\n`;

const featureXml = (f: Feature): string => `<feature name="${f.name}">\n${f.types}${f.registers.map(registerXml).join('')}</feature>\n`;

/** Always 64-bit: gdb cannot change the architecture of a target that it is connected to. */
export const targetDescription = (features: readonly Feature[]): string =>
  `<?xml version="1.0"?>\n<!DOCTYPE target SYSTEM "gdb-target.dtd">\n<target version="1.0">\n<architecture>i386:x86-64</architecture>\n${features.map(featureXml).join('')}</target>\n`;
