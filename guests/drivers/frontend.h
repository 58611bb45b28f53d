// What blkfront and netfront have in common: finding the device in xenstore and publishing the rings.
#pragma once

#include "lib/types.h"
#include "xen/events.h"
#include "xen/xenstore.h"

struct frontend {
  unsigned id;                          // device/TYPE/ID
  char directory[XENSTORE_TEXT_MAX];    // ours
  char backend[XENSTORE_TEXT_MAX];      // the other side's
  uint16_t backend_domain;
  uint32_t port;
};

struct frontend_entry {
  const char *name;
  uint64_t number;
};

// The first device of this type ("vbd", "vif"); its back end is ready to see our side (InitWait). False when there is none.
bool frontend_find(const char *type, struct frontend *frontend);
// Makes an event channel for the back end to bind; returns its port.
uint32_t frontend_bind(struct frontend *frontend, event_handler *handler, void *context);
// Writes the entries (and the protocol) in one transaction, then the state.
void frontend_publish(struct frontend *frontend, const struct frontend_entry *entries, unsigned n, enum xenbus_state state);
