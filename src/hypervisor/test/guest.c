// A guest that checks what the hypervisor promises, from inside, as PV and as PVH; it prints a line a check.
//
// Command line: `peer=N` names the domain it shares a page and an event channel with (the lower one offers).
#include <xen/domctl.h>
#include <xen/errno.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/ioreq.h>
#include <xen/hvm/params.h>
#include <xen/hvm/start_info.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/version.h>
#include <xen/xen.h>

#define PAGE __attribute__((aligned(4096)))

extern char hypercall_page[], pv_event[], pv_page_fault[], hvm_event[], guest_end[], hvm_lapic_timer[], hvm_isa[];
static PAGE union {
  struct shared_info info;
  char whole[4096]; // nothing else may lie in a page that is replaced
} shared_page;
static PAGE uint8_t scratch[4096], window[4096];
static PAGE struct grant_entry_v1 hvm_grants[512];
static volatile struct shared_info *shared = &shared_page.info;
static struct start_info *si;
static int failures, hvm;
static volatile int events[64];

static long
hypercall(unsigned long nr, unsigned long a1, unsigned long a2, unsigned long a3, unsigned long a4)
{
  register unsigned long r10 __asm__("r10") = a4;
  unsigned long at = (unsigned long)hypercall_page + nr * 32;
  long rc;

  __asm__ volatile("call *%[at]" : "=a"(rc), "+D"(a1), "+S"(a2), "+d"(a3), "+r"(r10) : [at] "b"(at) : "rcx", "r8", "r9", "r11", "memory");
  return rc;
}
#define H1(n, a) hypercall(__HYPERVISOR_##n, (unsigned long)(a), 0, 0, 0)
#define H2(n, a, b) hypercall(__HYPERVISOR_##n, (unsigned long)(a), (unsigned long)(b), 0, 0)
#define H3(n, a, b, c) hypercall(__HYPERVISOR_##n, (unsigned long)(a), (unsigned long)(b), (unsigned long)(c), 0)
#define H4(n, a, b, c, d) hypercall(__HYPERVISOR_##n, (unsigned long)(a), (unsigned long)(b), (unsigned long)(c), (unsigned long)(d))

void *
memset(void *d, int c, size_t n)
{
  for(size_t i = 0; i < n; i++)
    ((volatile char *)d)[i] = (char)c;
  return d;
}

void *
memcpy(void *d, const void *s, size_t n)
{
  for(size_t i = 0; i < n; i++)
    ((volatile char *)d)[i] = ((const char *)s)[i];
  return d;
}

static void
print(const char *s)
{
  size_t n = 0;

  while(s[n])
    n++;
  H3(console_io, CONSOLEIO_write, n, s);
}

static void
print_num(long v)
{
  char buf[24], *p = buf + sizeof(buf);
  unsigned long u = v < 0 ? -(unsigned long)v : (unsigned long)v;

  *--p = 0;
  do
    *--p = (char)('0' + u % 10);
  while(u /= 10);
  if(v < 0)
    *--p = '-';
  print(p);
}

static void
check(const char *what, long got, long want)
{
  print(hvm ? "hvm: " : "pv: ");
  print(what);
  if(got == want)
    print(": ok\n");
  else {
    failures++;
    print(": FAILED, ");
    print_num(got);
    print(" and not ");
    print_num(want);
    print("\n");
  }
}

