// Hardware-virtualised domains: what the parts of hvm/ share, and what the rest of the hypervisor uses of them.
//
// Two extensions behind one interface: vmx.c (Intel) and svm.c (AMD) fill in a struct hvm_ops, ept.c and npt.c a struct p2m_ops.
#ifndef HVM_H
#define HVM_H
#include "../proc.h"

struct hvm_ops {
  const char *name;
  void (*vcpu_init)(struct vcpu *v);          // make its control structure, reset state
  void (*switch_to)(struct vcpu *v);          // its state into the processor, and back
  void (*switch_from)(struct vcpu *v);
  void (*run)(struct vcpu *v);                // enter the guest, come back, deal with why
};
extern const struct hvm_ops *hvm_ops;         // 0: this processor has neither, or not all that is needed

// hvm/hvm.c
void hvm_init(void);
void hvm_build(struct domain *d, struct elf *e, bool no_dm);
void hvm_upcall_pending(struct vcpu *v);
bool hvm_has_interrupt(struct vcpu *v);
void hvm_dump(struct vcpu *v);
void hvm_ioreq_answered(struct vcpu *v);
uint64 hvm_copy(struct vcpu *v, uint64 gva, void *buf, uint64 n, bool write);
int64 do_hvm_op(uint64 cmd, uint64 gva);

// hvm/p2m.c
uint64 p2m_lookup(struct domain *d, uint64 gfn);
void p2m_map(struct domain *d, uint64 gfn, uint64 mfn, bool write);
void p2m_unmap(struct domain *d, uint64 gfn);

#endif
