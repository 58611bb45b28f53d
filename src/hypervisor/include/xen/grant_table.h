/* Grant tables, version 1: how a domain lets another one reach single pages of its memory (hypercall grant_table_op). */
#ifndef XEN_GRANT_TABLE_H
#define XEN_GRANT_TABLE_H
#include "xen.h"

typedef uint32_t grant_ref_t;
typedef uint32_t grant_handle_t;

/* Written by the granting domain; flags last. frame is a gfn (HVM) or mfn (PV). */
struct grant_entry_v1 {
  uint16_t flags;
  domid_t domid;
  uint32_t frame;
};
typedef struct grant_entry_v1 grant_entry_v1_t;

#define GNTTAB_NR_RESERVED_ENTRIES 8
#define GNTTAB_RESERVED_CONSOLE 0
#define GNTTAB_RESERVED_XENSTORE 1

#define GTF_invalid 0
#define GTF_permit_access 1
#define GTF_accept_transfer 2
#define GTF_transitive 3
#define GTF_type_mask 3
#define GTF_readonly (1 << 2)
#define GTF_reading (1 << 3) /* set by the hypervisor while mapped */
#define GTF_writing (1 << 4) /* set by the hypervisor while mapped writable */

#define GNTTABOP_map_grant_ref 0
#define GNTTABOP_unmap_grant_ref 1
#define GNTTABOP_setup_table 2
#define GNTTABOP_dump_table 3
#define GNTTABOP_transfer 4
#define GNTTABOP_copy 5
#define GNTTABOP_query_size 6
#define GNTTABOP_unmap_and_replace 7
#define GNTTABOP_set_version 8
#define GNTTABOP_get_status_frames 9
#define GNTTABOP_get_version 10
#define GNTTABOP_swap_grant_ref 11
#define GNTTABOP_cache_flush 12

/* host_addr: virtual address (PV), machine address of the PTE (GNTMAP_contains_pte), guest-physical address (HVM). */
struct gnttab_map_grant_ref {
  uint64_t host_addr;
  uint32_t flags; /* GNTMAP_* */
  grant_ref_t ref;
  domid_t dom;
  int16_t status; /* out, GNTST_* */
  grant_handle_t handle; /* out */
  uint64_t dev_bus_addr; /* out: machine address */
};

struct gnttab_unmap_grant_ref {
  uint64_t host_addr;
  uint64_t dev_bus_addr;
  grant_handle_t handle;
  int16_t status; /* out */
};

struct gnttab_setup_table {
  domid_t dom;
  uint32_t nr_frames;
  int16_t status; /* out */
  xen_pfn_t *frame_list; /* out: nr_frames frame numbers */
};

#define GNTCOPY_source_gref (1 << 0)
#define GNTCOPY_dest_gref (1 << 1)
struct gnttab_copy {
  struct gnttab_copy_ptr {
    union {
      grant_ref_t ref;
      xen_pfn_t gmfn;
    } u;
    domid_t domid;
    uint16_t offset;
  } source, dest;
  uint16_t len; /* bytes; may not cross either page */
  uint16_t flags; /* GNTCOPY_* */
  int16_t status; /* out */
};

struct gnttab_query_size {
  domid_t dom;
  uint32_t nr_frames; /* out */
  uint32_t max_nr_frames; /* out */
  int16_t status; /* out */
};

struct gnttab_set_version {
  uint32_t version; /* in: wanted, out: in use */
};

struct gnttab_get_version {
  domid_t dom;
  uint16_t pad;
  uint32_t version; /* out */
};

typedef struct gnttab_map_grant_ref gnttab_map_grant_ref_t;
typedef struct gnttab_unmap_grant_ref gnttab_unmap_grant_ref_t;
typedef struct gnttab_setup_table gnttab_setup_table_t;
typedef struct gnttab_copy gnttab_copy_t;
typedef struct gnttab_query_size gnttab_query_size_t;

#define GNTMAP_device_map (1 << 0)
#define GNTMAP_host_map (1 << 1)
#define GNTMAP_readonly (1 << 2)
#define GNTMAP_application_map (1 << 3)
#define GNTMAP_contains_pte (1 << 4)
#define GNTMAP_GUEST_AVAIL0 16 /* flags from this bit up: software bits of the page-table entry */

#define GNTST_okay 0
#define GNTST_general_error (-1)
#define GNTST_bad_domain (-2)
#define GNTST_bad_gntref (-3)
#define GNTST_bad_handle (-4)
#define GNTST_bad_virt_addr (-5)
#define GNTST_bad_dev_addr (-6)
#define GNTST_no_device_space (-7)
#define GNTST_permission_denied (-8)
#define GNTST_bad_page (-9)
#define GNTST_bad_copy_arg (-10)
#define GNTST_address_too_big (-11)
#define GNTST_eagain (-12)
#define GNTST_no_space (-13)

_Static_assert(sizeof(struct grant_entry_v1) == 8, "ABI");
_Static_assert(sizeof(struct gnttab_map_grant_ref) == 32, "ABI");
_Static_assert(sizeof(struct gnttab_copy) == 40, "ABI");
#endif
