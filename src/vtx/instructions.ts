/**
 * The VMX instructions.
 *
 * SDM 3C chapter 31 "VMX Instruction Reference": §31.2 "Conventions" (VMsucceed, VMfailInvalid, VMfailValid), §31.3 "VMX
 * Instructions", §31.4 "VM Instruction Error Numbers"; the order of checks is that of each instruction's operation section.
 *
 * Invariant: on a processor without VT-x (no Vmx behind `cpu.virt`) every one of them is #UD.
 */

import { reportSystemCall } from '../cpu/system/fast-calls.js';
import { Mnemonic } from 'iced-x86';
import type { Cpu } from '../cpu/cpu.js';
import { GP, UD } from '../cpu/events.js';
import { type HelperResult, type InsnHelper, LEAVE, NEXT, allForms, helper, insn } from '../cpu/insn.js';
import type { InsnView } from '../cpu/insn-view.js';
import { PROBE, type InterceptOp } from '../cpu/ports.js';
import { CF, CR0_PE, CR4_VMXE, S, STATUS_FLAGS, VM, ZF } from '../cpu/state.js';
import { ERROR, FEATURE_CONTROL } from './controls.js';
import { vmEntry } from './entry.js';
import { canonical } from './entry-checks.js';
import { F, type Field, LAUNCH_OFFSET, REVISION_OFFSET, fieldOf } from './fields.js';
import { VmxPort } from './intercepts.js';
import { NO_VMCS, type Vmx } from './vmx.js';

const SHADOW_BY_MOV_SS = 2;

function setStatus(cpu: Cpu, bits: number): void {
  cpu.s.rflags = (cpu.s.rflags & ~STATUS_FLAGS) | bits;
}
function succeed(cpu: Cpu): HelperResult {
  setStatus(cpu, 0);
  return NEXT;
}
function failInvalid(cpu: Cpu): HelperResult {
  setStatus(cpu, CF);
  return NEXT;
}
/** VMfail: with a current VMCS, ZF and the VM-instruction error field; without, VMfailInvalid. */
function fail(x: Vmx, cpu: Cpu, error: number): HelperResult {
  if (x.currentPointer === NO_VMCS) return failInvalid(cpu);
  setStatus(cpu, ZF);
  x.set32(F.VM_INSTRUCTION_ERROR, error);
  return NEXT;
}

/** Modes in which VMX instructions do not exist: real, virtual-8086, compatibility. */
function unavailableMode(cpu: Cpu): boolean {
  const { s } = cpu;
  return (s.cr0 & CR0_PE) === 0 || (!s.longMode && (s.get32(S.rflagsRest) & VM) !== 0) || (s.longMode && !s.mode64);
}

type Body = (x: VmxPort, cpu: Cpu, i: InsnView) => HelperResult;

/** The common beginning: #UD, VM exit, #GP. `exists`: the capability that the instruction needs. */
const vmxInstruction =
  (op: InterceptOp, body: Body, exists: (x: Vmx) => boolean = () => true): InsnHelper =>
  (cpu, i) => {
    const x = cpu.virt;
    if (!(x instanceof VmxPort) || !x.on || !exists(x) || unavailableMode(cpu)) return cpu.raise(UD);
    if (cpu.inGuest) {
      x.instruction(cpu, op);
      return LEAVE;
    }
    if (cpu.s.cpl !== 0) return cpu.raise(GP, 0);
    return body(x, cpu, i);
  };

/** A 64-bit memory operand that names a region: its physical address, or NO_VMCS when it is not one. */
function regionPointer(cpu: Cpu, i: InsnView): number {
  const v = i.read(0);
  return (v & 0xfffn) !== 0n || v >> BigInt(cpu.physicalAddressBits) !== 0n ? NO_VMCS : Number(v);
}

/** Bits 31:0 of a region: revision identifier and, in bit 31, the shadow-VMCS indicator. */
const revisionAt = (cpu: Cpu, hpa: number): number => Number(cpu.readPhys(hpa + REVISION_OFFSET, 4));

