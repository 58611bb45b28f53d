/* Memory reservation and the guest-physical map (hypercall memory_op). */
#ifndef XEN_MEMORY_H
#define XEN_MEMORY_H
#include "xen.h"

#define XENMEM_increase_reservation 0
#define XENMEM_decrease_reservation 1
#define XENMEM_maximum_ram_page 2
#define XENMEM_current_reservation 3
#define XENMEM_maximum_reservation 4
#define XENMEM_machphys_mfn_list 5
#define XENMEM_populate_physmap 6
#define XENMEM_add_to_physmap 7
#define XENMEM_memory_map 9
#define XENMEM_machine_memory_map 10
#define XENMEM_exchange 11
#define XENMEM_machphys_mapping 12
#define XENMEM_set_memory_map 13
#define XENMEM_maximum_gpfn 14
#define XENMEM_remove_from_physmap 15
#define XENMEM_add_to_physmap_batch 23

/* Result of increase, decrease and populate: the number of extents done. */
struct xen_memory_reservation {
  xen_pfn_t *extent_start;
  xen_ulong_t nr_extents;
  unsigned int extent_order;
  unsigned int mem_flags;
  domid_t domid;
};

struct xen_memory_exchange {
  struct xen_memory_reservation in;
  struct xen_memory_reservation out;
  xen_ulong_t nr_exchanged; /* in: 0, out: extents done */
};

struct xen_memory_domain {
  domid_t domid;
};

struct xen_machphys_mapping {
  xen_ulong_t v_start, v_end;
  xen_ulong_t max_mfn;
};

#define XENMAPSPACE_shared_info 0
#define XENMAPSPACE_grant_table 1
#define XENMAPSPACE_gmfn 2
#define XENMAPSPACE_gmfn_range 3
#define XENMAPSPACE_gmfn_foreign 4
#define XENMAPSPACE_dev_mmio 5
struct xen_add_to_physmap {
  domid_t domid;
  uint16_t size;
  unsigned int space; /* XENMAPSPACE_* */
  xen_ulong_t idx;
  xen_pfn_t gpfn;
};

struct xen_remove_from_physmap {
  domid_t domid;
  xen_pfn_t gpfn;
};

struct xen_memory_map {
  unsigned int nr_entries; /* in: room, out: used */
  void *buffer; /* struct e820entry[] */
};

/* As the BIOS returns them: 20 bytes, unaligned. */
struct e820entry {
  uint64_t addr;
  uint64_t size;
  uint32_t type; /* 1 usable, 2 reserved */
} __attribute__((packed));

typedef struct xen_memory_reservation xen_memory_reservation_t;
typedef struct xen_memory_exchange xen_memory_exchange_t;
typedef struct xen_machphys_mapping xen_machphys_mapping_t;
typedef struct xen_add_to_physmap xen_add_to_physmap_t;
typedef struct xen_remove_from_physmap xen_remove_from_physmap_t;
typedef struct xen_memory_map xen_memory_map_t;
#endif
