// Privileged instructions of a PV guest kernel that have no hypercall, or that Xen's guests are known to use all the same.
//
// They fault in ring 3 (#GP), and are done here as far as they make sense; what does not is handed to the guest as the fault it
// is. CPUID does not fault, so a guest that wants the hypervisor's answer puts XEN_EMULATE_PREFIX (an undefined instruction)
// before it. SDM 2 under the instruction names.
#include "defs.h"
#include "memlayout.h"
#include <xen/cpuid.h>

// --- CPUID ---

#define BIT(n) (1u << (n))

// What a domain sees of the hypervisor in leaves 0x40000000 and up.
void
xen_cpuid_leaf(struct domain *d, uint32 leaf, struct cpuid *c)
{
  *c = (struct cpuid){ 0 };
  switch(leaf){
  case XEN_CPUID_LEAF(0):
    *c = (struct cpuid){ XEN_CPUID_LEAF(4), XEN_CPUID_SIGNATURE_EBX, XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX };
    break;
  case XEN_CPUID_LEAF(1):
    c->eax = 4 << 16 | 17;
    break;
  case XEN_CPUID_LEAF(2):
    c->eax = 1;
    c->ebx = XEN_HYPERCALL_MSR;
    if(!is_hvm(d))
      c->ecx = XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD;
    break;
  case XEN_CPUID_LEAF(3):
    c->ecx = (uint32)(tsc_frequency() / 1000);
    break;
  case XEN_CPUID_LEAF(4):
    if(is_hvm(d)){
      c->eax = XEN_HVM_CPUID_VCPU_ID_PRESENT | XEN_HVM_CPUID_DOMID_PRESENT | XEN_HVM_CPUID_UPCALL_VECTOR;
      c->ecx = d->id;
    }
    break;
  }
}

// The processor's own leaves, without what a guest cannot have here.
void
guest_cpuid(struct domain *d, uint32 leaf, uint32 subleaf, struct cpuid *c)
{
  if(leaf >= 0x40000000 && leaf < 0x40000100){
    xen_cpuid_leaf(d, leaf, c);
    return;
  }
  *c = cpuid(leaf, subleaf);
  switch(leaf){
  case 1:
    c->ecx &= ~(BIT(2) | BIT(3) | BIT(5) | BIT(6) | BIT(8) | BIT(15) | BIT(17) | BIT(21) | BIT(24) | BIT(26) | BIT(27) | BIT(28) | BIT(12) | BIT(29));
    c->ecx |= BIT(31); // a hypervisor is here
    c->edx &= ~(BIT(7) | BIT(14) | BIT(21) | BIT(22) | BIT(28) | BIT(29) | BIT(31)); // MCE, MCA, DS, ACPI, HTT, TM, PBE
    c->ebx = (c->ebx & 0x0000ffff) | BIT(16); // one logical processor, APIC id 0
    if(!is_hvm(d))
      c->edx &= ~(BIT(1) | BIT(3) | BIT(9) | BIT(12) | BIT(13) | BIT(16) | BIT(17)); // VME PSE APIC MTRR PGE PAT PSE36
    break;
  case 7:
    c->ebx = subleaf == 0 ? c->ebx & (BIT(9) | BIT(0)) & (is_hvm(d) ? ~0u : ~BIT(0)) : 0; // ERMS, FSGSBASE
    c->ecx = c->edx = 0;
    c->eax = 0;
    break;
  case 0xa: case 0xb: case 0xd:
    *c = (struct cpuid){ 0 };
    break;
  case 0x80000001:
    c->ecx &= BIT(0) | BIT(5) | BIT(8); // LAHF, LZCNT, PREFETCHW
    c->edx &= ~(BIT(26) | BIT(27)); // 1-GiB pages, RDTSCP
    break;
  case 0x8000000a:
    *c = (struct cpuid){ 0 }; // no nested SVM
    break;
  }
}

static void
do_cpuid(struct vcpu *v, struct regs *r)
{
  struct cpuid c;

  guest_cpuid(v->dom, (uint32)r->rax, (uint32)r->rcx, &c);
  r->rax = c.eax, r->rbx = c.ebx, r->rcx = c.ecx, r->rdx = c.edx;
}

// UD2; "xen"; CPUID.
bool
pv_emulate_prefix(struct vcpu *v, struct regs *r)
{
  static const uint8 want[] = { 0x0f, 0x0b, 0x78, 0x65, 0x6e, 0x0f, 0xa2 };
  uint8 code[sizeof(want)];

  if(copy_from_guest(code, r->rip, sizeof(code)) || memcmp(code, want, sizeof(want)) != 0)
    return false;
  do_cpuid(v, r);
  r->rip += sizeof(want);
  return true;
}

// --- the rest ---

// Register n of an instruction's encoding.
uint64 *
reg_of(struct regs *r, int n)
{
  uint64 *const by_number[] = {
    &r->rax, &r->rcx, &r->rdx, &r->rbx, &r->rsp, &r->rbp, &r->rsi, &r->rdi,
    &r->r8, &r->r9, &r->r10, &r->r11, &r->r12, &r->r13, &r->r14, &r->r15,
  };

  return by_number[n & 15];
}

static bool
read_cr(struct vcpu *v, int n, uint64 *out)
{
  switch(n){
  case 0: *out = CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE | (v->pv.ts ? CR0_TS : 0); return true;
  case 2: *out = v->info->arch.cr2; return true;
  case 3: *out = v->pv.cr3_kernel; return true;
  case 4: *out = v->pv.cr4 ? v->pv.cr4 : CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT; return true;
  default: return false;
  }
}

