// A hardware-virtualised vCPU's life: enter the guest, come back, do what it needs, and see what interrupts it next. What is the
// same for both extensions; vmx.c and svm.c call these functions for the exits they decode.
#include "../defs.h"
#include "../memlayout.h"
#include <xen/hvm/hvm_op.h>

const struct hvm_ops *hvm_ops;

void
hvm_init(void)
{
  if(vmx_available()){
    vmx_init();
    hvm_ops = &vmx_ops;
  } else if(svm_available()){
    svm_init();
    hvm_ops = &svm_ops;
  }
  printk("HVM: %s\n", hvm_ops ? hvm_ops->name : "not on this processor");
}

// --- interrupts ---

// How events reach the guest: HVM_PARAM_CALLBACK_IRQ.
static int
callback_type(struct domain *d)
{
  return (int)(d->params[HVM_PARAM_CALLBACK_IRQ] >> 56);
}

static int
callback_vector(struct vcpu *v)
{
  struct domain *d = v->dom;

  if(v->hvm->upcall_vector || callback_type(d) != HVM_PARAM_CALLBACK_TYPE_VECTOR || !v->info->evtchn_upcall_pending)
    return -1;
  return (int)(d->params[HVM_PARAM_CALLBACK_IRQ] & 0xff);
}

// A callback by interrupt line follows the upcall flag.
static void
follow_callback_line(struct vcpu *v)
{
  uint64 via = v->dom->params[HVM_PARAM_CALLBACK_IRQ];

  if(via == 0 || v->hvm->upcall_vector)
    return;
  if(callback_type(v->dom) == HVM_PARAM_CALLBACK_TYPE_GSI)
    hvm_set_gsi(v->dom, (int)(via & 0xff) % HVM_PINS, v->info->evtchn_upcall_pending);
  else if(callback_type(v->dom) == HVM_PARAM_CALLBACK_TYPE_PCI_INTX)
    hvm_set_pci_line(v->dom, (int)(via >> 11 & 31), (int)(via & 3), v->info->evtchn_upcall_pending);
}

// An event became pending.
void
hvm_upcall_pending(struct vcpu *v)
{
  if(v->hvm->upcall_vector)
    vlapic_set_irq(v, v->hvm->upcall_vector, false);
  else
    follow_callback_line(v);
}

static bool
extint(struct vcpu *v)
{
  return vpic_output(v->dom) && vlapic_accepts_extint(v);
}

// Is there an interrupt it would take if its flags let it?
bool
hvm_has_interrupt(struct vcpu *v)
{
  return callback_vector(v) >= 0 || extint(v) || vlapic_pending(v) >= 0;
}

// Something it may wait for has changed.
void
hvm_kick(struct vcpu *v)
{
  if(!v->ioreq_wait && !v->poll && hvm_has_interrupt(v))
    vcpu_wake(v);
}

static void
deliver_interrupt(struct vcpu *v)
{
  int vector;

  follow_callback_line(v);
  if(!hvm_has_interrupt(v))
    return;
  if(!hvm_ops->can_interrupt(v)){
    hvm_ops->want_window(v);
    return;
  }
  vector = callback_vector(v);
  if(vector < 0 && extint(v))
    vector = vpic_ack(v->dom);
  else if(vector < 0){
    vector = vlapic_pending(v);
    vlapic_ack(v, vector);
  }
  hvm_ops->inject(v, EVENT_INTERRUPT, vector, false, 0);
  if(hvm_has_interrupt(v))
    hvm_ops->want_window(v);
}

// Runs on the vCPU's own stack, for ever.
void
hvm_loop(struct vcpu *v)
{
  for(;;){
    while(need_resched || v->state != VCPU_RUNNING)
      schedule();
    deliver_interrupt(v);
    hvm_ops->run(v);
  }
}

// --- exits that both extensions have ---

bool
hvm_is_64bit(struct vcpu *v)
{
  return (hvm_ops->get_efer(v) & EFER_LMA) && (hvm_ops->get_attr(v, SEG_CS) & ATTR_L);
}

// The guest's instruction of `len` bytes is done.
void
hvm_advance(struct vcpu *v, uint64 len)
{
  v->regs->rip += len;
  if(!(hvm_ops->get_efer(v) & EFER_LMA))
    v->regs->rip &= 0xffffffff;
  hvm_ops->end_shadow(v);
}