const vmxon: InsnHelper = (cpu, i) => {
  const x = cpu.virt;
  if (!(x instanceof VmxPort) || unavailableMode(cpu) || (cpu.s.cr4 & CR4_VMXE) === 0) return cpu.raise(UD);
  if (x.on) {
    if (cpu.inGuest) {
      x.instruction(cpu, 'VMXON');
      return LEAVE;
    }
    if (cpu.s.cpl !== 0) return cpu.raise(GP, 0);
    return fail(x, cpu, ERROR.vmxonInRoot);
  }
  const enabled = FEATURE_CONTROL.lock | FEATURE_CONTROL.vmxOutsideSmx;
  if (cpu.s.cpl !== 0 || (~cpu.s.cr0 & x.caps.cr0Fixed1s(false)) !== 0 || !x.cr4Ok(cpu, cpu.s.cr4) || (x.featureControl & enabled) !== enabled) return cpu.raise(GP, 0);
  const pointer = regionPointer(cpu, i);
  if (pointer === NO_VMCS || revisionAt(cpu, pointer) !== x.caps.revision) return failInvalid(cpu);
  x.vmxonPointer = pointer;
  x.currentPointer = NO_VMCS;
  x.on = true;
  return succeed(cpu);
};

const vmxoff: Body = (x, cpu) => {
  x.on = false;
  x.vmxonPointer = x.currentPointer = NO_VMCS;
  setStatus(cpu, 0);
  return cpu.finish();
};

const vmclear: Body = (x, cpu, i) => {
  const pointer = regionPointer(cpu, i);
  if (pointer === NO_VMCS) return fail(x, cpu, ERROR.vmclearAddress);
  if (pointer === x.vmxonPointer) return fail(x, cpu, ERROR.vmclearVmxon);
  // The fields are in memory already; what is left is the launch state.
  cpu.writePhys(pointer + LAUNCH_OFFSET, 4, 0n);
  if (pointer === x.currentPointer) x.currentPointer = NO_VMCS;
  return succeed(cpu);
};

const vmptrld: Body = (x, cpu, i) => {
  const pointer = regionPointer(cpu, i);
  if (pointer === NO_VMCS) return fail(x, cpu, ERROR.vmptrldAddress);
  if (pointer === x.vmxonPointer) return fail(x, cpu, ERROR.vmptrldVmxon);
  const at = cpu.phys.address(pointer);
  // VMCS shadowing is not offered, so a set shadow indicator is a wrong identifier. Devices hold no VMCS.
  if (at < 0 || revisionAt(cpu, pointer) !== x.caps.revision) return fail(x, cpu, ERROR.vmptrldRevision);
  x.load(pointer, at);
  return succeed(cpu);
};

const vmptrst: Body = (x, cpu, i) => {
  i.write(0, x.currentPointer === NO_VMCS ? 0xffff_ffff_ffff_ffffn : BigInt(x.currentPointer));
  return succeed(cpu);
};

/** The field that register operand `i` names, if this processor has it. */
function namedField(x: Vmx, cpu: Cpu, i: InsnView, operand: number): Field | undefined {
  const at = i.registerAddress(operand);
  if (i.width(operand) === 64 && cpu.s.get32(at + 4) !== 0) return undefined;
  const f = fieldOf(cpu.s.get32(at));
  return f !== undefined && x.caps.hasAll(f.needs) ? f : undefined;
}
/** An odd encoding names the upper half of a 64-bit field. */
const isUpperHalf = (encoding: number): boolean => (encoding & 1) !== 0;

