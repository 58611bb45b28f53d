// Domains: made from the boot loader's modules, crashed, shut down, and asked about (hypercall domctl).
#include "defs.h"
#include "memlayout.h"
#include <xen/domctl.h>
#include <xen/sched.h>

struct domain *domains[NDOMAIN];
struct domain *dom0;

struct domain *
find_domain(uint32 id)
{
  if(id == DOMID_SELF)
    return current->dom;
  return id < NDOMAIN ? domains[id] : 0;
}

// Frame that the domain calls `gfn`: a machine frame it owns (PV), or what its map says (HVM). 0 when there is none.
struct page *
domain_page(struct domain *d, uint64 gfn)
{
  struct page *p = mfn_page(is_hvm(d) ? p2m_lookup(d, gfn) : gfn);

  return p && p->owner == d ? p : 0;
}

// One more frame for the domain, or 0 when memory or the domain's allowance is used up.
struct page *
domain_alloc_page(struct domain *d, uint32 order)
{
  struct page *p;

  if(d->tot_pages + (1ul << order) > d->max_pages)
    return 0;
  p = alloc_pages(d, order);
  if(p)
    d->tot_pages += 1ul << order;
  return p;
}

static struct vcpu *
vcpu_create(struct domain *d)
{
  struct vcpu *v = kalloc_pages(2);

  _Static_assert(sizeof(struct vcpu) <= PAGE_SIZE << 2, "fits the allocation");
  v->dom = d;
  v->kstack = kalloc_pages(2);
  _Static_assert(KSTACK_PAGES == 4, "kalloc_pages(2) above");
  v->regs = (struct regs *)(v->kstack + KSTACK_PAGES * PAGE_SIZE) - 1;
  v->state = VCPU_OFFLINE;
  v->runstate.state = RUNSTATE_offline;
  v->runstate.state_entry_time = now();
  v->info = &d->shared->vcpu_info[0];
  // FCW and MXCSR as after FNINIT and reset; the rest is zero.
  *(uint16 *)v->fpu = 0x37f;
  *(uint32 *)(v->fpu + 24) = 0x1f80;
  return v;
}

// The first time the scheduler picks it, fn(v) runs on the vCPU's own stack.
void
vcpu_set_start(struct vcpu *v, void (*fn)(struct vcpu *))
{
  extern char vcpu_first[];
  uint64 *sp = (uint64 *)v->regs;

  *--sp = (uint64)vcpu_first; // return address of swtch
  *--sp = 0;                  // rbp
  *--sp = (uint64)fn;         // rbx
  *--sp = (uint64)v;          // r12
  *--sp = 0;
  *--sp = 0;
  *--sp = 0;                  // r13-r15
  v->rsp = (uint64)sp;
}

