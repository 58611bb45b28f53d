// AMD's extension: VMCB, VMRUN, and what the exits mean. APM 2 chapter 15 "Secure Virtual Machine". Mirrors vmx.c.
//
// Nested paging is taken for granted, so the guest's control registers and page tables are its own and cause no exits.
// FS, GS, TR, LDTR and the system-call MSRs are the guest's between switch_to and switch_from, also while the hypervisor runs.
#include "vmcb.h"
#include "../defs.h"
#include "../memlayout.h"

#define MSR_VM_CR 0xc0010114
#define MSR_VM_HSAVE_PA 0xc0010117
#define VM_CR_SVMDIS (1 << 4)

#define MISC1 \
  (INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_SMI | INTERCEPT_INIT | INTERCEPT_RDPMC | INTERCEPT_CPUID | INTERCEPT_INVD | \
   INTERCEPT_HLT | INTERCEPT_INVLPGA | INTERCEPT_IOIO | INTERCEPT_MSR | INTERCEPT_SHUTDOWN)
#define MISC2 \
  (INTERCEPT_VMRUN | INTERCEPT_VMMCALL | INTERCEPT_VMLOAD | INTERCEPT_VMSAVE | INTERCEPT_STGI | INTERCEPT_CLGI | \
   INTERCEPT_SKINIT | INTERCEPT_WBINVD | INTERCEPT_MONITOR | INTERCEPT_MWAIT | INTERCEPT_XSETBV)

static uint8 iopm[3 * 4096] __attribute__((aligned(4096)));  // all ones: every port exits
static uint8 msrpm[2 * 4096] __attribute__((aligned(4096)));
static uint8 host_save[4096] __attribute__((aligned(4096)));
static struct vmcb host_vmcb __attribute__((aligned(4096))); // VMSAVE of the hypervisor's own state
static bool has_nrip, has_flush_by_asid;

void svm_enter(uint64 vmcb_pa, struct regs *guest);

static inline void vmsave(uint64 pa) { asm volatile("vmsave %%rax" : : "a"(pa) : "memory"); }
static inline void vmload(uint64 pa) { asm volatile("vmload %%rax" : : "a"(pa) : "memory"); }

static struct vmcb *
vmcb_of(struct vcpu *v)
{
  return v->hvm->control;
}

bool
svm_available(void)
{
  uint64 val;

  if(cpuid(0x80000000, 0).eax < 0x8000000a || !(cpuid(0x80000001, 0).ecx & 4))
    return false;
  if(probe_rdmsr(MSR_VM_CR, &val) == 0 && (val & VM_CR_SVMDIS))
    return false;
  return cpuid(0x8000000a, 0).edx & 1; // nested paging
}

// Let the guest read and write an MSR without an exit. APM 2 §15.11 "MSR Intercepts": two bits an MSR, three ranges of 2 KiB.
static void
allow_msr(uint32 msr)
{
  uint32 base = msr < 0x2000 ? 0 : msr < 0xc0002000 ? 0x800 : 0x1000, bit = (msr & 0x1fff) * 2;

  msrpm[base + bit / 8] &= ~(3 << (bit % 8));
}

void
svm_init(void)
{
  static const uint32 guests_own[] = {
    MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_FMASK,
    MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_PAT,
  };
  uint32 features = cpuid(0x8000000a, 0).edx;

  has_nrip = features >> 3 & 1;
  has_flush_by_asid = features >> 6 & 1;
  wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
  wrmsr(MSR_VM_HSAVE_PA, V2P(host_save));
  memset(iopm, 0xff, sizeof(iopm));
  memset(msrpm, 0xff, sizeof(msrpm));
  for(size_t i = 0; i < NELEM(guests_own); i++)
    allow_msr(guests_own[i]);
  vmsave(V2P(&host_vmcb));
}

static void
vcpu_init(struct vcpu *v)
{
  struct vmcb *b = kalloc();
  struct segment code = { 0x08, 0xc9b, 0xffffffff, 0 }, data = { 0x10, 0xc93, 0xffffffff, 0 };

  v->hvm->control = b;
  v->hvm->control_pa = V2P(b);
  b->intercept1 = MISC1;
  b->intercept2 = MISC2;
  b->intercept_exceptions = 1 << T_MCHK;
  b->iopm_base = V2P(iopm);
  b->msrpm_base = V2P(msrpm);
  b->asid = v->dom->id + 1u;
  b->vintr = V_INTR_MASKING;
  b->np_enable = 1;
  b->n_cr3 = V2P(v->dom->hvm->p2m);
  b->cs = code;
  b->ss = b->ds = b->es = b->fs = b->gs = data;
  b->tr = (struct segment){ 0, 0x8b, 0x67, 0 };
  b->ldtr = (struct segment){ 0, 0x82, 0, 0 };
  b->efer = EFER_SVME;
  b->cr0 = CR0_PE | CR0_ET;
  b->dr6 = 0xffff0ff0;
  b->dr7 = 0x400;
  b->g_pat = 0x0007040600070406;
  v->hvm->flush = true;
  if(b->asid >= cpuid(0x8000000a, 0).ebx)
    panic("svm: this processor has only %u address-space identifiers", cpuid(0x8000000a, 0).ebx);
}

