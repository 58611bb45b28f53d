// Front end of a paravirtual disk: requests in a shared ring, data by grants, an event channel for "look at the ring".
//
// Every page of a request is granted for that request only. Xen public header io/blkif.h.

#include "drivers/block.h"
#include "drivers/frontend.h"
#include "lib/console.h"
#include "lib/interrupts.h"
#include "lib/memory.h"
#include "xen/events.h"
#include "xen/grants.h"
#include "xen/xenstore.h"
#include <xen/io/blkif.h>

enum { RING_SLOTS_MAX = 64 };

struct slot {
  struct block_request *request;
  unsigned next_free;
};

struct blkfront {
  struct block_device device;
  struct frontend frontend;
  blkif_front_ring_t ring;
  struct slot slots[RING_SLOTS_MAX];
  uint32_t grants[RING_SLOTS_MAX][BLKIF_MAX_SEGMENTS_PER_REQUEST];
  unsigned first_free;
  struct block_request *waiting, *last_waiting; // the ring was full
  bool plugged;
};
static struct blkfront blkfront;

static void
put_request(struct blkfront *b, struct block_request *request)
{
  unsigned id = b->first_free;
  struct blkif_request *r = RING_GET_REQUEST(&b->ring, b->ring.req_prod_pvt);

  b->first_free = b->slots[id].next_free;
  b->slots[id].request = request;
  r->operation = request->write ? BLKIF_OP_WRITE : BLKIF_OP_READ;
  r->nr_segments = (uint8_t)request->n_segments;
  r->handle = (blkif_vdev_t)b->frontend.id;
  r->id = id;
  r->sector_number = request->sector;
  for(unsigned i = 0; i < request->n_segments; i++){
    const struct block_segment *s = &request->segments[i];
    unsigned first = ((uint64_t)s->va & (PAGE_SIZE - 1)) / SECTOR_SIZE;
    b->grants[id][i] = grant_access(b->frontend.backend_domain, s->va, request->write);
    r->seg[i] = (struct blkif_request_segment){ b->grants[id][i], (uint8_t)first, (uint8_t)(first + s->bytes / SECTOR_SIZE - 1) };
  }
  b->ring.req_prod_pvt++;
}

static void
push(struct blkfront *b)
{
  int notify;

  RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(&b->ring, notify);
  if(notify)
    event_notify(b->frontend.port);
}

static void
blkfront_submit(struct block_device *device, struct block_request *request)
{
  struct blkfront *b = device->driver;
  bool enabled = interrupts_disable();

  request->next = NULL;
  if(!RING_FULL(&b->ring)){
    put_request(b, request);
    if(!b->plugged)
      push(b);
  } else {
    if(b->waiting)
      b->last_waiting->next = request;
    else
      b->waiting = request;
    b->last_waiting = request;
  }
  interrupts_restore(enabled);
}

static void
blkfront_plug(struct block_device *device, bool on)
{
  struct blkfront *b = device->driver;
  bool enabled = interrupts_disable();

  b->plugged = on;
  if(!on && b->ring.req_prod_pvt != b->ring.sring->req_prod)
    push(b);
  interrupts_restore(enabled);
}

static void
finish(struct blkfront *b, const struct blkif_response *response)
{
  struct slot *slot = &b->slots[response->id];
  struct block_request *request = slot->request;

  for(unsigned i = 0; i < request->n_segments; i++)
    if(!grant_end(b->grants[response->id][i]))
      panic("the back end still holds a page of a finished request");
  slot->next_free = b->first_free;
  b->first_free = (unsigned)response->id;
  request->status = response->status == BLKIF_RSP_OKAY ? BLOCK_OK : BLOCK_ERROR;
  request->done(request);
}

static void
blkfront_event(void *context)
{
  struct blkfront *b = context;
  int more;

  do {
    while(RING_HAS_UNCONSUMED_RESPONSES(&b->ring)){
      xen_rmb();
      finish(b, RING_GET_RESPONSE(&b->ring, b->ring.rsp_cons));
      b->ring.rsp_cons++;
    }
    RING_FINAL_CHECK_FOR_RESPONSES(&b->ring, more);
  } while(more);

  bool put = false;
  for(; b->waiting && !RING_FULL(&b->ring); put = true){
    struct block_request *request = b->waiting;
    b->waiting = request->next;
    put_request(b, request);
  }
  if(put)
    push(b);
}

struct block_device *
blkfront_init(void)
{
  struct blkfront *b = &blkfront;
  uint64_t sectors, sector_size = SECTOR_SIZE;

  if(!frontend_find("vbd", &b->frontend))
    return NULL;
  blkif_sring_t *sring = pages_alloc(1);
  SHARED_RING_INIT(sring);
  FRONT_RING_INIT(&b->ring, sring, PAGE_SIZE);
  for(unsigned i = 0; i < RING_SIZE(&b->ring); i++)
    b->slots[i].next_free = i + 1;

  struct frontend_entry entries[] = { { "ring-ref", grant_access(b->frontend.backend_domain, sring, false) },
                                      { "event-channel", frontend_bind(&b->frontend, blkfront_event, b) } };
  frontend_publish(&b->frontend, entries, ARRAY_SIZE(entries), XenbusStateInitialised);
  if(!xenbus_wait_state(b->frontend.backend, XenbusStateConnected))
    return NULL;
  if(xenstore_read_number(b->frontend.backend, "sectors", &sectors))
    panic("the block back end does not say how big its disk is");
  xenstore_read_number(b->frontend.backend, "sector-size", &sector_size);
  xenbus_switch_state(b->frontend.directory, XenbusStateConnected);

  b->device.name = "blkfront";
  b->device.sectors = sectors * sector_size / SECTOR_SIZE;
  b->device.max_segments = BLKIF_MAX_SEGMENTS_PER_REQUEST;
  b->device.max_bytes = BLKIF_MAX_SEGMENTS_PER_REQUEST * PAGE_SIZE;
  b->device.submit = blkfront_submit;
  b->device.plug = blkfront_plug;
  b->device.driver = b;
  return &b->device;
}
