// Intel's extension: entering the guest, and what the exits mean. SDM 3C chapters 26-28. Mirrors svm.c; vmx_setup.c has the rest.
#include "vmx.h"
#include "../memlayout.h"

bool vmx_enter(struct regs *guest, bool launched);

static void
switch_to(struct vcpu *v)
{
  struct hvm_vcpu *h = v->hvm;

  if(!vmptrld(h->control_pa))
    panic("vmx: VMPTRLD failed");
  wrmsr(MSR_STAR, h->star);
  wrmsr(MSR_LSTAR, h->lstar);
  wrmsr(MSR_CSTAR, h->cstar);
  wrmsr(MSR_FMASK, h->fmask);
  wrmsr(MSR_KERNEL_GS_BASE, h->kernel_gs_base);
}

static void
switch_from(struct vcpu *v)
{
  struct hvm_vcpu *h = v->hvm;

  h->star = rdmsr(MSR_STAR);
  h->lstar = rdmsr(MSR_LSTAR);
  h->cstar = rdmsr(MSR_CSTAR);
  h->fmask = rdmsr(MSR_FMASK);
  h->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
  syscall_msrs_load();
  gdt_load(); // an exit leaves limits that do not cover the port map
  idt_load();
}

// --- the guest's state ---

static uint64
get_cr(struct vcpu *v, int n)
{
  switch(n){
  case 0: return (vmread(GUEST_CR0) & ~CR0_OURS) | (v->hvm->cr0 & CR0_OURS);
  case 2: return rcr2();
  case 3: return vmx_on_identity_map(v) ? v->hvm->cr3 : vmread(GUEST_CR3);
  default: return (vmread(GUEST_CR4) & ~CR4_OURS) | (v->hvm->cr4 & CR4_OURS);
  }
}

static void
set_cr2(struct vcpu *v, uint64 val)
{
  asm volatile("mov %0, %%cr2" : : "r"(val));
}

static uint64
get_efer(struct vcpu *v)
{
  return v->hvm->efer;
}

static uint16
get_attr(struct vcpu *v, int seg)
{
  uint32 access = (uint32)vmread(GUEST_ES_ACCESS + 2ul * (uint64)seg);

  return access & ACCESS_UNUSABLE ? access & 0x60 : (access & 0xff) | (access >> 4 & 0xf00);
}

static void
get_segment(struct vcpu *v, int seg, struct segment *s)
{
  uint64 i = 2ul * (uint64)seg;

  s->sel = (uint16)vmread(GUEST_ES_SELECTOR + i);
  s->limit = (uint32)vmread(GUEST_ES_LIMIT + i);
  s->base = vmread(GUEST_ES_BASE + i);
  s->attr = get_attr(v, seg);
}

static bool
can_interrupt(struct vcpu *v)
{
  return (v->regs->rflags & RFLAGS_IF) && !v->hvm->injecting && !(vmread(GUEST_INTERRUPTIBILITY) & 3);
}

static void
inject(struct vcpu *v, enum event_type type, int vector, bool has_error, uint32 error)
{
  vmwrite(ENTRY_INTERRUPTION_INFO, INFO_VALID | (uint32)type << 8 | (uint32)vector | (has_error ? INFO_ERROR : 0));
  if(has_error)
    vmwrite(ENTRY_EXCEPTION_ERROR, error);
  v->hvm->injecting = true;
}

static void
set_window(struct vcpu *v, bool on)
{
  uint32 p = on ? v->hvm->proc | PROC_INTERRUPT_WINDOW : v->hvm->proc & ~PROC_INTERRUPT_WINDOW;

  if(p != v->hvm->proc)
    vmwrite(PROC_BASED_CONTROLS, v->hvm->proc = p);
}

static void
want_window(struct vcpu *v)
{
  set_window(v, true);
}

static void
end_shadow(struct vcpu *v)
{
  uint64 i = vmread(GUEST_INTERRUPTIBILITY);

  if(i & 3)
    vmwrite(GUEST_INTERRUPTIBILITY, i & ~3ul);
}

static bool
read_msr(struct vcpu *v, uint32 msr, uint64 *val)
{
  switch(msr){
  case MSR_EFER: *val = v->hvm->efer; return true;
  case MSR_PAT: *val = 0x0007040600070406; return true;
  default: return false;
  }
}

