// blkback: a guest's block requests, carried out on dom0's disk.
//
// The data pages are mapped by grant and handed to the disk driver with their machine addresses, so a bus-master transfer goes
// straight into the guest's memory. Interface: Xen's io/blkif.h.
#include "dom0/services.h"

#include "dom0/foreign.h"
#include "dom0/heap.h"
#include "dom0/xenbus-back.h"
#include "lib/console.h"
#include "lib/interrupts.h"
#include "lib/memory.h"
#include "xen/events.h"
#include <xen/io/blkif.h>

#pragma clang section text=".text.backend"

enum { XVDA = 51712, IN_FLIGHT = 32 };

struct transfer {
  struct block_backend *backend;
  struct transfer *next;        // free, or finished
  struct block_request request;
  struct block_segment segments[BLKIF_MAX_SEGMENTS_PER_REQUEST];
  grant_handle_t handles[BLKIF_MAX_SEGMENTS_PER_REQUEST];
  char *window;                 // BLKIF_MAX_SEGMENTS_PER_REQUEST pages
  uint64_t id;
  uint8_t operation;
};

struct block_backend {
  struct backend backend;
  struct block_device *disk;
  uint32_t port;
  struct blkif_back_ring ring;
  struct work work;
  struct transfer transfers[IN_FLIGHT];
  struct transfer *free;
  struct transfer *finished; // by the disk's interrupt handler
};

static void
respond(struct block_backend *b, uint64_t id, uint8_t operation, int16_t status)
{
  struct blkif_response *response = RING_GET_RESPONSE(&b->ring, b->ring.rsp_prod_pvt);

  response->id = id;
  response->operation = operation;
  response->status = status;
  b->ring.rsp_prod_pvt++;
}

static void
disk_done(struct block_request *request)
{
  struct transfer *t = request->context;

  t->next = t->backend->finished;
  t->backend->finished = t;
  work_queue(&t->backend->work);
}

// Checks a request and starts it. False: answer it with an error.
static bool
start(struct block_backend *b, const struct blkif_request *r)
{
  struct transfer *t = b->free;
  grant_ref_t refs[BLKIF_MAX_SEGMENTS_PER_REQUEST];
  uint64_t bus[BLKIF_MAX_SEGMENTS_PER_REQUEST], sectors = 0;
  bool write = r->operation == BLKIF_OP_WRITE;

  if(r->nr_segments == 0 || r->nr_segments > BLKIF_MAX_SEGMENTS_PER_REQUEST)
    return false;
  for(unsigned i = 0; i < r->nr_segments; i++){
    if(r->seg[i].first_sect > r->seg[i].last_sect || r->seg[i].last_sect >= PAGE_SIZE / SECTOR_SIZE)
      return false;
    refs[i] = r->seg[i].gref;
    sectors += r->seg[i].last_sect - r->seg[i].first_sect + 1u;
  }
  if(r->sector_number > b->disk->sectors || sectors > b->disk->sectors - r->sector_number)
    return false;
  if(!grants_map(b->backend.guest->domid, refs, r->nr_segments, write, t->window, t->handles, bus))
    return false;
  b->free = t->next;
  for(unsigned i = 0; i < r->nr_segments; i++){
    unsigned offset = r->seg[i].first_sect * SECTOR_SIZE;
    t->segments[i] = (struct block_segment){
      .va = t->window + i * PAGE_SIZE + offset, .machine = bus[i] + offset,
      .bytes = (r->seg[i].last_sect - r->seg[i].first_sect + 1u) * SECTOR_SIZE,
    };
  }
  t->id = r->id;
  t->operation = r->operation;
  t->request = (struct block_request){
    .write = write, .sector = r->sector_number, .segments = t->segments, .n_segments = r->nr_segments, .done = disk_done, .context = t,
  };
  b->disk->submit(b->disk, &t->request);
  return true;
}

