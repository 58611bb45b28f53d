/**
 * The fields of a VMCS in plain words, grouped as the manual groups them.
 *
 * SDM 3C §25.3 "Organization of VMCS Data" names the six groups; §25.4 to §25.9 describe their fields.
 */

import { FIELDS, type FieldName, SEGMENTS } from '../../vtx/fields.js';

const REGISTER = 'SDM 3C §25.4.1 "Guest Register State"', NON_REGISTER = 'SDM 3C §25.4.2 "Guest Non-Register State"';
const HOST = 'SDM 3C §25.5 "Host-State Area"';
const MASKS = 'SDM 3C §25.6.6 "Guest/Host Masks and Read Shadows for CR0 and CR4"', TARGETS = 'SDM 3C §25.6.7 "CR3-Target Controls"';
const EXIT_MSRS = 'SDM 3C §25.7.2 "VM-Exit Controls for MSRs"', ENTRY_MSRS = 'SDM 3C §25.8.2 "VM-Entry Controls for MSRs"';
const INJECTION = 'SDM 3C §25.8.3 "VM-Entry Controls for Event Injection"';
const BASIC = 'SDM 3C §25.9.1 "Basic VM-Exit Information"', VECTORED = 'SDM 3C §25.9.2 "Information for VM Exits Due to Vectored Events"';
const DELIVERY = 'SDM 3C §25.9.3 "Information for VM Exits That Occur During Event Delivery"', INSTRUCTION = 'SDM 3C §25.9.4 "Information for VM Exits Due to Instruction Execution"';
const PROCESSOR = 'SDM 3C §25.6.2 "Processor-Based VM-Execution Controls"';
const PAUSE = 'SDM 3C §25.6.13 "Controls for PAUSE-Loop Exiting"', FAULT = 'SDM 3C §25.6.3 "Exception Bitmap"', IO = 'SDM 3C §25.6.4 "I/O-Bitmap Addresses"';

export interface FieldMeaning {
  readonly meaning: string;
  readonly section: string;
}
type SegmentField = Extract<FieldName, `GUEST_${(typeof SEGMENTS)[number]}_${'SELECTOR' | 'BASE' | 'LIMIT' | 'ACCESS_RIGHTS'}`>;

