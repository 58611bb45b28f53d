// The guest's memory, through a direct-mapped cache of mapped pages.
#include "dom0/dm.h"

#include "dom0/foreign.h"
#include "lib/memory.h"
#include "lib/string.h"

#pragma clang section text=".text.devmodel"

static char *
page_of(struct device_model *m, uint64_t gfn)
{
  unsigned slot = gfn % DM_MEMORY_SLOTS;
  char *va = m->windows + slot * PAGE_SIZE;

  if(m->mapped[slot] != gfn + 1){
    m->mapped[slot] = 0;
    if(!foreign_map(m->guest->domid, gfn, va))
      return NULL;
    m->mapped[slot] = gfn + 1;
  }
  return va;
}

static bool
copy(struct device_model *m, uint64_t gpa, char *mine, size_t bytes, bool to_guest)
{
  bool good = true;

  while(bytes){
    size_t n = MIN(bytes, PAGE_SIZE - (gpa & ~PAGE_MASK));
    char *page = page_of(m, gpa >> PAGE_SHIFT);
    char *theirs = page + (gpa & ~PAGE_MASK);
    if(!page)
      good = false;
    else if(to_guest)
      memcpy(theirs, mine, n);
    else
      memcpy(mine, theirs, n);
    gpa += n;
    mine += n;
    bytes -= n;
  }
  return good;
}

bool dm_read(struct device_model *m, uint64_t gpa, void *to, size_t bytes) { return copy(m, gpa, to, bytes, false); }
bool dm_write(struct device_model *m, uint64_t gpa, const void *from, size_t bytes) { return copy(m, gpa, (char *)from, bytes, true); }