static bool
write_msr(struct vcpu *v, uint32 msr, uint64 val)
{
  struct hvm_vcpu *h = v->hvm;

  if(msr == MSR_PAT)
    return true; // EPT memory is write-back whatever it says
  if(msr != MSR_EFER || (val & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)))
    return false;
  if(((val ^ h->efer) & EFER_LME) && (h->cr0 & CR0_PG))
    return false;
  h->efer = (val & ~EFER_LMA) | (h->efer & EFER_LMA);
  vmx_put_efer(v);
  return true;
}

// --- exits ---

static bool
write_cr(struct vcpu *v, int n, uint64 val)
{
  struct hvm_vcpu *h = v->hvm;

  h->cr0 = get_cr(v, 0);
  h->cr4 = get_cr(v, 4);
  h->cr3 = get_cr(v, 3);
  switch(n){
  case 0:
    if((val & CR0_PG) && (!(val & CR0_PE) || ((h->efer & EFER_LME) && !(h->cr4 & CR4_PAE))))
      return false;
    h->cr0 = val | CR0_ET;
    break;
  case 3:
    h->cr3 = val;
    break;
  case 4:
    if((val & CR4_VMXE) || ((h->efer & EFER_LMA) && !(val & CR4_PAE)))
      return false;
    h->cr4 = val;
    break;
  case 8:
    v->hvm->lapic.tpr = (uint32)(val & 15) << 4;
    return true;
  default:
    return false;
  }
  vmx_apply_control_registers(v);
  return true;
}

// Qualification: register number, kind of access, general register. SDM 3C Table 28-3 "Exit Qualification for Control-Register
// Accesses".
static void
cr_access(struct vcpu *v, uint64 len)
{
  uint64 q = vmread(EXIT_QUALIFICATION), *reg = reg_of(v->regs, (int)(q >> 8 & 15));
  int n = (int)(q & 15), kind = (int)(q >> 4 & 3);

  if(kind == 0){ // MOV to CR
    if(!write_cr(v, n, *reg)){
      hvm_inject_fault(v, T_GPFLT, true, 0);
      return;
    }
  } else if(kind == 1)
    *reg = n == 8 ? v->hvm->lapic.tpr >> 4 : get_cr(v, n);
  else if(kind == 2) // CLTS does not exit: TS is the guest's
    vmwrite(GUEST_CR0, vmread(GUEST_CR0) & ~CR0_TS);
  else { // LMSW: PE can be set, not cleared
    uint64 low = q >> 16 & 0xf, cr0 = get_cr(v, 0);
    write_cr(v, 0, (cr0 & ~0xeul) | (low & 0xe) | ((cr0 | low) & 1));
  }
  hvm_advance(v, len);
}

static void
io_exit(struct vcpu *v, uint64 len)
{
  uint64 q = vmread(EXIT_QUALIFICATION);

  hvm_io(v, (uint16)(q >> 16), (int)(q & 7) + 1, q & 8, q & 16, q & 32, v->regs->rip + len);
}

static void
exception_exit(struct vcpu *v)
{
  uint32 info = (uint32)vmread(EXIT_INTERRUPTION_INFO);

  if((info >> 8 & 7) == INFO_TYPE_NMI)
    panic("NMI while domain %u ran", v->dom->id);
  if((info & 0xff) == T_MCHK)
    panic("machine check while domain %u ran", v->dom->id);
  domain_crash(v->dom, "vmx: unexpected exception exit, information %x", info);
}

