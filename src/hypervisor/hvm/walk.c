// A hardware-virtualised guest's own memory: by guest-physical address, and through the guest's page tables.
//
// SDM 3A chapter 4 "Paging": no paging, 32-bit, PAE and 4-level. Present, writable and (for large pages) size are looked at; a
// guest kernel makes the calls, so the user bit is not. Accessed and dirty bits are not set here.
#include "../defs.h"
#include "../memlayout.h"

// Hypervisor's address of guest-physical memory (good to the end of the page), or 0. The flat table has only what is the
// domain's to use; every page-table level of every instruction fetch comes through here.
static inline void *
guest_memory(struct hvm_domain *h, uint64 gpa)
{
  uint64 gfn = gpa >> PAGE_SHIFT;

  return gfn < h->nram && h->ram[gfn] ? P2V(((uint64)h->ram[gfn] << PAGE_SHIFT) + gpa % PAGE_SIZE) : 0;
}

void *
hvm_gpa(struct domain *d, uint64 gpa)
{
  return guest_memory(d->hvm, gpa);
}

// Guest-virtual to guest-physical. False: the guest would have faulted, with *error.
bool
hvm_translate(struct vcpu *v, uint64 gva, bool write, uint64 *gpa, uint32 *error)
{
  uint64 cr0 = hvm_ops->get_cr(v, 0), cr4 = hvm_ops->get_cr(v, 4), table = hvm_ops->get_cr(v, 3);
  bool wide = cr4 & CR4_PAE, lma = hvm_ops->get_efer(v) & EFER_LMA;
  int bits = wide ? 9 : 10, shift;

  *error = write ? PFEC_W : 0;
  if(!(cr0 & CR0_PG)){
    *gpa = gva & 0xffffffff;
    return true;
  }
  if(!lma)
    gva &= 0xffffffff;
  table &= wide && !lma ? 0xffffffe0 : PTE_ADDR;
  shift = lma ? 39 : wide ? 30 : 22;
  for(;; shift -= bits){
    uint64 index = (gva >> shift) & ((1u << bits) - 1), e;
    void *at = guest_memory(v->dom->hvm, table + index * (wide ? 8 : 4));
    if(at == 0)
      return false;
    e = wide ? *(uint64 *)at : *(uint32 *)at;
    if(!(e & PTE_P))
      return false;
    bool pdpte = wide && !lma && shift == 30; // has neither R/W nor PS
    if(write && !(e & PTE_RW) && !pdpte && (cr0 & CR0_WP)){
      *error |= PFEC_P;
      return false;
    }
    uint64 frame = wide ? e & PTE_ADDR : e & 0xfffff000;
    if(shift == 12 || ((e & PTE_PS) && shift < 39 && !pdpte && (wide || (cr4 & CR4_PSE)))){
      uint64 low = (1ul << shift) - 1;
      *gpa = (frame & ~low) | (gva & low);
      return true;
    }
    table = frame;
  }
}

// Copy between the hypervisor and guest-virtual memory. Bytes not copied.
uint64
hvm_copy(struct vcpu *v, uint64 gva, void *buf, uint64 n, bool write)
{
  uint32 error;
  uint64 gpa;
  uint8 *b = buf;

  while(n > 0){
    uint64 m = MIN(n, PAGE_SIZE - gva % PAGE_SIZE);
    void *p;
    if(!hvm_translate(v, gva, write, &gpa, &error) || (p = guest_memory(v->dom->hvm, gpa)) == 0)
      return n;
    if(write)
      memcpy(p, b, m);
    else
      memcpy(b, p, m);
    gva += m, b += m, n -= m;
  }
  return 0;
}

// Bytes of the instruction the guest is at: as many of n as can be read.
int
hvm_fetch(struct vcpu *v, uint8 *code, int n)
{
  struct segment cs;
  uint64 rip = v->regs->rip;

  if(!hvm_is_64bit(v)){
    hvm_ops->get_segment(v, SEG_CS, &cs);
    rip = (cs.base + rip) & 0xffffffff;
  }
  return n - (int)hvm_copy(v, rip, code, (uint64)n, false);
}
