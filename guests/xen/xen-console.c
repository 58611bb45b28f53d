// The console of a domain: a byte ring that the console daemon in the initial domain empties. Xen public header io/console.h.

#include "lib/console.h"
#include "lib/environment.h"
#include "lib/x86.h"
#include "xen/events.h"
#include "xen/xen-guest.h"
#include <xen/io/console.h>

enum { PATIENCE = 1 << 20 };

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

static void
ring_put(volatile struct xencons_interface *ring, char c)
{
  // The reader may be slow or gone: wait for room, but not for ever.
  for(int tries = 0; ring->out_prod - ring->out_cons >= sizeof ring->out; tries++){
    if(tries == PATIENCE)
      return;
    event_notify(xen_rings.console_port);
    hypercall_sched_op(SCHEDOP_yield, NULL);
  }
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
xen_console_init(void)
{
  if(xen_rings.console)
    console_write = xen_console_write;
  else
    console_write = on_pv() ? hypervisor_console_write : debug_port_write;
}
