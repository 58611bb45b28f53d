// What every back end does: announce the device in the store, follow the front end's state.
#pragma once

#include "dom0/guest.h"
#include "dom0/store.h"
#include "dom0/work.h"
#include <xen/io/xenbus.h>

struct backend {
  struct guest *guest;
  const char *type; // "vbd", "vif"
  unsigned device;
  char path[64], frontend[64];
  enum xenbus_state state;
  // The front end says that its rings are ready: map them and go on; false refuses. Called once.
  bool (*connect)(struct backend *backend);
  struct store_watch watch;
  struct work work;
};

// Writes both sides' first entries and starts to watch the front end. More entries: backend_write before this.
void backend_announce(struct backend *backend);
void backend_paths(struct backend *backend);
void backend_write(struct backend *backend, const char *key, uint64_t number);
void backend_write_text(struct backend *backend, const char *key, const char *text);
void frontend_write(struct backend *backend, const char *key, uint64_t number);
void frontend_write_text(struct backend *backend, const char *key, const char *text);
bool frontend_read(struct backend *backend, const char *key, uint64_t *number);