/** All fields but those of the guest's segment registers. */
const WORDS: Readonly<Record<Exclude<FieldName, SegmentField>, readonly [meaning: string, section: string]>> = {
  VIRTUAL_PROCESSOR_ID: ['tag of the guest\'s cached translations', 'SDM 3C §25.6.12 "Virtual-Processor Identifier (VPID)"'],
  HOST_ES_SELECTOR: ['ES after a VM exit', HOST],
  HOST_CS_SELECTOR: ['CS after a VM exit', HOST],
  HOST_SS_SELECTOR: ['SS after a VM exit', HOST],
  HOST_DS_SELECTOR: ['DS after a VM exit', HOST],
  HOST_FS_SELECTOR: ['FS after a VM exit', HOST],
  HOST_GS_SELECTOR: ['GS after a VM exit', HOST],
  HOST_TR_SELECTOR: ['TR after a VM exit', HOST],
  IO_BITMAP_A: ['physical address of the bitmap for ports 0 to 0x7FFF: a bit of 1 makes an access exit', IO],
  IO_BITMAP_B: ['physical address of the bitmap for ports 0x8000 to 0xFFFF', IO],
  MSR_BITMAPS: ['physical address of the four bitmaps for RDMSR and WRMSR', 'SDM 3C §25.6.9 "MSR-Bitmap Address"'],
  VM_EXIT_MSR_STORE_ADDRESS: ['physical address of the list of MSRs that a VM exit stores', EXIT_MSRS],
  VM_EXIT_MSR_LOAD_ADDRESS: ['physical address of the list of MSRs that a VM exit loads', EXIT_MSRS],
  VM_ENTRY_MSR_LOAD_ADDRESS: ['physical address of the list of MSRs that VM entry loads', ENTRY_MSRS],
  EXECUTIVE_VMCS_POINTER: ['used by the dual-monitor treatment of SMM only', 'SDM 3C §25.6.10 "Executive-VMCS Pointer"'],
  TSC_OFFSET: ['added to the time-stamp counter that the guest reads', 'SDM 3C §25.6.5 "Time-Stamp Counter Offset and Multiplier"'],
  EPT_POINTER: ['root of the extended page tables, their memory type and walk length', 'SDM 3C §25.6.11 "Extended-Page-Table Pointer (EPTP)"'],
  GUEST_PHYSICAL_ADDRESS: ['guest-physical address of an EPT violation or misconfiguration', BASIC],
  VMCS_LINK_POINTER: ['all ones: there is no shadow VMCS', NON_REGISTER],
  GUEST_IA32_DEBUGCTL: ['the guest\'s IA32_DEBUGCTL', REGISTER],
  GUEST_IA32_PAT: ['the guest\'s IA32_PAT', REGISTER],
  GUEST_IA32_EFER: ['the guest\'s IA32_EFER', REGISTER],
  GUEST_PDPTE0: ['first of the four PDPTE registers of a guest with PAE paging under EPT', NON_REGISTER],
  GUEST_PDPTE1: ['second PDPTE register', NON_REGISTER],
  GUEST_PDPTE2: ['third PDPTE register', NON_REGISTER],
  GUEST_PDPTE3: ['fourth PDPTE register', NON_REGISTER],
  HOST_IA32_PAT: ['IA32_PAT after a VM exit, if it is loaded', HOST],
  HOST_IA32_EFER: ['IA32_EFER after a VM exit, if it is loaded', HOST],
  PIN_BASED_CONTROLS: ['asynchronous events: which of them leave the guest', 'SDM 3C §25.6.1 "Pin-Based VM-Execution Controls"'],
  PRIMARY_PROCESSOR_BASED_CONTROLS: ['synchronous events, first word: which instructions leave the guest', PROCESSOR],
  EXCEPTION_BITMAP: ['one bit for each exception vector: 1 leaves the guest', FAULT],
  PAGE_FAULT_ERROR_CODE_MASK: ['bits of a page fault\'s error code that are compared', FAULT],
  PAGE_FAULT_ERROR_CODE_MATCH: ['what they are compared with: bit 14 of the exception bitmap says whether a match or a mismatch exits', FAULT],
  CR3_TARGET_COUNT: ['how many of the CR3-target values count', TARGETS],
  VM_EXIT_CONTROLS: ['what a VM exit saves and loads, and the host\'s mode', 'SDM 3C §25.7.1 "VM-Exit Controls"'],
  VM_EXIT_MSR_STORE_COUNT: ['number of MSRs that a VM exit stores', EXIT_MSRS],
  VM_EXIT_MSR_LOAD_COUNT: ['number of MSRs that a VM exit loads', EXIT_MSRS],
  VM_ENTRY_CONTROLS: ['what VM entry loads, and the guest\'s mode', 'SDM 3C §25.8.1 "VM-Entry Controls"'],
  VM_ENTRY_MSR_LOAD_COUNT: ['number of MSRs that VM entry loads', ENTRY_MSRS],
  VM_ENTRY_INTERRUPTION_INFORMATION: ['event that VM entry injects; bit 31 says that there is one, and a VM exit clears it', INJECTION],
  VM_ENTRY_EXCEPTION_ERROR_CODE: ['error code of the injected event', INJECTION],
  VM_ENTRY_INSTRUCTION_LENGTH: ['instruction length for an injected software interrupt or exception', INJECTION],
  SECONDARY_PROCESSOR_BASED_CONTROLS: ['synchronous events, second word', PROCESSOR],
  PLE_GAP: ['cycles between two PAUSEs of one loop, at most', PAUSE],
  PLE_WINDOW: ['cycles that a PAUSE loop may last', PAUSE],
  VM_INSTRUCTION_ERROR: ['why the last VMX instruction failed', 'SDM 3C §25.9.5 "VM-Instruction Error Field"'],
  EXIT_REASON: ['why the guest was left; bit 31: the VM entry failed', BASIC],
  VM_EXIT_INTERRUPTION_INFORMATION: ['exception, NMI or acknowledged interrupt that made the guest exit', VECTORED],
  VM_EXIT_INTERRUPTION_ERROR_CODE: ['its error code', VECTORED],
  IDT_VECTORING_INFORMATION: ['event that was being delivered when the guest exited', DELIVERY],
  IDT_VECTORING_ERROR_CODE: ['its error code', DELIVERY],
  VM_EXIT_INSTRUCTION_LENGTH: ['bytes of the instruction that exited', INSTRUCTION],
  VM_EXIT_INSTRUCTION_INFORMATION: ['operands of the instruction that exited', INSTRUCTION],
  GUEST_GDTR_LIMIT: ['limit of the guest\'s GDT', REGISTER],
  GUEST_IDTR_LIMIT: ['limit of the guest\'s IDT', REGISTER],
  GUEST_INTERRUPTIBILITY_STATE: ['what blocks interrupts in the guest for the moment', NON_REGISTER],
  GUEST_ACTIVITY_STATE: ['0 active, 1 HLT, 2 shutdown, 3 wait-for-SIPI', NON_REGISTER],
  GUEST_SMBASE: ['the guest\'s SMBASE', REGISTER],
  GUEST_IA32_SYSENTER_CS: ['the guest\'s IA32_SYSENTER_CS', REGISTER],
  VMX_PREEMPTION_TIMER_VALUE: ['units that the guest may run until the VMX-preemption timer makes it exit', NON_REGISTER],
  HOST_IA32_SYSENTER_CS: ['IA32_SYSENTER_CS after a VM exit', HOST],
  CR0_GUEST_HOST_MASK: ['bits of CR0 that belong to the host: the guest reads them from the shadow, and changing them exits', MASKS],
  CR4_GUEST_HOST_MASK: ['bits of CR4 that belong to the host', MASKS],
  CR0_READ_SHADOW: ['what the guest reads in the bits of CR0 that belong to the host', MASKS],
  CR4_READ_SHADOW: ['what the guest reads in the bits of CR4 that belong to the host', MASKS],
  CR3_TARGET_VALUE_0: ['a value that the guest may load into CR3 without an exit', TARGETS],
  CR3_TARGET_VALUE_1: ['a second one', TARGETS],
  CR3_TARGET_VALUE_2: ['a third one', TARGETS],
  CR3_TARGET_VALUE_3: ['a fourth one', TARGETS],
  EXIT_QUALIFICATION: ['more about the exit; its format depends on the reason', BASIC],
  IO_RCX: ['RCX before an I/O instruction that an SMI interrupted (SMM only)', INSTRUCTION],
  IO_RSI: ['RSI before it', INSTRUCTION],
  IO_RDI: ['RDI before it', INSTRUCTION],
  IO_RIP: ['its RIP', INSTRUCTION],
  GUEST_LINEAR_ADDRESS: ['linear address that the exit is about', BASIC],
  GUEST_CR0: ['the guest\'s CR0', REGISTER],
  GUEST_CR3: ['the guest\'s CR3: its page tables', REGISTER],
  GUEST_CR4: ['the guest\'s CR4', REGISTER],
  GUEST_GDTR_BASE: ['linear address of the guest\'s GDT', REGISTER],
  GUEST_IDTR_BASE: ['linear address of the guest\'s IDT', REGISTER],
  GUEST_DR7: ['the guest\'s debug control register', REGISTER],
  GUEST_RSP: ['the guest\'s stack pointer', REGISTER],
  GUEST_RIP: ['the guest\'s instruction pointer', REGISTER],
  GUEST_RFLAGS: ['the guest\'s flags', REGISTER],
  GUEST_PENDING_DEBUG_EXCEPTIONS: ['debug exceptions recognised but not delivered yet', NON_REGISTER],
  GUEST_IA32_SYSENTER_ESP: ['the guest\'s IA32_SYSENTER_ESP', REGISTER],
  GUEST_IA32_SYSENTER_EIP: ['the guest\'s IA32_SYSENTER_EIP', REGISTER],
  HOST_CR0: ['CR0 after a VM exit', HOST],
  HOST_CR3: ['CR3 after a VM exit: the hypervisor\'s page tables', HOST],
  HOST_CR4: ['CR4 after a VM exit', HOST],
  HOST_FS_BASE: ['FS base after a VM exit', HOST],
  HOST_GS_BASE: ['GS base after a VM exit', HOST],
  HOST_TR_BASE: ['linear address of the host\'s TSS', HOST],
  HOST_GDTR_BASE: ['linear address of the host\'s GDT', HOST],
  HOST_IDTR_BASE: ['linear address of the host\'s IDT', HOST],
  HOST_IA32_SYSENTER_ESP: ['IA32_SYSENTER_ESP after a VM exit', HOST],
  HOST_IA32_SYSENTER_EIP: ['IA32_SYSENTER_EIP after a VM exit', HOST],
  HOST_RSP: ['stack pointer after a VM exit', HOST],
  HOST_RIP: ['where the host continues after a VM exit: the exit handler', HOST],
};

