/** Every exit that either extension can produce has a composer, and what it says is made of the facts it was given. */
import { describe, expect, it } from 'vitest';
import { ENTRY_CHECKS } from '../../svm/entry-checks.js';
import { VMCB } from '../../svm/fields.js';
import { allExitCodes, exitName, INTERCEPTS } from '../../svm/intercepts.js';
import { PROC, PROC2, REASON } from '../../vtx/controls.js';
import { F, type FieldName } from '../../vtx/fields.js';
import { RULES } from '../../vtx/intercepts.js';
import { type Explanation, Subject } from './explanation.js';
import { SVM_RULE_FIELDS } from './failed-rule.js';
import { BLOCK_WORD, ExitFacts, GPR_WORD, KIND, RECORD_WORDS, W } from './facts.js';
import { explainSvm } from './svm-sentences.js';
import { explainVmx } from './vmx-sentences.js';

type Values = Partial<Record<FieldName, number | bigint>>;

function subject(kind: number, code: number, write: (words: Uint32Array) => void, bytes: readonly number[] = []): Subject {
  const words = new Uint32Array(RECORD_WORDS);
  words[W.kind] = kind;
  words[W.code] = code;
  words[W.count] = bytes.length;
  bytes.forEach((b, i) => (words[W.bytes + (i >>> 2)]! |= b << (8 * (i & 3))));
  write(words);
  return new Subject(new ExitFacts(words), (i) => (i === 0x174 ? 'IA32_SYSENTER_CS' : undefined));
}
const put64 = (words: Uint32Array, at: number, v: bigint): void => {
  words[at] = Number(v & 0xffff_ffffn);
  words[at + 1] = Number(v >> 32n);
};
const LONG: Values = { GUEST_CR0: 0x8000_0031, GUEST_CS_ACCESS_RIGHTS: 0xa09b, VM_ENTRY_CONTROLS: 1 << 9, GUEST_RIP: 0x1000 };
const vmx = (code: number, fields: Values = {}, more: (w: Uint32Array) => void = () => undefined, bytes?: readonly number[]): Explanation =>
  explainVmx(subject(KIND.vmxExit, code, (w) => {
    for (const [name, v] of Object.entries({ ...LONG, ...fields })) put64(w, BLOCK_WORD + F[name as FieldName] / 4, BigInt(v));
    more(w);
  }, bytes))!;
const svm = (code: number, fields: Readonly<Record<number, bigint>> = {}, more: (w: Uint32Array) => void = () => undefined, bytes?: readonly number[]): Explanation =>
  explainSvm(subject(KIND.svmExit, code, (w) => {
    put64(w, BLOCK_WORD + VMCB.CR0 / 4, 0x8000_0031n);
    for (const [offset, v] of Object.entries(fields)) put64(w, BLOCK_WORD + Number(offset) / 4, v);
    more(w);
  }, bytes))!;
const map = (address: number, bytes: number) => (w: Uint32Array): void => {
  w[W.mapAt] = address;
  w[W.mapByte] = bytes;
  w[W.mapKnown] = 1;
};

