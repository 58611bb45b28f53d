// Event channels: the interrupts of domains.
//
// A port of a domain is unbound (waiting for a named peer), bound to a peer's port, to a virtual interrupt, to a physical
// interrupt line, or to the vCPU itself. Sending sets a bit in the receiver's shared page; when the port is not masked and no
// earlier event waits, the vCPU is told (two-level form: port -> word selector -> upcall flag).
// A port whose consumer is the hypervisor (the device model's answers) sets no bits and wakes the waiting vCPU.
#include "defs.h"

#define CONSUMER_XEN 0xff // in evtchn.vcpu

static bool
test_and_set(uint64 *words, uint32 bit)
{
  bool old;

  asm volatile("lock btsq %2, %1; setc %0" : "=q"(old), "+m"(words[bit / 64]) : "r"((uint64)bit % 64) : "cc", "memory");
  return old;
}

static bool
test_bit(uint64 *words, uint32 bit)
{
  return ((volatile uint64 *)words)[bit / 64] >> (bit % 64) & 1;
}

static void
notify(struct vcpu *v, uint32 port)
{
  if(test_and_set(&v->info->evtchn_pending_sel, port / 64))
    return;
  v->info->evtchn_upcall_pending = 1;
  if(is_hvm(v->dom))
    hvm_upcall_pending(v);
  if(!v->ioreq_wait && !v->poll)
    vcpu_wake(v);
}

static void
set_pending(struct domain *d, uint32 port)
{
  struct vcpu *v = d->vcpu;

  if(test_and_set(d->shared->evtchn_pending, port))
    return;
  if(!test_bit(d->shared->evtchn_mask, port))
    notify(v, port);
  for(int i = 0; v->poll && i < v->npoll; i++)
    if(v->poll_ports[i] == port){
      v->poll = false;
      vcpu_wake(v);
    }
}

bool
evtchn_is_pending(struct domain *d, uint32 port)
{
  return test_bit(d->shared->evtchn_pending, port);
}

void
send_virq(struct domain *d, int virq)
{
  if(d && d->vcpu && d->vcpu->virq_port[virq])
    set_pending(d, d->vcpu->virq_port[virq]);
}

// A physical line rang. Nobody bound it: it cannot, lines are masked until bound.
void
pirq_event(int gsi)
{
  for(int i = 0; i < NDOMAIN; i++)
    if(domains[i] && domains[i]->pirq_port[gsi])
      set_pending(domains[i], domains[i]->pirq_port[gsi]);
}

static struct evtchn *
port_of(struct domain *d, uint32 port)
{
  return port > 0 && port < NPORT ? &d->port[port] : 0;
}

// A free port (0 never is one), or -ENOSPC.
static int
free_port(struct domain *d)
{
  for(int p = 1; p < NPORT; p++)
    if(d->port[p].state == EVTCHNSTAT_closed)
      return p;
  return -XEN_ENOSPC;
}

// A port of d that domain `remote` may bind to. Also for the hypervisor on a domain's behalf.
int
evtchn_alloc_unbound(struct domain *d, uint16 remote)
{
  int p = free_port(d);

  if(p > 0)
    d->port[p] = (struct evtchn){ .state = EVTCHNSTAT_unbound, .remote_dom = remote };
  return p;
}

// The same, but what the peer sends goes to the hypervisor: it wakes d's vCPU from waiting for its device model.
int
evtchn_alloc_xen(struct domain *d, uint16 remote)
{
  int p = evtchn_alloc_unbound(d, remote);

  if(p > 0)
    d->port[p].vcpu = CONSUMER_XEN;
  return p;
}

static int
bind_interdomain(struct domain *d, struct evtchn_bind_interdomain *a)
{
  struct domain *rd = find_domain(a->remote_dom);
  struct evtchn *r;
  int p;

  if(rd == 0)
    return -XEN_ESRCH;
  r = port_of(rd, a->remote_port);
  if(r == 0 || r->state != EVTCHNSTAT_unbound || r->remote_dom != d->id)
    return -XEN_EINVAL;
  if((p = free_port(d)) < 0)
    return p;
  d->port[p] = (struct evtchn){ .state = EVTCHNSTAT_interdomain, .remote_dom = rd->id, .remote_port = (uint16)a->remote_port };
  r->state = EVTCHNSTAT_interdomain;
  r->remote_port = (uint16)p;
  a->local_port = (uint32)p;
  set_pending(d, (uint32)p); // whatever the peer sent before there was somebody to hear it
  return 0;
}

