// Finding and joining the hypervisor. See xen-guest.h.
//
// Xen public headers: arch-x86/cpuid.h (leaves), memory.h (XENMAPSPACE_shared_info), hvm/params.h, xen.h (start_info).

#include "xen/xen-guest.h"
#include "lib/console.h"
#include "lib/environment.h"
#include "lib/traps.h"
#include "lib/x86.h"
#include "xen/pv-memory.h"
#include <xen/cpuid.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/physdev.h>

static char shared_info_page[PAGE_SIZE] ALIGNED(4096); // its frame is replaced by the hypervisor's page
static const struct start_info *start_info;
static uint32_t cpuid_base;
struct xen_rings xen_rings;

struct shared_info *xen_shared_info(void) { return (struct shared_info *)shared_info_page; }
const struct start_info *xen_start_info(void) { return start_info; }
bool xen_is_initial_domain(void) { return start_info && start_info->flags & SIF_INITDOMAIN; }

bool
xen_detect(void)
{
  uint32_t r[4];

  cpuid(1, 0, r);
  if(!(r[2] >> 31)) // CPUID.1:ECX[31]: running under a hypervisor
    return false;
  // Another interface may come first; Xen's leaves then follow at a multiple of 0x100.
  for(uint32_t base = XEN_CPUID_FIRST_LEAF; base < XEN_CPUID_FIRST_LEAF + 0x10000; base += 0x100){
    cpuid(base, 0, r);
    if(r[1] == XEN_CPUID_SIGNATURE_EBX && r[2] == XEN_CPUID_SIGNATURE_ECX && r[3] == XEN_CPUID_SIGNATURE_EDX){
      cpuid_base = base;
      return true;
    }
  }
  return false;
}

static uint64_t
hvm_param(uint32_t index)
{
  struct xen_hvm_param p = { .domid = DOMID_SELF, .index = index };

  return hypercall_hvm_op(HVMOP_get_param, &p) ? 0 : p.value;
}

static void
hvm_init(void)
{
  uint32_t r[4];
  struct xen_add_to_physmap map = { .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .gpfn = (uint64_t)shared_info_page >> PAGE_SHIFT };
  struct xen_hvm_param callback = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ,
                                    .value = (uint64_t)HVM_PARAM_CALLBACK_TYPE_VECTOR << 56 | VECTOR_EVENT };
  int64_t error;

  cpuid(cpuid_base + 2, 0, r);
  wrmsr(r[1], (uint64_t)hypercall_page);
  if((error = hypercall_memory_op(XENMEM_add_to_physmap, &map)))
    panic("shared_info cannot be mapped: %ld", error);
  if((error = hypercall_hvm_op(HVMOP_set_param, &callback)))
    panic("event vector refused: %ld", error);
  xen_rings.store = (void *)(hvm_param(HVM_PARAM_STORE_PFN) << PAGE_SHIFT);
  xen_rings.store_port = (uint32_t)hvm_param(HVM_PARAM_STORE_EVTCHN);
  xen_rings.console = (void *)(hvm_param(HVM_PARAM_CONSOLE_PFN) << PAGE_SHIFT);
  xen_rings.console_port = (uint32_t)hvm_param(HVM_PARAM_CONSOLE_EVTCHN);
}

void
xen_set_start_info(const struct start_info *si)
{
  start_info = si;
  pv_memory_set_start_info(si);
}

static void *
page_of_frame(uint64_t mfn)
{
  return mfn ? (void *)(pv_page_of_frame(mfn) << PAGE_SHIFT) : NULL;
}

static void
pv_init(void)
{
  enum { PTE_PRESENT_WRITABLE_USER = 7 };
  struct physdev_set_iopl iopl = { 1 };

  // I/O instructions go to the hypervisor, which does or ignores them by what the domain may reach; without this they fault here.
  hypercall_physdev_op(PHYSDEVOP_set_iopl, &iopl);
  if(hypercall_update_va_mapping((uint64_t)shared_info_page, start_info->shared_info | PTE_PRESENT_WRITABLE_USER, UVMF_INVLPG))
    for(;;) // there is no console yet
      hypercall_console_io(CONSOLEIO_write, 30, "shared_info cannot be mapped\r\n");
  xen_rings.store = page_of_frame(start_info->store_mfn);
  xen_rings.store_port = start_info->store_evtchn;
  if(!xen_is_initial_domain()){
    xen_rings.console = page_of_frame(start_info->console.domU.mfn);
    xen_rings.console_port = start_info->console.domU.evtchn;
  }
}

void
xen_init(void)
{
  if(on_pv())
    pv_init();
  else
    hvm_init();
}

void
xen_shutdown(unsigned reason)
{
  struct sched_shutdown shutdown = { reason };

  xen_console_drain();
  for(;;)
    hypercall_sched_op(SCHEDOP_shutdown, &shutdown);
}

uint64_t
xen_system_time(void)
{
  volatile struct vcpu_time_info *t = &xen_shared_info()->vcpu_info[0].time;
  uint32_t version;
  uint64_t now;

  do {
    version = t->version;
    rmb();
    uint64_t ticks = rdtsc() - t->tsc_timestamp;
    ticks = t->tsc_shift < 0 ? ticks >> -t->tsc_shift : ticks << t->tsc_shift;
    now = t->system_time + (uint64_t)((unsigned __int128)ticks * t->tsc_to_system_mul >> 32);
    rmb();
  } while(version & 1 || version != t->version);
  return now;
}

uint64_t
xen_tsc_hz(void)
{
  struct vcpu_time_info *t = &xen_shared_info()->vcpu_info[0].time;

  if(!t->tsc_to_system_mul)
    panic("the hypervisor keeps no time in shared_info");
  uint64_t hz = (1000000000ul << 32) / t->tsc_to_system_mul;
  return t->tsc_shift < 0 ? hz << -t->tsc_shift : hz >> t->tsc_shift;
}
