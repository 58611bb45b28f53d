// Front end of a paravirtual network card: a ring for each direction, buffers granted once and used again and again.
//
// Transmit copies the frame into a granted buffer, as the e1000 driver copies it into its own: every path pays one copy.
// The back end copies received frames into our buffers ("rx-copy"). Xen public header io/netif.h.

#include "drivers/net.h"
#include "drivers/frontend.h"
#include "lib/console.h"
#include "lib/memory.h"
#include "lib/string.h"
#include "xen/events.h"
#include "xen/grants.h"
#include "xen/xenstore.h"
#include <xen/io/netif.h>

enum { SLOTS_MAX = 256 };

struct netfront {
  struct net_device device;
  struct frontend frontend;
  netif_tx_front_ring_t tx;
  netif_rx_front_ring_t rx;
  char *tx_buffers, *rx_buffers; // a page a slot
  uint32_t tx_grants[SLOTS_MAX], rx_grants[SLOTS_MAX];
  uint16_t tx_free[SLOTS_MAX]; // a stack of unused transmit buffers
  unsigned n_tx_free;
};
static struct netfront netfront;

static unsigned
netfront_in_flight(struct net_device *device)
{
  struct netfront *n = device->driver;

  while(RING_HAS_UNCONSUMED_RESPONSES(&n->tx)){
    xen_rmb();
    struct netif_tx_response *r = RING_GET_RESPONSE(&n->tx, n->tx.rsp_cons);
    if(r->status != NETIF_RSP_NULL)
      n->tx_free[n->n_tx_free++] = r->id;
    n->tx.rsp_cons++;
  }
  return n->tx.req_prod_pvt - n->tx.rsp_cons;
}

static bool
netfront_transmit(struct net_device *device, const void *frame, size_t bytes, bool more)
{
  struct netfront *n = device->driver;
  int notify;

  if(!n->n_tx_free && netfront_in_flight(device) == device->queue_size)
    return false;
  uint16_t id = n->tx_free[--n->n_tx_free];
  memcpy(n->tx_buffers + id * PAGE_SIZE, frame, bytes);
  *RING_GET_REQUEST(&n->tx, n->tx.req_prod_pvt) =
    (struct netif_tx_request){ .gref = n->tx_grants[id], .offset = 0, .flags = 0, .id = id, .size = (uint16_t)bytes };
  n->tx.req_prod_pvt++;
  RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&n->tx, notify); // silent while the back end is at work anyway
  if(notify)
    event_notify(n->frontend.port);
  return true;
}

static void
netfront_notify_at(struct net_device *device, unsigned remaining)
{
  struct netfront *n = device->driver;

  if(remaining == (unsigned)NOTIFY_NEVER)
    return; // an rsp_event that has been passed never matches
  RING_STORE(n->tx.sring->rsp_event, n->tx.req_prod_pvt - remaining);
  xen_mb();
}

static void
post_receive_buffer(struct netfront *n, uint16_t id)
{
  *RING_GET_REQUEST(&n->rx, n->rx.req_prod_pvt) = (struct netif_rx_request){ .id = id, .gref = n->rx_grants[id] };
  n->rx.req_prod_pvt++;
}

static void
netfront_event(void *context)
{
  struct netfront *n = context;
  int more, notify;
  bool consumed = false;

  do {
    for(; RING_HAS_UNCONSUMED_RESPONSES(&n->rx); consumed = true){
      xen_rmb();
      struct netif_rx_response r = *RING_GET_RESPONSE(&n->rx, n->rx.rsp_cons);
      n->rx.rsp_cons++;
      if(r.status > 0 && n->device.receive)
        n->device.receive(n->device.receive_context, n->rx_buffers + r.id * PAGE_SIZE + r.offset, (size_t)r.status);
      post_receive_buffer(n, r.id);
    }
    RING_FINAL_CHECK_FOR_RESPONSES(&n->rx, more);
  } while(more);
  if(!consumed)
    return;
  RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&n->rx, notify);
  if(notify)
    event_notify(n->frontend.port);
}

static void
make_rings(struct netfront *n, netif_tx_sring_t *tx, netif_rx_sring_t *rx)
{
  SHARED_RING_INIT(tx);
  FRONT_RING_INIT(&n->tx, tx, PAGE_SIZE);
  SHARED_RING_INIT(rx);
  FRONT_RING_INIT(&n->rx, rx, PAGE_SIZE);
  n->tx_buffers = pages_alloc(RING_SIZE(&n->tx));
  n->rx_buffers = pages_alloc(RING_SIZE(&n->rx));
  for(unsigned i = 0; i < RING_SIZE(&n->tx); i++){
    n->tx_grants[i] = grant_access(n->frontend.backend_domain, n->tx_buffers + i * PAGE_SIZE, true);
    n->tx_free[n->n_tx_free++] = (uint16_t)i;
  }
  for(unsigned i = 0; i < RING_SIZE(&n->rx); i++){
    n->rx_grants[i] = grant_access(n->frontend.backend_domain, n->rx_buffers + i * PAGE_SIZE, false);
    post_receive_buffer(n, (uint16_t)i);
  }
}

static void
read_mac(struct netfront *n)
{
  char text[32];
  const char *p = text;

  if(xenstore_read_entry(n->frontend.directory, "mac", text, sizeof text))
    panic("the network device has no MAC address in xenstore");
  for(unsigned i = 0; i < MAC_BYTES; i++){
    char digits[5] = { '0', 'x', p[0], p[1], 0 };
    n->device.mac[i] = (uint8_t)string_to_number(digits, NULL);
    p += 3;
  }
}

struct net_device *
netfront_init(void)
{
  struct netfront *n = &netfront;
  netif_tx_sring_t *tx = pages_alloc(1);
  netif_rx_sring_t *rx = pages_alloc(1);
  int notify;

  if(!frontend_find("vif", &n->frontend))
    return NULL;
  read_mac(n);
  make_rings(n, tx, rx);
  n->device.name = "netfront";
  n->device.transmit = netfront_transmit;
  n->device.in_flight = netfront_in_flight;
  n->device.notify_at = netfront_notify_at;
  n->device.queue_size = RING_SIZE(&n->tx);
  n->device.driver = n;
  struct frontend_entry entries[] = { { "tx-ring-ref", grant_access(n->frontend.backend_domain, tx, false) },
                                      { "rx-ring-ref", grant_access(n->frontend.backend_domain, rx, false) },
                                      { "event-channel", frontend_bind(&n->frontend, netfront_event, n) },
                                      { "request-rx-copy", 1 },
                                      { "feature-rx-notify", 1 },
                                      { "feature-no-csum-offload", 1 } };
  frontend_publish(&n->frontend, entries, ARRAY_SIZE(entries), XenbusStateConnected);
  if(!xenbus_wait_state(n->frontend.backend, XenbusStateConnected))
    return NULL;
  RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&n->rx, notify);
  if(notify)
    event_notify(n->frontend.port);
  return &n->device;
}