describe('a composer for every exit', () => {
  it.each(Object.entries(REASON))('VT-x %s', (_name, code) => {
    const e = vmx(code);
    expect(e.text.length).toBeGreaterThan(20);
    expect(e.text).not.toMatch(/undefined|NaN|\[object/);
    expect(e.section).toMatch(/^SDM 3C (§[\d.]+ )?".+"$/);
  });
  it('VT-x: also for what the rules of instructions lead to', () => {
    for (const rule of Object.values(RULES)) expect(vmx(rule.reason).text).toMatch(/exited because/);
  });
  it.each(allExitCodes().map((c) => [exitName(c), c] as const))('SVM %s', (_name, code) => {
    const e = svm(code);
    expect(e.text.length).toBeGreaterThan(20);
    expect(e.text).not.toMatch(/undefined|NaN|\[object/);
    expect(e.section).toMatch(/^APM 2 §[\d.]+ ".+"$/);
  });
  it('SVM: every rule of VMRUN says which fields it is about', () => {
    expect(Object.keys(SVM_RULE_FIELDS).sort()).toEqual(ENTRY_CHECKS.map((r) => r.id).sort());
  });
});

describe('VT-x', () => {
  const io = (port: number, q: number): Values => ({ EXIT_QUALIFICATION: ((port << 16) | q) >>> 0, PRIMARY_PROCESSOR_BASED_CONTROLS: PROC.useIoBitmaps });

  it('a port access names bitmap, byte and bit', () => {
    const e = vmx(REASON.IO_INSTRUCTION, io(0x1f7, 0), (w) => {
      w[GPR_WORD] = 0x1234_5620;
      map(0x803e, 0x80)(w);
    });
    expect(e.text).toBe('OUT 0x1F7 (AL = 0x20) in ring 0 exited because bit 7 of byte 0x3E of I/O bitmap A is set');
    expect(e.control).toEqual({ kind: 'memory', address: 0x803e, mask: 0x80 });
  });
  it('a wide one names the port whose bit is set, also across a byte', () => {
    const e = vmx(REASON.IO_INSTRUCTION, io(0x8cf6, 3 | 8), map(0x919e, 0x0100));
    expect(e.text).toBe('IN 0x8CF6 (4 bytes) in ring 0 exited because bit 0 of byte 0x19F of I/O bitmap B (port 0x8CF8) is set');
    expect(e.control).toEqual({ kind: 'memory', address: 0x919f, mask: 1 });
  });
  it('without bitmaps the unconditional control decides', () => {
    const e = vmx(REASON.IO_INSTRUCTION, { EXIT_QUALIFICATION: 0x60 << 16, PRIMARY_PROCESSOR_BASED_CONTROLS: PROC.unconditionalIoExiting });
    expect(e.text).toContain('"Unconditional I/O exiting" (bit 24 of the primary processor-based VM-execution controls) is 1');
    expect(e.control).toEqual({ kind: 'vmcs', encoding: 0x4002, mask: 1 << 24 });
  });
  it('an MSR access names the bitmap for its range', () => {
    const e = vmx(REASON.WRMSR, { PRIMARY_PROCESSOR_BASED_CONTROLS: PROC.useMsrBitmaps }, (w) => {
      w[GPR_WORD] = 8;
      w[GPR_WORD + 2] = 0x174;
      map(0xa82e, 0x10)(w);
    });
    expect(e.text).toBe('WRMSR of 0x8 to 0x174 (IA32_SYSENTER_CS) in ring 0 exited because bit 4 of byte 0x82E of the MSR bitmaps (write bitmap for low MSRs) is set');
  });
  it('an MSR outside the bitmaps has nobody who asked', () => {
    const e = vmx(REASON.RDMSR, { PRIMARY_PROCESSOR_BASED_CONTROLS: PROC.useMsrBitmaps }, (w) => (w[GPR_WORD + 2] = 0x4000_0000));
    expect(e.text).toContain('outside the ranges');
    expect(e.control).toBeUndefined();
  });
  it('MOV to CR0 names the bits that the host owns', () => {
    const e = vmx(REASON.CR_ACCESS, { EXIT_QUALIFICATION: 3 << 8, CR0_GUEST_HOST_MASK: 0x8000_0001, CR0_READ_SHADOW: 1 }, (w) => (w[GPR_WORD + 6] = 0x8000_0011));
    expect(e.text).toBe('MOV CR0, RBX with 0x80000011 in ring 0 exited because PG of the value differs from the CR0 read shadow, and the CR0 guest/host mask gives this bit to the host');
  });
  it('a page fault says how mask and match decide', () => {
    const e = vmx(REASON.EXCEPTION_OR_NMI, {
      VM_EXIT_INTERRUPTION_INFORMATION: 0x8000_0b0e, VM_EXIT_INTERRUPTION_ERROR_CODE: 6, EXIT_QUALIFICATION: 0xdead_0000,
      PAGE_FAULT_ERROR_CODE_MASK: 2, PAGE_FAULT_ERROR_CODE_MATCH: 0, EXCEPTION_BITMAP: 0,
    }, undefined, [0x88, 0x00]);
    expect(e.text).toBe(
      '#PF (page fault) at 0xDEAD0000 with error code 0x6 by MOV [RAX], AL in ring 0 exited because bit 14 (#PF) of the exception bitmap is 0 and the error code (W/R and U/S) under the page-fault error-code mask 0x2 is not the match value 0x0',
    );
  });
  it('an EPT violation names the entry and what it allows', () => {
    const e = vmx(REASON.EPT_VIOLATION, { EXIT_QUALIFICATION: 0x18a, GUEST_PHYSICAL_ADDRESS: 0x7000, GUEST_LINEAR_ADDRESS: 0x40_7000 }, (w) => {
      w[W.level] = 1;
      w[W.entryAt] = 0xe038;
      w[W.entry] = 0x7031;
    });
    expect(e.text).toBe('A write at guest-physical 0x7000 (linear 0x407000) in ring 0 exited because the EPT entries for the address allow reading only: the EPT PTE at 0xE038 holds 0x7031');
  });
  it('an EPT misconfiguration says which rule the entry breaks', () => {
    const e = vmx(REASON.EPT_MISCONFIGURATION, { GUEST_PHYSICAL_ADDRESS: 0x7000 }, (w) => {
      w[W.level] = 1;
      w[W.entryAt] = 0xe038;
      w[W.entry] = 0x7002;
    });
    expect(e.text).toContain('the EPT PTE at 0xE038 holds 0x7002, which allows writing but not reading');
  });
  it('PAUSE-loop exiting gives gap and window', () => {
    const e = vmx(REASON.PAUSE, { PRIMARY_PROCESSOR_BASED_CONTROLS: 0x8000_0000, SECONDARY_PROCESSOR_BASED_CONTROLS: PROC2.pauseLoopExiting, PLE_GAP: 128, PLE_WINDOW: 4096 });
    expect(e.text).toContain('none more than 128 cycles apart, lasted longer than 4096 cycles');
  });
  it('says where code ran that has no rings', () => {
    expect(vmx(REASON.CPUID, { GUEST_CR0: 0x20, VM_ENTRY_CONTROLS: 0, GUEST_CS_ACCESS_RIGHTS: 0x9b }).text).toBe('CPUID of leaf 0x0, subleaf 0x0 in real mode exited because CPUID always does in VMX non-root operation');
    expect(vmx(REASON.CPUID, { GUEST_RFLAGS: 0x2_0002, VM_ENTRY_CONTROLS: 0 }).text).toContain('in virtual-8086 mode');
  });
});

describe('SVM', () => {
  it('a port access names byte and bit of the permissions map', () => {
    const e = svm(INTERCEPTS.IOIO[2], { [VMCB.EXITINFO1]: 0x1f7_0010n, [VMCB.RAX]: 0x20n }, map(0x1_003e, 0x80));
    expect(e.text).toBe('OUT 0x1F7 (AL = 0x20) in ring 0 exited because bit 7 of byte 0x3E of the I/O permissions map is set');
    expect(e.control).toEqual({ kind: 'memory', address: 0x1_003e, mask: 0x80 });
  });
  it('an intercept is a byte of the VMCB', () => {
    const e = svm(INTERCEPTS.HLT[2], {}, (w) => (w[W.blockAt] = 0x3000), [0xf4]);
    expect(e.text).toBe('HLT in ring 0 exited because "Intercept HLT instruction" (bit 24 of the VMCB\'s intercept word at offset 0xC) is 1');
    expect(e.control).toEqual({ kind: 'memory', address: 0x300f, mask: 1 });
  });
  it('MOV to CR3 shows the value', () => {
    const e = svm(0x13, { [VMCB.RAX]: 0x5000n, [VMCB.EFER]: 0x500n, [VMCB.CS]: 0x029b_0008n }, undefined, [0x0f, 0x22, 0xd8]);
    expect(e.text).toBe('MOV CR3, RAX with RAX = 0x5000 in ring 0 exited because the intercept of writes of CR3 (bit 3 of the VMCB\'s intercept word at offset 0x2) is 1');
  });
  it('an MSR access uses two bits a register', () => {
    const e = svm(INTERCEPTS.MSR[2], { [VMCB.EXITINFO1]: 1n, [VMCB.RAX]: 1n }, (w) => {
      w[GPR_WORD + 2] = 0xc000_0080;
      map(0x1_4820, 0x02)(w);
    });
    expect(e.text).toBe('WRMSR of 0x1 to 0xC0000080 in ring 0 exited because bit 1 of byte 0x820 of the MSR permissions map (its write bit) is set');
  });
  it('a nested page fault tells absence from a refusal', () => {
    const entry = (value: number) => (w: Uint32Array): void => {
      w[W.level] = 1;
      w[W.entryAt] = 0xe038;
      w[W.entry] = value;
    };
    expect(svm(0x400, { [VMCB.EXITINFO1]: 0x1_0000_0006n, [VMCB.EXITINFO2]: 0x7000n }, entry(0)).text).toBe(
      'A write at guest-physical 0x7000 in ring 0 exited because the nested PTE at 0xE038 is not present (it holds 0x0)',
    );
    expect(svm(0x400, { [VMCB.EXITINFO1]: 0x1_0000_0007n, [VMCB.EXITINFO2]: 0x7000n }, entry(0x7005)).text).toContain('do not allow writing: the nested PTE at 0xE038 holds 0x7005');
  });
});
