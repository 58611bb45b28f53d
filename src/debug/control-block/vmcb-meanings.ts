/**
 * The fields of a VMCB in plain words: the control area and the state-save area.
 *
 * APM 2 appendix B "Layout of VMCB": table B-1 "VMCB Layout, Control Area", table B-2 "VMCB Layout, State Save Area".
 */

import type { SvmFeature } from '../../svm/capabilities.js';
import { CONTROL_FIELDS, SAVE_FIELDS, VMCB, VMCB_SEG } from '../../svm/fields.js';

const CONTROL = 'APM 2 appendix B, table B-1 "VMCB Layout, Control Area"', SAVE = 'APM 2 appendix B, table B-2 "VMCB Layout, State Save Area"';
const INTERCEPTS = 'APM 2 §15.9 "Instruction Intercepts"';
const INJECTION = 'APM 2 §15.20 "Event Injection"', EXIT = 'APM 2 §15.6 "#VMEXIT"', NESTED = 'APM 2 §15.25.3 "Enabling Nested Paging"';
const INTERRUPTS = 'APM 2 §15.21 "Interrupt and Local APIC Support"';

type ControlName = keyof typeof CONTROL_FIELDS;
type SaveName = keyof typeof SAVE_FIELDS;
type SegmentName = 'ES' | 'CS' | 'SS' | 'DS' | 'FS' | 'GS' | 'GDTR' | 'LDTR' | 'IDTR' | 'TR';
type Words = readonly [meaning: string, section: string];

const CONTROL_WORDS: Readonly<Record<ControlName, Words>> = {
  INTERCEPT_CR_READ: ['one bit for each control register: reading it leaves the guest', INTERCEPTS],
  INTERCEPT_CR_WRITE: ['one bit for each control register: writing it leaves the guest', INTERCEPTS],
  INTERCEPT_DR_READ: ['one bit for each debug register: reading it leaves the guest', INTERCEPTS],
  INTERCEPT_DR_WRITE: ['one bit for each debug register: writing it leaves the guest', INTERCEPTS],
  INTERCEPT_EXCEPTIONS: ['one bit for each exception vector: 1 leaves the guest', 'APM 2 §15.12 "Exception Intercepts"'],
  INTERCEPT_MISC1: ['events and instructions that leave the guest, first word', INTERCEPTS],
  INTERCEPT_MISC2: ['events and instructions that leave the guest, second word', INTERCEPTS],
  PAUSE_FILTER_THRESHOLD: ['cycles after which a PAUSE counts as the first of a new loop', 'APM 2 §15.14.4 "Pause Intercept Filtering"'],
  PAUSE_FILTER_COUNT: ['PAUSEs that the guest may execute before one is intercepted', 'APM 2 §15.14.4 "Pause Intercept Filtering"'],
  IOPM_BASE_PA: ['physical address of the I/O permissions map: a bit of 1 makes an access of its port exit', 'APM 2 §15.10.1 "I/O Permissions Map"'],
  MSRPM_BASE_PA: ['physical address of the MSR permissions map', 'APM 2 §15.11 "MSR Intercepts"'],
  TSC_OFFSET: ['added to the time-stamp counter that the guest reads', CONTROL],
  GUEST_ASID: ['tag of the guest\'s cached translations', 'APM 2 §15.16 "TLB Control"'],
  TLB_CONTROL: ['what VMRUN flushes: 0 nothing, 1 everything, 3 this guest, 7 this guest but global pages', 'APM 2 §15.16.1 "TLB Flush"'],
  V_INTR: ['virtual interrupt: V_TPR in bits 7:0, V_INTR_PRIO in bits 19:16, and the bits below', INTERRUPTS],
  V_INTR_VECTOR: ['vector of the virtual interrupt', INTERRUPTS],
  INTERRUPT_SHADOW: ['the guest is behind STI or MOV SS: interrupts wait for one instruction', 'APM 2 §15.21.5 "Interrupt Shadows"'],
  EXITCODE: ['why the guest was left', EXIT],
  EXITINFO1: ['more about the exit; its format depends on the code', EXIT],
  EXITINFO2: ['more about the exit; its format depends on the code', EXIT],
  EXITINTINFO: ['event that was being delivered when the guest exited', 'APM 2 §15.7.2 "Intercepts During IDT Interrupt Delivery"'],
  NP_ENABLE: ['nested paging', NESTED],
  EVENTINJ: ['event that VMRUN injects; bit 31 says that there is one, and #VMEXIT clears it', INJECTION],
  N_CR3: ['root of the nested page tables', NESTED],
  LBR_VIRTUALIZATION_ENABLE: ['virtualisation of the last-branch records', 'APM 2 §15.23 "Last Branch Record Virtualization"'],
  VMCB_CLEAN: ['fields that the hypervisor has not changed since the last exit: the processor may use what it kept', 'APM 2 §15.15.1 "Caching Guest State"'],
  NRIP: ['address of the instruction after the one that was intercepted', 'APM 2 §15.7.1 "State Saved on Exit"'],
  GUEST_INSTRUCTION_BYTES: ['bytes of the intercepted instruction', 'APM 2 §15.8.4 "Nested and intercepted #PF"'],
};

