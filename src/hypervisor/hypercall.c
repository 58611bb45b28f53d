// Hypercalls: the table, and those too small for a file of their own. Numbers and structures are Xen's (include/xen/).
#include "defs.h"
#include "memlayout.h"
#include <xen/physdev.h>
#include <xen/sched.h>
#include <xen/version.h>

typedef int64 hypercall_fn(uint64 a1, uint64 a2, uint64 a3, uint64 a4, uint64 a5);

#define VERSION_MAJOR 4
#define VERSION_MINOR 17

// --- xen_version ---

static uint32
features(struct domain *d)
{
  uint32 f = 1u << XENFEAT_mmu_pt_update_preserve_ad | 1u << XENFEAT_memory_op_vnode_supported;

  if(!is_hvm(d))
    f |= 1u << XENFEAT_gnttab_map_avail_bits;
  else
    f |= 1u << XENFEAT_hvm_callback_vector | 1u << XENFEAT_hvm_safe_pvclock | 1u << XENFEAT_auto_translated_physmap |
         1u << XENFEAT_writable_page_tables | 1u << XENFEAT_writable_descriptor_tables;
  if(d->privileged)
    f |= 1u << XENFEAT_dom0;
  return f;
}

static int64
put_text(uint64 gva, const char *text, size_t room)
{
  return copy_to_guest(gva, text, MIN(strlen(text) + 1, room)) ? -XEN_EFAULT : 0;
}

static int64
do_xen_version(uint64 cmd, uint64 gva, uint64 a3, uint64 a4, uint64 a5)
{
  (void)a3, (void)a4, (void)a5;
  switch(cmd){
  case XENVER_version:
    return VERSION_MAJOR << 16 | VERSION_MINOR;
  case XENVER_extraversion:
    return put_text(gva, "-xenolith", sizeof(xen_extraversion_t));
  case XENVER_capabilities:
    return put_text(gva, hvm_ops ? "xen-3.0-x86_64 hvm-3.0-x86_64" : "xen-3.0-x86_64", sizeof(xen_capabilities_info_t));
  case XENVER_changeset:
    return put_text(gva, "unavailable", sizeof(xen_changeset_info_t));
  case XENVER_platform_parameters: {
    struct xen_platform_parameters p = { HYPERVISOR_VIRT_START };
    return copy_to_guest(gva, &p, sizeof(p)) ? -XEN_EFAULT : 0;
  }
  case XENVER_get_features: {
    struct xen_feature_info f;
    if(copy_from_guest(&f, gva, sizeof(f)))
      return -XEN_EFAULT;
    if(f.submap_idx >= XENFEAT_NR_SUBMAPS)
      return -XEN_EINVAL;
    f.submap = features(current->dom);
    return copy_to_guest(gva, &f, sizeof(f)) ? -XEN_EFAULT : 0;
  }
  case XENVER_pagesize:
    return PAGE_SIZE;
  case XENVER_guest_handle:
    return copy_to_guest(gva, &(xen_domain_handle_t){ (uint8)current->dom->id }, sizeof(xen_domain_handle_t)) ? -XEN_EFAULT : 0;
  default:
    return -XEN_ENOSYS;
  }
}

// --- timers and vcpu_op ---

static void
guest_timer(void *arg)
{
  struct vcpu *v = arg;

  send_virq(v->dom, VIRQ_TIMER);
}

static void
guest_periodic(void *arg)
{
  struct vcpu *v = arg;

  send_virq(v->dom, VIRQ_TIMER);
  timer_set(&v->periodic, v->periodic.when + v->period);
}

static int64
set_singleshot(struct vcpu *v, uint64 when)
{
  v->timer.fn = guest_timer;
  v->timer.arg = v;
  if(when == 0)
    timer_stop(&v->timer);
  else
    timer_set(&v->timer, when);
  return 0;
}

static int64
do_set_timer_op(uint64 when, uint64 a2, uint64 a3, uint64 a4, uint64 a5)
{
  (void)a2, (void)a3, (void)a4, (void)a5;
  return set_singleshot(current, when);
}

