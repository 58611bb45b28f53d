/** MOV to and from debug registers. SDM 3B §17.2 "Debug Registers"; SDM 2, "MOV—Move to/from Debug Registers". */

import type { Cpu } from '../cpu.js';
import { GP, UD } from '../events.js';
import type { InsnView } from '../insn-view.js';
import { type HelperResult, LEAVE, NEXT } from '../insn.js';
import { CR4_DE, S } from '../state.js';
import { DR6_BD, DR6_FIXED, DR7_FIXED, DR7_GD, raiseDebug } from './debug.js';
import { requireCpl0 } from './privilege.js';

const DR6_WRITABLE = 0xe00f, DR7_WRITABLE = 0xffff_23ff;

/**
 * The register really meant: DR4 and DR5 are DR6 and DR7 unless debugging extensions are on (then #UD). The extension is asked
 * about the number in the instruction.
 */
function resolve(cpu: Cpu, encoded: number, write: boolean, reg: number): number | 'left' {
  if (encoded > 7) cpu.raise(UD);
  const alias = encoded === 4 || encoded === 5;
  if (alias && cpu.s.cr4 & CR4_DE) cpu.raise(UD);
  const n = alias ? encoded + 2 : encoded;
  requireCpl0(cpu);
  if (cpu.inGuest && cpu.virt?.drAccess(cpu, encoded, write, reg)) return 'left';
  if (cpu.s.get32(S.dr + 56) & DR7_GD) raiseDebug(cpu, DR6_BD);
  return n;
}

export function movFromDr(cpu: Cpu, insn: InsnView): HelperResult {
  const s = cpu.s;
  const reg = insn.register(0);
  const n = resolve(cpu, insn.register(1), false, reg);
  if (n === 'left') return LEAVE;
  const v = s.get64(S.dr + 8 * n);
  if (s.mode64) s.setGpr(reg, v);
  else s.setGpr32(reg, Number(v & 0xffff_ffffn));
  return NEXT;
}

export function movToDr(cpu: Cpu, insn: InsnView): HelperResult {
  const s = cpu.s;
  const reg = insn.register(1);
  const n = resolve(cpu, insn.register(0), true, reg);
  if (n === 'left') return LEAVE;
  const v = s.mode64 ? s.gpr(reg) : BigInt(s.gpr32(reg));
  if (n >= 6 && v >> 32n) cpu.raise(GP, 0);
  if (n === 6) s.set64(S.dr + 48, BigInt(((Number(v) & DR6_WRITABLE) | DR6_FIXED) >>> 0));
  else if (n === 7) s.set64(S.dr + 56, BigInt(((Number(v) & DR7_WRITABLE) | DR7_FIXED) >>> 0));
  else s.set64(S.dr + 8 * n, v);
  if (n === 6) return NEXT;
  cpu.modeChanged(); // data breakpoints may need the slow path now
  return cpu.finish();
}
