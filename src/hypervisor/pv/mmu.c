// Changes of a PV guest's page tables: mmu_update, update_va_mapping, mmuext_op, and mappings of grants.
#include "defs.h"
#include "memlayout.h"

// Replace entry *slot of a table by v, references first, so that a refused value changes nothing.
static int
set_l1e(struct domain *d, uint64 *slot, uint64 v, struct domain *foreign, bool keep_ad)
{
  uint64 old = *slot;

  if(keep_ad)
    v |= old & (PTE_A | PTE_D);
  if(!get_l1e(d, &v, foreign))
    return -XEN_EINVAL;
  *(volatile uint64 *)slot = v;
  put_l1e(old);
  return 0;
}

static int
set_table_entry(struct domain *d, uint64 *slot, uint64 v, int type)
{
  uint64 old = *slot;
  int index = (int)((uint64)slot % PAGE_SIZE / 8);

  if(type == PGT_L4 && index >= HV_FIRST_SLOT && index <= HV_LAST_SLOT)
    return -XEN_EINVAL;
  if(!get_table_entry(d, &v, type))
    return -XEN_EINVAL;
  *(volatile uint64 *)slot = v;
  put_table_entry(old);
  return 0;
}

// A foreign guest that does not know machine frames is named by its own frame numbers.
static uint64
translate_foreign(struct domain *foreign, uint64 v)
{
  uint64 mfn;

  if(foreign == 0 || !is_hvm(foreign) || !(v & PTE_P))
    return v;
  mfn = p2m_lookup(foreign, (v & PTE_ADDR) >> PAGE_SHIFT);
  return mfn == INVALID_MFN ? 0 : (v & ~PTE_ADDR) | mfn << PAGE_SHIFT;
}

static int
pt_update(struct domain *d, struct mmu_update *u, struct domain *foreign)
{
  uint64 mfn = u->ptr >> PAGE_SHIFT, v = u->val;
  bool keep_ad = (u->ptr & 3) == MMU_PT_UPDATE_PRESERVE_AD;
  struct page *p = mfn_page(mfn);
  uint64 *slot;
  int err;

  if(p == 0 || p->owner != d)
    return -XEN_EINVAL;
  slot = MFN2V(mfn) + (u->ptr & (PAGE_SIZE - 8));
  if(p->type_count == 0 || p->type == PGT_WRITABLE){ // not a table now: an ordinary write
    if(!get_page_type(p, PGT_WRITABLE))
      return -XEN_EINVAL;
    *slot = v;
    put_page_type(p);
    return 0;
  }
  switch(p->type){
  case PGT_L1:
    if((u->ptr & 3) != MMU_PT_UPDATE_NO_TRANSLATE){
      uint64 t = translate_foreign(foreign, v);
      if(t == 0 && v != 0)
        return -XEN_EINVAL;
      v = t;
    }
    return set_l1e(d, slot, v, foreign, keep_ad);
  case PGT_L2: case PGT_L3: case PGT_L4:
    err = set_table_entry(d, slot, v, p->type);
    if(err == 0)
      tlb_flush();
    return err;
  default:
    return -XEN_EINVAL;
  }
}

static int
m2p_update(struct domain *d, struct mmu_update *u)
{
  struct page *p = mfn_page(u->ptr >> PAGE_SHIFT);

  if(p == 0 || p->owner != d)
    return -XEN_EINVAL;
  m2p[page_mfn(p)] = u->val;
  return 0;
}

// Whose frames a call may name: argument of mmu_update and update_va_mapping_otherdomain. False: not allowed.
static bool
foreign_domain(uint16 id, struct domain **out)
{
  *out = 0;
  if(id == DOMID_SELF || id == current->dom->id || id == DOMID_IO)
    return true;
  if(!current->dom->privileged)
    return false;
  *out = find_domain(id);
  return *out != 0;
}

int64
do_mmu_update(uint64 gva, uint64 count, uint64 done_gva, uint64 domid)
{
  struct domain *d = current->dom, *foreign;
  struct mmu_update u;
  uint64 i;
  int err = 0;

  if(!foreign_domain((uint16)domid, &foreign))
    return -XEN_EPERM;
  for(i = 0; i < count && err == 0; i++){
    if(copy_from_guest(&u, gva + i * sizeof(u), sizeof(u)))
      return -XEN_EFAULT;
    err = (u.ptr & 3) == MMU_MACHPHYS_UPDATE ? m2p_update(d, &u) : pt_update(d, &u, foreign);
  }
  uint32 done = (uint32)(err ? i - 1 : i);
  if(done_gva && copy_to_guest(done_gva, &done, sizeof(done)))
    return -XEN_EFAULT;
  return err;
}

