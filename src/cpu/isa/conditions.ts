/** The sixteen conditions of Jcc, SETcc and CMOVcc in the order of their encoding. SDM 1 Appendix B "EFLAGS Condition Codes". */

import type { ConditionCode } from '../builder.js';

/** [suffix as the manual prefers it, builder's name, which is also the suffix of iced's mnemonics]. */
export const CONDITIONS: readonly (readonly [string, ConditionCode])[] = [
  ['O', 'o'], ['NO', 'no'], ['B', 'b'], ['AE', 'ae'], ['E', 'e'], ['NE', 'ne'], ['BE', 'be'], ['A', 'a'],
  ['S', 's'], ['NS', 'ns'], ['P', 'p'], ['NP', 'np'], ['L', 'l'], ['GE', 'ge'], ['LE', 'le'], ['G', 'g'],
];
