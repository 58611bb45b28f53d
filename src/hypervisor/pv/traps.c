// A PV guest in ring 3: how its system calls and exceptions come in, and how it is given exceptions, events and system calls.
//
// The guest kernel runs in ring 3 like its users; which of the two runs is kept here (pv.in_user), with an address space each.
// A "bounce" is what the processor would do through a guest's IDT: switch to the guest kernel's stack, push a frame, go on at
// the handler. The frame has RCX and R11 below the hardware part, because a guest returns from system calls by SYSCALL too.
#include "defs.h"
#include "memlayout.h"
#include <xen/callback.h>

// Addresses a guest must not pass: the hypervisor's range, and what is not canonical.
bool
pv_bad_address(uint64 va, uint64 n)
{
  uint64 last = va + n - 1;

  if(last < va)
    return true;
  if(last < 0x0000800000000000)
    return false;
  return va < HYPERVISOR_VIRT_END;
}

// --- what the processor keeps of a vCPU while it runs ---

static void
load_segments(struct pv_vcpu *p)
{
  void load_ds(uint32), load_es(uint32), load_fs(uint32), load_gs(uint32);

  if(rds() != p->ds)
    load_ds(p->ds);
  if(res() != p->es)
    load_es(p->es);
  if(rfs() != p->fs)
    load_fs(p->fs);
  if(rgs() != p->gs)
    load_gs(p->gs);
}

static uint64 *
active_gs_base(struct pv_vcpu *p)
{
  return p->in_user ? &p->gs_base_user : &p->gs_base_kernel;
}

void
pv_save(struct vcpu *v)
{
  struct pv_vcpu *p = &v->pv;

  p->ds = rds(), p->es = res(), p->fs = rfs(), p->gs = rgs();
  p->fs_base = rdmsr(MSR_FS_BASE);
  *active_gs_base(p) = rdmsr(MSR_GS_BASE);
}

void
pv_load(struct vcpu *v)
{
  struct pv_vcpu *p = &v->pv;

  vm_map_guest_gdt(p->gdt_frames);
  vm_set_kstack((uint64)v->kstack + KSTACK_PAGES * PAGE_SIZE, v->dom->privileged);
  lcr3(p->in_user ? p->cr3_user : p->cr3_kernel);
  load_segments(p);
  wrmsr(MSR_FS_BASE, p->fs_base);
  wrmsr(MSR_GS_BASE, *active_gs_base(p));
  if(p->ts)
    stts();
}

// Guest kernel to guest user or back: the other address space, the other GS.
static void
toggle_mode(struct vcpu *v)
{
  struct pv_vcpu *p = &v->pv;

  *active_gs_base(p) = rdmsr(MSR_GS_BASE);
  p->in_user = !p->in_user;
  wrmsr(MSR_GS_BASE, *active_gs_base(p));
  lcr3(p->in_user ? p->cr3_user : p->cr3_kernel);
}

// --- into the guest ---

// frame: enters the handler at `rip`, with an error code if has_error. mask: no events until it unmasks.
static void
bounce(struct vcpu *v, struct regs *r, uint64 rip, bool mask, bool has_error, uint64 error)
{
  bool from_kernel = !v->pv.in_user;
  uint64 f[8], sp, n = 0;

  if(!from_kernel)
    toggle_mode(v);
  sp = (from_kernel ? r->rsp : v->pv.kernel_sp) & ~15ul;
  f[n++] = r->rcx;
  f[n++] = r->r11;
  if(has_error)
    f[n++] = error;
  f[n++] = r->rip;
  f[n++] = (from_kernel ? r->cs & ~3ul : r->cs) | (uint64)v->info->evtchn_upcall_mask << 32;
  f[n++] = (r->rflags & ~(RFLAGS_IF | RFLAGS_IOPL)) | (v->info->evtchn_upcall_mask ? 0 : RFLAGS_IF) |
           ((v->dom->vm_assist >> VMASST_TYPE_architectural_iopl & 1) ? (uint64)v->pv.iopl << 12 : 0);
  f[n++] = r->rsp;
  f[n++] = r->ss;
  sp -= n * 8;
  if(copy_to_guest(sp, f, n * 8)){
    domain_crash(v->dom, "its kernel stack %lx cannot be written for vector %u", sp, r->vector);
    return;
  }
  if(pv_bad_address(rip, 1)){
    domain_crash(v->dom, "no handler for exception %u, error %lx, cr2 %lx", r->vector, error, rcr2());
    return;
  }
  r->rip = rip;
  r->cs = SEL_R3_CS64;
  r->rflags &= ~(RFLAGS_TF | RFLAGS_VM | RFLAGS_RF | RFLAGS_NT | RFLAGS_AC);
  r->rsp = sp;
  r->ss = SEL_R3_DS;
  r->vector = 0; // IRET, not SYSRET
  if(mask)
    v->info->evtchn_upcall_mask = 1;
}