static void
handle_exit(struct vcpu *v, uint32 reason)
{
  uint64 len = vmread(EXIT_INSTRUCTION_LENGTH);

  switch(reason){
  case REASON_EXCEPTION:
    exception_exit(v);
    break;
  case REASON_EXTERNAL_INTERRUPT:
    interrupt_window();
    break;
  case REASON_INTERRUPT_WINDOW:
    break; // hvm_loop delivers
  case REASON_CPUID:
    hvm_cpuid(v);
    hvm_advance(v, len);
    break;
  case REASON_HLT:
    hvm_advance(v, len);
    hvm_hlt(v);
    break;
  case REASON_IO:
    io_exit(v, len);
    break;
  case REASON_RDMSR:
    hvm_rdmsr(v);
    break;
  case REASON_WRMSR:
    hvm_wrmsr(v);
    break;
  case REASON_VMCALL:
    hvm_advance(v, len);
    hvm_hypercall(v);
    break;
  case REASON_CR_ACCESS:
    cr_access(v, len);
    break;
  case REASON_EPT_VIOLATION:
    hvm_gpa_fault(v, vmread(GUEST_PHYSICAL_ADDRESS), vmread(EXIT_QUALIFICATION) & 2);
    break;
  case REASON_INVD: case REASON_WBINVD:
    hvm_advance(v, len); // memory is coherent: nothing to do
    break;
  case REASON_VMCLEAR ... REASON_VMXON:
  case REASON_INVEPT: case REASON_INVVPID: case REASON_MWAIT: case REASON_MONITOR: case REASON_XSETBV:
    hvm_inject_fault(v, T_ILLOP, false, 0); // CPUID says they are not there
    break;
  case REASON_RDPMC:
    hvm_inject_fault(v, T_GPFLT, true, 0);
    break;
  case REASON_TRIPLE_FAULT:
    domain_crash(v->dom, "triple fault");
    break;
  case REASON_ENTRY_FAILED | REASON_GUEST_STATE:
    domain_crash(v->dom, "vmx: VM entry refused the guest state, qualification %lx", vmread(EXIT_QUALIFICATION));
    break;
  case REASON_EPT_MISCONFIGURATION:
    panic("vmx: EPT misconfiguration at %lx", vmread(GUEST_PHYSICAL_ADDRESS));
  default:
    domain_crash(v->dom, "vmx: unexpected exit %x at %lx, qualification %lx", reason, v->regs->rip, vmread(EXIT_QUALIFICATION));
  }
}

// An event whose delivery the exit interrupted goes in again.
static void
reinject(struct vcpu *v)
{
  uint32 info = (uint32)vmread(IDT_VECTORING_INFO);

  v->hvm->injecting = false;
  if(!(info & INFO_VALID))
    return;
  vmwrite(ENTRY_INTERRUPTION_INFO, info & ~(1u << 12));
  if(info & INFO_ERROR)
    vmwrite(ENTRY_EXCEPTION_ERROR, vmread(IDT_VECTORING_ERROR));
  if((info >> 8 & 7) >= 4) // software interrupt or exception
    vmwrite(ENTRY_INSTRUCTION_LENGTH, vmread(EXIT_INSTRUCTION_LENGTH));
  v->hvm->injecting = true;
}

static void
flush_translations(struct vcpu *v)
{
  invept(vmx_invept_single ? 1 : 2, (struct inv_descriptor){ vmx_eptp(v), 0 });
  if(vmx_has_vpid)
    invvpid(1, (struct inv_descriptor){ v->dom->id + 1u, 0 });
  v->hvm->flush = false;
}

static void
put_if_changed(uint64 field, uint64 val, uint64 *in_vmcs)
{
  if(val != *in_vmcs)
    vmwrite(field, *in_vmcs = val);
}

// Enter, come back, handle.
static void
run(struct vcpu *v)
{
  struct hvm_vcpu *h = v->hvm;
  struct regs *r = v->regs;

  put_if_changed(GUEST_RIP, r->rip, &h->rip);
  put_if_changed(GUEST_RSP, r->rsp, &h->rsp);
  put_if_changed(GUEST_RFLAGS, r->rflags, &h->rflags);
  if(h->flush)
    flush_translations(v);
  if(!vmx_enter(r, h->launched)){
    domain_crash(v->dom, "vmx: VM entry failed, error %lu", vmread(VM_INSTRUCTION_ERROR));
    return;
  }
  h->launched = true;
  h->exits++;
  r->rip = h->rip = vmread(GUEST_RIP);
  r->rsp = h->rsp = vmread(GUEST_RSP);
  r->rflags = h->rflags = vmread(GUEST_RFLAGS);
  set_window(v, false);
  reinject(v);
  handle_exit(v, (uint32)vmread(EXIT_REASON));
}

static const uint8 vmcall[3] = { 0x0f, 0x01, 0xc1 };

const struct hvm_ops vmx_ops = {
  .name = "VT-x with EPT",
  .p2m = &ept_ops,
  .vcpu_init = vmx_vcpu_init,
  .switch_to = switch_to,
  .switch_from = switch_from,
  .run = run,
  .get_cr = get_cr,
  .set_cr2 = set_cr2,
  .get_efer = get_efer,
  .get_segment = get_segment,
  .get_attr = get_attr,
  .can_interrupt = can_interrupt,
  .inject = inject,
  .want_window = want_window,
  .end_shadow = end_shadow,
  .read_msr = read_msr,
  .write_msr = write_msr,
  .hypercall_insn = vmcall,
};