// Move the vCPU's struct vcpu_info to where the guest wants it. Once.
static int64
register_vcpu_info(struct vcpu *v, struct vcpu_register_vcpu_info *a)
{
  struct page *p = domain_page(v->dom, a->mfn);
  struct vcpu_info *new;

  if(a->offset > PAGE_SIZE - sizeof(struct vcpu_info) || a->offset % 8 || p == 0)
    return -XEN_EINVAL;
  if(v->info != &v->dom->shared->vcpu_info[0])
    return -XEN_EINVAL;
  if(!get_page_type(p, PGT_WRITABLE))
    return -XEN_EPERM;
  get_page(p);
  new = MFN2V(page_mfn(p)) + a->offset;
  *new = *v->info;
  v->info = new;
  // Whatever came in between may have been lost: let the guest look.
  new->evtchn_upcall_pending = 1;
  new->evtchn_pending_sel = ~0ul;
  return 0;
}

static int64
get_runstate(struct vcpu *v, uint64 gva)
{
  struct vcpu_runstate_info r = v->runstate;

  r.time[r.state] += now() - r.state_entry_time;
  return copy_to_guest(gva, &r, sizeof(r)) ? -XEN_EFAULT : 0;
}

static int64
do_vcpu_op(uint64 cmd, uint64 id, uint64 gva, uint64 a4, uint64 a5)
{
  struct vcpu *v = current;
  union {
    struct vcpu_set_periodic_timer periodic;
    struct vcpu_set_singleshot_timer single;
    struct vcpu_register_vcpu_info info;
    uint64 area;
  } a;

  (void)a4, (void)a5;
  if(id != 0)
    return -XEN_ENOENT;
  switch(cmd){
  case VCPUOP_is_up:
    return 1;
  case VCPUOP_get_runstate_info:
    return get_runstate(v, gva);
  case VCPUOP_register_runstate_memory_area:
    if(copy_from_guest(&a, gva, sizeof(a.area)))
      return -XEN_EFAULT;
    v->runstate_area = a.area;
    return a.area ? get_runstate(v, a.area) : 0;
  case VCPUOP_set_periodic_timer:
    if(copy_from_guest(&a, gva, sizeof(a.periodic)))
      return -XEN_EFAULT;
    if(a.periodic.period_ns < 1000000)
      return -XEN_EINVAL;
    v->period = a.periodic.period_ns;
    v->periodic.fn = guest_periodic;
    v->periodic.arg = v;
    timer_set(&v->periodic, now() + v->period);
    return 0;
  case VCPUOP_stop_periodic_timer:
    timer_stop(&v->periodic);
    return 0;
  case VCPUOP_set_singleshot_timer:
    if(copy_from_guest(&a, gva, sizeof(a.single)))
      return -XEN_EFAULT;
    if((a.single.flags & VCPU_SSHOTTMR_future) && a.single.timeout_abs_ns < now())
      return -XEN_ETIME;
    return set_singleshot(v, a.single.timeout_abs_ns);
  case VCPUOP_stop_singleshot_timer:
    timer_stop(&v->timer);
    return 0;
  case VCPUOP_register_vcpu_info:
    if(copy_from_guest(&a, gva, sizeof(a.info)))
      return -XEN_EFAULT;
    return register_vcpu_info(v, &a.info);
  default:
    return -XEN_ENOSYS;
  }
}

// --- physdev_op ---