// The leaf entry that maps va in the running address space, or 0 when a table is missing.
static uint64 *
l1e_of(uint64 va)
{
  uint64 *t = P2V(rcr3() & PTE_ADDR);

  if(pv_bad_address(va, 8))
    return 0;
  for(int shift = 39; shift > 12; shift -= 9){
    uint64 e = t[(va >> shift) & 511];
    if(!(e & PTE_P) || (e & PTE_PS))
      return 0;
    t = P2V(e & PTE_ADDR);
  }
  return &t[(va >> 12) & 511];
}

int64
do_update_va_mapping(uint64 va, uint64 val, uint64 flags, uint16 domid)
{
  struct domain *foreign;
  uint64 *slot;
  int err;

  if(!foreign_domain(domid, &foreign))
    return -XEN_EPERM;
  if((slot = l1e_of(va)) == 0)
    return -XEN_EINVAL;
  err = set_l1e(current->dom, slot, translate_foreign(foreign, val), foreign, false);
  switch(flags & UVMF_FLUSHTYPE_MASK){
  case UVMF_TLB_FLUSH: tlb_flush(); break;
  case UVMF_INVLPG: invlpg(va); break;
  }
  return err;
}

// --- mmuext_op ---

static int
pin(struct domain *d, uint64 mfn, int type)
{
  struct page *p = mfn_page(mfn);

  if(p == 0 || p->owner != d || (p->flags & PG_PINNED))
    return -XEN_EINVAL;
  if(!get_page_type(p, type))
    return -XEN_EINVAL;
  get_page(p);
  p->flags |= PG_PINNED;
  return 0;
}

static int
unpin(struct domain *d, uint64 mfn)
{
  struct page *p = mfn_page(mfn);

  if(p == 0 || p->owner != d || !(p->flags & PG_PINNED))
    return -XEN_EINVAL;
  p->flags &= (uint8)~PG_PINNED;
  put_page_type(p);
  put_page(p);
  return 0;
}

// Put *base in force for the guest (kernel or user), with the references CR3 stands for. mfn 0 for the user one: none.
static int
new_baseptr(struct vcpu *v, uint64 *base, uint64 mfn, bool may_be_none)
{
  struct page *p, *old = *base ? mfn_page(*base >> PAGE_SHIFT) : 0;

  if(mfn == 0 && may_be_none)
    *base = 0;
  else {
    p = mfn_page(mfn);
    if(p == 0 || p->owner != v->dom || !get_page_type(p, PGT_L4))
      return -XEN_EINVAL;
    get_page(p);
    *base = mfn << PAGE_SHIFT;
  }
  if(base == &v->pv.cr3_kernel)
    lcr3(*base);
  if(old){
    put_page_type(old);
    put_page(old);
  }
  return 0;
}

static int
clear_or_copy(struct domain *d, uint64 mfn, uint64 src_mfn, bool copy)
{
  struct page *p = domain_page(d, mfn), *s = copy ? domain_page(d, src_mfn) : 0;

  if(p == 0 || (copy && s == 0) || !get_page_type(p, PGT_WRITABLE))
    return -XEN_EINVAL;
  if(copy)
    memcpy(MFN2V(mfn), MFN2V(src_mfn), PAGE_SIZE);
  else
    memset(MFN2V(mfn), 0, PAGE_SIZE);
  put_page_type(p);
  return 0;
}