static void
switch_to(struct vcpu *v)
{
  vmload(v->hvm->control_pa);
}

static void
switch_from(struct vcpu *v)
{
  vmsave(v->hvm->control_pa);
  vmload(V2P(&host_vmcb));
}

// --- the guest's state ---

static uint64
get_cr(struct vcpu *v, int n)
{
  struct vmcb *b = vmcb_of(v);

  switch(n){
  case 0: return b->cr0;
  case 2: return b->cr2;
  case 3: return b->cr3;
  default: return b->cr4;
  }
}

static void
set_cr2(struct vcpu *v, uint64 val)
{
  vmcb_of(v)->cr2 = val;
}

static uint64
get_efer(struct vcpu *v)
{
  return vmcb_of(v)->efer & ~EFER_SVME;
}

static uint16
get_attr(struct vcpu *v, int seg)
{
  struct vmcb *b = vmcb_of(v);
  uint16 attr = (&b->es)[seg].attr; // ES, CS, SS, DS: always in the VMCB

  return seg == SEG_SS ? (attr & ~0x60) | b->cpl << 5 : attr; // CPL is the real privilege level
}

static void
get_segment(struct vcpu *v, int seg, struct segment *s)
{
  struct vmcb *b = vmcb_of(v);

  if(seg >= SEG_FS)
    vmsave(v->hvm->control_pa); // FS and GS are in the processor
  *s = (&b->es)[seg];
  s->attr = get_attr(v, seg);
}

static bool
can_interrupt(struct vcpu *v)
{
  struct vmcb *b = vmcb_of(v);

  return (v->regs->rflags & RFLAGS_IF) && !(b->interrupt_shadow & 1) && !(b->eventinj & EVENTINJ_VALID);
}

static void
inject(struct vcpu *v, enum event_type type, int vector, bool has_error, uint32 error)
{
  vmcb_of(v)->eventinj = EVENTINJ_VALID | (uint64)type << 8 | (uint64)vector | (has_error ? EVENTINJ_EV | (uint64)error << 32 : 0);
}

// A virtual interrupt that is intercepted just before it would be delivered.
static void
want_window(struct vcpu *v)
{
  struct vmcb *b = vmcb_of(v);

  b->vintr |= V_IRQ | V_INTR_PRIO | V_IGN_TPR;
  b->intercept1 |= INTERCEPT_VINTR;
}

static void
close_window(struct vmcb *b)
{
  b->vintr &= ~(V_IRQ | V_INTR_PRIO | V_IGN_TPR);
  b->intercept1 &= ~INTERCEPT_VINTR;
}

static void
end_shadow(struct vcpu *v)
{
  vmcb_of(v)->interrupt_shadow &= ~1ul;
}

static bool
read_msr(struct vcpu *v, uint32 msr, uint64 *val)
{
  switch(msr){
  case MSR_EFER: *val = get_efer(v); return true;
  case 0xc0010010: case 0xc0010015: case 0xc001001f: *val = 0; return true; // SYSCFG, HWCR, NB_CFG: nothing set
  default: return false;
  }
}

static bool
write_msr(struct vcpu *v, uint32 msr, uint64 val)
{
  struct vmcb *b = vmcb_of(v);

  if(msr != MSR_EFER || (val & ~(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)))
    return false;
  if(((val ^ b->efer) & EFER_LME) && (b->cr0 & CR0_PG))
    return false;
  b->efer = (val & ~EFER_LMA) | (b->efer & EFER_LMA) | EFER_SVME;
  return true;
}

// --- exits ---

static bool
is_prefix(struct vcpu *v, uint8 c)
{
  switch(c){
  case 0x66: case 0x67: case 0xf2: case 0xf3: case 0x2e: case 0x36: case 0x3e: case 0x26: case 0x64: case 0x65: case 0xf0:
    return true;
  default:
    return (c & 0xf0) == 0x40 && hvm_is_64bit(v); // REX
  }
}