void
hvm_inject_fault(struct vcpu *v, int vector, bool has_error, uint32 error)
{
  hvm_ops->inject(v, EVENT_EXCEPTION, vector, has_error, error);
}

// The guest's own mapping forbids what is being done for it.
void
hvm_inject_page_fault(struct vcpu *v, uint64 gva, uint32 error)
{
  if(ATTR_DPL(hvm_ops->get_attr(v, SEG_SS)) == 3)
    error |= PFEC_U;
  hvm_ops->set_cr2(v, gva);
  hvm_inject_fault(v, T_PGFLT, true, error);
}

void
hvm_cpuid(struct vcpu *v)
{
  struct regs *r = v->regs;
  struct cpuid c;

  guest_cpuid(v->dom, (uint32)r->rax, (uint32)r->rcx, &c);
  r->rax = c.eax, r->rbx = c.ebx, r->rcx = c.ecx, r->rdx = c.edx;
}

void
hvm_hlt(struct vcpu *v)
{
  while(!hvm_has_interrupt(v)){
    vcpu_block();
    follow_callback_line(v);
  }
}

void
hvm_hypercall(struct vcpu *v)
{
  struct regs *r = v->regs;

  if(ATTR_DPL(hvm_ops->get_attr(v, SEG_SS)) != 0)
    r->rax = (uint64)-XEN_EPERM;
  else if(!hvm_is_64bit(v)) // the structures of 32-bit callers are others
    r->rax = (uint64)-XEN_ENOSYS;
  else
    r->rax = (uint64)hypercall(r->rax, r->rdi, r->rsi, r->rdx, r->r10, r->r8);
}

// Put a hypercall page where the guest wants it.
static bool
place_hypercall_page(struct vcpu *v, uint64 val)
{
  struct page *p = domain_page(v->dom, val >> PAGE_SHIFT);

  if(p == 0 || (val & ~PAGE_MASK))
    return false;
  hypercall_page(MFN2V(page_mfn(p)), false, hvm_ops->hypercall_insn, 3);
  return true;
}

static bool
read_msr(struct vcpu *v, uint32 msr, uint64 *val)
{
  switch(msr){
  case MSR_APIC_BASE: *val = 0xfee00900; return true;
  case MSR_TSC: *val = rdtsc(); return true;
  case 0x8b: *val = 0; return true;  // microcode revision: none
  case 0x1a0: *val = 1; return true; // IA32_MISC_ENABLE: fast strings
  default: return hvm_ops->read_msr(v, msr, val);
  }
}

static bool
write_msr(struct vcpu *v, uint32 msr, uint64 val)
{
  switch(msr){
  case XEN_HYPERCALL_MSR: return place_hypercall_page(v, val);
  case MSR_APIC_BASE: return val == 0xfee00900; // it stays where and as it is
  case 0x8b: return true;
  default: return hvm_ops->write_msr(v, msr, val);
  }
}

// RDMSR and WRMSR advance past themselves (2 bytes each), or fault.
void
hvm_rdmsr(struct vcpu *v)
{
  uint64 val;

  if(!read_msr(v, (uint32)v->regs->rcx, &val)){
    hvm_inject_fault(v, T_GPFLT, true, 0);
    return;
  }
  v->regs->rax = (uint32)val;
  v->regs->rdx = val >> 32;
  hvm_advance(v, 2);
}

void
hvm_wrmsr(struct vcpu *v)
{
  struct regs *r = v->regs;

  if(write_msr(v, (uint32)r->rcx, r->rdx << 32 | (uint32)r->rax))
    hvm_advance(v, 2);
  else
    hvm_inject_fault(v, T_GPFLT, true, 0);
}

// The guest touched guest-physical memory that is not there, or not writable: a device, if anything.
void
hvm_gpa_fault(struct vcpu *v, uint64 gpa, bool write)
{
  if(p2m_lookup(v->dom, gpa >> PAGE_SHIFT) != INVALID_MFN && !v->hvm->flush)
    domain_crash(v->dom, "%s of read-only memory at %lx", write ? "write" : "read", gpa);
  else
    hvm_mmio(v, gpa, write);
}

void
hvm_dump(struct vcpu *v)
{
  struct segment cs;

  dump_regs(v->regs);
  hvm_ops->get_segment(v, SEG_CS, &cs);
  printk("guest cr0 %lx cr3 %lx cr4 %lx efer %lx cs base %lx attributes %x\n", hvm_ops->get_cr(v, 0), hvm_ops->get_cr(v, 3),
         hvm_ops->get_cr(v, 4), hvm_ops->get_efer(v), cs.base, cs.attr);
}

