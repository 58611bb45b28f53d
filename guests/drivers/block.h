// One interface over every disk driver: ATA (bare machine, HVM, initial domain) and blkfront (PV drivers).
#pragma once

#include "lib/types.h"

enum { SECTOR_SIZE = 512 };

// A piece of memory inside one page: where the processor sees it, and where the device does.
struct block_segment {
  void *va;
  uint64_t machine;
  uint32_t bytes; // a multiple of SECTOR_SIZE
};

enum block_status { BLOCK_OK = 0, BLOCK_ERROR = 1 };

// Belongs to the driver between submit and done. done runs with interrupts disabled.
struct block_request {
  bool write;
  uint64_t sector;
  const struct block_segment *segments;
  unsigned n_segments;
  void (*done)(struct block_request *request);
  void *context; // the submitter's
  enum block_status status;
  // the driver's
  struct block_request *next;
  void *driver_context;
};

struct block_device {
  const char *name;
  uint64_t sectors;
  unsigned max_segments, max_bytes; // of one request
  // Queues the request; any number may be outstanding.
  void (*submit)(struct block_device *device, struct block_request *request);
  // While plugged, requests are collected; unplugging starts them together, so that neighbours can become one command and
  // the other side of a ring is told once.
  void (*plug)(struct block_device *device, bool on);
  void *driver;
};

// Reads or writes [sector, sector + bytes / 512) and sleeps until it is done. The buffer is page-aligned; bytes are whole sectors.
enum block_status block_transfer(struct block_device *device, bool write, uint64_t sector, void *buffer, size_t bytes);

// Each finds its disk and brings it into use; NULL when there is none.
struct block_device *ata_init(void);      // option ata=pio: no bus-master DMA
struct block_device *blkfront_init(void);