const SEGMENT_PARTS: Readonly<Record<string, string>> = {
  SELECTOR: 'selector', BASE: 'base address', LIMIT: 'limit', ACCESS_RIGHTS: 'access rights: type, S, DPL, P, AVL, L, D/B, G, and bit 16 for "unusable"',
};

export function vmcsMeaning(name: FieldName): FieldMeaning {
  const known = (WORDS as Readonly<Record<string, readonly [string, string]>>)[name];
  if (known !== undefined) return { meaning: known[0], section: known[1] };
  const [, segment, part] = /^GUEST_(\w+?)_(SELECTOR|BASE|LIMIT|ACCESS_RIGHTS)$/.exec(name)!;
  return { meaning: `the guest's ${segment!}: ${SEGMENT_PARTS[part!]!}`, section: REGISTER };
}

/** The six groups of §25.3 in the manual's order, with their fields. */
export const VMCS_GROUPS: readonly { readonly title: string; readonly section: string; readonly fields: readonly FieldName[] }[] = (() => {
  const groups = [
    { title: 'Guest-state area', section: 'SDM 3C §25.4 "Guest-State Area"', fields: [] as FieldName[] },
    { title: 'Host-state area', section: 'SDM 3C §25.5 "Host-State Area"', fields: [] as FieldName[] },
    { title: 'VM-execution control fields', section: 'SDM 3C §25.6 "VM-Execution Control Fields"', fields: [] as FieldName[] },
    { title: 'VM-exit control fields', section: 'SDM 3C §25.7 "VM-Exit Control Fields"', fields: [] as FieldName[] },
    { title: 'VM-entry control fields', section: 'SDM 3C §25.8 "VM-Entry Control Fields"', fields: [] as FieldName[] },
    { title: 'VM-exit information fields', section: 'SDM 3C §25.9 "VM-Exit Information Fields"', fields: [] as FieldName[] },
  ];
  // A group is where the manual describes the field: by the number of its section.
  for (const f of FIELDS) groups[Number(/§25\.(\d)/.exec(vmcsMeaning(f.name).section)![1]) - 4]!.fields.push(f.name);
  const front = ['GUEST_RIP', 'GUEST_RSP', 'GUEST_RFLAGS', 'GUEST_CR0', 'GUEST_CR3', 'GUEST_CR4', 'EXIT_REASON', 'EXIT_QUALIFICATION'];
  const rank = (n: FieldName): number => (front.includes(n) ? front.indexOf(n) : front.length);
  for (const g of groups) g.fields.sort((a, b) => rank(a) - rank(b));
  return groups;
})();
