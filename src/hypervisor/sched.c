// Which vCPU runs: two queues, round robin in each, and hypervisor stacks that are switched.
//
// A vCPU that wakes is boosted: it goes before those that merely use up their slices, and takes the processor from them at
// once. It does not take it from another boosted one. The boost ends with the slice. (Xen's credit scheduler behaves the same
// way for domains that have credit left; there is no credit here, so every domain weighs the same.)
//
// Every vCPU has a hypervisor stack. Blocking is an ordinary function call on that stack which returns when somebody has woken
// the vCPU; a switch is swtch() from one stack to another. The guest's registers that the hypervisor itself does not use (FPU,
// segment bases, CR3, VMCS) are switched only when another guest comes in: `loaded` says whose they are.
#include "defs.h"
#include <xen/sched.h>

struct vcpu *current;
static struct vcpu idle = { .id = 0, .state = VCPU_RUNNING, .pri = PRI_IDLE };
static struct vcpu *loaded;

struct queue {
  struct vcpu *head, *tail;
};
static struct queue queues[PRI_BOOST + 1];
static struct timer slice;
bool need_resched;

static void
enqueue(struct vcpu *v)
{
  struct queue *q = &queues[v->pri];

  v->next = 0;
  if(q->head)
    q->tail->next = v;
  else
    q->head = v;
  q->tail = v;
  if(!slice.armed)
    timer_set(&slice, now() + SLICE_NS);
}

static struct vcpu *
dequeue(void)
{
  for(int pri = PRI_BOOST; pri > PRI_IDLE; pri--){
    struct vcpu *v = queues[pri].head;
    if(v == 0)
      continue;
    queues[pri].head = v->next;
    return v;
  }
  return 0;
}

static void
unqueue(struct vcpu *v)
{
  for(int pri = PRI_IDLE; pri <= PRI_BOOST; pri++){
    struct vcpu *last = 0;
    for(struct vcpu **p = &queues[pri].head; *p; p = &(*p)->next){
      if(*p != v){
        last = *p;
        continue;
      }
      *p = v->next;
      if(queues[pri].tail == v)
        queues[pri].tail = last;
      return;
    }
  }
}

// A slice begins when somebody waits; if nobody does any more when it ends, this changes nothing.
static void
slice_over(void *arg)
{
  (void)arg;
  current->pri = MIN(current->pri, PRI_NORMAL);
  need_resched = true;
}

static void
set_runstate(struct vcpu *v, int state)
{
  uint64 t = now();

  v->runstate.time[v->runstate.state] += t - v->runstate.state_entry_time;
  v->runstate.state_entry_time = t;
  v->runstate.state = state;
}

void
sched_init(void)
{
  slice.fn = slice_over;
  current = &idle;
}

bool
is_idle(struct vcpu *v)
{
  return v == &idle;
}

// Make a new or paused vCPU runnable.
void
vcpu_start(struct vcpu *v)
{
  v->state = VCPU_RUNNABLE;
  v->pri = PRI_NORMAL;
  set_runstate(v, RUNSTATE_runnable);
  enqueue(v);
  need_resched = true;
}

// It runs no more until vcpu_start. The caller, if it is this vCPU, goes on until it next calls schedule().
void
vcpu_stop(struct vcpu *v)
{
  if(v->state == VCPU_RUNNABLE)
    unqueue(v);
  v->state = VCPU_OFFLINE;
  set_runstate(v, RUNSTATE_offline);
  if(v == current)
    need_resched = true;
}

// Something happened that a blocked vCPU waits for.
void
vcpu_wake(struct vcpu *v)
{
  if(v->state != VCPU_BLOCKED)
    return;
  v->state = VCPU_RUNNABLE;
  v->pri = PRI_BOOST;
  set_runstate(v, RUNSTATE_runnable);
  enqueue(v);
  if(v->pri > current->pri)
    need_resched = true;
}

static void
switch_guest_state(struct vcpu *next)
{
  if(next == &idle || next == loaded)
    return;
  if(loaded)
    vcpu_save(loaded);
  loaded = next;
  vcpu_load(next);
}

