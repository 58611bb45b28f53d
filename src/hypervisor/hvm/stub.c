// Stands for the HVM layer in builds without it: hvm_ops is 0, and the loader refuses type=hvm.
#include "defs.h"
const struct hvm_ops *hvm_ops;
void hvm_init(void){}
struct elf;
void hvm_build(struct domain *d, struct elf *e, bool n){}
void hvm_upcall_pending(struct vcpu *v){}
bool hvm_has_interrupt(struct vcpu *v){return 0;}
void hvm_dump(struct vcpu *v){}
void hvm_ioreq_answered(struct vcpu *v){}
uint64 hvm_copy(struct vcpu *v, uint64 gva, void *buf, uint64 n, bool write){return n;}
int64 do_hvm_op(uint64 cmd, uint64 gva){return -38;}
uint64 p2m_lookup(struct domain *d, uint64 gfn){return ~0ul;}
void p2m_map(struct domain *d, uint64 gfn, uint64 mfn, bool write){}
void p2m_unmap(struct domain *d, uint64 gfn){}
