// Event channels. See events.h. Xen public header event_channel.h; delivery as in its section on two-level event channels:
// shared_info.evtchn_pending and evtchn_mask, a selector word per vCPU, and one "upcall pending" byte.

#include "xen/events.h"
#include "lib/console.h"
#include "lib/environment.h"
#include "lib/traps.h"
#include "xen/xen-guest.h"
#include <xen/physdev.h>

struct binding {
  event_handler *handler;
  void *context;
};
static struct binding bindings[EVTCHN_2L_NR_CHANNELS];

struct line_binding {
  event_handler *handler;
  void *context;
  uint32_t line;
  bool level;
  struct line_binding *next;
};
static struct line_binding line_bindings[32];
static unsigned line_bindings_used;

static inline volatile struct vcpu_info *vcpu(void) { return &xen_shared_info()->vcpu_info[0]; }

static inline uint64_t
exchange(volatile uint64_t *at, uint64_t value)
{
  __asm__ volatile("xchg %0,%1" : "+r"(value), "+m"(*at)::"memory");
  return value;
}

static inline void
atomic_clear_bit(volatile uint64_t *words, unsigned bit)
{
  __asm__ volatile("lock btrq %1,%0" : "+m"(words[bit / 64]) : "r"((uint64_t)bit % 64) : "memory", "cc");
}

static inline void
atomic_set_bit(volatile uint64_t *words, unsigned bit)
{
  __asm__ volatile("lock btsq %1,%0" : "+m"(words[bit / 64]) : "r"((uint64_t)bit % 64) : "memory", "cc");
}

static void
handle_pending(void)
{
  struct shared_info *s = xen_shared_info();

  while(vcpu()->evtchn_upcall_pending){
    vcpu()->evtchn_upcall_pending = 0;
    mb();
    for(uint64_t words = exchange(&s->vcpu_info[0].evtchn_pending_sel, 0); words; words &= words - 1){
      unsigned w = __builtin_ctzl(words);
      uint64_t ready;
      while((ready = *(volatile uint64_t *)&s->evtchn_pending[w] & ~*(volatile uint64_t *)&s->evtchn_mask[w])){
        unsigned port = w * 64 + __builtin_ctzl(ready);
        atomic_clear_bit(s->evtchn_pending, port);
        if(bindings[port].handler)
          bindings[port].handler(bindings[port].context);
      }
    }
  }
}

static void
upcall(struct trap_frame *frame)
{
  handle_pending();
}

void
events_init(void)
{
  struct shared_info *s = xen_shared_info();

  for(unsigned w = 0; w < EVTCHN_2L_NR_CHANNELS / 64; w++)
    s->evtchn_mask[w] = ~0ul;
  trap_set_handler(on_pv() ? VECTOR_PV_EVENT : VECTOR_EVENT, upcall);
}

void
event_set_handler(uint32_t port, event_handler *handler, void *context)
{
  bindings[port] = (struct binding){ handler, context };
  event_unmask(port);
}

void
event_mask(uint32_t port)
{
  atomic_set_bit(xen_shared_info()->evtchn_mask, port);
}

void
event_unmask(uint32_t port)
{
  struct shared_info *s = xen_shared_info();
  struct evtchn_unmask op = { port };

  // A pending port must be delivered anew, which only the hypervisor can do without a race.
  if(s->evtchn_pending[port / 64] >> (port % 64) & 1)
    hypercall_event_channel_op(EVTCHNOP_unmask, &op);
  else {
    atomic_clear_bit(s->evtchn_mask, port);
    if(s->evtchn_pending[port / 64] >> (port % 64) & 1)
      hypercall_event_channel_op(EVTCHNOP_unmask, &op);
  }
}

void
event_notify(uint32_t port)
{
  struct evtchn_send op = { port };

  hypercall_event_channel_op(EVTCHNOP_send, &op);
}

void
event_close(uint32_t port)
{
  struct evtchn_close op = { port };

  event_mask(port);
  bindings[port].handler = NULL;
  hypercall_event_channel_op(EVTCHNOP_close, &op);
}

int
event_alloc_unbound(uint16_t remote_domain)
{
  struct evtchn_alloc_unbound op = { .dom = DOMID_SELF, .remote_dom = remote_domain };
  int64_t error = hypercall_event_channel_op(EVTCHNOP_alloc_unbound, &op);

  return error ? (int)error : (int)op.port;
}

int
event_bind_interdomain(uint16_t remote_domain, uint32_t remote_port)
{
  struct evtchn_bind_interdomain op = { .remote_dom = remote_domain, .remote_port = remote_port };
  int64_t error = hypercall_event_channel_op(EVTCHNOP_bind_interdomain, &op);

  return error ? (int)error : (int)op.local_port;
}

int
event_bind_virq(uint32_t virq)
{
  struct evtchn_bind_virq op = { .virq = virq, .vcpu = 0 };
  int64_t error = hypercall_event_channel_op(EVTCHNOP_bind_virq, &op);

  return error ? (int)error : (int)op.port;
}

static void
line_event(void *context)
{
  struct line_binding *first = context;
  struct physdev_eoi eoi = { first->line };

  for(struct line_binding *b = first; b; b = b->next)
    b->handler(b->context);
  if(first->level)
    hypercall_physdev_op(PHYSDEVOP_eoi, &eoi);
}

void
event_bind_interrupt_line(unsigned line, bool level, event_handler *handler, void *context)
{
  struct line_binding *b = &line_bindings[line_bindings_used];

  if(line_bindings_used++ == ARRAY_SIZE(line_bindings))
    panic("too many interrupt lines");
  *b = (struct line_binding){ handler, context, line, level, NULL };
  for(struct line_binding *other = line_bindings; other < b; other++)
    if(other->line == line){ // already bound: join it
      b->next = other->next;
      other->next = b;
      return;
    }

  struct physdev_setup_gsi setup = { .gsi = (int)line, .triggering = level, .polarity = level };
  struct physdev_map_pirq map = { .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_GSI, .index = (int)line, .pirq = (int)line };
  hypercall_physdev_op(PHYSDEVOP_setup_gsi, &setup); // may already be set up
  hypercall_physdev_op(PHYSDEVOP_map_pirq, &map);
  struct evtchn_bind_pirq op = { .pirq = line, .flags = level ? BIND_PIRQ__WILL_SHARE : 0 };
  int64_t error = hypercall_event_channel_op(EVTCHNOP_bind_pirq, &op);
  if(error)
    panic("interrupt line %u cannot be bound: %ld", line, error);
  event_set_handler(op.port, line_event, b);
  if(level){
    struct physdev_eoi eoi = { line };
    hypercall_physdev_op(PHYSDEVOP_eoi, &eoi);
  }
}

void
events_unmask_upcalls(void)
{
  vcpu()->evtchn_upcall_mask = 0;
  barrier();
  if(vcpu()->evtchn_upcall_pending)
    hypercall_xen_version(0, NULL); // any hypercall: pending events are delivered on the way back
}

bool
events_mask_upcalls(void)
{
  bool unmasked = !vcpu()->evtchn_upcall_mask;

  vcpu()->evtchn_upcall_mask = 1;
  barrier();
  return unmasked;
}

void
events_block(void)
{
  hypercall_sched_op(SCHEDOP_block, NULL); // unmasks upcalls, sleeps until one is pending
  events_mask_upcalls();
}