static int64
do_physdev_op(uint64 cmd, uint64 gva, uint64 a3, uint64 a4, uint64 a5)
{
  struct domain *d = current->dom;
  union {
    struct physdev_eoi eoi;
    struct physdev_irq_status_query query;
    struct physdev_set_iopl iopl;
    struct physdev_map_pirq map;
    struct physdev_setup_gsi gsi;
  } a;

  (void)a3, (void)a4, (void)a5;
  if(cmd == PHYSDEVOP_set_iopl){ // kept for the guest; port access itself goes by the TSS bitmap
    if(copy_from_guest(&a, gva, sizeof(a.iopl)))
      return -XEN_EFAULT;
    if(a.iopl.iopl > 3 || is_hvm(d))
      return -XEN_EINVAL;
    current->pv.iopl = a.iopl.iopl;
    return 0;
  }
  if(!d->privileged)
    return -XEN_EPERM;
  switch(cmd){
  case PHYSDEVOP_eoi:
    if(copy_from_guest(&a, gva, sizeof(a.eoi)))
      return -XEN_EFAULT;
    line_eoi((int)a.eoi.irq);
    return 0;
  case PHYSDEVOP_irq_status_query:
    if(copy_from_guest(&a, gva, sizeof(a.query)))
      return -XEN_EFAULT;
    if(a.query.irq >= NPIRQ)
      return -XEN_EINVAL;
    a.query.flags = line_needs_eoi((int)a.query.irq) ? XENIRQSTAT_needs_eoi : 0;
    return copy_to_guest(gva, &a, sizeof(a.query)) ? -XEN_EFAULT : 0;
  case PHYSDEVOP_map_pirq: // lines map to themselves
    if(copy_from_guest(&a, gva, sizeof(a.map)))
      return -XEN_EFAULT;
    if(a.map.type != MAP_PIRQ_TYPE_GSI || a.map.index < 0 || a.map.index >= NPIRQ)
      return -XEN_EINVAL;
    a.map.pirq = a.map.index;
    return copy_to_guest(gva, &a, sizeof(a.map)) ? -XEN_EFAULT : 0;
  case PHYSDEVOP_unmap_pirq:
    return 0;
  case PHYSDEVOP_setup_gsi:
    if(copy_from_guest(&a, gva, sizeof(a.gsi)))
      return -XEN_EFAULT;
    return line_setup(a.gsi.gsi, a.gsi.triggering, a.gsi.polarity);
  default:
    return -XEN_ENOSYS;
  }
}

// --- thin wrappers, so that the table has one shape ---