static int
bind_virq(struct domain *d, struct evtchn_bind_virq *a)
{
  int p;

  if(a->virq >= NR_VIRQS || a->vcpu != 0)
    return -XEN_EINVAL;
  if(d->vcpu->virq_port[a->virq])
    return -XEN_EEXIST;
  if((p = free_port(d)) < 0)
    return p;
  d->port[p] = (struct evtchn){ .state = EVTCHNSTAT_virq, .line = (uint16)a->virq };
  d->vcpu->virq_port[a->virq] = (uint16)p;
  a->port = (uint32)p;
  return 0;
}

static int
bind_pirq(struct domain *d, struct evtchn_bind_pirq *a)
{
  int p, err;

  if(!d->privileged)
    return -XEN_EPERM;
  if(a->pirq >= NPIRQ)
    return -XEN_EINVAL;
  if(d->pirq_port[a->pirq])
    return -XEN_EEXIST;
  if((p = free_port(d)) < 0)
    return p;
  d->port[p] = (struct evtchn){ .state = EVTCHNSTAT_pirq, .line = (uint16)a->pirq };
  d->pirq_port[a->pirq] = (uint16)p;
  if((err = line_bind((int)a->pirq, true)) != 0){
    d->port[p].state = EVTCHNSTAT_closed;
    d->pirq_port[a->pirq] = 0;
    return err;
  }
  a->port = (uint32)p;
  return 0;
}

static int
bind_ipi(struct domain *d, struct evtchn_bind_ipi *a)
{
  int p;

  if(a->vcpu != 0)
    return -XEN_ENOENT;
  if((p = free_port(d)) < 0)
    return p;
  d->port[p] = (struct evtchn){ .state = EVTCHNSTAT_ipi };
  a->port = (uint32)p;
  return 0;
}

int
evtchn_close(struct domain *d, uint32 port)
{
  struct evtchn *e = port_of(d, port);
  struct domain *rd;

  if(e == 0 || e->state == EVTCHNSTAT_closed)
    return -XEN_EINVAL;
  switch(e->state){
  case EVTCHNSTAT_virq:
    d->vcpu->virq_port[e->line] = 0;
    break;
  case EVTCHNSTAT_pirq:
    line_bind(e->line, false);
    d->pirq_port[e->line] = 0;
    break;
  case EVTCHNSTAT_interdomain:
    rd = find_domain(e->remote_dom);
    if(rd){
      rd->port[e->remote_port].state = EVTCHNSTAT_unbound;
      rd->port[e->remote_port].remote_dom = d->id;
    }
    break;
  }
  *e = (struct evtchn){ .state = EVTCHNSTAT_closed };
  d->shared->evtchn_pending[port / 64] &= ~(1ul << (port % 64));
  return 0;
}

int
evtchn_send(struct domain *d, uint32 port)
{
  struct evtchn *e = port_of(d, port), *r;
  struct domain *rd;

  if(e == 0)
    return -XEN_EINVAL;
  switch(e->state){
  case EVTCHNSTAT_interdomain:
    rd = find_domain(e->remote_dom);
    if(rd == 0)
      return -XEN_ESRCH;
    r = &rd->port[e->remote_port];
    if(r->vcpu == CONSUMER_XEN)
      hvm_ioreq_answered(rd->vcpu);
    else
      set_pending(rd, e->remote_port);
    return 0;
  case EVTCHNSTAT_ipi:
    set_pending(d, port);
    return 0;
  case EVTCHNSTAT_unbound:
    return 0; // nobody hears it yet
  default:
    return -XEN_EINVAL;
  }
}

static int
unmask(struct domain *d, uint32 port)
{
  uint64 bit = 1ul << (port % 64);

  if(port_of(d, port) == 0)
    return -XEN_EINVAL;
  if(!(d->shared->evtchn_mask[port / 64] & bit))
    return 0;
  asm volatile("lock andq %1, %0" : "+m"(d->shared->evtchn_mask[port / 64]) : "r"(~bit) : "memory");
  if(evtchn_is_pending(d, port))
    notify(d->vcpu, port);
  return 0;
}

