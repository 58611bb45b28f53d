#include "dom0/guest.h"

#include "lib/console.h"
#include "lib/string.h"
#include "xen/hypercall.h"
#include <xen/domctl.h>
#include <xen/errno.h>
#include <xen/hvm/params.h>

struct guest guests[GUESTS_MAX];
unsigned n_guests;

static int64_t
domctl(struct xen_domctl *control)
{
  control->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
  return hypercall1(__HYPERVISOR_domctl, (uint64_t)control);
}

// Information about the first domain from `domid` on; false when there is none.
static bool
domain_info(uint16_t domid, struct xen_domctl_getdomaininfo *info)
{
  struct xen_domctl control = { .cmd = XEN_DOMCTL_getdomaininfo, .domain = domid };
  int64_t error = domctl(&control);

  if(error == -XEN_ESRCH)
    return false;
  if(error)
    panic("domctl getdomaininfo: %ld", error);
  *info = control.u.getdomaininfo;
  return true;
}

void
guests_find(void)
{
  struct xen_domctl_getdomaininfo info;

  for(uint16_t domid = 1; domain_info(domid, &info); domid = info.domain + 1){
    if(n_guests == GUESTS_MAX)
      panic("more than %u guests", GUESTS_MAX);
    struct guest *g = &guests[n_guests++];
    g->domid = info.domain;
    g->hvm = info.flags & XEN_DOMINF_hvm_guest;
    g->device_model = g->hvm && guest_param(g, HVM_PARAM_IOREQ_PFN) != 0;
  }
}

bool
guests_all_ended(void)
{
  struct xen_domctl_getdomaininfo info;
  bool all = true;

  for(unsigned i = 0; i < n_guests; i++){
    struct guest *g = &guests[i];
    if(!g->ended){
      if(!domain_info(g->domid, &info) || info.domain != g->domid)
        g->ended = true;
      else if(info.flags & XEN_DOMINF_shutdown){
        g->ended = true;
        g->crashed = (info.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask) != SHUTDOWN_poweroff;
      }
    }
    all &= g->ended;
  }
  return all;
}

uint64_t
guest_param(const struct guest *guest, unsigned index)
{
  struct xen_hvm_param param = { .domid = guest->domid, .index = index };
  int64_t error = hypercall_hvm_op(HVMOP_get_param, &param);

  if(error)
    panic("d%u: HVM_PARAM %u: %ld", guest->domid, index, error);
  return param.value;
}

void
guest_unpause(const struct guest *guest)
{
  struct xen_domctl control = { .cmd = XEN_DOMCTL_unpausedomain, .domain = guest->domid };
  int64_t error = domctl(&control);

  if(error)
    panic("d%u cannot be unpaused: %ld", guest->domid, error);
}
