/**
 * One composer for each basic exit reason of VT-x: from the recorded facts to the sentence "what, where, because of which control".
 *
 * SDM 3C §28.2.1 "Basic VM-Exit Information" (qualifications), §28.2.2 to §28.2.5 for the other fields, appendix C "VMX Basic Exit
 * Reasons". The table's type makes a reason without a composer an error of compilation.
 */

import { PIN, PROC, PROC2, REASON_NAMES, type ReasonName } from '../../vtx/controls.js';
import { type FieldName } from '../../vtx/fields.js';
import { cr0Bits, cr4Bits, list } from './bits.js';
import { detail, type Explanation, exited, type Subject } from './explanation.js';
import { accumulator } from './instruction.js';
import { always, controlIs, fieldSays, ioCause, msrCause, OTHER_CAUSES } from './vmx-causes.js';
import { entryFailure } from './entry-failures.js';
import { duringDelivery, exceptionOrNmi, externalInterrupt, window } from './vmx-events.js';
import { eptMisconfiguration, eptViolation } from './vmx-ept.js';
import { count, hex, portName, registerName } from './words.js';

type Composer = (s: Subject) => Explanation;

const PROCESSOR = 'PRIMARY_PROCESSOR_BASED_CONTROLS', SECONDARY = 'SECONDARY_PROCESSOR_BASED_CONTROLS';

/** An instruction that one bit makes exit. `shown`: what the sentence calls it; default the instruction as it stands in memory. */
const byControl =
  (field: FieldName, mask: number, shown: (s: Subject) => string = (s) => s.instruction.text): Composer =>
  (s) =>
    exited(s, shown(s), controlIs(field, mask), operands(s));
/** An instruction that always exits. */
const unconditional =
  (name: string, shown: (s: Subject) => string = (s) => named(s, name)): Composer =>
  (s) =>
    exited(s, shown(s), always(name), operands(s));
/** VMREAD and VMWRITE: SDM 3C §26.1.3. */
const shadowed =
  (name: string): Composer =>
  (s) =>
    exited(s, named(s, name), {
      clause: `${name} does in VMX non-root operation unless "VMCS shadowing" is 1, and this processor does not have that control`,
      section: 'SDM 3C §26.1.3 "Instructions That Cause VM Exits Conditionally"',
    }, operands(s));
/** The instruction as written if it is that one, else the name alone (its bytes could not be read). */
const named = (s: Subject, name: string): string => (s.instruction.name === name ? s.instruction.text : name);
/** A MOV as written, which names the register at its size; the words given where its bytes could not be read. */
const moved = (s: Subject, otherwise: string): string => (s.instruction.name === 'MOV' ? s.instruction.text : otherwise);
const operands = (s: Subject): ReturnType<typeof detail>[] => (s.instruction.operands.length === 0 ? [] : [detail('operands', s.instruction.operands.join(', '))]);

const cpuidText = (s: Subject): string => `CPUID of leaf ${hex(s.facts.gpr32(0))}, subleaf ${hex(s.facts.gpr32(1))}`;

/** SDM 3C table "Exit Qualification for I/O Instructions". */
function io(s: Subject): Explanation {
  const { facts } = s;
  const q = Number(facts.vmcs('EXIT_QUALIFICATION'));
  const size = (q & 7) + 1, input = (q & 8) !== 0, string = (q & 16) !== 0, rep = (q & 32) !== 0, port = (q >>> 16) & 0xffff;
  const name = `${rep ? 'REP ' : ''}${input ? 'IN' : 'OUT'}${string ? 'S' : ''}`;
  const a = accumulator(facts, size);
  const what = !input && !string ? `${name} ${hex(port)} (${a.name} = ${hex(a.value)})` : `${name} ${hex(port)} (${count(size, 'byte')})`;
  const details = [detail('port', port), detail('size', String(size)), detail('direction', input ? 'in' : 'out')];
  const device = portName(port);
  if (device !== undefined) details.push(detail('device', device));
  if (!input && !string) details.push(detail('value', a.value));
  if (string) details.push(detail('linear address', facts.vmcs('GUEST_LINEAR_ADDRESS')));
  return exited(s, what, ioCause(facts, port, size), details);
}

const msr =
  (write: boolean): Composer =>
  (s) => {
    const { facts } = s;
    const index = facts.gpr32(1), value = (BigInt(facts.gpr32(2)) << 32n) | BigInt(facts.gpr32(0));
    const what = write ? `WRMSR of ${hex(value)} to ${s.msr(index)}` : `RDMSR of ${s.msr(index)}`;
    return exited(s, what, msrCause(facts, index, write), [detail('MSR', s.msr(index)), ...(write ? [detail('value', value)] : [])]);
  };