static int
status(struct domain *d, struct evtchn_status *a)
{
  struct evtchn *e;

  if(a->dom != DOMID_SELF && a->dom != d->id && !d->privileged)
    return -XEN_EPERM;
  if(a->dom != DOMID_SELF && (d = find_domain(a->dom)) == 0)
    return -XEN_ESRCH;
  if((e = port_of(d, a->port)) == 0)
    return -XEN_EINVAL;
  a->status = e->state;
  a->vcpu = 0;
  switch(e->state){
  case EVTCHNSTAT_unbound: a->u.unbound.dom = e->remote_dom; break;
  case EVTCHNSTAT_interdomain: a->u.interdomain.dom = e->remote_dom; a->u.interdomain.port = e->remote_port; break;
  case EVTCHNSTAT_virq: a->u.virq = e->line; break;
  case EVTCHNSTAT_pirq: a->u.pirq = e->line; break;
  }
  return 0;
}

static int
alloc_unbound(struct domain *d, struct evtchn_alloc_unbound *a)
{
  int p;

  if(a->dom != DOMID_SELF && a->dom != d->id && !d->privileged)
    return -XEN_EPERM;
  if(a->dom != DOMID_SELF && (d = find_domain(a->dom)) == 0)
    return -XEN_ESRCH;
  p = evtchn_alloc_unbound(d, a->remote_dom == DOMID_SELF ? current->dom->id : a->remote_dom);
  if(p < 0)
    return p;
  a->port = (uint32)p;
  return 0;
}

// Every operation takes a structure of at most this size, in and out.
union args {
  struct evtchn_alloc_unbound alloc_unbound;
  struct evtchn_bind_interdomain bind_interdomain;
  struct evtchn_bind_virq bind_virq;
  struct evtchn_bind_pirq bind_pirq;
  struct evtchn_bind_ipi bind_ipi;
  struct evtchn_close close;
  struct evtchn_send send;
  struct evtchn_status status;
  struct evtchn_unmask unmask;
  struct evtchn_bind_vcpu bind_vcpu;
};

static const uint8 arg_size[] = {
  [EVTCHNOP_alloc_unbound] = sizeof(struct evtchn_alloc_unbound),
  [EVTCHNOP_bind_interdomain] = sizeof(struct evtchn_bind_interdomain),
  [EVTCHNOP_bind_virq] = sizeof(struct evtchn_bind_virq),
  [EVTCHNOP_bind_pirq] = sizeof(struct evtchn_bind_pirq),
  [EVTCHNOP_bind_ipi] = sizeof(struct evtchn_bind_ipi),
  [EVTCHNOP_close] = sizeof(struct evtchn_close),
  [EVTCHNOP_send] = sizeof(struct evtchn_send),
  [EVTCHNOP_status] = sizeof(struct evtchn_status),
  [EVTCHNOP_unmask] = sizeof(struct evtchn_unmask),
  [EVTCHNOP_bind_vcpu] = sizeof(struct evtchn_bind_vcpu),
};

int64
do_event_channel_op(uint64 cmd, uint64 gva)
{
  struct domain *d = current->dom;
  union args a;
  int err;

  if(cmd >= NELEM(arg_size) || arg_size[cmd] == 0)
    return -XEN_ENOSYS;
  if(copy_from_guest(&a, gva, arg_size[cmd]))
    return -XEN_EFAULT;
  switch(cmd){
  case EVTCHNOP_send: return evtchn_send(d, a.send.port);
  case EVTCHNOP_unmask: return unmask(d, a.unmask.port);
  case EVTCHNOP_close: return evtchn_close(d, a.close.port);
  case EVTCHNOP_bind_vcpu: return a.bind_vcpu.vcpu == 0 ? 0 : -XEN_ENOENT;
  case EVTCHNOP_alloc_unbound: err = alloc_unbound(d, &a.alloc_unbound); break;
  case EVTCHNOP_bind_interdomain: err = bind_interdomain(d, &a.bind_interdomain); break;
  case EVTCHNOP_bind_virq: err = bind_virq(d, &a.bind_virq); break;
  case EVTCHNOP_bind_pirq: err = bind_pirq(d, &a.bind_pirq); break;
  case EVTCHNOP_bind_ipi: err = bind_ipi(d, &a.bind_ipi); break;
  default: err = status(d, &a.status); break;
  }
  if(err)
    return err;
  return copy_to_guest(gva, &a, arg_size[cmd]) ? -XEN_EFAULT : 0;
}
