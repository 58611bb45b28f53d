/**
 * Operand size of the system instructions whose encodings do not show it in an operand: far transfers, flags, ports, far pointers.
 * SDM 1 §3.6 "Operand-Size and Address-Size Attributes".
 */

import { Code } from 'iced-x86';
import type { InsnView } from '../insn-view.js';

const BYTE = [Code.In_AL_imm8, Code.In_AL_DX, Code.Out_imm8_AL, Code.Out_DX_AL, Code.Insb_m8_DX, Code.Outsb_DX_m8];
const WORD = [
  Code.Jmp_ptr1616, Code.Jmp_m1616, Code.Call_ptr1616, Code.Call_m1616, Code.Retfw, Code.Retfw_imm16, Code.Iretw, Code.Pushfw, Code.Popfw,
  Code.Popw_ES, Code.Popw_SS, Code.Popw_DS, Code.Popw_FS, Code.Popw_GS, Code.In_AX_imm8, Code.In_AX_DX, Code.Out_imm8_AX, Code.Out_DX_AX,
  Code.Insw_m16_DX, Code.Outsw_DX_m16, Code.Les_r16_m1616, Code.Lds_r16_m1616, Code.Lss_r16_m1616, Code.Lfs_r16_m1616, Code.Lgs_r16_m1616,
  Code.Lgdt_m1632_16, Code.Lidt_m1632_16,
];
const DOUBLEWORD = [
  Code.Jmp_ptr1632, Code.Jmp_m1632, Code.Call_ptr1632, Code.Call_m1632, Code.Retfd, Code.Retfd_imm16, Code.Iretd, Code.Pushfd, Code.Popfd,
  Code.Popd_ES, Code.Popd_SS, Code.Popd_DS, Code.Popd_FS, Code.Popd_GS, Code.In_EAX_imm8, Code.In_EAX_DX, Code.Out_imm8_EAX, Code.Out_DX_EAX,
  Code.Insd_m32_DX, Code.Outsd_DX_m32, Code.Les_r32_m1632, Code.Lds_r32_m1632, Code.Lss_r32_m1632, Code.Lfs_r32_m1632, Code.Lgs_r32_m1632,
  Code.Lgdt_m1632, Code.Lidt_m1632, Code.Sysretd, Code.Sysexitd,
];
const QUADWORD = [
  Code.Jmp_m1664, Code.Call_m1664, Code.Retfq, Code.Retfq_imm16, Code.Iretq, Code.Pushfq, Code.Popfq, Code.Popq_FS, Code.Popq_GS,
  Code.Lss_r64_m1664, Code.Lfs_r64_m1664, Code.Lgs_r64_m1664, Code.Lgdt_m1664, Code.Lidt_m1664, Code.Sysretq, Code.Sysexitq,
];

const SIZES = new Map<number, number>();
for (const [list, size] of [[BYTE, 1], [WORD, 2], [DOUBLEWORD, 4], [QUADWORD, 8]] as const) for (const code of list) SIZES.set(code, size);

/** Operand size in bytes. Throws for an encoding that is not in the table: a programming error. */
export function operandBytes(insn: InsnView): 1 | 2 | 4 | 8 {
  const size = SIZES.get(insn.code);
  if (size === undefined) throw new Error(`${Code[insn.code]} has no entry in the table of operand sizes`);
  return size as 1 | 2 | 4 | 8;
}