/** SDM 3C table "Exit Qualification for Control-Register Accesses". */
function crAccess(s: Subject): Explanation {
  const { facts } = s;
  const q = Number(facts.vmcs('EXIT_QUALIFICATION') & 0xffff_ffffn);
  const cr = q & 15, access = (q >>> 4) & 3, reg = (q >>> 8) & 15;
  const masks = 'SDM 3C §25.6.6 "Guest/Host Masks and Read Shadows for CR0 and CR4"';
  const owned = (which: 0 | 4, value: bigint): Explanation => {
    const field: FieldName = `CR${which}_GUEST_HOST_MASK`;
    const bits = (value ^ facts.vmcs(`CR${which}_READ_SHADOW`)) & facts.vmcs(field);
    const names = list((which === 0 ? cr0Bits : cr4Bits)(bits));
    const many = (bits & (bits - 1n)) !== 0n;
    return exited(
      s,
      `${moved(s, `MOV CR${which}, ${registerName(reg)}`)} with ${hex(value)}`,
      fieldSays(field, `${names} of the value ${many ? 'differ' : 'differs'} from the CR${which} read shadow, and the CR${which} guest/host mask gives ${many ? 'these bits' : 'this bit'} to the host`, masks, Number(bits & 0xffff_ffffn)),
      [detail('value', value), detail('bits', names), detail('guest/host mask', facts.vmcs(field)), detail('read shadow', facts.vmcs(`CR${which}_READ_SHADOW`))],
    );
  };
  if (access === 2) return exited(s, 'CLTS', fieldSays('CR0_GUEST_HOST_MASK', 'TS is 1 in the CR0 guest/host mask and in the CR0 read shadow', masks));
  if (access === 3) {
    const source = BigInt((q >>> 16) & 0xffff);
    const bits = (source ^ facts.vmcs('CR0_READ_SHADOW')) & facts.vmcs('CR0_GUEST_HOST_MASK') & 15n;
    return exited(s, `LMSW with ${hex(source)}`, fieldSays('CR0_GUEST_HOST_MASK', `${list(cr0Bits(bits))} would change, which the CR0 guest/host mask gives to the host`, masks), [detail('source', source)]);
  }
  if (access === 1) {
    const mask = cr === 8 ? PROC.cr8StoreExiting : PROC.cr3StoreExiting;
    return exited(s, moved(s, `MOV ${registerName(reg)}, CR${cr}`), controlIs(PROCESSOR, mask));
  }
  const value = facts.gpr(reg);
  if (cr === 0 || cr === 4) return owned(cr, facts.bitness === 64 ? value : value & 0xffff_ffffn);
  const what = `${moved(s, `MOV CR${cr}, ${registerName(reg)}`)} with ${hex(value)}`;
  if (cr === 8) return exited(s, what, controlIs(PROCESSOR, PROC.cr8LoadExiting), [detail('value', value)]);
  const cause = controlIs(PROCESSOR, PROC.cr3LoadExiting), targets = facts.vmcs32('CR3_TARGET_COUNT');
  return exited(s, what, targets === 0 ? cause : { ...cause, clause: `${cause.clause} and the value is none of the ${count(targets, 'CR3-target value')}` }, [detail('value', value)]);
}

function movDr(s: Subject): Explanation {
  const q = Number(s.facts.vmcs('EXIT_QUALIFICATION') & 0xffff_ffffn);
  const dr = `DR${q & 7}`, reg = (q >>> 8) & 15, read = (q & 16) !== 0;
  const what = read ? moved(s, `MOV ${registerName(reg)}, ${dr}`) : `${moved(s, `MOV ${dr}, ${registerName(reg)}`)} with ${hex(s.facts.gpr(reg))}`;
  return exited(s, what, controlIs(PROCESSOR, PROC.movDrExiting), read ? [] : [detail('value', s.facts.gpr(reg))]);
}

/** SDM 3C table "Exit Qualification for Task Switches". */
function taskSwitch(s: Subject): Explanation {
  const q = Number(s.facts.vmcs('EXIT_QUALIFICATION') & 0xffff_ffffn);
  const source = ['CALL', 'IRET', 'JMP', 'a task gate in the IDT'][(q >>> 30) & 3]!;
  return exited(s, `A task switch to TSS selector ${hex(q & 0xffff)} by ${source}`, always('a task switch', OTHER_CAUSES), [detail('TSS selector', q & 0xffff)]);
}

function pause(s: Subject): Explanation {
  const { facts } = s;
  if ((facts.proc & PROC.pauseExiting) !== 0) return exited(s, 'PAUSE', controlIs(PROCESSOR, PROC.pauseExiting));
  const cause = controlIs(SECONDARY, PROC2.pauseLoopExiting);
  const gap = facts.vmcs32('PLE_GAP'), span = facts.vmcs32('PLE_WINDOW');
  return exited(s, 'PAUSE', { ...cause, clause: `${cause.clause} and a loop of PAUSEs, none more than ${gap} cycles apart, lasted longer than ${span} cycles` }, [
    detail('PLE_Gap', String(gap)), detail('PLE_Window', String(span)),
  ]);
}

