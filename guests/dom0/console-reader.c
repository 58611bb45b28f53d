// The guests' consoles: what they write to their rings comes out on dom0's console, each line marked with its domain.
#include "dom0/services.h"

#include "dom0/foreign.h"
#include "dom0/heap.h"
#include "dom0/work.h"
#include "lib/console.h"
#include "xen/events.h"
#include <xen/hvm/params.h>
#include <xen/io/console.h>

enum { LINE_MAX = 240 };

struct console_reader {
  struct guest *guest;
  struct xencons_interface *ring;
  uint32_t port;
  struct work work;
  char line[LINE_MAX];
  unsigned n;
};

static void
put(struct console_reader *c, char ch)
{
  if(ch == '\r')
    return;
  if(ch != '\n')
    c->line[c->n++] = ch;
  if(ch == '\n' || c->n == LINE_MAX - 1){
    c->line[c->n] = 0;
    printf("(d%u) %s\n", c->guest->domid, c->line);
    c->n = 0;
  }
}

static void
read_ring(void *context)
{
  struct console_reader *c = context;
  XENCONS_RING_IDX at = c->ring->out_cons, end = *(volatile XENCONS_RING_IDX *)&c->ring->out_prod;

  rmb();
  if(end - at > sizeof c->ring->out){
    printf("d%u: console ring is broken\n", c->guest->domid);
    return;
  }
  for(; at != end; at++)
    put(c, c->ring->out[MASK_XENCONS_IDX(at, c->ring->out)]);
  mb();
  c->ring->out_cons = at;
  event_notify(c->port);
}

static void
notified(void *context)
{
  work_queue(&((struct console_reader *)context)->work);
}

void
console_start(struct guest *guest)
{
  struct console_reader *c = heap_alloc(sizeof *c);
  int port = event_bind_interdomain(guest->domid, (uint32_t)guest_param(guest, HVM_PARAM_CONSOLE_EVTCHN));

  c->guest = guest;
  c->ring = grant_map_ring(guest->domid, GNTTAB_RESERVED_CONSOLE);
  if(port < 0 || !c->ring)
    panic("d%u: no console", guest->domid);
  c->port = (uint32_t)port;
  c->work = (struct work){ .function = read_ring, .context = c };
  guest->console = c;
  event_set_handler(c->port, notified, c);
}

void
console_finish(struct guest *guest)
{
  read_ring(guest->console);
  if(guest->console->n)
    put(guest->console, '\n');
}
