// A hardware-virtualised guest's own memory: by guest-physical address, and through the guest's page tables.
//
// SDM 3A chapter 4 "Paging": no paging, 32-bit, PAE and 4-level. Present, writable and (for large pages) size are looked at; a
// guest kernel makes the calls, so the user bit is not. Accessed and dirty bits are not set here.
#include "../defs.h"
#include "../memlayout.h"

// Hypervisor's address of guest-physical memory (good to the end of the page), or 0. The flat table has only what is the
// domain's to use; every page-table level of every instruction fetch comes through here.
static inline void *
guest_memory(struct domain *d, uint64 gpa)
{
  uint64 gfn = gpa >> PAGE_SHIFT;
  struct page *p;

  if(gfn < d->hvm->nram)
    return d->hvm->ram[gfn] ? P2V(((uint64)d->hvm->ram[gfn] << PAGE_SHIFT) + gpa % PAGE_SIZE) : 0;
  p = domain_page(d, gfn);
  return p ? MFN2V(page_mfn(p)) + gpa % PAGE_SIZE : 0;
}

void *
hvm_gpa(struct domain *d, uint64 gpa)
{
  return guest_memory(d, gpa);
}

// One entry of a table of the guest.
static inline bool
read_entry(struct domain *d, uint64 gpa, bool wide, uint64 *e)
{
  void *at = guest_memory(d, gpa);

  if(at == 0)
    return false;
  *e = wide ? *(uint64 *)at : *(uint32 *)at;
  return *e & PTE_P;
}

static inline bool
write_denied(uint64 e, bool write, uint64 cr0, uint32 *error)
{
  if(!write || (e & PTE_RW) || !(cr0 & CR0_WP))
    return false;
  *error |= PFEC_P;
  return true;
}

// 4-level paging: what 64-bit kernels use, so this one is short.
static bool
walk_long(struct vcpu *v, uint64 gva, bool write, uint64 *gpa, uint32 *error)
{
  uint64 cr0 = write ? hvm_ops->get_cr(v, 0) : 0, e = hvm_ops->get_cr(v, 3);

  for(int shift = 39;; shift -= 9){
    if(!read_entry(v->dom, (e & PTE_ADDR) | (gva >> (shift - 3) & 0xff8), true, &e) || write_denied(e, write, cr0, error))
      return false;
    if(shift == 12 || ((e & PTE_PS) && shift != 39)){
      uint64 low = (1ul << shift) - 1;
      *gpa = (e & PTE_ADDR & ~low) | (gva & low);
      return true;
    }
  }
}

// 32-bit paging (cr4 without PAE) and PAE paging.
static bool
walk_32(struct vcpu *v, uint64 gva, bool write, uint64 cr0, uint64 *gpa, uint32 *error)
{
  uint64 cr4 = hvm_ops->get_cr(v, 4), table = hvm_ops->get_cr(v, 3), e;
  bool pae = cr4 & CR4_PAE;
  int bits = pae ? 9 : 10;

  table &= pae ? 0xffffffe0 : 0xfffff000;
  for(int shift = pae ? 30 : 22;; shift -= bits){
    uint64 index = (gva & 0xffffffff) >> shift & ((1u << bits) - 1);
    bool pdpte = shift == 30; // has neither R/W nor PS
    if(!read_entry(v->dom, table + index * (pae ? 8 : 4), pae, &e) || (!pdpte && write_denied(e, write, cr0, error)))
      return false;
    table = e & (pae ? PTE_ADDR : 0xfffff000);
    if(shift == 12 || (!pdpte && (e & PTE_PS) && (pae || (cr4 & CR4_PSE)))){
      uint64 low = (1ul << shift) - 1;
      *gpa = (table & ~low) | (gva & low);
      return true;
    }
  }
}

// Guest-virtual to guest-physical. False: the guest would have faulted, with *error.
bool
hvm_translate(struct vcpu *v, uint64 gva, bool write, uint64 *gpa, uint32 *error)
{
  uint64 cr0;

  *error = write ? PFEC_W : 0;
  if(hvm_ops->get_efer(v) & EFER_LMA)
    return walk_long(v, gva, write, gpa, error);
  cr0 = hvm_ops->get_cr(v, 0);
  if(cr0 & CR0_PG)
    return walk_32(v, gva, write, cr0, gpa, error);
  *gpa = gva & 0xffffffff;
  return true;
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
    if(!hvm_translate(v, gva, write, &gpa, &error) || (p = guest_memory(v->dom, gpa)) == 0)
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
