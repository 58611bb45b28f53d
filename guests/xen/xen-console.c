// The console of a domain: a byte ring that the console daemon in the initial domain empties. Xen public header io/console.h.

#include "lib/console.h"
#include "lib/environment.h"
#include "lib/x86.h"
#include "xen/events.h"
#include "xen/xen-guest.h"
#include <xen/io/console.h>

enum { PATIENCE_NS = 500000000 };

static void
hypervisor_console_write(const char *text, size_t n)
{
  hypercall_console_io(CONSOLEIO_write, (unsigned)n, text);
}

// HVM domains without a ring: the port that Xen and debuggers listen to.
static void
debug_port_write(const char *text, size_t n)
{
  while(n--)
    outb(XEN_HVM_DEBUGCONS_IOPORT, (uint8_t)*text++);
}

// Lets the daemon's domain run until at most `left` bytes are unread. A daemon that reads nothing for a while is given up.
static bool
wait_for_reader(uint32_t left)
{
  static XENCONS_RING_IDX given_up_at = ~0u;
  volatile struct xencons_interface *ring = xen_rings.console;
  XENCONS_RING_IDX seen = ring->out_cons;
  uint64_t since = xen_system_time();

  while(ring->out_prod - ring->out_cons > left){
    if(ring->out_cons != seen){
      seen = ring->out_cons;
      since = xen_system_time();
    }
    if(seen == given_up_at)
      return false;
    if(xen_system_time() - since > PATIENCE_NS){
      given_up_at = seen;
      return false;
    }
    event_notify(xen_rings.console_port);
    hypercall_sched_op(SCHEDOP_yield, NULL);
  }
  return true;
}

static void
ring_put(volatile struct xencons_interface *ring, char c)
{
  if(ring->out_prod - ring->out_cons >= sizeof ring->out && !wait_for_reader(sizeof ring->out - 1))
    return;
  ring->out[MASK_XENCONS_IDX(ring->out_prod, ring->out)] = c;
  wmb();
  ring->out_prod++;
}

void
xen_console_write(const char *text, size_t n)
{
  for(size_t i = 0; i < n; i++){
    if(text[i] == '\n')
      ring_put(xen_rings.console, '\r');
    ring_put(xen_rings.console, text[i]);
  }
  event_notify(xen_rings.console_port);
}

void
xen_console_drain(void)
{
  if(xen_rings.console)
    wait_for_reader(0);
}

void
xen_console_init(void)
{
  if(xen_rings.console)
    console_write = xen_console_write;
  else
    console_write = on_pv() ? hypervisor_console_write : debug_port_write;
}