// Called with events masked. Clears what is pending and counts it.
void
guest_event(void)
{
  volatile struct vcpu_info *v = &shared->vcpu_info[0];

  v->evtchn_upcall_pending = 0;
  unsigned long sel = __atomic_exchange_n(&v->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
  for(int w = 0; w < 64; w++){
    if(!(sel >> w & 1))
      continue;
    unsigned long bits = shared->evtchn_pending[w] & ~shared->evtchn_mask[w];
    for(int b = 0; b < 64; b++)
      if(bits >> b & 1){
        __atomic_and_fetch(&shared->evtchn_pending[w], ~(1ul << b), __ATOMIC_SEQ_CST);
        if(w == 0)
          events[b]++;
      }
  }
}

static volatile int faults;

// The faulting instruction below is 3 bytes long.
unsigned long
guest_page_fault(unsigned long rip)
{
  faults++;
  return rip + 3;
}

static void
unmask(uint32_t port)
{
  struct evtchn_unmask u = { port };

  H2(event_channel_op, EVTCHNOP_unmask, &u);
}

static unsigned long
mfn_of(void *va)
{
  return hvm ? (unsigned long)va >> 12 : ((unsigned long *)si->mfn_list)[(unsigned long)va >> 12];
}

static void
test_events(void)
{
  struct evtchn_bind_ipi ipi = { 0 };
  struct evtchn_bind_virq virq = { .virq = VIRQ_TIMER };
  struct evtchn_send send;

  check("bind_ipi", H2(event_channel_op, EVTCHNOP_bind_ipi, &ipi), 0);
  unmask(ipi.port);
  send.port = ipi.port;
  check("send", H2(event_channel_op, EVTCHNOP_send, &send), 0);
  check("event came", events[ipi.port], 1);
  check("bind_virq", H2(event_channel_op, EVTCHNOP_bind_virq, &virq), 0);
  unmask(virq.port);
  uint64_t now = shared->vcpu_info[0].time.system_time;
  (void)now;
  check("set_timer_op", H1(set_timer_op, 1), 0); // long gone
  while(events[virq.port] == 0)
    H2(sched_op, SCHEDOP_block, 0);
  check("timer came", events[virq.port] > 0, 1);
  struct evtchn_close close = { ipi.port };
  check("close", H2(event_channel_op, EVTCHNOP_close, &close), 0);
}

static void
test_pv_mmu(void)
{
  unsigned long pte = mfn_of(scratch) << 12 | 7;
  unsigned long pt = si->pt_base;

  check("map scratch at window", H3(update_va_mapping, window, pte, UVMF_INVLPG), 0);
  scratch[5] = 99;
  check("seen through window", window[5], 99);
  check("unmap", H3(update_va_mapping, window, 0, UVMF_INVLPG), 0);
  __asm__ volatile("movb $1, (%0)" : : "a"(window) : "memory"); // 3 bytes
  check("page fault came", faults, 1);
  check("a page table is not mapped writable", H3(update_va_mapping, window, mfn_of((void *)pt) << 12 | 7, UVMF_INVLPG), -XEN_EINVAL);
  check("but read-only", H3(update_va_mapping, window, mfn_of((void *)pt) << 12 | 5, UVMF_INVLPG), 0);
  check("foreign frame refused", H3(update_va_mapping, window, 0x100007, UVMF_INVLPG), -XEN_EINVAL);
  struct mmu_update u = { mfn_of((void *)pt) << 12 | 300 * 8, pte };
  check("L4 entry to no L3 refused", H4(mmu_update, &u, 1, 0, DOMID_SELF), -XEN_EINVAL);
  u.ptr = mfn_of((void *)pt) << 12 | 262 * 8;
  check("hypervisor's L4 entry refused", H4(mmu_update, &u, 1, 0, DOMID_SELF), -XEN_EINVAL);
  check("m2p readable", (long)((unsigned long *)MACH2PHYS_VIRT_START)[mfn_of(scratch)], (long)((unsigned long)scratch >> 12));
  H3(update_va_mapping, window, mfn_of(window) << 12 | 7, UVMF_INVLPG);
}

static long
number_after(const char *line, const char *key)
{
  for(; *line; line++){
    int i = 0;
    while(key[i] && line[i] == key[i])
      i++;
    if(key[i] == 0){
      long v = 0;
      for(line += i; *line >= '0' && *line <= '9'; line++)
        v = v * 10 + *line - '0';
      return v;
    }
  }
  return -1;
}

static volatile struct grant_entry_v1 *
my_grants(void)
{
  struct gnttab_setup_table s = { .dom = DOMID_SELF, .nr_frames = 1 };
  xen_pfn_t frame = 0;

  if(hvm){
    struct xen_add_to_physmap a = { .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .gpfn = (unsigned long)hvm_grants >> 12 };
    check("grant table in place", H2(memory_op, XENMEM_add_to_physmap, &a), 0);
    return hvm_grants;
  }
  s.frame_list = &frame;
  check("setup_table", H3(grant_table_op, GNTTABOP_setup_table, &s, 1), 0);
  check("setup_table status", s.status, GNTST_okay);
  H3(update_va_mapping, hvm_grants, frame << 12 | 7, UVMF_INVLPG);
  return hvm_grants;
}

// Offer a page as grant 8 and a port as the first unbound one, then wait until the peer has written and rung.
static void
test_offer(int peer)
{
  volatile struct grant_entry_v1 *g = my_grants();
  struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = (domid_t)peer };

  scratch[0] = 42;
  g[8].domid = (domid_t)peer;
  g[8].frame = (uint32_t)mfn_of(scratch);
  g[8].flags = GTF_permit_access;
  check("alloc_unbound", H2(event_channel_op, EVTCHNOP_alloc_unbound, &a), 0);
  events[a.port] = 0; // the port may have been another one before
  unmask(a.port);
  while(events[a.port] == 0)
    H2(sched_op, SCHEDOP_block, 0);
  check("peer wrote into the granted page", scratch[1], 43);
  check("grant is free again", g[8].flags, GTF_permit_access);
}

