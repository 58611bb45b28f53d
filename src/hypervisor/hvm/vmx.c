// Intel's extension: VMXON, the VMCS, and what the exits mean. SDM 3C chapters 24-28. Mirrors svm.c.
//
// EPT is taken for granted. The bits of CR0 and CR4 that decide about paging belong to the hypervisor, so that the "IA-32e mode
// guest" control, EFER.LMA and the PDPTEs always fit them; CR3 is the guest's own. A processor without "unrestricted guest" cannot
// run with paging off: it then runs on an identity map in the guest's memory, and CR3 is the hypervisor's, too, until paging is on.
#include "vmcs.h"
#include "../defs.h"
#include "../memlayout.h"

#define MSR_VMX_BASIC 0x480
#define MSR_VMX_CR0_FIXED0 0x486
#define MSR_VMX_CR4_FIXED0 0x488
#define MSR_VMX_PROCBASED_CTLS2 0x48b
#define MSR_VMX_EPT_VPID_CAP 0x48c
#define BASIC_TRUE_CONTROLS (1ul << 55)
#define FEATURE_LOCK 1
#define FEATURE_VMX 4
#define EPT_CAP_INVEPT_SINGLE (1ul << 25)

#define CR0_OURS (CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_CD | CR0_NW)
#define CR4_OURS (CR4_VMXE | CR4_PAE | CR4_PSE)

static uint8 vmxon_region[4096] __attribute__((aligned(4096)));
static uint8 msr_bitmap[4096] __attribute__((aligned(4096)));
static uint32 pin, proc, proc2, exit_ctl, entry_ctl;
static bool unrestricted, has_vpid, invept_single;

bool vmx_enter(struct regs *guest, bool launched);

static inline uint64
vmread(uint64 field)
{
  uint64 v;

  asm volatile("vmread %1, %0" : "=r"(v) : "r"(field) : "cc");
  return v;
}

static inline void
vmwrite(uint64 field, uint64 v)
{
  bool bad;

  asm volatile("vmwrite %2, %1; setna %0" : "=qm"(bad) : "r"(field), "r"(v) : "cc", "memory");
  if(bad)
    panic("vmx: VMWRITE of field %lx failed", field);
}