#define WRAP(name, ...) \
  static int64 call_##name(uint64 a1, uint64 a2, uint64 a3, uint64 a4, uint64 a5) \
  { (void)a1, (void)a2, (void)a3, (void)a4, (void)a5; return do_##name(__VA_ARGS__); }

WRAP(memory_op, a1, a2)
WRAP(console_io, a1, a2, a3)
WRAP(grant_table_op, a1, a2, a3)
WRAP(sched_op, a1, a2)
WRAP(event_channel_op, a1, a2)
WRAP(hvm_op, a1, a2)
WRAP(domctl, a1)
WRAP(set_trap_table, a1)
WRAP(mmu_update, a1, a2, a3, a4)
WRAP(mmuext_op, a1, a2, a3, a4)
WRAP(update_va_mapping, a1, a2, a3, DOMID_SELF)
WRAP(set_gdt, a1, a2)
WRAP(update_descriptor, a1, a2)
WRAP(stack_switch, a1, a2)
WRAP(set_callbacks, a1, a2, a3)
WRAP(callback_op, a1, a2)
WRAP(fpu_taskswitch, a1)
WRAP(set_segment_base, a1, a2)
WRAP(set_debugreg, a1, a2)
WRAP(get_debugreg, a1)
WRAP(vm_assist, a1, a2)
WRAP(iret)

static int64
call_update_va_mapping_otherdomain(uint64 va, uint64 val, uint64 flags, uint64 dom, uint64 a5)
{
  (void)a5;
  return do_update_va_mapping(va, val, flags, (uint16)dom);
}

static hypercall_fn do_multicall;

// Which guests may make a call.
enum { PV = 1, HVM = 2, BOTH = 3 };
static const struct {
  hypercall_fn *fn;
  int who;
} table[] = {
  [__HYPERVISOR_set_trap_table] = { call_set_trap_table, PV },
  [__HYPERVISOR_mmu_update] = { call_mmu_update, PV },
  [__HYPERVISOR_set_gdt] = { call_set_gdt, PV },
  [__HYPERVISOR_stack_switch] = { call_stack_switch, PV },
  [__HYPERVISOR_set_callbacks] = { call_set_callbacks, PV },
  [__HYPERVISOR_fpu_taskswitch] = { call_fpu_taskswitch, PV },
  [__HYPERVISOR_set_debugreg] = { call_set_debugreg, PV },
  [__HYPERVISOR_get_debugreg] = { call_get_debugreg, PV },
  [__HYPERVISOR_update_descriptor] = { call_update_descriptor, PV },
  [__HYPERVISOR_memory_op] = { call_memory_op, BOTH },
  [__HYPERVISOR_multicall] = { do_multicall, BOTH },
  [__HYPERVISOR_update_va_mapping] = { call_update_va_mapping, PV },
  [__HYPERVISOR_set_timer_op] = { do_set_timer_op, BOTH },
  [__HYPERVISOR_xen_version] = { do_xen_version, BOTH },
  [__HYPERVISOR_console_io] = { call_console_io, BOTH },
  [__HYPERVISOR_grant_table_op] = { call_grant_table_op, BOTH },
  [__HYPERVISOR_vm_assist] = { call_vm_assist, PV },
  [__HYPERVISOR_update_va_mapping_otherdomain] = { call_update_va_mapping_otherdomain, PV },
  [__HYPERVISOR_iret] = { call_iret, PV },
  [__HYPERVISOR_vcpu_op] = { do_vcpu_op, BOTH },
  [__HYPERVISOR_set_segment_base] = { call_set_segment_base, PV },
  [__HYPERVISOR_mmuext_op] = { call_mmuext_op, PV },
  [__HYPERVISOR_sched_op] = { call_sched_op, BOTH },
  [__HYPERVISOR_callback_op] = { call_callback_op, PV },
  [__HYPERVISOR_event_channel_op] = { call_event_channel_op, BOTH },
  [__HYPERVISOR_physdev_op] = { do_physdev_op, BOTH },
  [__HYPERVISOR_hvm_op] = { call_hvm_op, BOTH },
  [__HYPERVISOR_domctl] = { call_domctl, PV },
};

// Make the call the current guest asked for; the result goes to its RAX.
int64
hypercall(uint64 nr, uint64 a1, uint64 a2, uint64 a3, uint64 a4, uint64 a5)
{
  int who = is_hvm(current->dom) ? HVM : PV;

  if(nr >= NELEM(table) || table[nr].fn == 0 || !(table[nr].who & who))
    return -XEN_ENOSYS;
  return table[nr].fn(a1, a2, a3, a4, a5);
}

static int64
do_multicall(uint64 gva, uint64 n, uint64 a3, uint64 a4, uint64 a5)
{
  struct multicall_entry e;

  (void)a3, (void)a4, (void)a5;
  for(uint64 i = 0; i < n; i++){
    uint64 at = gva + i * sizeof(e);
    if(copy_from_guest(&e, at, sizeof(e)))
      return -XEN_EFAULT;
    if(e.op == __HYPERVISOR_multicall || e.op == __HYPERVISOR_iret)
      e.result = (uint64)-XEN_EINVAL;
    else
      e.result = (uint64)hypercall(e.op, e.args[0], e.args[1], e.args[2], e.args[3], e.args[4]);
    if(copy_to_guest(at + offsetof(struct multicall_entry, result), &e.result, sizeof(e.result)))
      return -XEN_EFAULT;
  }
  return 0;
}

// Fill a page with one 32-byte stub a hypercall. `trap` is the instruction (and its length) that enters the hypervisor.
// A PV stub keeps RCX and R11, which SYSCALL destroys; iret has its own form there.
void
hypercall_page(uint8 *page, bool pv, const uint8 *trap, int len)
{
  memset(page, 0xcc, PAGE_SIZE);
  for(uint32 nr = 0; nr < PAGE_SIZE / 32; nr++){
    uint8 *p = page + nr * 32;
    if(pv){
      *p++ = 0x51;                  // push %rcx
      *p++ = 0x41, *p++ = 0x53;     // push %r11
      if(nr == __HYPERVISOR_iret)
        *p++ = 0x50;                // push %rax
    }
    *p++ = 0xb8;                    // mov $nr, %eax
    memcpy(p, &nr, 4), p += 4;
    memcpy(p, trap, (size_t)len), p += len;
    if(pv && nr != __HYPERVISOR_iret){
      *p++ = 0x41, *p++ = 0x5b;     // pop %r11
      *p++ = 0x59;                  // pop %rcx
    }
    *p++ = 0xc3;                    // ret
  }
}