static void
test_use(int peer)
{
  struct gnttab_map_grant_ref m = { .host_addr = (uint64_t)window, .flags = GNTMAP_host_map, .ref = 8, .dom = (domid_t)peer };
  struct gnttab_copy c = { .source.u.ref = 8, .source.domid = (domid_t)peer, .dest.domid = DOMID_SELF, .len = 1,
                           .dest.offset = 7, .flags = GNTCOPY_source_gref };
  struct evtchn_bind_interdomain b = { .remote_dom = (domid_t)peer };
  long rc = -1;

  for(int tries = 0; tries < 10000 && rc != 0; tries++){ // the other side has to get there first
    for(b.remote_port = 1; b.remote_port < 16 && rc != 0; b.remote_port++)
      rc = H2(event_channel_op, EVTCHNOP_bind_interdomain, &b);
    H2(sched_op, SCHEDOP_yield, 0);
  }
  check("bind_interdomain", rc, 0);
  c.dest.u.gmfn = mfn_of(scratch);
  H3(grant_table_op, GNTTABOP_copy, &c, 1);
  check("grant copy", c.status, GNTST_okay);
  check("copied", scratch[7], 42);
  if(!hvm){
    H3(grant_table_op, GNTTABOP_map_grant_ref, &m, 1);
    check("map_grant_ref", m.status, GNTST_okay);
    check("mapped", window[0], 42);
    window[1] = 43;
    struct gnttab_unmap_grant_ref u = { .host_addr = (uint64_t)window, .handle = m.handle };
    H3(grant_table_op, GNTTABOP_unmap_grant_ref, &u, 1);
    check("unmap_grant_ref", u.status, GNTST_okay);
  } else {
    struct gnttab_copy w = { .source.domid = DOMID_SELF, .source.offset = 9, .dest.u.ref = 8, .dest.domid = (domid_t)peer,
                             .dest.offset = 1, .len = 1, .flags = GNTCOPY_dest_gref };
    scratch[9] = 43;
    w.source.u.gmfn = mfn_of(scratch);
    H3(grant_table_op, GNTTABOP_copy, &w, 1);
    check("grant copy out", w.status, GNTST_okay);
  }
  struct evtchn_send s = { b.local_port };
  check("ring the peer", H2(event_channel_op, EVTCHNOP_send, &s), 0);
}

#include "hvm-tests.h"

// --- a device model for the tests, in dom0 ---

static PAGE uint8_t io_window[4096];

// Page `gfn` of another domain at `at`.
static long
map_foreign(void *at, unsigned long gfn, int dom)
{
  return H4(update_va_mapping_otherdomain, at, gfn << 12 | 7, UVMF_INVLPG, dom);
}

static void
isa_line(int dom, int level)
{
  struct xen_hvm_set_isa_irq_level l = { (domid_t)dom, 5, (uint8_t)level };

  if(H2(hvm_op, HVMOP_set_isa_irq_level, &l) != 0)
    check("set_isa_irq_level", 1, 0);
}

static uint8_t sum;
static uint32_t cell;

// Do one request. 1: the guest says it is done.
static int
serve(volatile struct ioreq *q, int dom)
{
  uint8_t *mem = 0;

  if(q->data_is_ptr){
    map_foreign(window, q->data >> 12, dom);
    mem = window + q->data % 4096;
  }
  for(uint32_t i = 0; i < q->count && q->type == IOREQ_TYPE_PIO; i++){
    if(q->dir == IOREQ_WRITE && q->addr == 0x504)
      sum += mem ? mem[i] : (uint8_t)q->data;
    else if(q->dir == IOREQ_READ && mem)
      mem[i] = (uint8_t)(q->addr + 1);
  }
  if(q->type == IOREQ_TYPE_COPY){
    if(q->dir == IOREQ_WRITE)
      cell = (uint32_t)q->data;
    else
      q->data = q->size == 1 ? 0x79 : cell + 1;
  } else if(q->dir == IOREQ_READ && !mem)
    q->data = q->addr == 0x504 ? sum : q->addr + 1;
  if(q->type == IOREQ_TYPE_PIO && (q->addr == 0xf4 || q->addr == 0xf5))
    isa_line(dom, q->addr == 0xf4);
  return q->type == IOREQ_TYPE_PIO && q->addr == 0xf6;
}

