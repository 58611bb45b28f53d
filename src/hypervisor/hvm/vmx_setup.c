// VT-x: what the processor can, VMXON, and a VMCS with the state a PVH kernel starts in. SDM 3C §25.3-25.8, chapter 32 "Virtual-
// Machine Monitor Programming Considerations"; capabilities: SDM 3D Appendix A "VMX Capability Reporting Facility".
//
// EPT is taken for granted. The bits of CR0 and CR4 that decide about paging belong to the hypervisor, so that the "IA-32e mode
// guest" control, EFER.LMA and the PDPTEs always fit them; CR3 is the guest's own. A processor without "unrestricted guest" cannot
// run with paging off: it then runs on an identity map in the guest's memory, and CR3 is the hypervisor's, too, until paging is on.
#include "vmx.h"
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

static uint8 vmxon_region[4096] __attribute__((aligned(4096)));
static uint8 msr_bitmap[4096] __attribute__((aligned(4096)));
static uint32 pin, proc, proc2, exit_ctl, entry_ctl;
static bool unrestricted;
bool vmx_has_vpid, vmx_invept_single;

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
  vmx_has_vpid = proc2 & PROC2_VPID;
  vmx_invept_single = rdmsr(MSR_VMX_EPT_VPID_CAP) & EPT_CAP_INVEPT_SINGLE;
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

uint64
vmx_eptp(struct vcpu *v)
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

bool
vmx_on_identity_map(struct vcpu *v)
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
void
vmx_put_efer(struct vcpu *v)
{
  vmwrite(GUEST_IA32_EFER, v->hvm->efer & ~(vmx_on_identity_map(v) ? EFER_LME | EFER_LMA : 0));
}

// Bring the VMCS into line with the guest's CR0, CR3, CR4 and EFER (v->hvm).
void
vmx_apply_control_registers(struct vcpu *v)
{
  struct hvm_vcpu *h = v->hvm;
  bool ident = vmx_on_identity_map(v), paging = h->cr0 & CR0_PG;
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
  vmx_put_efer(v);
  vmwrite(ENTRY_CONTROLS, (entry_ctl & ~ENTRY_GUEST_IA32E) | (h->efer & EFER_LMA ? ENTRY_GUEST_IA32E : 0));
  h->proc = (h->proc & ~(PROC_CR3_LOAD | PROC_CR3_STORE | PROC_INVLPG)) | (ident ? PROC_CR3_LOAD | PROC_CR3_STORE : 0);
  vmwrite(PROC_BASED_CONTROLS, h->proc);
  if(paging && (h->cr4 & CR4_PAE) && !(h->efer & EFER_LMA))
    load_pdptes(v);
  h->flush = true;
}

void
vmx_vcpu_init(struct vcpu *v)
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
  vmwrite(EPT_POINTER, vmx_eptp(v));
  if(vmx_has_vpid)
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
  vmx_apply_control_registers(v);
}
