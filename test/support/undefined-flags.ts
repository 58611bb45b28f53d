/**
 * Status flags that the manuals leave undefined, by instruction: SDM 2 and APM 3, "Flags Affected" of each. Typed from the
 * manuals, not taken from the model. What one processor does with them is in the vectors; another may do otherwise.
 */

import { AF, CF, OF, PF, SF, ZF } from '../../src/cpu/state.js';

const ALL = CF | PF | AF | ZF | SF | OF;

/** @param name iced's name of the form @param count masked shift count, for shifts and rotates @param width operand width in bits */
export function undefinedFlags(name: string, count: number, width: number): number {
  const mnemonic = name.split('_')[0]!;
  switch (mnemonic) {
    case 'And': case 'Or': case 'Xor': case 'Test':
      return AF;
    case 'Shl': case 'Sal': case 'Shr': case 'Sar':
      if (count === 0) return 0;
      return AF | (count === 1 ? 0 : OF) | (mnemonic !== 'Sar' && count >= width ? CF : 0);
    case 'Rol': case 'Ror': case 'Rcl': case 'Rcr':
      return count === 0 || count === 1 ? 0 : OF;
    case 'Shld': case 'Shrd':
      return count === 0 ? 0 : count > width ? ALL : AF | (count === 1 ? 0 : OF);
    case 'Mul': case 'Imul':
      return SF | ZF | AF | PF;
    case 'Div': case 'Idiv':
      return ALL;
    case 'Bsf': case 'Bsr':
      return CF | OF | SF | AF | PF;
    case 'Tzcnt': case 'Lzcnt':
      return OF | SF | AF | PF;
    case 'Bt': case 'Bts': case 'Btr': case 'Btc':
      return OF | SF | AF | PF;
    case 'Daa': case 'Das':
      return OF;
    case 'Aaa': case 'Aas':
      return OF | SF | ZF | PF;
    case 'Aam': case 'Aad':
      return OF | AF | CF;
    default:
      return 0;
  }
}