static void
test_dm(int dom)
{
  struct xen_hvm_param p = { .domid = (domid_t)dom, .index = HVM_PARAM_IOREQ_PFN };
  volatile struct ioreq *q = (void *)io_window;
  int done = 0;

  check("get_param", H2(hvm_op, HVMOP_get_param, &p), 0);
  check("map the request page", map_foreign(io_window, p.value, dom), 0);
  struct evtchn_bind_interdomain b = { (domid_t)dom, q->vp_eport, 0 };
  check("bind its port", H2(event_channel_op, EVTCHNOP_bind_interdomain, &b), 0);
  unmask(b.local_port);
  while(!done){
    while(q->state != STATE_IOREQ_READY)
      H2(sched_op, SCHEDOP_block, 0);
    q->state = STATE_IOREQ_INPROCESS;
    done = serve(q, dom);
    q->state = STATE_IORESP_READY;
    struct evtchn_send s = { b.local_port };
    H2(event_channel_op, EVTCHNOP_send, &s);
  }
  check("requests served", done, 1);
  H3(update_va_mapping, window, mfn_of(window) << 12 | 7, UVMF_INVLPG);
}

// dom0 stays until the others have ended: its end is everybody's.
static void
wait_for_others(void)
{
  struct xen_domctl c;
  long alive = 1;

  while(alive){
    alive = 0;
    for(int d = 1;; d = c.domain + 1){
      c = (struct xen_domctl){ .cmd = XEN_DOMCTL_getdomaininfo, .interface_version = XEN_DOMCTL_INTERFACE_VERSION, .domain = (domid_t)d };
      if(H1(domctl, &c) != 0)
        break;
      if(!(c.u.getdomaininfo.flags & XEN_DOMINF_shutdown))
        alive++;
      else if(c.u.getdomaininfo.flags >> XEN_DOMINF_shutdownshift != SHUTDOWN_poweroff){
        check("the other domain's end", c.u.getdomaininfo.flags >> XEN_DOMINF_shutdownshift, SHUTDOWN_poweroff);
        return;
      }
    }
    H2(sched_op, SCHEDOP_yield, 0);
  }
}

static void
pv_setup(void)
{
  static const struct trap_info traps[] = { { 14, 0, FLAT_KERNEL_CS, (unsigned long)pv_page_fault }, { 0, 0, 0, 0 } };

  H1(set_trap_table, traps);
  H3(set_callbacks, pv_event, 0, 0);
  check("shared_info", H3(update_va_mapping, &shared_page, si->shared_info | 7, UVMF_INVLPG), 0);
  shared->vcpu_info[0].evtchn_upcall_mask = 0;
}

void
guest_main(void *info, int is_hvm)
{
  const char *line;
  long me, peer;

  hvm = is_hvm;
  si = info;
  if(hvm)
    hvm_setup();
  line = hvm ? (char *)((struct hvm_start_info *)info)->cmdline_paddr : (char *)si->cmd_line;
  if(!hvm)
    pv_setup();
  check("xen_version", H2(xen_version, XENVER_version, 0) >> 16, 4);
  test_events();
  if(!hvm)
    test_pv_mmu();
  if(hvm)
    test_hvm();
  if(number_after(line, "dm=") >= 0)
    test_dm((int)number_after(line, "dm="));
  if(number_after(line, "devices=") > 0)
    test_device_model();
  me = number_after(line, "me=");
  peer = number_after(line, "peer=");
  if(peer >= 0 && me >= 0){
    if(me < peer)
      test_offer((int)peer);
    else
      test_use((int)peer);
  }
  if(!hvm && (si->flags & SIF_INITDOMAIN))
    wait_for_others();
  print(failures ? "guest: FAILED\n" : "guest: all passed\n");
  struct sched_shutdown down = { failures ? SHUTDOWN_crash : SHUTDOWN_poweroff };
  H2(sched_op, SCHEDOP_shutdown, &down);
}