static void
take_finished(struct block_backend *b)
{
  bool enabled = interrupts_disable();
  struct transfer *t = b->finished;

  b->finished = NULL;
  interrupts_restore(enabled);
  while(t){
    struct transfer *next = t->next;
    grants_unmap(t->window, t->handles, t->request.n_segments);
    respond(b, t->id, t->operation, t->request.status == BLOCK_OK ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR);
    t->next = b->free;
    b->free = t;
    t = next;
  }
}

static void
take_request(struct block_backend *b)
{
  struct blkif_request r;

  RING_COPY_REQUEST(&b->ring, b->ring.req_cons, &r);
  b->ring.req_cons++;
  switch(r.operation){
  case BLKIF_OP_READ:
  case BLKIF_OP_WRITE:
    if(!start(b, &r))
      respond(b, r.id, r.operation, BLKIF_RSP_ERROR);
    break;
  default:
    respond(b, r.id, r.operation, BLKIF_RSP_EOPNOTSUPP);
  }
}

static void
serve(void *context)
{
  struct block_backend *b = context;
  int more, notify;

  if(!b->ring.sring)
    return;
  do {
    take_finished(b);
    RING_IDX end = RING_LOAD(b->ring.sring->req_prod);
    rmb();
    if(RING_REQUEST_PROD_OVERFLOW(&b->ring, end)){
      printf("d%u: block ring is broken\n", b->backend.guest->domid);
      b->ring.sring = NULL;
      return;
    }
    b->disk->plug(b->disk, true);
    while(b->ring.req_cons != end && b->free)
      take_request(b);
    b->disk->plug(b->disk, false);
    RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(&b->ring, notify);
    if(notify)
      event_notify(b->port);
    more = 0;
    if(b->free)
      RING_FINAL_CHECK_FOR_REQUESTS(&b->ring, more);
  } while(more);
}

static void
notified(void *context)
{
  work_queue(&((struct block_backend *)context)->work);
}

static bool
connect(struct backend *backend)
{
  struct block_backend *b = (struct block_backend *)backend;
  uint64_t ref, port;

  if(!frontend_read(backend, "ring-ref", &ref) || !frontend_read(backend, "event-channel", &port))
    return false;
  struct blkif_sring *ring = grant_map_ring(backend->guest->domid, (grant_ref_t)ref);
  int local = event_bind_interdomain(backend->guest->domid, (uint32_t)port);
  if(!ring || local < 0){
    printf("d%u: block ring %lu or port %lu refused\n", backend->guest->domid, ref, port);
    return false;
  }
  BACK_RING_INIT(&b->ring, ring, PAGE_SIZE);
  b->port = (uint32_t)local;
  backend_write(backend, "sectors", b->disk->sectors);
  backend_write(backend, "sector-size", SECTOR_SIZE);
  backend_write(backend, "physical-sector-size", SECTOR_SIZE);
  backend_write(backend, "info", 0);
  event_set_handler(b->port, notified, b);
  work_queue(&b->work);
  return true;
}

void
block_backend_start(struct guest *guest, struct block_device *disk)
{
  struct block_backend *b = pages_alloc((sizeof *b + PAGE_SIZE - 1) / PAGE_SIZE);

  b->disk = disk;
  b->work = (struct work){ .function = serve, .context = b };
  for(unsigned i = 0; i < IN_FLIGHT; i++){
    struct transfer *t = &b->transfers[i];
    t->backend = b;
    t->window = window_reserve(BLKIF_MAX_SEGMENTS_PER_REQUEST);
    window_prepare(t->window, BLKIF_MAX_SEGMENTS_PER_REQUEST);
    t->next = b->free;
    b->free = t;
  }
  b->backend.guest = guest;
  b->backend.type = "vbd";
  b->backend.device = XVDA;
  b->backend.connect = connect;
  guest->block = b;
  backend_paths(&b->backend);
  backend_write_text(&b->backend, "mode", "w");
  backend_write_text(&b->backend, "dev", "xvda");
  frontend_write(&b->backend, "virtual-device", XVDA);
  frontend_write_text(&b->backend, "device-type", "disk");
  backend_announce(&b->backend);
}