const vmread: Body = (x, cpu, i) => {
  if (x.currentPointer === NO_VMCS) return failInvalid(cpu);
  const f = namedField(x, cpu, i, 1);
  if (f === undefined) return fail(x, cpu, ERROR.unsupportedField);
  const upper = isUpperHalf(cpu.s.get32(i.registerAddress(1))), to = i.registerAddress(0);
  const low = upper ? x.get32(f.offset + 4) : x.get32(f.offset);
  // Outside 64-bit mode the destination is 32 bits wide and takes the low half of wider fields.
  const high = upper || i.width(0) === 32 ? 0 : x.get32(f.offset + 4);
  if (to === 0) i.write(0, (BigInt(high) << 32n) | BigInt(low));
  else {
    cpu.s.set32(to, low);
    cpu.s.set32(to + 4, high);
  }
  return succeed(cpu);
};

const vmwrite: Body = (x, cpu, i) => {
  if (x.currentPointer === NO_VMCS) return failInvalid(cpu);
  const { s } = cpu, from = i.registerAddress(1);
  const source = from === 0 ? i.read(1) : 0n;
  let low = from === 0 ? Number(source & 0xffff_ffffn) : s.get32(from);
  let high = from === 0 ? Number(source >> 32n) : i.width(1) === 64 ? s.get32(from + 4) : 0;
  const f = namedField(x, cpu, i, 0);
  if (f === undefined) return fail(x, cpu, ERROR.unsupportedField);
  if (f.type === 'read-only' && !x.caps.has('vmwrite-any-field')) return fail(x, cpu, ERROR.readOnlyField);
  const encoding = s.get32(i.registerAddress(0));
  if (isUpperHalf(encoding)) {
    high = low;
    low = x.get32(f.offset);
  } else if (f.width === 32 || f.width === 16) {
    high = 0;
    if (f.width === 16) low &= 0xffff;
  }
  // What has not changed need not be checked again.
  if (x.get32(f.offset) !== low || x.get32(f.offset + 4) !== high) x.dirty |= f.group;
  x.setHalves(f.offset, low, high);
  if (cpu.probe.active) cpu.probe.emit(PROBE.vmwrite, cpu.now(), cpu.id, encoding, 0, x.currentPointer, high * 0x1_0000_0000 + low);
  return succeed(cpu);
};

const enter =
  (launch: boolean): Body =>
  (x, cpu) => {
    if (x.currentPointer === NO_VMCS) return failInvalid(cpu);
    if (cpu.s.get32(S.interruptShadow) === SHADOW_BY_MOV_SS) return fail(x, cpu, ERROR.entryMovSsBlocking);
    if (launch && x.launched) return fail(x, cpu, ERROR.vmlaunchNotClear);
    if (!launch && !x.launched) return fail(x, cpu, ERROR.vmresumeNotLaunched);
    const error = vmEntry(x, cpu, launch);
    return error !== 0 ? fail(x, cpu, error) : LEAVE;
  };

/** VMCALL exits from any privilege level and mode of a guest; in VMX root operation there is no dual-monitor treatment to call. */
const vmcall: InsnHelper = (cpu) => {
  const x = cpu.virt;
  if (!(x instanceof VmxPort) || !x.on) return cpu.raise(UD);
  if (cpu.inGuest) {
    reportSystemCall(cpu);
    x.instruction(cpu, 'VMCALL');
    return LEAVE;
  }
  if (unavailableMode(cpu)) return cpu.raise(UD);
  if (cpu.s.cpl !== 0) return cpu.raise(GP, 0);
  return fail(x, cpu, ERROR.vmcallInRoot);
};

/** Reads the 128-bit descriptor of INVEPT and INVVPID. */
function descriptor(cpu: Cpu, i: InsnView): { low: bigint; high: bigint } {
  const ea = i.ea();
  const mask = (1n << BigInt(i.addressWidth)) - 1n;
  return { low: cpu.readSegment(i.segment, ea, 8), high: cpu.readSegment(i.segment, (ea + 8n) & mask, 8) };
}

