/**
 * Bits of the VM-execution, VM-exit and VM-entry control fields, and of the fields that describe an event.
 *
 * SDM 3C §25.6 "VM-Execution Control Fields", §25.7 "VM-Exit Control Fields", §25.8 "VM-Entry Control Fields",
 * §25.9 "VM-Exit Information Fields". Only bits that this machine can offer have a name here; capabilities.ts derives the
 * capability MSRs from the same names, so a control that is not here cannot be advertised.
 */

/** §25.6.1 "Pin-Based VM-Execution Controls". */
export const PIN = { externalInterruptExiting: 1 << 0, nmiExiting: 1 << 3, virtualNmis: 1 << 5, preemptionTimer: 1 << 6 } as const;

/** §25.6.2 "Processor-Based VM-Execution Controls", primary. */
export const PROC = {
  interruptWindowExiting: 1 << 2,
  useTscOffsetting: 1 << 3,
  hltExiting: 1 << 7,
  invlpgExiting: 1 << 9,
  mwaitExiting: 1 << 10,
  rdpmcExiting: 1 << 11,
  rdtscExiting: 1 << 12,
  cr3LoadExiting: 1 << 15,
  cr3StoreExiting: 1 << 16,
  cr8LoadExiting: 1 << 19,
  cr8StoreExiting: 1 << 20,
  nmiWindowExiting: 1 << 22,
  movDrExiting: 1 << 23,
  unconditionalIoExiting: 1 << 24,
  useIoBitmaps: 1 << 25,
  monitorTrapFlag: 1 << 27,
  useMsrBitmaps: 1 << 28,
  monitorExiting: 1 << 29,
  pauseExiting: 1 << 30,
  activateSecondaryControls: 1 << 31,
} as const;

/** The same section, secondary controls. */
export const PROC2 = {
  enableEpt: 1 << 1,
  descriptorTableExiting: 1 << 2,
  enableRdtscp: 1 << 3,
  enableVpid: 1 << 5,
  wbinvdExiting: 1 << 6,
  unrestrictedGuest: 1 << 7,
  pauseLoopExiting: 1 << 10,
  rdrandExiting: 1 << 11,
  enableInvpcid: 1 << 12,
  rdseedExiting: 1 << 16,
} as const;

/** §25.7.1 "VM-Exit Controls". */
export const EXIT = {
  saveDebugControls: 1 << 2,
  hostAddressSpaceSize: 1 << 9,
  acknowledgeInterrupt: 1 << 15,
  savePat: 1 << 18,
  loadPat: 1 << 19,
  saveEfer: 1 << 20,
  loadEfer: 1 << 21,
  savePreemptionTimer: 1 << 22,
} as const;

/** §25.8.1 "VM-Entry Controls". */
export const ENTRY = {
  loadDebugControls: 1 << 2,
  ia32eModeGuest: 1 << 9,
  entryToSmm: 1 << 10,
  deactivateDualMonitor: 1 << 11,
  loadPat: 1 << 14,
  loadEfer: 1 << 15,
} as const;

/** Controls that must be 1 on parts without the TRUE capability MSRs. Appendix A.2 "Reserved Controls and Default Settings". */
export const DEFAULT1 = { pin: 0x0000_0016, proc: 0x0401_e172, exit: 0x0003_6dff, entry: 0x0000_11ff } as const;
/** Those of them that the TRUE capability MSRs allow to be 0: CR3 load and store exiting; the debug controls. */
export const DEFAULT1_OPTIONAL = { pin: 0, proc: PROC.cr3LoadExiting | PROC.cr3StoreExiting, exit: EXIT.saveDebugControls, entry: ENTRY.loadDebugControls } as const;

/** Interruption information: vector 7:0, type 10:8, error code valid 11, valid 31. §25.8.3, §25.9.2, §25.9.3. */
export const EVENT = { errorCode: 1 << 11, nmiUnblocking: 1 << 12, valid: 0x8000_0000 } as const;
export const eventVector = (info: number): number => info & 0xff;
export const eventType = (info: number): number => (info >>> 8) & 7;
/** Type 7 with vector 0 in a VM entry: a pending MTF VM exit. §25.8.3 "VM-Entry Controls for Event Injection". */
export const EVENT_OTHER = 7;

