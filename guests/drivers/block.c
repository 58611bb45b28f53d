// Synchronous transfers over the asynchronous driver interface.

#include "drivers/block.h"
#include "lib/interrupts.h"
#include "lib/memory.h"

enum { BATCH = 8, SEGMENTS = 32 };

struct transfer {
  volatile unsigned outstanding;
  enum block_status status;
};

static void
piece_done(struct block_request *request)
{
  struct transfer *transfer = request->context;

  if(request->status != BLOCK_OK)
    transfer->status = request->status;
  transfer->outstanding--;
}

enum block_status
block_transfer(struct block_device *device, bool write, uint64_t sector, void *buffer, size_t bytes)
{
  struct transfer transfer = { 0, BLOCK_OK };
  struct block_request requests[BATCH];
  struct block_segment segments[BATCH][SEGMENTS];
  size_t most = MIN(device->max_bytes, MIN(device->max_segments, SEGMENTS) * PAGE_SIZE);
  char *va = buffer;

  while(bytes){
    unsigned n = 0;
    for(; bytes && n < BATCH; n++){
      size_t piece = MIN(bytes, most);
      unsigned n_segments = 0;
      for(size_t at = 0; at < piece; at += PAGE_SIZE)
        segments[n][n_segments++] = (struct block_segment){ va + at, machine_address(va + at), (uint32_t)MIN(piece - at, PAGE_SIZE) };
      requests[n] = (struct block_request){ write, sector, segments[n], n_segments, piece_done, &transfer, BLOCK_OK, NULL, NULL };
      va += piece;
      bytes -= piece;
      sector += piece / SECTOR_SIZE;
    }
    transfer.outstanding = n;
    device->plug(device, true);
    for(unsigned i = 0; i < n; i++)
      device->submit(device, &requests[i]);
    device->plug(device, false);
    wait_until(transfer.outstanding == 0);
  }
  return transfer.status;
}
