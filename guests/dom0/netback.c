// netback: a guest's network interface. Frames are copied by the hypervisor (GNTTABOP_copy) in batches, both ways.
// Interface: Xen's io/netif.h, receive by copy, no offloads.
#include "dom0/services.h"

#include "dom0/foreign.h"
#include "dom0/xenbus-back.h"
#include "lib/console.h"
#include "lib/memory.h"
#include "lib/string.h"
#include "xen/events.h"
#include <xen/io/netif.h>

#pragma clang section text=".text.backend"

enum { BATCH = 32, SLOT = 2048, WAITING = 256 };

struct net_backend {
  struct backend backend;
  struct bridge_port bridge;
  uint32_t port;
  struct netif_tx_back_ring tx;
  struct netif_rx_back_ring rx;
  struct work work;
  char *tx_data;                 // BATCH slots
  char *rx_data;                 // WAITING slots: frames for the guest
  uint16_t rx_bytes[WAITING];
  unsigned rx_head, rx_tail;     // free-running
  uint64_t rx_dropped;
};

// ---- from the guest

static bool
tx_acceptable(const struct netif_tx_request *r)
{
  return r->size >= 14 && r->size <= FRAME_MAX && r->offset + r->size <= PAGE_SIZE && !(r->flags & (NETTXF_more_data | NETTXF_extra_info));
}

static void
tx_respond(struct net_backend *n, uint16_t id, int16_t status)
{
  struct netif_tx_response *response = RING_GET_RESPONSE(&n->tx, n->tx.rsp_prod_pvt++);

  response->id = id;
  response->status = status;
}

// Takes up to BATCH frames with one hypercall and passes them on. Returns how many requests it took.
static unsigned
tx_batch(struct net_backend *n)
{
  struct gnttab_copy copies[BATCH];
  struct netif_tx_request requests[BATCH];
  RING_IDX end = RING_LOAD(n->tx.sring->req_prod);
  unsigned taken = 0, accepted = 0;
  int which[BATCH];

  rmb();
  if(RING_REQUEST_PROD_OVERFLOW(&n->tx, end)){
    printf("d%u: transmit ring is broken\n", n->backend.guest->domid);
    n->tx.sring = NULL;
    return 0;
  }
  for(; n->tx.req_cons != end && taken < BATCH; taken++, n->tx.req_cons++){
    struct netif_tx_request *r = &requests[taken];
    RING_COPY_REQUEST(&n->tx, n->tx.req_cons, r);
    which[taken] = -1;
    if(!tx_acceptable(r))
      continue;
    char *to = n->tx_data + accepted * SLOT;
    copies[accepted] = (struct gnttab_copy){
      .source = { .u.ref = r->gref, .domid = n->backend.guest->domid, .offset = r->offset },
      .dest = { .u.gmfn = machine_frame(to), .domid = DOMID_SELF, .offset = (uint16_t)((uint64_t)to & ~PAGE_MASK) },
      .len = r->size, .flags = GNTCOPY_source_gref,
    };
    which[taken] = (int)accepted++;
  }
  if(accepted)
    grants_copy(copies, accepted);
  for(unsigned i = 0; i < taken; i++){
    bool good = which[i] >= 0 && copies[which[i]].status == GNTST_okay;
    if(good)
      bridge_send(&n->bridge, n->tx_data + which[i] * SLOT, requests[i].size);
    tx_respond(n, requests[i].id, good ? NETIF_RSP_OKAY : NETIF_RSP_ERROR);
  }
  return taken;
}

static void
tx_serve(struct net_backend *n)
{
  int more, notify;

  do {
    while(n->tx.sring && bridge_has_room(&n->bridge, BATCH) && tx_batch(n)){
      RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&n->tx, notify);
      if(notify)
        event_notify(n->port);
    }
    if(!n->tx.sring || n->bridge.held)
      return;
    RING_FINAL_CHECK_FOR_REQUESTS(&n->tx, more);
  } while(more);
}

// ---- to the guest

static void
deliver(struct bridge_port *port, const void *frame, size_t bytes)
{
  struct net_backend *n = (struct net_backend *)((char *)port - offsetof(struct net_backend, bridge));

  if(!n->rx.sring || n->rx_tail - n->rx_head == WAITING){
    n->rx_dropped++;
    return;
  }
  unsigned slot = n->rx_tail++ % WAITING;
  memcpy(n->rx_data + slot * SLOT, frame, bytes);
  n->rx_bytes[slot] = (uint16_t)bytes;
  work_queue(&n->work);
}

