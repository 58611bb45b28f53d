// The ring between a guest and the store.
//
// Answers and watch events wait in a queue of their own when the ring is full; a guest that does not read delays only itself.
// docs/misc/xenstore-ring.txt of Xen; messages in io/xs_wire.h.
#include "dom0/store-connection.h"

#include "lib/console.h"
#include "lib/string.h"
#include "xen/events.h"

#pragma clang section text=".text.backend"

enum { OUT_BYTES = STORE_OUT_PAGES * PAGE_SIZE };

void
store_flush(struct store_connection *c)
{
  struct xenstore_domain_interface *ring = c->ring;
  XENSTORE_RING_IDX prod = ring->rsp_prod;
  bool sent = false;

  while(c->out_n && prod - *(volatile XENSTORE_RING_IDX *)&ring->rsp_cons < XENSTORE_RING_SIZE){
    ring->rsp[MASK_XENSTORE_IDX(prod++)] = c->out[c->out_start];
    c->out_start = (c->out_start + 1) % OUT_BYTES;
    c->out_n--;
    sent = true;
  }
  wmb();
  ring->rsp_prod = prod;
  if(sent)
    event_notify(c->port);
}

static void
put(struct store_connection *c, const void *data, size_t bytes)
{
  for(size_t i = 0; i < bytes; i++){
    c->out[(c->out_start + c->out_n) % OUT_BYTES] = ((const char *)data)[i];
    c->out_n++;
  }
}

void
store_send(struct store_connection *c, uint32_t type, uint32_t request, uint32_t transaction, const void *data, size_t bytes)
{
  struct xsd_sockmsg header = { .type = type, .req_id = request, .tx_id = transaction, .len = (uint32_t)bytes };

  if(c->out_n + sizeof header + bytes > OUT_BYTES){
    printf("d%u: reads nothing from its store; a message is lost\n", c->guest->domid);
    return;
  }
  put(c, &header, sizeof header);
  put(c, data, bytes);
}

void
store_answer(struct store_connection *c, const void *data, size_t bytes)
{
  if(bytes > XENSTORE_PAYLOAD_MAX){
    store_send(c, XS_ERROR, c->header.req_id, c->header.tx_id, "E2BIG", 6);
    return;
  }
  store_send(c, c->header.type, c->header.req_id, c->header.tx_id, data, bytes);
}

void
store_fail(struct store_connection *c, const char *error)
{
  store_send(c, XS_ERROR, c->header.req_id, c->header.tx_id, error, strlen(error) + 1);
}

bool
store_receive(struct store_connection *c)
{
  struct xenstore_domain_interface *ring = c->ring;
  XENSTORE_RING_IDX cons = ring->req_cons, prod = *(volatile XENSTORE_RING_IDX *)&ring->req_prod;
  bool whole = false, took = cons != prod;

  rmb();
  if(prod - cons > XENSTORE_RING_SIZE){
    printf("d%u: store ring is broken\n", c->guest->domid);
    return false;
  }
  while(cons != prod && !whole){
    char byte = ring->req[MASK_XENSTORE_IDX(cons++)];
    if(c->received < sizeof c->header)
      ((char *)&c->header)[c->received] = byte;
    else if(c->received - sizeof c->header < XENSTORE_PAYLOAD_MAX)
      c->body[c->received - sizeof c->header] = byte;
    c->received++;
    whole = c->received >= sizeof c->header && c->received == sizeof c->header + c->header.len;
  }
  mb();
  ring->req_cons = cons;
  if(took)
    event_notify(c->port);
  return whole;
}
