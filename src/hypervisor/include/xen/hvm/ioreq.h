/*
 * Requests of a hardware-virtualised domain to its device model: one slot a vCPU in a page shared with the device model's domain.
 *
 * Life of a slot: NONE -> (hypervisor fills, notifies vp_eport) READY -> (device model) INPROCESS -> (device model fills data,
 * notifies back) IORESP_READY -> (hypervisor takes data) NONE.
 */
#ifndef XEN_HVM_IOREQ_H
#define XEN_HVM_IOREQ_H
#include "../xen.h"

#define IOREQ_READ 1
#define IOREQ_WRITE 0

#define STATE_IOREQ_NONE 0
#define STATE_IOREQ_READY 1
#define STATE_IOREQ_INPROCESS 2
#define STATE_IORESP_READY 3

#define IOREQ_TYPE_PIO 0
#define IOREQ_TYPE_COPY 1 /* memory-mapped I/O */
#define IOREQ_TYPE_PCI_CONFIG 2
#define IOREQ_TYPE_TIMEOFFSET 7
#define IOREQ_TYPE_INVALIDATE 8

struct ioreq {
  uint64_t addr; /* port or guest-physical address */
  uint64_t data; /* value, or guest-physical address of the data */
  uint32_t count; /* repetitions */
  uint32_t size; /* bytes each */
  uint32_t vp_eport; /* the domain's event channel port for this vCPU's notifications */
  uint16_t _pad0;
  uint8_t state : 4;
  uint8_t data_is_ptr : 1; /* data is an address: string I/O */
  uint8_t dir : 1; /* IOREQ_READ or IOREQ_WRITE */
  uint8_t df : 1; /* addresses go down */
  uint8_t _pad1 : 1;
  uint8_t type; /* IOREQ_TYPE_* */
};

struct shared_iopage {
  struct ioreq vcpu_ioreq[1];
};

struct buf_ioreq {
  uint8_t type;
  uint8_t pad : 1;
  uint8_t dir : 1;
  uint8_t size : 2; /* log2 of bytes; 3 takes two slots */
  uint32_t addr : 20;
  uint32_t data;
};

#define IOREQ_BUFFER_SLOT_NUM 511
struct buffered_iopage {
  uint32_t read_pointer;
  uint32_t write_pointer;
  struct buf_ioreq buf_ioreq[IOREQ_BUFFER_SLOT_NUM];
};

typedef struct ioreq ioreq_t;
typedef struct shared_iopage shared_iopage_t;
typedef struct buffered_iopage buffered_iopage_t;

_Static_assert(sizeof(struct ioreq) == 32, "ABI");
#endif
