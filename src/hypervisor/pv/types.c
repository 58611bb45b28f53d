// How a PV guest's frames may be used, and the checking of its page tables.
//
// A PV guest builds its own page tables, out of machine frame numbers, and the processor walks them as they are. What makes that
// safe: a frame is a page table only after every entry in it has been checked, and while it is one it is mapped read-only
// everywhere in the guest; changes go through hypercalls that check again (pv/mmu.c).
//
//   L4 entry -> frame of type L3 -> L2 -> L1 -> any frame the guest owns; as writable only frames of type "writable"
//
// Every present entry holds a reference on the frame it names, and a type reference that fits its use. Leaf entries are given
// the user bit, since guest kernel and guest user both run in ring 3, and never the global bit.
#include "defs.h"
#include "memlayout.h"

static bool validate(struct page *p, int type);
static void invalidate(struct page *p, int type);

// Use p as `type` once more. False when it is something else now, or when it is not fit to be a page table.
bool
get_page_type(struct page *p, int type)
{
  if(p->type_count == 0 && p->type != type){
    if(p->type == PGT_WRITABLE)
      tlb_flush(); // no stale writable translation may outlive this
    p->type = (uint8)type;
  }
  if(p->type != type)
    return false;
  if(p->type_count++ == 0 && type >= PGT_L1 && type <= PGT_L4 && !validate(p, type)){
    p->type_count = 0;
    p->type = PGT_NONE;
    return false;
  }
  return true;
}

void
put_page_type(struct page *p)
{
  if(p->type_count == 0)
    panic("type of frame %lx released twice", page_mfn(p));
  if(p->type_count == 1 && p->type >= PGT_L1 && p->type <= PGT_L4)
    invalidate(p, p->type);
  p->type_count--;
}

// The domain for which a leaf entry may name the frame: the guest itself, or one it has been given (`foreign`).
static bool
may_map(struct domain *d, struct page *p, struct domain *foreign)
{
  return p->owner == d || (foreign && p->owner == foreign);
}

// Take the references a leaf entry stands for. *e is completed with the bits the guest does not choose.
// foreign: whose frames it may name beside d's own, or 0.
bool
get_l1e(struct domain *d, uint64 *e, struct domain *foreign)
{
  struct page *p;

  if(!(*e & PTE_P))
    return true;
  p = mfn_page((*e & PTE_ADDR) >> PAGE_SHIFT);
  *e = (*e | PTE_US) & ~PTE_G;
  if(p == 0)
    return d->privileged; // device memory
  if(!may_map(d, p, foreign))
    return false;
  if((*e & PTE_RW) && !get_page_type(p, PGT_WRITABLE))
    return false;
  get_page(p);
  return true;
}

void
put_l1e(uint64 e)
{
  struct page *p = e & PTE_P ? mfn_page((e & PTE_ADDR) >> PAGE_SHIFT) : 0;

  if(p == 0)
    return;
  if(e & PTE_RW)
    put_page_type(p);
  put_page(p);
}

// The same for an entry of a table of the given type (L2 to L4), which names a table one level below.
bool
get_table_entry(struct domain *d, uint64 *e, int type)
{
  struct page *p;

  if(!(*e & PTE_P))
    return true;
  p = mfn_page((*e & PTE_ADDR) >> PAGE_SHIFT);
  if(p == 0 || p->owner != d || (*e & PTE_PS))
    return false;
  if(!get_page_type(p, type - 1))
    return false;
  get_page(p);
  *e |= PTE_US;
  return true;
}

void
put_table_entry(uint64 e)
{
  struct page *p = e & PTE_P ? mfn_page((e & PTE_ADDR) >> PAGE_SHIFT) : 0;

  if(p == 0)
    return;
  put_page_type(p);
  put_page(p);
}

static bool
hypervisor_slot(int type, int i)
{
  return type == PGT_L4 && i >= HV_FIRST_SLOT && i <= HV_LAST_SLOT;
}

static bool
validate(struct page *p, int type)
{
  uint64 *t = MFN2V(page_mfn(p));
  int i;

  if(p->owner == 0)
    return false;
  for(i = 0; i < 512; i++){
    uint64 e = t[i];
    if(hypervisor_slot(type, i))
      continue;
    if(!(type == PGT_L1 ? get_l1e(p->owner, &e, 0) : get_table_entry(p->owner, &e, type)))
      break;
    if(e != t[i])
      t[i] = e;
  }
  if(i == 512){
    if(type == PGT_L4)
      vm_fill_l4(t);
    return true;
  }
  printk("domain %u: frame %lx is no L%u table: entry %u is %lx\n", p->owner->id, page_mfn(p), type, i, t[i]);
  while(--i >= 0)
    if(!hypervisor_slot(type, i)){
      if(type == PGT_L1)
        put_l1e(t[i]);
      else
        put_table_entry(t[i]);
    }
  return false;
}

static void
invalidate(struct page *p, int type)
{
  uint64 *t = MFN2V(page_mfn(p));

  for(int i = 0; i < 512; i++){
    if(hypervisor_slot(type, i))
      continue;
    if(type == PGT_L1)
      put_l1e(t[i]);
    else
      put_table_entry(t[i]);
  }
}