static bool
write_cr(struct vcpu *v, int n, uint64 val)
{
  switch(n){
  case 0: // only TS is the guest's
    if((val ^ (CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE)) & ~CR0_TS)
      return false;
    do_fpu_taskswitch(val & CR0_TS);
    return true;
  case 2: v->info->arch.cr2 = val; return true;
  case 4: v->pv.cr4 = val; return true; // remembered; what it asks for is decided by CPUID
  default: return false;
  }
}

static bool
read_msr(struct vcpu *v, uint32 msr, uint64 *out)
{
  switch(msr){
  case MSR_FS_BASE: case MSR_GS_BASE: *out = rdmsr(msr); return true;
  case MSR_KERNEL_GS_BASE: *out = v->pv.gs_base_user; return true;
  case MSR_EFER: *out = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE; return true;
  case MSR_APIC_BASE: *out = rdmsr(msr); return true;
  case MSR_TSC: *out = rdtsc(); return true;
  default: return false;
  }
}

static bool
write_msr(struct vcpu *v, uint32 msr, uint64 val)
{
  switch(msr){
  case MSR_FS_BASE: return do_set_segment_base(SEGBASE_FS, val) == 0;
  case MSR_GS_BASE: return do_set_segment_base(SEGBASE_GS_KERNEL, val) == 0;
  case MSR_KERNEL_GS_BASE: v->pv.gs_base_user = val; return true;
  case MSR_EFER: case MSR_STAR: case MSR_LSTAR: case MSR_CSTAR: case MSR_FMASK: return true; // ours; the guest has callbacks
  default: return false;
  }
}

static bool
msr_instruction(struct vcpu *v, struct regs *r, bool write)
{
  uint64 val = (r->rdx << 32) | (uint32)r->rax;

  if(write)
    return write_msr(v, (uint32)r->rcx, val);
  if(!read_msr(v, (uint32)r->rcx, &val))
    return false;
  r->rax = (uint32)val;
  r->rdx = val >> 32;
  return true;
}

// A software interrupt that the guest's own trap table allows it.
static bool
soft_interrupt(struct vcpu *v, struct regs *r)
{
  int vector = r->error >> 3 & 0xff;
  struct trap_info *t = &v->pv.traps[vector];

  if(t->address == 0 || (v->pv.in_user && TI_GET_DPL(t) < 3))
    return false;
  r->rip += 2;
  r->vector = (uint32)vector;
  pv_inject(v, r, vector, false, 0);
  return true;
}

// IN and OUT at ports that are not the domain's: nothing is there, as on a bus without a device. Its own ports never come here,
// the TSS bitmap lets them through. A kernel that has not asked for the privilege level gets the fault.
static bool
absent_port(struct vcpu *v, struct regs *r, uint8 opcode, bool short_operand)
{
  if(v->pv.iopl < 1)
    return false;
  if(opcode & 2) // OUT
    return true;
  if(!(opcode & 1))
    r->rax |= 0xff;
  else
    r->rax = short_operand ? r->rax | 0xffff : 0xffffffff;
  return true;
}

// #GP in ring 3. False: it is the guest's fault.
bool
pv_emulate_gp(struct vcpu *v, struct regs *r)
{
  uint8 code[15];
  int n = 0, rex = 0;
  bool short_operand = false;
  uint64 left;
  extern uint64 copy_user(void *, const void *, uint64);

  if(r->error & 2) // names an IDT entry: INT n
    return soft_interrupt(v, r);
  if(r->error != 0 || v->pv.in_user || pv_bad_address(r->rip, sizeof(code)))
    return false;
  memset(code, 0, sizeof(code));
  left = copy_user(code, (void *)r->rip, sizeof(code));
  if(left == sizeof(code))
    return false;
  for(; code[n] == 0x66 || code[n] == 0xf2 || code[n] == 0xf3; n++)
    short_operand |= code[n] == 0x66;
  if((code[n] & 0xf0) == 0x40)
    rex = code[n++];
  switch(code[n]){
  case 0xfa: v->info->evtchn_upcall_mask = 1; n++; break; // CLI
  case 0xfb: v->info->evtchn_upcall_mask = 0; n++; break; // STI
  case 0xe4: case 0xe5: case 0xe6: case 0xe7: case 0xec: case 0xed: case 0xee: case 0xef: // IN, OUT
    if(!absent_port(v, r, code[n], short_operand))
      return false;
    n += code[n] < 0xe8 ? 2 : 1; // the port is an immediate byte, or in DX
    break;
  case 0xf4: // HLT
    r->rip += (uint64)n + 1;
    do_sched_op(1 /* SCHEDOP_block */, 0);
    return true;
  case 0x0f:
    n++;
    int modrm = code[n + 1], cr = (modrm >> 3 & 7) | (rex & 4) << 1;
    uint64 *reg = reg_of(r, (modrm & 7) | (rex & 1) << 3), val;
    switch(code[n]){
    case 0x20: // MOV reg, CRn
      if(!read_cr(v, cr, &val))
        return false;
      *reg = val;
      n += 2;
      break;
    case 0x22: // MOV CRn, reg
      if(!write_cr(v, cr, *reg))
        return false;
      n += 2;
      break;
    case 0x06: do_fpu_taskswitch(0); n++; break; // CLTS
    case 0x09: n++; break;                       // WBINVD: nothing of the guest's is in a cache that matters
    case 0x30: case 0x32:
      if(!msr_instruction(v, r, code[n] == 0x30))
        return false;
      n++;
      break;
    default:
      return false;
    }
    break;
  default:
    return false;
  }
  r->rip += (uint64)n;
  r->vector = 0;
  return true;
}
