/* Block device protocol between blkfront and blkback. Sectors are 512 bytes whatever the device says. */
#ifndef XEN_IO_BLKIF_H
#define XEN_IO_BLKIF_H
#include "../grant_table.h"
#include "ring.h"

typedef uint16_t blkif_vdev_t;
typedef uint64_t blkif_sector_t;

#define BLKIF_OP_READ 0
#define BLKIF_OP_WRITE 1
#define BLKIF_OP_WRITE_BARRIER 2
#define BLKIF_OP_FLUSH_DISKCACHE 3
#define BLKIF_OP_DISCARD 5
#define BLKIF_OP_INDIRECT 6
#define BLKIF_MAX_SEGMENTS_PER_REQUEST 11
#define BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST 8

struct blkif_request_segment {
  grant_ref_t gref;
  uint8_t first_sect, last_sect; /* of the page, inclusive */
};

struct blkif_request {
  uint8_t operation; /* BLKIF_OP_* */
  uint8_t nr_segments;
  blkif_vdev_t handle;
  uint64_t id; /* comes back in the response */
  blkif_sector_t sector_number;
  struct blkif_request_segment seg[BLKIF_MAX_SEGMENTS_PER_REQUEST];
};

struct blkif_response {
  uint64_t id;
  uint8_t operation;
  int16_t status; /* BLKIF_RSP_* */
};

#define BLKIF_RSP_EOPNOTSUPP (-2)
#define BLKIF_RSP_ERROR (-1)
#define BLKIF_RSP_OKAY 0

#define VDISK_CDROM 1
#define VDISK_REMOVABLE 2
#define VDISK_READONLY 4

typedef struct blkif_request blkif_request_t;
typedef struct blkif_response blkif_response_t;
DEFINE_RING_TYPES(blkif, struct blkif_request, struct blkif_response);

_Static_assert(sizeof(struct blkif_request) == 112, "ABI");
_Static_assert(sizeof(struct blkif_response) == 16, "ABI");
#endif