// Length of the intercepted instruction: told by newer processors, otherwise its prefixes and the bytes it is known to have.
static uint64
insn_length(struct vcpu *v, int opcode_bytes)
{
  uint8 code[15];
  int n, i;

  if(has_nrip && vmcb_of(v)->nrip)
    return vmcb_of(v)->nrip - v->regs->rip;
  if(hvm_fetch(v, code, 1) == 1 && !is_prefix(v, code[0]))
    return (uint64)opcode_bytes;
  n = hvm_fetch(v, code, sizeof(code));
  for(i = 0; i < n && is_prefix(v, code[i]); i++)
    ;
  return (uint64)(i + opcode_bytes);
}

static void
io_exit(struct vcpu *v, struct vmcb *b)
{
  uint64 info = b->exitinfo1;

  hvm_io(v, (uint16)(info >> 16), (int)(info >> 4 & 7), info & IOIO_IN, info & IOIO_STR, info & IOIO_REP, b->exitinfo2);
}

static void
handle_exit(struct vcpu *v, struct vmcb *b)
{
  switch(b->exitcode){
  case VMEXIT_INTR: case VMEXIT_NMI:
    interrupt_window();
    break;
  case VMEXIT_VINTR:
    break; // the window is open: hvm_loop delivers
  case VMEXIT_CPUID:
    hvm_cpuid(v);
    hvm_advance(v, insn_length(v, 2));
    break;
  case VMEXIT_HLT:
    hvm_advance(v, insn_length(v, 1));
    hvm_hlt(v);
    break;
  case VMEXIT_IOIO:
    io_exit(v, b);
    break;
  case VMEXIT_MSR:
    if(b->exitinfo1 & 1)
      hvm_wrmsr(v);
    else
      hvm_rdmsr(v);
    break;
  case VMEXIT_VMMCALL:
    hvm_advance(v, insn_length(v, 3));
    hvm_hypercall(v);
    break;
  case VMEXIT_NPF:
    hvm_gpa_fault(v, b->exitinfo2, b->exitinfo1 & PFEC_W);
    break;
  case VMEXIT_INVD: case VMEXIT_WBINVD:
    hvm_advance(v, insn_length(v, 2)); // memory is coherent: nothing to do
    break;
  case VMEXIT_VMRUN: case VMEXIT_VMLOAD ... VMEXIT_SKINIT:
  case VMEXIT_INVLPGA: case VMEXIT_MONITOR: case VMEXIT_MWAIT: case VMEXIT_XSETBV:
    hvm_inject_fault(v, T_ILLOP, false, 0); // CPUID says they are not there
    break;
  case VMEXIT_RDPMC:
    hvm_inject_fault(v, T_GPFLT, true, 0);
    break;
  case VMEXIT_EXCP + T_MCHK:
    panic("machine check while domain %u ran", v->dom->id);
  case VMEXIT_SHUTDOWN:
    domain_crash(v->dom, "triple fault");
    break;
  case VMEXIT_INVALID:
    domain_crash(v->dom, "svm: VMRUN refused its state");
    break;
  default:
    domain_crash(v->dom, "svm: unexpected exit %lx at %lx (%lx, %lx)", b->exitcode, v->regs->rip, b->exitinfo1, b->exitinfo2);
  }
}

// Enter, come back, handle. An event whose delivery the exit interrupted is injected again.
static void
run(struct vcpu *v)
{
  struct vmcb *b = vmcb_of(v);
  struct regs *r = v->regs;

  b->rip = r->rip;
  b->rsp = r->rsp;
  b->rflags = r->rflags;
  b->rax = r->rax;
  b->vintr = (b->vintr & ~0xful) | (v->hvm->lapic.tpr >> 4 & 0xf);
  b->tlb_control = v->hvm->flush ? (has_flush_by_asid ? 3 : 1) : 0;
  v->hvm->flush = false;
  // With the global flag clear, interrupts wait although IF is set; VMRUN sets it, and IF then lets them cause exits.
  asm volatile("clgi; sti" : : : "memory");
  svm_enter(v->hvm->control_pa, r);
  asm volatile("cli; stgi" : : : "memory");
  r->rip = b->rip;
  r->rsp = b->rsp;
  r->rflags = b->rflags;
  r->rax = b->rax;
  r->cs = b->cs.sel;
  r->ss = b->ss.sel;
  v->hvm->lapic.tpr = (v->hvm->lapic.tpr & 0xf) | (b->vintr & 0xf) << 4;
  v->hvm->exits++;
  close_window(b);
  b->eventinj = b->exitintinfo & EVENTINJ_VALID ? b->exitintinfo : 0;
  handle_exit(v, b);
}

static const uint8 vmmcall[3] = { 0x0f, 0x01, 0xd9 };

const struct hvm_ops svm_ops = {
  .name = "SVM with nested paging",
  .p2m = &npt_ops,
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
  .hypercall_insn = vmmcall,
};
