// The frame table entry. See frame.c.
#ifndef FRAME_H
#define FRAME_H
#include "types.h"

struct domain;

enum page_type { PGT_NONE, PGT_L1, PGT_L2, PGT_L3, PGT_L4, PGT_SEG, PGT_WRITABLE };

#define PG_RAM 1    // there is memory at this frame
#define PG_PINNED 2 // one of the type references is a pin of the guest
#define PG_XEN 4    // shared page of the hypervisor (shared_info, grants): owned, but the domain may not free it

struct page {
  uint32 count;
  uint32 type_count;
  uint8 type; // enum page_type
  uint8 flags;
  struct domain *owner;
  struct page *next, *prev; // in the free list
};

extern struct page *pages;
extern uint64 npages, nfree;
extern uint64 *m2p; // machine-to-physical; PV guests see it read-only at M2P_VIRT

static inline uint64
page_mfn(struct page *p)
{
  return (uint64)(p - pages);
}

#endif
