/* Physical devices for a domain that drives them: interrupts and I/O privilege (hypercall physdev_op). */
#ifndef XEN_PHYSDEV_H
#define XEN_PHYSDEV_H
#include "xen.h"

#define PHYSDEVOP_irq_status_query 5
#define PHYSDEVOP_set_iopl 6
#define PHYSDEVOP_set_iobitmap 7
#define PHYSDEVOP_apic_read 8
#define PHYSDEVOP_apic_write 9
#define PHYSDEVOP_alloc_irq_vector 10
#define PHYSDEVOP_free_irq_vector 11
#define PHYSDEVOP_eoi 12
#define PHYSDEVOP_map_pirq 13
#define PHYSDEVOP_unmap_pirq 14
#define PHYSDEVOP_manage_pci_add 15
#define PHYSDEVOP_manage_pci_remove 16
#define PHYSDEVOP_setup_gsi 21
#define PHYSDEVOP_get_free_pirq 23
#define PHYSDEVOP_pci_mmcfg_reserved 24
#define PHYSDEVOP_pci_device_add 25
#define PHYSDEVOP_pci_device_remove 26

/* The guest is done with a level-triggered pirq: the line may interrupt again. */
struct physdev_eoi {
  uint32_t irq;
};

#define XENIRQSTAT_needs_eoi (1 << 0)
#define XENIRQSTAT_shared (1 << 1)
struct physdev_irq_status_query {
  uint32_t irq;
  uint32_t flags; /* out, XENIRQSTAT_* */
};

struct physdev_set_iopl {
  uint32_t iopl;
};

struct physdev_set_iobitmap {
  uint8_t *bitmap;
  uint32_t nr_ports;
};

struct physdev_apic {
  unsigned long apic_physbase;
  uint32_t reg;
  uint32_t value;
};

struct physdev_irq {
  uint32_t irq;
  uint32_t vector;
};

#define MAP_PIRQ_TYPE_MSI 0
#define MAP_PIRQ_TYPE_GSI 1
struct physdev_map_pirq {
  domid_t domid;
  int type;
  int index; /* GSI */
  int pirq; /* in: wanted or -1, out: given */
  int bus;
  int devfn;
  int entry_nr;
  uint64_t table_base;
};

struct physdev_unmap_pirq {
  domid_t domid;
  int pirq;
};

struct physdev_setup_gsi {
  int gsi;
  uint8_t triggering; /* 0 edge, 1 level */
  uint8_t polarity; /* 0 active high, 1 active low */
};

typedef struct physdev_eoi physdev_eoi_t;
typedef struct physdev_irq_status_query physdev_irq_status_query_t;
typedef struct physdev_set_iopl physdev_set_iopl_t;
typedef struct physdev_map_pirq physdev_map_pirq_t;
typedef struct physdev_setup_gsi physdev_setup_gsi_t;
#endif
