#include "dom0/foreign.h"

#include "lib/console.h"
#include "lib/memory.h"
#include "lib/string.h"
#include "xen/hypercall.h"

enum { BATCH = 16, PTE_PRESENT_WRITABLE_USER_ACCESSED_DIRTY = 0x67 };

bool
grants_map(uint16_t domid, const grant_ref_t *refs, unsigned n, bool read_only, void *va, grant_handle_t *handles, uint64_t *bus)
{
  struct gnttab_map_grant_ref maps[BATCH];
  bool good = true;

  if(n > BATCH)
    panic("grants_map of %u", n);
  for(unsigned i = 0; i < n; i++)
    maps[i] = (struct gnttab_map_grant_ref){
      .host_addr = (uint64_t)va + i * PAGE_SIZE, .flags = GNTMAP_host_map | (read_only ? GNTMAP_readonly : 0), .ref = refs[i], .dom = domid,
    };
  int64_t error = hypercall_grant_table_op(GNTTABOP_map_grant_ref, maps, n);
  if(error)
    panic("GNTTABOP_map_grant_ref: %ld", error);
  for(unsigned i = 0; i < n; i++){
    good &= maps[i].status == GNTST_okay;
    handles[i] = maps[i].handle;
    if(bus)
      bus[i] = maps[i].dev_bus_addr;
  }
  if(!good)
    for(unsigned i = 0; i < n; i++)
      if(maps[i].status == GNTST_okay)
        grants_unmap((char *)va + i * PAGE_SIZE, &handles[i], 1);
  return good;
}

void
grants_unmap(void *va, const grant_handle_t *handles, unsigned n)
{
  struct gnttab_unmap_grant_ref unmaps[BATCH];

  for(unsigned i = 0; i < n; i++)
    unmaps[i] = (struct gnttab_unmap_grant_ref){ .host_addr = (uint64_t)va + i * PAGE_SIZE, .handle = handles[i] };
  int64_t error = hypercall_grant_table_op(GNTTABOP_unmap_grant_ref, unmaps, n);
  if(error)
    panic("GNTTABOP_unmap_grant_ref: %ld", error);
}

void *
grant_map_ring(uint16_t domid, grant_ref_t ref)
{
  void *va = window_reserve(1);
  grant_handle_t handle;

  window_prepare(va, 1);
  return grants_map(domid, &ref, 1, false, va, &handle, NULL) ? va : NULL;
}

void
grants_copy(struct gnttab_copy *operations, unsigned n)
{
  int64_t error = hypercall_grant_table_op(GNTTABOP_copy, operations, n);

  if(error)
    panic("GNTTABOP_copy: %ld", error);
}

bool
foreign_map(uint16_t domid, uint64_t gfn, void *va)
{
  return hypercall4(__HYPERVISOR_update_va_mapping_otherdomain, (uint64_t)va,
                    gfn << PAGE_SHIFT | PTE_PRESENT_WRITABLE_USER_ACCESSED_DIRTY, UVMF_INVLPG, domid) == 0;
}
