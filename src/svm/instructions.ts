/**
 * VMRUN, VMLOAD, VMSAVE, STGI, CLGI, VMMCALL, INVLPGA and SKINIT.
 *
 * APM 3 chapter 4 "System Instruction Reference", under these names; APM 2 §15.5 "VMRUN Instruction", §15.17 "Global Interrupt Flag, STGI
 * and CLGI Instructions", §15.18 "VMMCALL Instruction", §15.16.2 "Invalidate Page, Alternate ASID".
 *
 * Order of checks for all but VMMCALL: #UD (EFER.SVME, protected mode), #GP(0) (CPL), intercept, then #GP(0) for the operand
 * (APM 2 §15.7 "Intercept Operation": before "exceptions based on specific operand values"). On a processor without SVM all are #UD.
 *
 * Deviations: a VMCB or host save area must lie in RAM; elsewhere VMRUN, VMLOAD and VMSAVE raise #GP(0) as for an unsupported
 * physical address. SKINIT is never advertised and always #UD.
 */

import { reportSystemCall } from '../cpu/system/fast-calls.js';
import { Mnemonic } from 'iced-x86';
import type { Cpu } from '../cpu/cpu.js';
import { GP, UD } from '../cpu/events.js';
import { LEAVE, NEXT, allForms, helper, insn, type HelperResult } from '../cpu/insn.js';
import type { InsnView } from '../cpu/insn-view.js';
import type { InterceptOp } from '../cpu/ports.js';
import { CR0_PE, EFER_SVME, RAX, S, VM } from '../cpu/state.js';
import { enterGuest } from './entry.js';
import { VmcbView } from './fields.js';
import { svmOf } from './msrs.js';
import { loadExtra, saveExtra } from './save-area.js';
import type { SvmRegisters } from './state.js';

/** #UD unless SVM is on and the processor is in protected mode; #GP(0) unless CPL is 0. */
function privileged(cpu: Cpu): SvmRegisters {
  const r = svmOf(cpu), s = cpu.s;
  const v86 = (s.get32(S.rflagsRest) & VM) !== 0 && !s.longMode;
  if (r === null || (s.efer & EFER_SVME) === 0 || (s.cr0 & CR0_PE) === 0 || v86) return cpu.raise(UD);
  if (s.cpl !== 0) return cpu.raise(GP, 0);
  return r;
}

const intercepted = (cpu: Cpu, op: InterceptOp): boolean => cpu.inGuest && cpu.virt!.instruction(cpu, op);

/** rAX by address size, as a number (exact below 2^53, and larger than any physical address otherwise). */
function operandAddress(cpu: Cpu, view: InsnView): number {
  const low = cpu.s.get32(S.gpr + 8 * RAX);
  if (view.addressWidth === 16) return low & 0xffff;
  return view.addressWidth === 64 ? cpu.s.get32(S.gpr + 8 * RAX + 4) * 0x1_0000_0000 + low : low;
}

/** A page-aligned, supported physical address of memory, or #GP(0). */
function vmcbAddress(cpu: Cpu, view: InsnView): number {
  const pa = operandAddress(cpu, view);
  if (pa % 4096 !== 0 || pa >= 2 ** cpu.physicalAddressBits || !isMemory(cpu, pa)) cpu.raise(GP, 0);
  return pa;
}

const isMemory = (cpu: Cpu, pa: number): boolean => cpu.phys.address(pa) >= 0 && cpu.phys.writable(pa);

function vmrun(cpu: Cpu, view: InsnView): HelperResult {
  const r = privileged(cpu);
  if (intercepted(cpu, 'VMRUN')) return LEAVE;
  const pa = vmcbAddress(cpu, view);
  if (!isMemory(cpu, r.hsavePa)) cpu.raise(GP, 0);
  enterGuest(r, cpu, pa);
  return LEAVE;
}

function vmload(cpu: Cpu, view: InsnView): HelperResult {
  privileged(cpu);
  if (intercepted(cpu, 'VMLOAD')) return LEAVE;
  loadExtra(new VmcbView(cpu.m, cpu.phys.address(vmcbAddress(cpu, view))));
  cpu.modeChanged();
  return cpu.finish();
}

function vmsave(cpu: Cpu, view: InsnView): HelperResult {
  privileged(cpu);
  if (intercepted(cpu, 'VMSAVE')) return LEAVE;
  const pa = vmcbAddress(cpu, view);
  saveExtra(new VmcbView(cpu.m, cpu.phys.address(pa)));
  cpu.phys.onWrite?.(pa, 4096);
  return NEXT;
}

const setGif = (op: 'STGI' | 'CLGI', value: boolean) => (cpu: Cpu): HelperResult => {
  const r = privileged(cpu);
  if (intercepted(cpu, op)) return LEAVE;
  r.gif = value;
  return cpu.finish();
};

/** No CPL check, "so the VMM can decide whether to make this instruction legal at the user-level or not". */
function vmmcall(cpu: Cpu): HelperResult {
  if (svmOf(cpu) !== null && cpu.inGuest) reportSystemCall(cpu);
  if (svmOf(cpu) !== null && intercepted(cpu, 'VMMCALL')) return LEAVE;
  return cpu.raise(UD);
}

/** Linear address in rAX, ASID in ECX. */
function invlpga(cpu: Cpu, view: InsnView): HelperResult {
  privileged(cpu);
  if (intercepted(cpu, 'INVLPGA')) return LEAVE;
  const rax = cpu.s.gpr(RAX);
  const linear = view.addressWidth === 64 ? rax : BigInt.asUintN(view.addressWidth, rax);
  const asid = cpu.s.gpr32(1);
  cpu.flushTag(asid, linear);
  cpu.timing?.flush('page', asid, linear);
  return cpu.finish();
}

/** One description: the iced mnemonic has one form for each address size. */
const describe = (name: InterceptOp, mnemonic: Mnemonic, fn: (cpu: Cpu, view: InsnView) => HelperResult, cpl0 = true): void => {
  insn(name, {
    forms: allForms(mnemonic),
    endsBlock: true,
    cpl0,
    exits: { svm: { code: name, when: `INTERCEPT_${name}` } },
    body: helper(fn),
  });
};

describe('VMRUN', Mnemonic.Vmrun, vmrun);
describe('VMLOAD', Mnemonic.Vmload, vmload);
describe('VMSAVE', Mnemonic.Vmsave, vmsave);
describe('STGI', Mnemonic.Stgi, setGif('STGI', true));
describe('CLGI', Mnemonic.Clgi, setGif('CLGI', false));
describe('VMMCALL', Mnemonic.Vmmcall, vmmcall, false);
describe('INVLPGA', Mnemonic.Invlpga, invlpga);
describe('SKINIT', Mnemonic.Skinit, (cpu) => cpu.raise(UD));