// VMXON, VMCLEAR and VMPTRLD take the address of an address and set CF or ZF on failure.
#define VMX_POINTER_INSN(insn) \
  static inline bool insn(uint64 pa) \
  { \
    bool bad; \
    asm volatile(#insn " %1; setna %0" : "=qm"(bad) : "m"(pa) : "cc", "memory"); \
    return !bad; \
  }
VMX_POINTER_INSN(vmxon)
VMX_POINTER_INSN(vmclear)
VMX_POINTER_INSN(vmptrld)

struct inv_descriptor {
  uint64 context, address;
};

static inline void
invept(uint64 type, struct inv_descriptor d)
{
  asm volatile("invept %0, %1" : : "m"(d), "r"(type) : "cc", "memory");
}

static inline void
invvpid(uint64 type, struct inv_descriptor d)
{
  asm volatile("invvpid %0, %1" : : "m"(d), "r"(type) : "cc", "memory");
}

// --- what this processor can ---

// Choose controls: all of `need`, what exists of `want`, and what must be 1 anyway. False: something needed is missing.
static bool
choose(uint32 msr, uint32 need, uint32 want, uint32 *out)
{
  uint64 cap = rdmsr(msr);
  uint32 must = (uint32)cap, may = (uint32)(cap >> 32);

  *out = ((need | want) & may) | must;
  return (need & ~may) == 0;
}

static uint32
control_msr(int n) // 1 pin, 2 processor, 3 exit, 4 entry
{
  return (rdmsr(MSR_VMX_BASIC) & BASIC_TRUE_CONTROLS ? 0x48c : 0x480) + (uint32)n;
}

bool
vmx_available(void)
{
  uint64 fc;

  if(!(cpuid(1, 0).ecx & 1 << 5))
    return false;
  if(probe_rdmsr(MSR_FEATURE_CONTROL, &fc) != 0 || (fc & (FEATURE_LOCK | FEATURE_VMX)) == FEATURE_LOCK)
    return false;
  if(!choose(control_msr(1), PIN_EXTERNAL_INTERRUPT | PIN_NMI, 0, &pin))
    return false;
  if(!choose(control_msr(2), PROC_HLT | PROC_MWAIT | PROC_RDPMC | PROC_CR8_LOAD | PROC_CR8_STORE | PROC_UNCONDITIONAL_IO |
             PROC_MSR_BITMAPS | PROC_MONITOR | PROC_SECONDARY, 0, &proc))
    return false;
  if(!choose(MSR_VMX_PROCBASED_CTLS2, PROC2_EPT, PROC2_VPID | PROC2_WBINVD | PROC2_UNRESTRICTED, &proc2))
    return false;
  if(!choose(control_msr(3), EXIT_HOST_64BIT | EXIT_SAVE_EFER | EXIT_LOAD_EFER, 0, &exit_ctl))
    return false;
  return choose(control_msr(4), ENTRY_LOAD_EFER, 0, &entry_ctl);
}

// --- set-up ---

// Let the guest read and write an MSR without an exit. SDM 3C §25.6.9 "MSR-Bitmap Address": four bitmaps of 1 KiB.
static void
allow_msr(uint32 msr)
{
  uint32 base = msr < 0x2000 ? 0 : 0x400, bit = msr & 0x1fff;

  msr_bitmap[base + bit / 8] &= ~(1 << (bit % 8));
  msr_bitmap[0x800 + base + bit / 8] &= ~(1 << (bit % 8));
}

void
vmx_init(void)
{
  static const uint32 guests_own[] = {
    MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK,
    MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
  };

  unrestricted = proc2 & PROC2_UNRESTRICTED;
  has_vpid = proc2 & PROC2_VPID;
  invept_single = rdmsr(MSR_VMX_EPT_VPID_CAP) & EPT_CAP_INVEPT_SINGLE;
  memset(msr_bitmap, 0xff, sizeof(msr_bitmap));
  for(size_t i = 0; i < NELEM(guests_own); i++)
    allow_msr(guests_own[i]);
  if(!(rdmsr(MSR_FEATURE_CONTROL) & FEATURE_LOCK))
    wrmsr(MSR_FEATURE_CONTROL, FEATURE_LOCK | FEATURE_VMX);
  lcr0(rcr0() | rdmsr(MSR_VMX_CR0_FIXED0));
  lcr4(rcr4() | rdmsr(MSR_VMX_CR4_FIXED0));
  *(uint32 *)vmxon_region = (uint32)rdmsr(MSR_VMX_BASIC) & 0x7fffffff;
  if(!vmxon(V2P(vmxon_region)))
    panic("vmx: VMXON failed");
}

static uint64
eptp(struct vcpu *v)
{
  return V2P(v->dom->hvm->p2m) | 3 << 3 | 6; // walk of four levels, write-back
}

static void
host_state(void)
{
  extern char vmx_exited[];
  struct dtr idtr;

  asm volatile("sidt %0" : "=m"(idtr));
  vmwrite(HOST_CS_SELECTOR, SEL_HV_CS);
  vmwrite(HOST_SS_SELECTOR, SEL_HV_DS);
  vmwrite(HOST_TR_SELECTOR, SEL_TSS);
  vmwrite(HOST_TR_BASE, (uint64)vm_tss_base());
  vmwrite(HOST_GDTR_BASE, GDT_VIRT);
  vmwrite(HOST_IDTR_BASE, idtr.base);
  vmwrite(HOST_CR0, rcr0() & ~CR0_TS);
  vmwrite(HOST_CR3, hv_cr3());
  vmwrite(HOST_CR4, rcr4());
  vmwrite(HOST_IA32_EFER, rdmsr(MSR_EFER));
  vmwrite(HOST_RIP, (uint64)vmx_exited);
}

static void
guest_segment(int i, uint16 sel, uint32 limit, uint32 access)
{
  vmwrite(GUEST_ES_SELECTOR + 2ul * (uint64)i, sel);
  vmwrite(GUEST_ES_LIMIT + 2ul * (uint64)i, limit);
  vmwrite(GUEST_ES_ACCESS + 2ul * (uint64)i, access);
  vmwrite(GUEST_ES_BASE + 2ul * (uint64)i, 0);
}

static bool
on_identity_map(struct vcpu *v)
{
  return !unrestricted && !(v->hvm->cr0 & CR0_PG);
}

// PAE paging under EPT takes its four top entries from the VMCS.
static void
load_pdptes(struct vcpu *v)
{
  uint64 *t = hvm_gpa(v->dom, v->hvm->cr3 & 0xffffffe0);

  for(uint64 i = 0; i < 4; i++)
    vmwrite(GUEST_PDPTE0 + 2 * i, t ? t[i] : 0);
}

// On the identity map paging is on without the guest's doing, and with paging on LME and LMA must agree.
static void
put_efer(struct vcpu *v)
{
  vmwrite(GUEST_IA32_EFER, v->hvm->efer & ~(on_identity_map(v) ? EFER_LME | EFER_LMA : 0));
}

// Bring the VMCS into line with the guest's CR0, CR3, CR4 and EFER (v->hvm).
static void
apply_control_registers(struct vcpu *v)
{
  struct hvm_vcpu *h = v->hvm;
  bool ident = on_identity_map(v), paging = h->cr0 & CR0_PG;
  uint64 cr0 = (h->cr0 & ~(CR0_CD | CR0_NW)) | CR0_NE | CR0_ET, cr4 = h->cr4 | CR4_VMXE;

  if(!unrestricted)
    cr0 |= CR0_PG | CR0_PE;
  if(ident)
    cr4 = (cr4 | CR4_PSE) & ~CR4_PAE;
  if(paging && (h->efer & EFER_LME))
    h->efer |= EFER_LMA;
  else
    h->efer &= ~EFER_LMA;
  vmwrite(GUEST_CR0, cr0);
  vmwrite(CR0_SHADOW, h->cr0);
  vmwrite(GUEST_CR4, cr4);
  vmwrite(CR4_SHADOW, h->cr4);
  vmwrite(GUEST_CR3, ident ? v->dom->hvm->ident_pt : h->cr3);
  put_efer(v);
  vmwrite(ENTRY_CONTROLS, (entry_ctl & ~ENTRY_GUEST_IA32E) | (h->efer & EFER_LMA ? ENTRY_GUEST_IA32E : 0));
  h->proc = (h->proc & ~(PROC_CR3_LOAD | PROC_CR3_STORE | PROC_INVLPG)) | (ident ? PROC_CR3_LOAD | PROC_CR3_STORE : 0);
  vmwrite(PROC_BASED_CONTROLS, h->proc);
  if(paging && (h->cr4 & CR4_PAE) && !(h->efer & EFER_LMA))
    load_pdptes(v);
  h->flush = true;
}

static void
vcpu_init(struct vcpu *v)
{
  uint32 *vmcs = kalloc();

  v->hvm->control = vmcs;
  v->hvm->control_pa = V2P(vmcs);
  vmcs[0] = (uint32)rdmsr(MSR_VMX_BASIC) & 0x7fffffff;
  if(!vmclear(V2P(vmcs)) || !vmptrld(V2P(vmcs)))
    panic("vmx: VMCLEAR or VMPTRLD failed");
  host_state();
  vmwrite(PIN_BASED_CONTROLS, pin);
  vmwrite(SECONDARY_CONTROLS, proc2);
  vmwrite(EXIT_CONTROLS, exit_ctl);
  vmwrite(EXCEPTION_BITMAP, 1 << T_MCHK);
  vmwrite(MSR_BITMAP, V2P(msr_bitmap));
  vmwrite(EPT_POINTER, eptp(v));
  if(has_vpid)
    vmwrite(VIRTUAL_PROCESSOR_ID, v->dom->id + 1u);
  vmwrite(VMCS_LINK_POINTER, ~0ul);
  vmwrite(CR0_MASK, CR0_OURS);
  vmwrite(CR4_MASK, CR4_OURS);
  for(int i = SEG_ES; i <= SEG_GS; i++)
    guest_segment(i, i == SEG_CS ? 0x08 : 0x10, 0xffffffff, i == SEG_CS ? 0xc09b : 0xc093);
  guest_segment(SEG_GS + 1, 0, 0, ACCESS_UNUSABLE); // LDTR
  guest_segment(SEG_GS + 2, 0, 0x67, 0x8b);         // TR
  vmwrite(GUEST_GDTR_LIMIT, 0);
  vmwrite(GUEST_IDTR_LIMIT, 0);
  vmwrite(GUEST_DR7, 0x400);
  v->hvm->proc = proc;
  v->hvm->cr0 = CR0_PE | CR0_ET;
  apply_control_registers(v);
}

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
  case 3: return on_identity_map(v) ? v->hvm->cr3 : vmread(GUEST_CR3);
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
  put_efer(v);
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
  apply_control_registers(v);
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
  invept(invept_single ? 1 : 2, (struct inv_descriptor){ eptp(v), 0 });
  if(has_vpid)
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
  .vcpu_init = vcpu_init,
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