function tripleFault(s: Subject): Explanation {
  return exited(s, `A triple fault${duringDelivery(s.facts)}`, always('a triple fault', OTHER_CAUSES));
}

/** By the name of the reason. */
export const VMX_COMPOSERS: Readonly<Record<ReasonName, Composer>> = {
  EXCEPTION_OR_NMI: exceptionOrNmi,
  EXTERNAL_INTERRUPT: externalInterrupt,
  TRIPLE_FAULT: tripleFault,
  INIT: (s) => exited(s, 'An INIT signal', always('an INIT signal', OTHER_CAUSES)),
  SIPI: (s) => exited(s, `A start-up IPI with vector ${hex(s.facts.vmcs('EXIT_QUALIFICATION'))}`, always('a start-up IPI in the wait-for-SIPI state', OTHER_CAUSES)),
  INTERRUPT_WINDOW: (s) => window(s, 'The interrupt window', 'RFLAGS.IF is 1 and nothing blocks interrupts', PROC.interruptWindowExiting),
  NMI_WINDOW: (s) => window(s, 'The NMI window', 'virtual NMIs are not blocked', PROC.nmiWindowExiting),
  TASK_SWITCH: taskSwitch,
  CPUID: unconditional('CPUID', cpuidText),
  GETSEC: unconditional('GETSEC'),
  HLT: byControl(PROCESSOR, PROC.hltExiting),
  INVD: unconditional('INVD'),
  INVLPG: (s) => exited(s, `INVLPG of ${hex(s.facts.vmcs('EXIT_QUALIFICATION'))}`, controlIs(PROCESSOR, PROC.invlpgExiting), [detail('linear address', s.facts.vmcs('EXIT_QUALIFICATION'))]),
  RDPMC: (s) => exited(s, `RDPMC of counter ${hex(s.facts.gpr32(1))}`, controlIs(PROCESSOR, PROC.rdpmcExiting)),
  RDTSC: byControl(PROCESSOR, PROC.rdtscExiting),
  RSM: unconditional('RSM'),
  VMCALL: unconditional('VMCALL', (s) => `VMCALL with RAX = ${hex(s.facts.gpr(0))}`),
  VMCLEAR: unconditional('VMCLEAR'),
  VMLAUNCH: unconditional('VMLAUNCH'),
  VMPTRLD: unconditional('VMPTRLD'),
  VMPTRST: unconditional('VMPTRST'),
  VMREAD: shadowed('VMREAD'),
  VMRESUME: unconditional('VMRESUME'),
  VMWRITE: shadowed('VMWRITE'),
  VMXOFF: unconditional('VMXOFF'),
  VMXON: unconditional('VMXON'),
  CR_ACCESS: crAccess,
  MOV_DR: movDr,
  IO_INSTRUCTION: io,
  RDMSR: msr(false),
  WRMSR: msr(true),
  ENTRY_FAILURE_GUEST_STATE: entryFailure,
  ENTRY_FAILURE_MSR_LOADING: entryFailure,
  MWAIT: byControl(PROCESSOR, PROC.mwaitExiting),
  MONITOR_TRAP_FLAG: (s) => exited(s, 'The boundary after an instruction', controlIs(PROCESSOR, PROC.monitorTrapFlag)),
  MONITOR: byControl(PROCESSOR, PROC.monitorExiting),
  PAUSE: pause,
  GDTR_IDTR_ACCESS: byControl(SECONDARY, PROC2.descriptorTableExiting),
  LDTR_TR_ACCESS: byControl(SECONDARY, PROC2.descriptorTableExiting),
  EPT_VIOLATION: eptViolation,
  EPT_MISCONFIGURATION: eptMisconfiguration,
  INVEPT: unconditional('INVEPT'),
  RDTSCP: byControl(PROCESSOR, PROC.rdtscExiting),
  PREEMPTION_TIMER: (s) => {
    const cause = controlIs('PIN_BASED_CONTROLS', PIN.preemptionTimer);
    return exited(s, 'The VMX-preemption timer', { ...cause, clause: `it counted down to zero and ${cause.clause}` });
  },
  INVVPID: unconditional('INVVPID'),
  WBINVD: byControl(SECONDARY, PROC2.wbinvdExiting),
  XSETBV: unconditional('XSETBV', (s) => `XSETBV of ${hex((BigInt(s.facts.gpr32(2)) << 32n) | BigInt(s.facts.gpr32(0)))} to XCR${s.facts.gpr32(1)}`),
  RDRAND: byControl(SECONDARY, PROC2.rdrandExiting),
  INVPCID: byControl(PROCESSOR, PROC.invlpgExiting),
  RDSEED: byControl(SECONDARY, PROC2.rdseedExiting),
};

/** The explanation of a VT-x exit, or undefined for a reason that this machine has no name for. */
export function explainVmx(s: Subject): Explanation | undefined {
  const name = REASON_NAMES[s.facts.code & 0xffff];
  return name === undefined ? undefined : VMX_COMPOSERS[name](s);
}
