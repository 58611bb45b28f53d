// A guest's connection to the store: what store-ring.c keeps of its ring, and store-server.c of its requests.
#pragma once

#include "dom0/guest.h"
#include "dom0/store.h"
#include "dom0/work.h"
#include "lib/types.h"
#include <xen/io/xs_wire.h>

enum { STORE_OUT_PAGES = 8, TRANSACTIONS_MAX = 4, CHANGES_MAX = 32, WATCHES_MAX = 64 };

struct transaction {
  uint32_t id; // 0: free
  struct store_tree *tree;
  char *changed[CHANGES_MAX]; // paths whose watches fire at the end
  unsigned n_changed;
};

struct store_connection {
  struct guest *guest;
  struct xenstore_domain_interface *ring;
  uint32_t port;
  struct work work;
  struct xsd_sockmsg header; // of the request that is being received
  char body[XENSTORE_PAYLOAD_MAX + 1];
  unsigned received;   // bytes of header and body
  char *out;           // waiting to be sent
  unsigned out_start, out_n;
  struct transaction transactions[TRANSACTIONS_MAX];
  uint32_t last_transaction;
  unsigned n_watches;
  struct store_watch *watches[WATCHES_MAX];
};

// Takes bytes from the ring until the request is whole. True when there is one.
bool store_receive(struct store_connection *c);
// Puts a message into the queue; it goes to the ring with store_flush.
void store_send(struct store_connection *c, uint32_t type, uint32_t request, uint32_t transaction, const void *data, size_t bytes);
// Messages that answer the request in c->header.
void store_answer(struct store_connection *c, const void *data, size_t bytes);
void store_fail(struct store_connection *c, const char *error);
// Moves as much of the queue to the ring as there is room for.
void store_flush(struct store_connection *c);
