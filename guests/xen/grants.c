// Grant tables. See grants.h. Xen public header grant_table.h, "Introducing a valid entry into the grant table".

#include "xen/grants.h"
#include "lib/console.h"
#include "lib/environment.h"
#include "lib/memory.h"
#include "xen/hypercall.h"
#include <xen/grant_table.h>
#include <xen/memory.h>

enum { FRAMES = 4, ENTRIES = FRAMES * PAGE_SIZE / sizeof(struct grant_entry_v1), NO_REF = 0 };

static volatile struct grant_entry_v1 *table;
static uint16_t next_free[ENTRIES]; // a list through the unused references
static uint16_t first_free;

static void
map_table(void)
{
  xen_pfn_t frames[FRAMES];

  if(!on_pv()){
    char *pages = pages_alloc(FRAMES); // replaced by the table's pages
    for(unsigned i = 0; i < FRAMES; i++){
      struct xen_add_to_physmap map = { .domid = DOMID_SELF, .space = XENMAPSPACE_grant_table, .idx = i,
                                        .gpfn = machine_frame(pages + i * PAGE_SIZE) };
      int64_t error = hypercall_memory_op(XENMEM_add_to_physmap, &map);
      if(error)
        panic("grant table page %u cannot be mapped: %ld", i, error);
    }
    table = (void *)pages;
    return;
  }
  struct gnttab_setup_table setup = { .dom = DOMID_SELF, .nr_frames = FRAMES, .frame_list = frames };
  if(hypercall_grant_table_op(GNTTABOP_setup_table, &setup, 1) || setup.status != GNTST_okay)
    panic("grant table refused: %d", setup.status);
  char *window = window_reserve(FRAMES);
  for(unsigned i = 0; i < FRAMES; i++)
    window_map(window + i * PAGE_SIZE, frames[i] << PAGE_SHIFT, MAPPING_CACHED);
  table = (void *)window;
}

void
grants_init(void)
{
  if(table)
    return;
  map_table();
  for(unsigned ref = GNTTAB_NR_RESERVED_ENTRIES; ref < ENTRIES; ref++)
    next_free[ref] = ref + 1 < ENTRIES ? ref + 1 : NO_REF;
  first_free = GNTTAB_NR_RESERVED_ENTRIES;
}

uint32_t
grant_access(uint16_t domain, const void *va, bool read_only)
{
  uint16_t ref = first_free;

  if(ref == NO_REF)
    panic("out of grant references");
  first_free = next_free[ref];
  table[ref].domid = domain;
  table[ref].frame = (uint32_t)machine_frame(va);
  wmb();
  table[ref].flags = GTF_permit_access | (read_only ? GTF_readonly : 0);
  return ref;
}

bool
grant_end(uint32_t ref)
{
  uint16_t flags = table[ref].flags, expected;

  // The hypervisor sets the in-use bits concurrently: only an entry without them may be cleared, in one step.
  do {
    if(flags & (GTF_reading | GTF_writing))
      return false;
    expected = flags;
    __asm__ volatile("lock cmpxchgw %2,%1" : "+a"(flags), "+m"(table[ref].flags) : "r"((uint16_t)0) : "memory", "cc");
  } while(flags != expected);
  next_free[ref] = first_free;
  first_free = (uint16_t)ref;
  return true;
}

int
grant_map(uint16_t domain, uint32_t ref, void *window, bool read_only, struct grant_mapping *mapping)
{
  struct gnttab_map_grant_ref op = { .host_addr = (uint64_t)window, .flags = GNTMAP_host_map | (read_only ? GNTMAP_readonly : 0),
                                     .ref = ref, .dom = domain };

  window_prepare(window, 1);
  if(hypercall_grant_table_op(GNTTABOP_map_grant_ref, &op, 1))
    return GNTST_general_error;
  *mapping = (struct grant_mapping){ window, op.dev_bus_addr, op.handle };
  return op.status;
}

int
grant_unmap(const struct grant_mapping *mapping)
{
  struct gnttab_unmap_grant_ref op = { .host_addr = (uint64_t)mapping->va, .handle = mapping->handle };

  if(hypercall_grant_table_op(GNTTABOP_unmap_grant_ref, &op, 1))
    return GNTST_general_error;
  return op.status;
}

static struct gnttab_copy_ptr
copy_side(const struct grant_copy_side *side)
{
  struct gnttab_copy_ptr p;

  if(side->is_grant){
    p.u.ref = side->ref;
    p.domid = side->domain;
    p.offset = side->offset;
  } else {
    p.u.gmfn = machine_frame(side->va);
    p.domid = DOMID_SELF;
    p.offset = (uint64_t)side->va & (PAGE_SIZE - 1);
  }
  return p;
}

int
grant_copy(const struct grant_copy_side *from, const struct grant_copy_side *to, uint16_t bytes)
{
  struct gnttab_copy op = { .source = copy_side(from), .dest = copy_side(to), .len = bytes,
                            .flags = (from->is_grant ? GNTCOPY_source_gref : 0) | (to->is_grant ? GNTCOPY_dest_gref : 0) };

  if(hypercall_grant_table_op(GNTTABOP_copy, &op, 1))
    return GNTST_general_error;
  return op.status;
}