const SAVE_WORDS: Readonly<Record<Exclude<SaveName, SegmentName>, string>> = {
  CPL: 'the guest\'s privilege level',
  EFER: 'the guest\'s EFER',
  CR4: 'the guest\'s CR4',
  CR3: 'the guest\'s CR3: its page tables',
  CR0: 'the guest\'s CR0',
  DR7: 'the guest\'s debug control register',
  DR6: 'the guest\'s debug status register',
  RFLAGS: 'the guest\'s flags',
  RIP: 'the guest\'s instruction pointer',
  RSP: 'the guest\'s stack pointer',
  RAX: 'the guest\'s RAX (the other general registers are the hypervisor\'s to save)',
  STAR: 'the guest\'s STAR; moved by VMLOAD and VMSAVE only',
  LSTAR: 'the guest\'s LSTAR; moved by VMLOAD and VMSAVE only',
  CSTAR: 'the guest\'s CSTAR; moved by VMLOAD and VMSAVE only',
  SFMASK: 'the guest\'s SFMASK; moved by VMLOAD and VMSAVE only',
  KernelGsBase: 'the guest\'s KernelGSbase; moved by VMLOAD and VMSAVE only',
  SYSENTER_CS: 'the guest\'s SYSENTER_CS; moved by VMLOAD and VMSAVE only',
  SYSENTER_ESP: 'the guest\'s SYSENTER_ESP; moved by VMLOAD and VMSAVE only',
  SYSENTER_EIP: 'the guest\'s SYSENTER_EIP; moved by VMLOAD and VMSAVE only',
  CR2: 'address of the guest\'s last page fault',
  G_PAT: 'the guest\'s PAT, used with nested paging',
};

const NEEDS: Readonly<Partial<Record<ControlName, SvmFeature>>> = {
  PAUSE_FILTER_COUNT: 'PauseFilter', PAUSE_FILTER_THRESHOLD: 'PauseFilterThreshold', NRIP: 'NRIPS', VMCB_CLEAN: 'VmcbClean',
};
/** Fields of features that the model does not have. */
const ABSENT: ReadonlySet<string> = new Set(['LBR_VIRTUALIZATION_ENABLE', 'GUEST_INSTRUCTION_BYTES']);

/** A field as it is shown. */
export interface VmcbField {
  readonly name: string;
  /** The table's name, by which named bits are found. */
  readonly key: keyof typeof VMCB;
  readonly offset: number;
  readonly size: number;
  readonly meaning: string;
  readonly section: string;
}

const PARTS = [
  ['selector', VMCB_SEG.selector, 2, 'selector'],
  ['attrib', VMCB_SEG.attrib, 2, 'attributes: bits 55:52 and 47:40 of the descriptor'],
  ['limit', VMCB_SEG.limit, 4, 'limit'],
  ['base', VMCB_SEG.base, 8, 'base address'],
] as const;
const EXTRA: ReadonlySet<string> = new Set(['FS', 'GS', 'LDTR', 'TR']);

function segment(name: SegmentName): readonly VmcbField[] {
  const table = name === 'GDTR' || name === 'IDTR';
  return PARTS.filter(([part]) => !table || part === 'limit' || part === 'base').map(([part, at, size, what]) => ({
    name: `${name}.${part}`,
    key: name,
    offset: VMCB[name] + at,
    size,
    meaning: `the guest's ${name}: ${what}${EXTRA.has(name) ? '; moved by VMLOAD and VMSAVE only' : ''}`,
    section: SAVE,
  }));
}

/** The two areas as this processor has them. */
export function vmcbGroups(has: (feature: SvmFeature) => boolean): readonly { readonly title: string; readonly section: string; readonly fields: readonly VmcbField[] }[] {
  const control = (Object.keys(CONTROL_FIELDS) as ControlName[])
    .filter((n) => !ABSENT.has(n) && (NEEDS[n] === undefined || has(NEEDS[n])))
    .map((n): VmcbField => ({ name: n, key: n, offset: CONTROL_FIELDS[n][0], size: CONTROL_FIELDS[n][1], meaning: CONTROL_WORDS[n][0], section: CONTROL_WORDS[n][1] }));
  const save = (Object.keys(SAVE_FIELDS) as SaveName[]).flatMap((n): readonly VmcbField[] =>
    n in SAVE_WORDS
      ? [{ name: n, key: n, offset: SAVE_FIELDS[n][0], size: SAVE_FIELDS[n][1], meaning: SAVE_WORDS[n as keyof typeof SAVE_WORDS], section: SAVE }]
      : segment(n as SegmentName),
  );
  return [
    { title: 'Control area', section: CONTROL, fields: control },
    { title: 'State-save area', section: SAVE, fields: save },
  ];
}