void
pv_inject(struct vcpu *v, struct regs *r, int vector, bool has_error, uint64 error)
{
  struct trap_info *t = &v->pv.traps[vector];

  if(t->address == 0){
    domain_crash(v->dom, "no handler for exception %u, error %lx, cr2 %lx", vector, error, rcr2());
    return;
  }
  bounce(v, r, t->address, t->flags & 4, has_error, error);
}

static void
page_fault(struct vcpu *v, struct regs *r)
{
  uint64 cr2 = rcr2(), error = r->error;

  if(!v->pv.in_user)
    error &= ~(uint64)PFEC_U; // the guest kernel thinks it is a supervisor
  if(cr2 >= M2P_VIRT && cr2 < HYPERVISOR_VIRT_END)
    error &= ~(uint64)PFEC_P; // do not tell what is there
  v->info->arch.cr2 = cr2;
  pv_inject(v, r, T_PGFLT, true, error);
}

// An exception in ring 3.
void
pv_trap(struct vcpu *v, struct regs *r)
{
  static const uint32 with_error = 1 << T_DBLFLT | 1 << T_TSS | 1 << T_SEGNP | 1 << T_STACK | 1 << T_GPFLT | 1 << T_PGFLT | 1 << T_ALIGN;

  switch(r->vector){
  case T_PGFLT:
    page_fault(v, r);
    break;
  case T_GPFLT:
    if(!pv_emulate_gp(v, r))
      pv_inject(v, r, T_GPFLT, true, r->error);
    break;
  case T_ILLOP:
    if(!pv_emulate_prefix(v, r))
      pv_inject(v, r, T_ILLOP, false, 0);
    break;
  case T_DEVICE:
    clts();
    v->pv.ts = false;
    pv_inject(v, r, T_DEVICE, false, 0);
    break;
  case T_NMI: case T_MCHK:
    panic("machine event %u while domain %u ran", r->vector, v->dom->id);
  default:
    pv_inject(v, r, (int)r->vector, r->vector < 32 && (with_error >> r->vector & 1), r->error);
    break;
  }
}

// SYSCALL: a hypercall when the guest kernel makes it, otherwise a system call for the guest kernel.
void
pv_syscall(struct regs *r)
{
  struct vcpu *v = current;

  if(v->pv.in_user){
    bounce(v, r, v->pv.syscall_callback, v->pv.syscall_masks_events, false, 0);
    return;
  }
  uint64 nr = r->rax;
  int64 rc = hypercall(nr, r->rdi, r->rsi, r->rdx, r->r10, r->r8);
  if(nr != __HYPERVISOR_iret)
    r->rax = (uint64)rc;
}

// Last thing before ring 3: let others run, deliver an event. True: SYSRET restores everything the guest may see.
bool
pv_leave(struct regs *r)
{
  struct vcpu *v = current;

  for(;;){
    if(need_resched || v->state != VCPU_RUNNING){
      schedule();
      continue;
    }
    if(!vcpu_has_work(v))
      break;
    if(pv_bad_address(v->pv.event_callback, 1) || v->pv.event_callback == 0)
      break; // it has not said where it wants them
    bounce(v, r, v->pv.event_callback, true, false, 0);
  }
  r->rflags = (r->rflags & ~(RFLAGS_IOPL | RFLAGS_VM | RFLAGS_NT)) | RFLAGS_IF | RFLAGS_FIXED1;
  r->cs |= 3;
  r->ss |= 3;
  if(r->vector != VECTOR_SYSCALL || r->rip >= 0x0000800000000000)
    if(r->vector != VECTOR_SYSCALL || r->rip < HYPERVISOR_VIRT_END)
      return false;
  r->rcx = r->rip;
  r->r11 = r->rflags;
  return true;
}

// --- hypercalls about all this ---

int64
do_iret(void)
{
  struct vcpu *v = current;
  struct regs *r = v->regs;
  struct iret_context c;

  if(copy_from_guest(&c, r->rsp, sizeof(c))){
    domain_crash(v->dom, "iret: its stack %lx cannot be read", r->rsp);
    return 0;
  }
  if((c.cs & 3) == 3){
    if(v->pv.cr3_user == 0){
      domain_crash(v->dom, "iret to user mode without a user page table");
      return 0;
    }
    toggle_mode(v);
  }
  r->rip = c.rip;
  r->cs = c.cs | 3;
  r->rflags = c.rflags;
  r->rsp = c.rsp;
  r->ss = c.ss | 3;
  r->rax = c.rax;
  r->vector = 0;
  if(!(c.flags & VGCF_in_syscall)){
    r->r11 = c.r11;
    r->rcx = c.rcx;
  }
  v->info->evtchn_upcall_mask = !(c.rflags & RFLAGS_IF);
  return 0;
}