// Hands waiting frames to the buffers the guest has offered. Returns how many.
static unsigned
rx_batch(struct net_backend *n)
{
  struct gnttab_copy copies[BATCH];
  uint16_t ids[BATCH];
  RING_IDX end = RING_LOAD(n->rx.sring->req_prod);
  unsigned count = 0;

  rmb();
  if(RING_REQUEST_PROD_OVERFLOW(&n->rx, end)){
    printf("d%u: receive ring is broken\n", n->backend.guest->domid);
    n->rx.sring = NULL;
    return 0;
  }
  for(; n->rx_head + count != n->rx_tail && n->rx.req_cons != end && count < BATCH; count++, n->rx.req_cons++){
    struct netif_rx_request r;
    unsigned slot = (n->rx_head + count) % WAITING;
    char *from = n->rx_data + slot * SLOT;
    RING_COPY_REQUEST(&n->rx, n->rx.req_cons, &r);
    ids[count] = r.id;
    copies[count] = (struct gnttab_copy){
      .source = { .u.gmfn = machine_frame(from), .domid = DOMID_SELF, .offset = (uint16_t)((uint64_t)from & ~PAGE_MASK) },
      .dest = { .u.ref = r.gref, .domid = n->backend.guest->domid, .offset = 0 },
      .len = n->rx_bytes[slot], .flags = GNTCOPY_dest_gref,
    };
  }
  if(count)
    grants_copy(copies, count);
  for(unsigned i = 0; i < count; i++){
    struct netif_rx_response *response = RING_GET_RESPONSE(&n->rx, n->rx.rsp_prod_pvt++);
    response->id = ids[i];
    response->offset = 0;
    response->flags = 0;
    response->status = copies[i].status == GNTST_okay ? (int16_t)copies[i].len : NETIF_RSP_ERROR;
  }
  n->rx_head += count;
  return count;
}

static void
rx_serve(struct net_backend *n)
{
  int notify, more;

  do {
    while(n->rx.sring && rx_batch(n)){
      RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&n->rx, notify);
      if(notify)
        event_notify(n->port);
    }
    if(!n->rx.sring || n->rx_head == n->rx_tail)
      return;
    // Frames wait for buffers: ask to be told of the next one.
    RING_FINAL_CHECK_FOR_REQUESTS(&n->rx, more);
  } while(more);
}

static void
serve(void *context)
{
  struct net_backend *n = context;

  if(n->tx.sring)
    tx_serve(n);
  if(n->rx.sring)
    rx_serve(n);
}

static void
resume(struct bridge_port *port)
{
  work_queue(&((struct net_backend *)((char *)port - offsetof(struct net_backend, bridge)))->work);
}

static void
notified(void *context)
{
  work_queue(&((struct net_backend *)context)->work);
}

static bool
connect(struct backend *backend)
{
  struct net_backend *n = (struct net_backend *)backend;
  uint64_t tx_ref, rx_ref, port, copy = 0;

  if(!frontend_read(backend, "tx-ring-ref", &tx_ref) || !frontend_read(backend, "rx-ring-ref", &rx_ref) ||
     !frontend_read(backend, "event-channel", &port))
    return false;
  frontend_read(backend, "request-rx-copy", &copy);
  struct netif_tx_sring *tx = grant_map_ring(backend->guest->domid, (grant_ref_t)tx_ref);
  struct netif_rx_sring *rx = grant_map_ring(backend->guest->domid, (grant_ref_t)rx_ref);
  int local = event_bind_interdomain(backend->guest->domid, (uint32_t)port);
  if(!tx || !rx || local < 0 || !copy){
    printf("d%u: network rings or port refused%s\n", backend->guest->domid, copy ? "" : " (the front end must ask for request-rx-copy)");
    return false;
  }
  BACK_RING_INIT(&n->tx, tx, PAGE_SIZE);
  BACK_RING_INIT(&n->rx, rx, PAGE_SIZE);
  n->port = (uint32_t)local;
  event_set_handler(n->port, notified, n);
  work_queue(&n->work);
  return true;
}

void
net_backend_start(struct guest *guest)
{
  struct net_backend *n = pages_alloc((sizeof *n + PAGE_SIZE - 1) / PAGE_SIZE);
  char mac[24];

  n->work = (struct work){ .function = serve, .context = n };
  n->tx_data = pages_alloc(BATCH * SLOT / PAGE_SIZE);
  n->rx_data = pages_alloc(WAITING * SLOT / PAGE_SIZE);
  bridge_guest_mac(guest, n->bridge.mac);
  n->bridge.deliver = deliver;
  n->bridge.resume = resume;
  bridge_add(&n->bridge);
  n->backend.guest = guest;
  n->backend.type = "vif";
  n->backend.device = 0;
  n->backend.connect = connect;
  guest->net = n;
  backend_paths(&n->backend);
  snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", n->bridge.mac[0], n->bridge.mac[1], n->bridge.mac[2], n->bridge.mac[3],
           n->bridge.mac[4], n->bridge.mac[5]);
  backend_write_text(&n->backend, "mac", mac);
  backend_write(&n->backend, "handle", 0);
  backend_write(&n->backend, "feature-rx-copy", 1);
  backend_write(&n->backend, "feature-rx-notify", 1);
  frontend_write_text(&n->backend, "mac", mac);
  frontend_write(&n->backend, "handle", 0);
  backend_announce(&n->backend);
}
