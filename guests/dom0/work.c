#include "dom0/work.h"

#include "lib/interrupts.h"

static struct work *first, *last;

void
work_queue(struct work *work)
{
  bool enabled = interrupts_disable();

  if(!work->queued){
    work->queued = true;
    work->next = NULL;
    if(first)
      last->next = work;
    else
      first = work;
    last = work;
  }
  interrupts_restore(enabled);
}

static struct work *
take(void)
{
  bool enabled = interrupts_disable();
  struct work *work = first;

  if(work){
    first = work->next;
    work->queued = false;
  }
  interrupts_restore(enabled);
  return work;
}

void
work_loop(bool (*done)(void))
{
  struct work *work;

  while(!done()){
    wait_until(*(struct work *volatile *)&first || done());
    while((work = take()))
      work->function(work->context);
  }
}
