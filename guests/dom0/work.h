// Deferred work: event handlers say that something is to be done, the main loop does it with events enabled.
#pragma once

#include "lib/types.h"

struct work {
  void (*function)(void *context);
  void *context;
  bool queued;
  struct work *next;
};

// From anywhere; an item that is queued already stays where it is.
void work_queue(struct work *work);
// Does what is queued, in order; sleeps when there is nothing. Returns when `done` says so.
void work_loop(bool (*done)(void));
