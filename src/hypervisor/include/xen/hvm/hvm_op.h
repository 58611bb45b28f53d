/* Operations on a hardware-virtualised domain (hypercall hvm_op). */
#ifndef XEN_HVM_OP_H
#define XEN_HVM_OP_H
#include "../xen.h"

#define HVMOP_set_param 0
#define HVMOP_get_param 1
struct xen_hvm_param {
  domid_t domid;
  uint16_t pad;
  uint32_t index; /* HVM_PARAM_* */
  uint64_t value;
};

/* Interrupt lines of an emulated device; only for the domain's device model. */
#define HVMOP_set_pci_intx_level 2
struct xen_hvm_set_pci_intx_level {
  domid_t domid;
  uint8_t domain, bus, device, intx; /* intx: 0 INTA# ... 3 INTD# */
  uint8_t level;
};

#define HVMOP_set_isa_irq_level 3
struct xen_hvm_set_isa_irq_level {
  domid_t domid;
  uint8_t isa_irq;
  uint8_t level;
};

/* Which ISA line the PCI link (0-3) drives; 0: none. */
#define HVMOP_set_pci_link_route 4
struct xen_hvm_set_pci_link_route {
  domid_t domid;
  uint8_t link;
  uint8_t isa_irq;
};

#define HVMOP_flush_tlbs 5
#define HVMOP_pagetable_dying 9

#define HVMOP_get_time 10
struct xen_hvm_get_time {
  uint64_t now; /* out: ns */
};

#define HVMOP_set_evtchn_upcall_vector 23
struct xen_hvm_evtchn_upcall_vector {
  uint32_t vcpu;
  uint8_t vector;
};

typedef struct xen_hvm_param xen_hvm_param_t;
#endif