const invept: Body = (x, cpu, i) => {
  const type = i.read(0);
  if (type !== 1n && type !== 2n) return fail(x, cpu, ERROR.invalidOperand);
  const { low } = descriptor(cpu, i);
  if (type === 1n) {
    if (!eptpOk(x, cpu, low)) return fail(x, cpu, ERROR.invalidOperand);
    const root = Number(low & ~0xfffn);
    x.flushTags(cpu, (_vpid, r) => r === root);
  } else x.flushTags(cpu, (_vpid, r) => r !== NO_VMCS);
  cpu.timing?.flush('all', cpu.addressSpaceTag);
  return succeed(cpu);
};

/** Would VM entry accept this EPT pointer? */
function eptpOk(x: Vmx, cpu: Cpu, eptp: bigint): boolean {
  const type = eptp & 7n;
  const reserved = (eptp & 0xf80n) !== 0n || eptp >> BigInt(cpu.physicalAddressBits) !== 0n;
  return (type === 0n || type === 6n) && ((eptp >> 3n) & 7n) === 3n && !reserved && ((eptp & 0x40n) === 0n || x.caps.has('ept-accessed-dirty'));
}

const INVVPID = { address: 0n, single: 1n, all: 2n, singleKeepGlobals: 3n } as const;

const invvpid: Body = (x, cpu, i) => {
  const type = i.read(0);
  if (type > 3n) return fail(x, cpu, ERROR.invalidOperand);
  const { low, high } = descriptor(cpu, i);
  const vpid = Number(low & 0xffffn);
  if (low >> 16n !== 0n) return fail(x, cpu, ERROR.invalidOperand);
  if (type !== INVVPID.all && vpid === 0) return fail(x, cpu, ERROR.invalidOperand);
  if (type === INVVPID.address && !canonical(high)) return fail(x, cpu, ERROR.invalidOperand);
  if (type === INVVPID.all) x.flushTags(cpu, (v) => v !== 0);
  // Global translations may be dropped too: retaining them is a permission, not a promise.
  else x.flushTags(cpu, (v) => v === vpid, type === INVVPID.address ? high : undefined);
  cpu.timing?.flush(type === INVVPID.address ? 'page' : type === INVVPID.all ? 'all' : 'context', cpu.addressSpaceTag, high);
  return succeed(cpu);
};

const define = (name: InterceptOp, mnemonic: Mnemonic, fn: InsnHelper): void => {
  insn(name, { forms: allForms(mnemonic), body: helper(fn), endsBlock: true, exits: { vmx: { reason: name, when: 'always' } } });
};

define('VMXON', Mnemonic.Vmxon, vmxon);
define('VMXOFF', Mnemonic.Vmxoff, vmxInstruction('VMXOFF', vmxoff));
define('VMCLEAR', Mnemonic.Vmclear, vmxInstruction('VMCLEAR', vmclear));
define('VMPTRLD', Mnemonic.Vmptrld, vmxInstruction('VMPTRLD', vmptrld));
define('VMPTRST', Mnemonic.Vmptrst, vmxInstruction('VMPTRST', vmptrst));
define('VMREAD', Mnemonic.Vmread, vmxInstruction('VMREAD', vmread));
define('VMWRITE', Mnemonic.Vmwrite, vmxInstruction('VMWRITE', vmwrite));
define('VMLAUNCH', Mnemonic.Vmlaunch, vmxInstruction('VMLAUNCH', enter(true)));
define('VMRESUME', Mnemonic.Vmresume, vmxInstruction('VMRESUME', enter(false)));
define('VMCALL', Mnemonic.Vmcall, vmcall);
define('INVEPT', Mnemonic.Invept, vmxInstruction('INVEPT', invept, (x) => x.caps.has('ept')));
define('INVVPID', Mnemonic.Invvpid, vmxInstruction('INVVPID', invvpid, (x) => x.caps.has('vpid')));

// "Enable VM functions" is not offered, and outside VMX non-root operation VMFUNC does not exist.
insn('VMFUNC', { forms: allForms(Mnemonic.Vmfunc), body: helper((cpu) => cpu.raise(UD)), endsBlock: true });
