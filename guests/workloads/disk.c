// Disk workloads: sequential read, random read, sequential write.
//
// Data of different operations goes to different memory as long as it fits into the buffer; the checksum is over what the
// buffer holds at the end, in order of operations, and is computed after the measurement.

#include "drivers/block.h"
#include "lib/memory.h"
#include "workloads/workload.h"

enum { BUFFER_MAX = 8 << 20 };

struct disk_run {
  struct block_device *disk;
  char *buffer;
  uint64_t slots; // operations the buffer holds
};

// NULL when it can start, else why not.
static const char *
prepare(struct run *run, struct disk_run *d)
{
  d->disk = run_disk();
  if(!d->disk)
    return "no disk";
  if(!run->ops || !run->size || run->size % SECTOR_SIZE || run->size > BUFFER_MAX)
    return "size must be whole sectors, at most 8 MiB, and ops not 0";
  d->slots = MIN(run->ops, BUFFER_MAX / PAGE_UP(run->size));
  d->buffer = pages_alloc(d->slots * PAGE_UP(run->size) / PAGE_SIZE);
  return NULL;
}

static void
release(struct run *run, struct disk_run *d)
{
  pages_free(d->buffer, d->slots * PAGE_UP(run->size) / PAGE_SIZE);
}

static char *
slot(struct run *run, struct disk_run *d, uint64_t op)
{
  return d->buffer + op % d->slots * PAGE_UP(run->size);
}

static uint64_t
buffer_checksum(struct run *run, struct disk_run *d)
{
  uint64_t sum = CHECKSUM_START;

  for(uint64_t op = run->ops - d->slots; op < run->ops; op++)
    sum = checksum(sum, slot(run, d, op), run->size);
  return sum;
}

static bool
read_all(struct run *run, struct disk_run *d, bool measured)
{
  uint64_t sectors = run->size / SECTOR_SIZE, random = run->seed, done = 0;

  if(measured)
    run_begin(run, run->ops, run->size);
  for(; done < run->ops; done++){
    uint64_t at = run->span ? next_random(&random) % (run->span / sectors) : done;
    if(block_transfer(d->disk, false, run->start + at * sectors, slot(run, d, done), run->size) != BLOCK_OK)
      break;
  }
  if(measured)
    run_end(run, done, done * run->size);
  return done == run->ops;
}

static bool
disk_read(struct run *run)
{
  struct disk_run d;
  const char *why = prepare(run, &d);

  if(why)
    return run_fail(run, why);
  if(run->start + (run->span ? run->span : run->ops * (run->size / SECTOR_SIZE)) > d.disk->sectors)
    return run_fail(run, "beyond the end of the disk");
  if(!read_all(run, &d, true))
    return run_fail(run, "read error");
  run_checksum(run, buffer_checksum(run, &d), "data read");
  release(run, &d);
  return true;
}

bool
run_disk_sequential(struct run *run)
{
  run->span = 0;
  return disk_read(run);
}

bool
run_disk_random(struct run *run)
{
  if(run->span < run->size / SECTOR_SIZE)
    return run_fail(run, "span is smaller than one operation");
  return disk_read(run);
}

static void
fill(struct run *run, struct disk_run *d)
{
  uint64_t random = run->seed;

  for(uint64_t s = 0; s < d->slots; s++)
    for(uint64_t *p = (uint64_t *)slot(run, d, s); p < (uint64_t *)(slot(run, d, s) + run->size); p++)
      *p = next_random(&random);
}

bool
run_disk_write(struct run *run)
{
  struct disk_run d;
  const char *why = prepare(run, &d);
  uint64_t sectors = run->size / SECTOR_SIZE, done = 0;

  if(why)
    return run_fail(run, why);
  if(run->start + run->ops * sectors > d.disk->sectors)
    return run_fail(run, "beyond the end of the disk");
  fill(run, &d);
  run_begin(run, run->ops, run->size);
  for(; done < run->ops; done++)
    if(block_transfer(d.disk, true, run->start + done * sectors, slot(run, &d, done), run->size) != BLOCK_OK)
      break;
  run_end(run, done, done * run->size);
  if(done != run->ops)
    return run_fail(run, "write error");
  // Read back into other memory contents: a disk that ignored the writes must not pass.
  uint64_t written = buffer_checksum(run, &d);
  for(uint64_t *p = (uint64_t *)d.buffer; p < (uint64_t *)(d.buffer + d.slots * PAGE_UP(run->size)); p++)
    *p = 0;
  run->span = 0;
  if(!read_all(run, &d, false))
    return run_fail(run, "read error");
  run_checksum(run, buffer_checksum(run, &d), "data read back");
  release(run, &d);
  if(buffer_checksum(run, &d) != written)
    return run_fail(run, "what was read back differs from what was written");
  return true;
}