static int
mmuext_one(struct vcpu *v, struct mmuext_op *op)
{
  switch(op->cmd){
  case MMUEXT_PIN_L1_TABLE: return pin(v->dom, op->arg1.mfn, PGT_L1);
  case MMUEXT_PIN_L2_TABLE: return pin(v->dom, op->arg1.mfn, PGT_L2);
  case MMUEXT_PIN_L3_TABLE: return pin(v->dom, op->arg1.mfn, PGT_L3);
  case MMUEXT_PIN_L4_TABLE: return pin(v->dom, op->arg1.mfn, PGT_L4);
  case MMUEXT_UNPIN_TABLE: return unpin(v->dom, op->arg1.mfn);
  case MMUEXT_NEW_BASEPTR: return new_baseptr(v, &v->pv.cr3_kernel, op->arg1.mfn, false);
  case MMUEXT_NEW_USER_BASEPTR: return new_baseptr(v, &v->pv.cr3_user, op->arg1.mfn, true);
  case MMUEXT_TLB_FLUSH_LOCAL: case MMUEXT_TLB_FLUSH_MULTI: case MMUEXT_TLB_FLUSH_ALL:
    tlb_flush();
    return 0;
  case MMUEXT_INVLPG_LOCAL: case MMUEXT_INVLPG_MULTI: case MMUEXT_INVLPG_ALL:
    if(!pv_bad_address(op->arg1.linear_addr, 1))
      invlpg(op->arg1.linear_addr);
    return 0;
  case MMUEXT_FLUSH_CACHE: case MMUEXT_FLUSH_CACHE_GLOBAL:
    if(!v->dom->privileged)
      return -XEN_EPERM;
    asm volatile("wbinvd" : : : "memory");
    return 0;
  case MMUEXT_SET_LDT:
    return op->arg2.nr_ents == 0 ? 0 : -XEN_ENOSYS; // no guest of ours has one
  case MMUEXT_CLEAR_PAGE: return clear_or_copy(v->dom, op->arg1.mfn, 0, false);
  case MMUEXT_COPY_PAGE: return clear_or_copy(v->dom, op->arg1.mfn, op->arg2.src_mfn, true);
  default: return -XEN_ENOSYS;
  }
}

int64
do_mmuext_op(uint64 gva, uint64 count, uint64 done_gva, uint64 domid)
{
  struct mmuext_op op;
  uint64 i;
  int err = 0;

  if(domid != DOMID_SELF && domid != current->dom->id)
    return -XEN_EPERM;
  for(i = 0; i < count && err == 0; i++){
    if(copy_from_guest(&op, gva + i * sizeof(op), sizeof(op)))
      return -XEN_EFAULT;
    err = mmuext_one(current, &op);
  }
  uint32 done = (uint32)(err ? i - 1 : i);
  if(done_gva && copy_to_guest(done_gva, &done, sizeof(done)))
    return -XEN_EFAULT;
  return err;
}

// --- mappings of grants (gnttab.c decides whether they are allowed) ---

// Where the mapping goes: a virtual address, or the machine address of the entry itself.
static uint64 *
grant_slot(struct domain *d, uint64 host_addr, uint32 flags)
{
  struct page *p;

  if(!(flags & GNTMAP_contains_pte))
    return l1e_of(host_addr);
  p = mfn_page(host_addr >> PAGE_SHIFT);
  if(p == 0 || p->owner != d || p->type != PGT_L1 || p->type_count == 0)
    return 0;
  return MFN2V(host_addr >> PAGE_SHIFT) + (host_addr & (PAGE_SIZE - 8));
}

int16
pv_map_grant(struct vcpu *v, uint64 host_addr, uint32 flags, uint64 mfn)
{
  uint64 *slot = grant_slot(v->dom, host_addr, flags);
  uint64 e = mfn << PAGE_SHIFT | PTE_P | PTE_US | PTE_A | PTE_D | PTE_NX;

  if(slot == 0)
    return GNTST_bad_virt_addr;
  if(!(flags & GNTMAP_readonly))
    e |= PTE_RW;
  e |= (uint64)(flags >> GNTMAP_GUEST_AVAIL0 & 7) << 9; // bits of the entry that are for software
  if(set_l1e(v->dom, slot, e, pages[mfn].owner, false) != 0)
    return GNTST_general_error;
  if(!(flags & GNTMAP_contains_pte))
    invlpg(host_addr);
  return GNTST_okay;
}

int16
pv_unmap_grant(struct vcpu *v, uint64 host_addr, uint32 flags, uint64 mfn)
{
  uint64 *slot;

  if(host_addr == 0)
    return GNTST_okay; // the guest has replaced the entry itself
  slot = grant_slot(v->dom, host_addr, flags);
  if(slot == 0)
    return GNTST_bad_virt_addr;
  if((*slot & PTE_P) && (*slot & PTE_ADDR) >> PAGE_SHIFT == mfn)
    set_l1e(v->dom, slot, 0, 0, false);
  return GNTST_okay;
}
