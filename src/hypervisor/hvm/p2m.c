// Guest-physical to machine: a tree of four levels that the processor walks beside the guest's own tables.
//
// EPT and NPT entries differ only in their bits (struct p2m_ops); both have bit 7 for "maps memory here" above the last level,
// and addresses in bits 12-51. SDM 3C §29.3 "The Extended Page Table Mechanism (EPT)"; APM 2 §15.25 "Nested Paging".
// Whoever changes an entry that was present sets `flush`: the vCPU does not go on with stale translations.
#include "../defs.h"
#include "../memlayout.h"

#define LARGE PTE_PS

const struct p2m_ops ept_ops = {
  .present = 7, .table = 7, .leaf = 1 | 4 | 6 << 3, .write = 2, // read, execute, write-back memory
};
const struct p2m_ops npt_ops = {
  .present = PTE_P, .table = PTE_P | PTE_RW | PTE_US | PTE_A, .leaf = PTE_P | PTE_US | PTE_A | PTE_D, .write = PTE_RW,
};

static const struct p2m_ops *
ops(void)
{
  return hvm_ops->p2m;
}

// A large entry becomes a table of 512 small ones that say the same.
static void
split(uint64 *e)
{
  uint64 *t = kalloc(), mfn = (*e & PTE_ADDR) >> PAGE_SHIFT, bits = *e & ~(PTE_ADDR | LARGE);

  for(uint64 i = 0; i < 512; i++)
    t[i] = (mfn + i) << PAGE_SHIFT | bits;
  *e = V2P(t) | ops()->table;
}

// The entry for gfn at `level` (1: 4 KiB, 2: 2 MiB), with the tables above it made. make false: 0 when there are none.
static uint64 *
entry(struct domain *d, uint64 gfn, int level, bool make)
{
  uint64 *t = d->hvm->p2m;

  for(int l = 4; l > level; l--){
    uint64 *e = &t[(gfn >> (9 * (l - 1))) & 511];
    if(!(*e & ops()->present)){
      if(!make)
        return 0;
      *e = V2P(kalloc()) | ops()->table;
    } else if(l == 2 && (*e & LARGE)){
      if(!make)
        return e;
      split(e);
      d->vcpu->hvm->flush = true;
    }
    t = P2V(*e & PTE_ADDR);
  }
  return &t[(gfn >> (9 * (level - 1))) & 511];
}

// Machine frame behind a guest frame, or INVALID_MFN. Knows the pages the guest itself does not see.
uint64
p2m_lookup(struct domain *d, uint64 gfn)
{
  uint64 *e;

  if(gfn < d->hvm->nram)
    return d->hvm->ram[gfn] ? d->hvm->ram[gfn] : INVALID_MFN;
  if(gfn >= d->hvm->special_gfn + SPECIAL_IOREQ && gfn <= d->hvm->special_gfn + SPECIAL_BUFIOREQ)
    return d->hvm->ioreq_mfn[gfn - d->hvm->special_gfn - SPECIAL_IOREQ];
  if(gfn >> 36)
    return INVALID_MFN;
  e = entry(d, gfn, 1, false);
  if(e == 0 || !(*e & ops()->present))
    return INVALID_MFN;
  uint64 mfn = (*e & PTE_ADDR) >> PAGE_SHIFT;
  return *e & LARGE ? mfn + (gfn & 511) : mfn;
}

// The flat copy, which is what lookups of RAM use.
static void
note(struct domain *d, uint64 gfn, uint64 mfn)
{
  if(gfn < d->hvm->nram)
    d->hvm->ram[gfn] = (uint32)mfn;
}

void
p2m_map(struct domain *d, uint64 gfn, uint64 mfn, bool write)
{
  uint64 *e = entry(d, gfn, 1, true);

  note(d, gfn, mfn);
  if(*e & ops()->present)
    d->vcpu->hvm->flush = true;
  *e = mfn << PAGE_SHIFT | ops()->leaf | (write ? ops()->write : 0);
}

// 2 MiB at once; both frames are aligned to it.
void
p2m_map_2m(struct domain *d, uint64 gfn, uint64 mfn)
{
  for(uint64 i = 0; i < 512; i++)
    note(d, gfn + i, mfn + i);
  *entry(d, gfn, 2, true) = mfn << PAGE_SHIFT | ops()->leaf | ops()->write | LARGE;
}

void
p2m_unmap(struct domain *d, uint64 gfn)
{
  if(p2m_lookup(d, gfn) == INVALID_MFN)
    return;
  *entry(d, gfn, 1, true) = 0;
  note(d, gfn, 0);
  d->vcpu->hvm->flush = true;
}