int64
do_set_trap_table(uint64 gva)
{
  struct trap_info t;

  if(gva == 0){
    memset(current->pv.traps, 0, sizeof(current->pv.traps));
    return 0;
  }
  for(;; gva += sizeof(t)){
    if(copy_from_guest(&t, gva, sizeof(t)))
      return -XEN_EFAULT;
    if(t.address == 0)
      return 0;
    current->pv.traps[t.vector] = t;
  }
}

int64
do_set_callbacks(uint64 event, uint64 failsafe, uint64 syscall)
{
  current->pv.event_callback = event;
  current->pv.failsafe_callback = failsafe;
  current->pv.syscall_callback = syscall;
  return 0;
}

int64
do_callback_op(uint64 cmd, uint64 gva)
{
  struct pv_vcpu *p = &current->pv;
  struct callback_register c;

  if(cmd != CALLBACKOP_register)
    return -XEN_ENOSYS;
  if(copy_from_guest(&c, gva, sizeof(c)))
    return -XEN_EFAULT;
  switch(c.type){
  case CALLBACKTYPE_event:
    p->event_callback = c.address;
    return 0;
  case CALLBACKTYPE_failsafe:
    p->failsafe_callback = c.address;
    p->failsafe_masks_events = c.flags & CALLBACKF_mask_events;
    return 0;
  case CALLBACKTYPE_syscall:
    p->syscall_callback = c.address;
    p->syscall_masks_events = c.flags & CALLBACKF_mask_events;
    return 0;
  case CALLBACKTYPE_nmi:
    return 0; // there are none to deliver
  default:
    return -XEN_ENOSYS;
  }
}

int64
do_stack_switch(uint64 ss, uint64 sp)
{
  (void)ss; // always flat
  current->pv.kernel_sp = sp;
  return 0;
}

int64
do_fpu_taskswitch(uint64 set)
{
  current->pv.ts = set != 0;
  if(set)
    stts();
  else
    clts();
  return 0;
}

int64
do_set_segment_base(uint64 which, uint64 base)
{
  struct pv_vcpu *p = &current->pv;
  void load_gs(uint32);

  if(which != SEGBASE_GS_USER_SEL && base >= 0x0000800000000000 && base < 0xffff800000000000)
    return -XEN_EINVAL;
  switch(which){
  case SEGBASE_FS: wrmsr(MSR_FS_BASE, base); return 0;
  case SEGBASE_GS_KERNEL: wrmsr(MSR_GS_BASE, base); return 0; // a hypercall comes from the kernel
  case SEGBASE_GS_USER: p->gs_base_user = base; return 0;
  case SEGBASE_GS_USER_SEL: {
    uint64 kernel = rdmsr(MSR_GS_BASE);
    load_gs((uint32)base & 0xffff);
    p->gs_base_user = rdmsr(MSR_GS_BASE);
    wrmsr(MSR_GS_BASE, kernel);
    return 0;
  }
  default: return -XEN_EINVAL;
  }
}

// Debug registers are the hypervisor's while no guest has a use for them; a guest may clear DR7 and read what it wrote.
int64
do_set_debugreg(uint64 reg, uint64 v)
{
  if(reg == 7 && (v & 0xff) != 0)
    return -XEN_EOPNOTSUPP;
  if(reg == 7)
    current->pv.dr7 = v;
  return reg < 8 && reg != 4 && reg != 5 ? 0 : -XEN_EINVAL;
}

int64
do_get_debugreg(uint64 reg)
{
  return reg == 7 ? (int64)current->pv.dr7 : reg == 6 ? 0xffff0ff0 : 0;
}

int64
do_vm_assist(uint64 cmd, uint64 type)
{
  uint64 ok = 1ul << VMASST_TYPE_architectural_iopl | 1ul << VMASST_TYPE_pae_extended_cr3 | 1ul << VMASST_TYPE_4gb_segments;

  if(type > 63 || !(ok >> type & 1))
    return -XEN_EINVAL;
  switch(cmd){
  case VMASST_CMD_enable: current->dom->vm_assist |= 1ul << type; return 0;
  case VMASST_CMD_disable: current->dom->vm_assist &= ~(1ul << type); return 0;
  default: return -XEN_ENOSYS;
  }
}
