// The other domains, as dom0 sees them: one structure each, found at start by asking the hypervisor.
#pragma once

#include "lib/types.h"

struct store_connection;
struct console_reader;
struct block_backend;
struct net_backend;
struct device_model;

struct guest {
  uint16_t domid;
  bool hvm;           // has guest-physical memory of its own
  bool device_model;  // and emulated devices, which dom0 provides
  bool ended, crashed;
  struct store_connection *store;
  struct console_reader *console;
  struct block_backend *block;
  struct net_backend *net;
  struct device_model *model;
};

enum { GUESTS_MAX = 15 };
extern struct guest guests[GUESTS_MAX];
extern unsigned n_guests;

// Fills `guests` with every domain but this one.
void guests_find(void);
// Looks which have ended since; true when none is left running.
bool guests_all_ended(void);
// HVM_PARAM_* of a guest. Xen keeps store and console there for PV domains that it started itself.
uint64_t guest_param(const struct guest *guest, unsigned index);
void guest_unpause(const struct guest *guest);