// Let the most deserving vCPU run. Returns when the caller's vCPU is that one again.
void
schedule(void)
{
  struct vcpu *prev = current, *next;

  need_resched = false;
  if(prev->state == VCPU_RUNNING && prev != &idle){
    prev->state = VCPU_RUNNABLE;
    enqueue(prev);
  }
  next = dequeue();
  if(next == 0)
    next = &idle;
  next->state = VCPU_RUNNING;
  if(next == prev)
    return;
  if(prev != &idle && prev->state == VCPU_RUNNABLE)
    set_runstate(prev, RUNSTATE_runnable);
  if(next != &idle)
    set_runstate(next, RUNSTATE_running);
  current = next;
  switch_guest_state(next);
  swtch(&prev->rsp, next->rsp);
}

// The running vCPU waits for vcpu_wake.
void
vcpu_block(void)
{
  current->state = VCPU_BLOCKED;
  set_runstate(current, RUNSTATE_blocked);
  schedule();
}

// The running vCPU goes behind those of its priority.
void
vcpu_yield(void)
{
  current->pri = PRI_NORMAL;
  schedule();
}

// Nothing of this vCPU may stay in the processor (it is being destroyed).
void
vcpu_forget(struct vcpu *v)
{
  if(loaded != v)
    return;
  vcpu_save(v);
  lcr3(hv_cr3());
  loaded = 0;
}

bool
vcpu_is_loaded(struct vcpu *v)
{
  return loaded == v;
}

// main() ends here: the idle vCPU's life.
void
idle_loop(void)
{
  for(;;){
    schedule();
    if(!need_resched)
      sti_hlt_cli();
  }
}

// --- hypercall sched_op ---

static void
poll_timeout(void *arg)
{
  struct vcpu *v = arg;

  v->poll = false;
  vcpu_wake(v);
}

static int64
do_poll(uint64 gva)
{
  struct sched_poll a;
  struct vcpu *v = current;

  if(copy_from_guest(&a, gva, sizeof(a)))
    return -XEN_EFAULT;
  if(a.nr_ports > NELEM(v->poll_ports))
    return -XEN_EINVAL;
  if(copy_from_guest(v->poll_ports, (uint64)a.ports, a.nr_ports * sizeof(uint32)))
    return -XEN_EFAULT;
  v->npoll = (int)a.nr_ports;
  for(int i = 0; i < v->npoll; i++){
    if(v->poll_ports[i] >= NPORT)
      return -XEN_EINVAL;
    if(evtchn_is_pending(v->dom, v->poll_ports[i]))
      return 0;
  }
  v->poll = true;
  if(a.timeout)
    timer_set(&v->poll_timer, a.timeout);
  v->poll_timer.fn = poll_timeout;
  v->poll_timer.arg = v;
  vcpu_block();
  timer_stop(&v->poll_timer);
  v->poll = false;
  return 0;
}

// SCHEDOP_block: unmask events and sleep, unless one is there.
static int64
do_block(void)
{
  struct vcpu *v = current;

  v->info->evtchn_upcall_mask = 0;
  if(!vcpu_has_work(v))
    vcpu_block();
  return 0;
}

int64
do_sched_op(uint64 cmd, uint64 gva)
{
  struct sched_shutdown down;
  struct sched_remote_shutdown remote;
  struct domain *d;

  switch(cmd){
  case SCHEDOP_yield:
    vcpu_yield();
    return 0;
  case SCHEDOP_block:
    return do_block();
  case SCHEDOP_shutdown:
    if(copy_from_guest(&down, gva, sizeof(down)))
      return -XEN_EFAULT;
    domain_shutdown(current->dom, (uint8)down.reason);
    return 0;
  case SCHEDOP_poll:
    return do_poll(gva);
  case SCHEDOP_remote_shutdown:
    if(copy_from_guest(&remote, gva, sizeof(remote)))
      return -XEN_EFAULT;
    if(!current->dom->privileged)
      return -XEN_EPERM;
    if((d = find_domain(remote.domain_id)) == 0)
      return -XEN_ESRCH;
    domain_shutdown(d, (uint8)remote.reason);
    return 0;
  default:
    return -XEN_ENOSYS;
  }
}