// --- hypercall hvm_op ---

static int64
param(uint64 gva, bool set)
{
  struct xen_hvm_param a;
  struct domain *d;

  if(copy_from_guest(&a, gva, sizeof(a)))
    return -XEN_EFAULT;
  if(a.index >= HVM_NR_PARAMS)
    return -XEN_EINVAL;
  if(a.domid != DOMID_SELF && a.domid != current->dom->id && !current->dom->privileged)
    return -XEN_EPERM;
  if((d = find_domain(a.domid)) == 0)
    return -XEN_ESRCH;
  if(!set){
    a.value = d->params[a.index];
    return copy_to_guest(gva, &a, sizeof(a)) ? -XEN_EFAULT : 0;
  }
  if(a.index != HVM_PARAM_CALLBACK_IRQ || !is_hvm(d))
    return -XEN_EPERM; // the others are what the hypervisor made them
  d->params[a.index] = a.value;
  if(d->vcpu->info->evtchn_upcall_pending)
    hvm_upcall_pending(d->vcpu);
  return 0;
}

// The HVM domain a device model names, if it may.
static struct domain *
dm_target(uint16 id, int64 *err)
{
  struct domain *d = find_domain(id);

  *err = !current->dom->privileged ? -XEN_EPERM : d == 0 ? -XEN_ESRCH : -XEN_EINVAL;
  return current->dom->privileged && d && is_hvm(d) ? d : 0;
}

static int64
line_op(uint64 cmd, uint64 gva)
{
  union {
    struct xen_hvm_set_pci_intx_level intx;
    struct xen_hvm_set_isa_irq_level isa;
    struct xen_hvm_set_pci_link_route route;
  } a;
  static const uint8 size[] = {
    [HVMOP_set_pci_intx_level] = sizeof(a.intx), [HVMOP_set_isa_irq_level] = sizeof(a.isa), [HVMOP_set_pci_link_route] = sizeof(a.route),
  };
  struct domain *d;
  int64 err;

  if(copy_from_guest(&a, gva, size[cmd]))
    return -XEN_EFAULT;
  if((d = dm_target(a.isa.domid, &err)) == 0)
    return err;
  switch(cmd){
  case HVMOP_set_pci_intx_level:
    if(a.intx.domain || a.intx.bus || a.intx.device > 31 || a.intx.intx > 3)
      return -XEN_EINVAL;
    hvm_set_pci_line(d, a.intx.device, a.intx.intx, a.intx.level);
    return 0;
  case HVMOP_set_isa_irq_level:
    if(a.isa.isa_irq > 15)
      return -XEN_EINVAL;
    hvm_set_isa_line(d, a.isa.isa_irq, a.isa.level);
    return 0;
  default:
    if(a.route.link > 3 || a.route.isa_irq > 15)
      return -XEN_EINVAL;
    hvm_set_link_route(d, a.route.link, a.route.isa_irq);
    return 0;
  }
}

static int64
set_upcall_vector(uint64 gva)
{
  struct xen_hvm_evtchn_upcall_vector a;

  if(copy_from_guest(&a, gva, sizeof(a)))
    return -XEN_EFAULT;
  if(!is_hvm(current->dom) || a.vector < 16)
    return -XEN_EINVAL;
  if(a.vcpu != 0)
    return -XEN_ENOENT;
  current->hvm->upcall_vector = a.vector;
  if(current->info->evtchn_upcall_pending)
    hvm_upcall_pending(current);
  return 0;
}

int64
do_hvm_op(uint64 cmd, uint64 gva)
{
  struct xen_hvm_get_time t;

  switch(cmd){
  case HVMOP_set_param:
  case HVMOP_get_param:
    return param(gva, cmd == HVMOP_set_param);
  case HVMOP_set_pci_intx_level:
  case HVMOP_set_isa_irq_level:
  case HVMOP_set_pci_link_route:
    return line_op(cmd, gva);
  case HVMOP_get_time:
    t.now = now();
    return copy_to_guest(gva, &t, sizeof(t)) ? -XEN_EFAULT : 0;
  case HVMOP_set_evtchn_upcall_vector:
    return set_upcall_vector(gva);
  default:
    return -XEN_ENOSYS;
  }
}