// An empty domain: identifier, shared page, one vCPU that does not run yet.
struct domain *
domain_create(enum domain_type type, const char *name, uint64 max_bytes)
{
  struct domain *d;
  struct page *p;
  uint16 id;

  for(id = 0; id < NDOMAIN && domains[id]; id++)
    ;
  if(id == NDOMAIN)
    panic("more than %u domains", NDOMAIN);
  _Static_assert(sizeof(struct domain) <= PAGE_SIZE << 3, "fits the allocation");
  d = kalloc_pages(3);
  d->id = id;
  d->type = type;
  d->max_pages = max_bytes >> PAGE_SHIFT;
  safestrcpy(d->name, name, sizeof(d->name));
  p = alloc_page(d);
  if(p == 0)
    panic("no memory for domain %s", name);
  p->flags |= PG_XEN;
  d->shared_mfn = page_mfn(p);
  d->shared = memset(MFN2V(d->shared_mfn), 0, PAGE_SIZE);
  memset(d->shared->evtchn_mask, 0xff, sizeof(d->shared->evtchn_mask));
  for(int i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
    d->shared->vcpu_info[i].evtchn_upcall_mask = 1;
  wallclock_publish(d->shared);
  d->vcpu = vcpu_create(d);
  time_publish(d->vcpu);
  domains[id] = d;
  return d;
}

// Event channels and grants by which a domain finds its store and its console: dom0 serves both.
void
domain_connect_store_console(struct domain *d, uint64 store, uint64 console)
{
  int sp = evtchn_alloc_unbound(d, 0), cp = evtchn_alloc_unbound(d, 0);

  if(sp < 0 || cp < 0 || gnttab_grow(d, 1) != 0)
    panic("domain %s: no event channel or memory for store and console", d->name);
  d->params[HVM_PARAM_STORE_PFN] = store;
  d->params[HVM_PARAM_STORE_EVTCHN] = (uint64)sp;
  d->params[HVM_PARAM_CONSOLE_PFN] = console;
  d->params[HVM_PARAM_CONSOLE_EVTCHN] = (uint64)cp;
  d->grant[0][GNTTAB_RESERVED_XENSTORE] = (struct grant_entry_v1){ GTF_permit_access, 0, (uint32)store };
  d->grant[0][GNTTAB_RESERVED_CONSOLE] = (struct grant_entry_v1){ GTF_permit_access, 0, (uint32)console };
}

// The domain ends by its own wish (or by dom0's). dom0 ending ends everything.
void
domain_shutdown(struct domain *d, uint8 reason)
{
  static const char *const why[] = { "power off", "reboot", "suspend", "crash", "watchdog", "soft reset" };

  if(d->shutdown)
    return;
  printk("domain %u (%s) shut down: %s\n", d->id, d->name, reason < NELEM(why) ? why[reason] : "?");
  d->shutdown = true;
  d->shutdown_reason = reason;
  vcpu_stop(d->vcpu);
  timer_stop(&d->vcpu->timer);
  timer_stop(&d->vcpu->periodic);
  if(d == dom0)
    machine_stop(reason == SHUTDOWN_poweroff ? 0 : 1);
  send_virq(dom0, VIRQ_DOM_EXC);
}

// The domain cannot go on. Says why and what its registers were.
void
domain_crash(struct domain *d, const char *fmt, ...)
{
  va_list ap;

  if(d->shutdown)
    return;
  printk("domain %u (%s) crashed: ", d->id, d->name);
  va_start(ap, fmt);
  vprintk(fmt, ap);
  va_end(ap);
  console_putc('\n');
  if(is_hvm(d))
    hvm_dump(d->vcpu);
  else
    dump_regs(d->vcpu->regs);
  domain_shutdown(d, SHUTDOWN_crash);
}

void
domain_unpause(struct domain *d)
{
  if(!d->paused || d->shutdown)
    return;
  d->paused = false;
  vcpu_start(d->vcpu);
}

// What of a vCPU's state the hypervisor leaves in the processor while it runs: out, and in.
void
vcpu_save(struct vcpu *v)
{
  clts();
  fxsave(v->fpu);
  if(is_hvm(v->dom))
    hvm_ops->switch_from(v);
  else
    pv_save(v);
}

void
vcpu_load(struct vcpu *v)
{
  clts();
  fxrstor(v->fpu);
  if(is_hvm(v->dom))
    hvm_ops->switch_to(v);
  else
    pv_load(v);
}

// Would the guest do anything if it ran?
bool
vcpu_has_work(struct vcpu *v)
{
  if(is_hvm(v->dom))
    return hvm_has_interrupt(v);
  return v->info->evtchn_upcall_pending && !v->info->evtchn_upcall_mask;
}

static void
domain_info(struct domain *d, struct xen_domctl_getdomaininfo *i)
{
  static const uint32 state_flags[] = {
    [VCPU_RUNNABLE] = 0, [VCPU_RUNNING] = XEN_DOMINF_running, [VCPU_BLOCKED] = XEN_DOMINF_blocked, [VCPU_OFFLINE] = 0,
  };

  memset(i, 0, sizeof(*i));
  i->domain = d->id;
  i->flags = state_flags[d->vcpu->state] | (uint32)d->shutdown_reason << XEN_DOMINF_shutdownshift;
  if(d->shutdown)
    i->flags |= XEN_DOMINF_shutdown;
  if(d->paused)
    i->flags |= XEN_DOMINF_paused;
  if(is_hvm(d))
    i->flags |= XEN_DOMINF_hvm_guest | XEN_DOMINF_hap;
  i->tot_pages = d->tot_pages;
  i->max_pages = d->max_pages;
  i->shared_info_frame = d->shared_mfn;
  i->cpu_time = d->vcpu->runstate.time[RUNSTATE_running];
  i->nr_online_vcpus = d->vcpu->state != VCPU_OFFLINE;
  i->gpaddr_bits = 40;
}

int64
do_domctl(uint64 gva)
{
  struct xen_domctl c;
  struct domain *d;

  if(!current->dom->privileged)
    return -XEN_EPERM;
  if(copy_from_guest(&c, gva, sizeof(c)))
    return -XEN_EFAULT;
  if(c.interface_version != XEN_DOMCTL_INTERFACE_VERSION)
    return -XEN_EACCES;
  if(c.cmd == XEN_DOMCTL_getdomaininfo)
    while(c.domain < NDOMAIN && !domains[c.domain])
      c.domain++;
  if((d = find_domain(c.domain)) == 0)
    return -XEN_ESRCH;
  switch(c.cmd){
  case XEN_DOMCTL_getdomaininfo:
    domain_info(d, &c.u.getdomaininfo);
    c.domain = d->id;
    return copy_to_guest(gva, &c, sizeof(c)) ? -XEN_EFAULT : 0;
  case XEN_DOMCTL_pausedomain:
    if(d == current->dom)
      return -XEN_EINVAL;
    if(!d->paused && !d->shutdown){
      d->paused = true;
      vcpu_stop(d->vcpu);
    }
    return 0;
  case XEN_DOMCTL_unpausedomain:
    domain_unpause(d);
    return 0;
  default:
    return -XEN_ENOSYS;
  }
}