/** Guest interruptibility state. §25.4.2 "Guest Non-Register State". */
export const BLOCKING = { sti: 1, movSs: 2, smi: 4, nmi: 8 } as const;

/** Pending debug exceptions, bits as in DR6. The same section. */
export const PENDING_DEBUG = { b0to3: 0xfn, enabledBreakpoint: 1n << 12n, bs: 1n << 14n } as const;

/** Basic exit reasons. Appendix C "VMX Basic Exit Reasons". */
export const REASON = {
  EXCEPTION_OR_NMI: 0,
  EXTERNAL_INTERRUPT: 1,
  TRIPLE_FAULT: 2,
  INIT: 3,
  SIPI: 4,
  INTERRUPT_WINDOW: 7,
  NMI_WINDOW: 8,
  TASK_SWITCH: 9,
  CPUID: 10,
  GETSEC: 11,
  HLT: 12,
  INVD: 13,
  INVLPG: 14,
  RDPMC: 15,
  RDTSC: 16,
  RSM: 17,
  VMCALL: 18,
  VMCLEAR: 19,
  VMLAUNCH: 20,
  VMPTRLD: 21,
  VMPTRST: 22,
  VMREAD: 23,
  VMRESUME: 24,
  VMWRITE: 25,
  VMXOFF: 26,
  VMXON: 27,
  CR_ACCESS: 28,
  MOV_DR: 29,
  IO_INSTRUCTION: 30,
  RDMSR: 31,
  WRMSR: 32,
  ENTRY_FAILURE_GUEST_STATE: 33,
  ENTRY_FAILURE_MSR_LOADING: 34,
  MWAIT: 36,
  MONITOR_TRAP_FLAG: 37,
  MONITOR: 39,
  PAUSE: 40,
  GDTR_IDTR_ACCESS: 46,
  LDTR_TR_ACCESS: 47,
  EPT_VIOLATION: 48,
  EPT_MISCONFIGURATION: 49,
  INVEPT: 50,
  RDTSCP: 51,
  PREEMPTION_TIMER: 52,
  INVVPID: 53,
  WBINVD: 54,
  XSETBV: 55,
  RDRAND: 57,
  INVPCID: 58,
  RDSEED: 61,
} as const;
export type ReasonName = keyof typeof REASON;
export const REASON_COUNT = 64;
/** Name of a basic exit reason. */
export const REASON_NAMES: readonly (ReasonName | undefined)[] = (() => {
  const names: (ReasonName | undefined)[] = new Array<ReasonName | undefined>(REASON_COUNT).fill(undefined);
  for (const [name, n] of Object.entries(REASON)) names[n] = name as ReasonName;
  return names;
})();

/** VM-instruction error numbers. §31.4 "VM Instruction Error Numbers". */
export const ERROR = {
  vmcallInRoot: 1,
  vmclearAddress: 2,
  vmclearVmxon: 3,
  vmlaunchNotClear: 4,
  vmresumeNotLaunched: 5,
  entryControls: 7,
  entryHostState: 8,
  vmptrldAddress: 9,
  vmptrldVmxon: 10,
  vmptrldRevision: 11,
  unsupportedField: 12,
  readOnlyField: 13,
  vmxonInRoot: 15,
  entryMovSsBlocking: 26,
  invalidOperand: 28,
} as const;

/** VMX-abort indicators. §28.7 "VMX Aborts". */
export const ABORT = { saveMsr: 1, hostPdpte: 2, loadHostMsr: 4 } as const;

/** IA32_FEATURE_CONTROL. §24.7 "Enabling and Entering VMX Operation". There is no SMX, so its bits are reserved. */
export const FEATURE_CONTROL = { lock: 1, vmxOutsideSmx: 4 } as const;
