// A PV guest's descriptor table: frames of the guest that the hypervisor shows below its own page (vm.c, memlayout.h).
//
// A descriptor must not give a privilege the guest has not: no system segments, no gates, nothing for rings 0 to 2.
// SDM 3A §3.4.5 "Segment Descriptors".
#include "defs.h"
#include "memlayout.h"

#define DESC_S (1ul << 44)
#define DESC_P (1ul << 47)
#define DESC_DPL (3ul << 45)

// Make a descriptor harmless, or say it cannot be.
static bool
fix_descriptor(uint64 *e)
{
  if(!(*e & DESC_P))
    return true;
  if(!(*e & DESC_S))
    return false;
  *e |= DESC_DPL;
  return true;
}

static bool
use_as_gdt(struct domain *d, uint64 mfn)
{
  struct page *p = domain_page(d, mfn);
  uint64 *e = MFN2V(mfn);

  if(p == 0)
    return false;
  if(p->type_count == 0 || p->type != PGT_SEG){
    if(!get_page_type(p, PGT_SEG)) // fails while a writable mapping exists
      return false;
    for(int i = 0; i < 512; i++)
      if(!fix_descriptor(&e[i])){
        put_page_type(p);
        return false;
      }
  } else
    get_page_type(p, PGT_SEG);
  get_page(p);
  return true;
}

static void
drop_gdt(struct pv_vcpu *v)
{
  for(int i = 0; i < FIRST_RESERVED_GDT_PAGE; i++){
    if(v->gdt_frames[i] == 0)
      continue;
    put_page_type(mfn_page(v->gdt_frames[i]));
    put_page(mfn_page(v->gdt_frames[i]));
    v->gdt_frames[i] = 0;
  }
}

int64
do_set_gdt(uint64 gva, uint64 entries)
{
  struct vcpu *v = current;
  uint64 frames[FIRST_RESERVED_GDT_PAGE] = { 0 }, n = (entries + 511) / 512, i;

  if(entries > FIRST_RESERVED_GDT_ENTRY)
    return -XEN_EINVAL;
  if(copy_from_guest(frames, gva, n * sizeof(frames[0])))
    return -XEN_EFAULT;
  for(i = 0; i < n; i++)
    if(!use_as_gdt(v->dom, frames[i]))
      break;
  if(i < n){
    while(i-- > 0){
      put_page_type(mfn_page(frames[i]));
      put_page(mfn_page(frames[i]));
    }
    return -XEN_EINVAL;
  }
  drop_gdt(&v->pv);
  memcpy(v->pv.gdt_frames, frames, sizeof(frames));
  v->pv.gdt_ents = (uint32)entries;
  vm_map_guest_gdt(frames);
  return 0;
}

int64
do_update_descriptor(uint64 ma, uint64 e)
{
  struct page *p = domain_page(current->dom, ma >> PAGE_SHIFT);
  int type;

  if(p == 0 || ma % 8 || !fix_descriptor(&e))
    return -XEN_EINVAL;
  type = p->type_count && p->type == PGT_SEG ? PGT_SEG : PGT_WRITABLE;
  if(!get_page_type(p, type))
    return -XEN_EINVAL;
  *(uint64 *)P2V(ma) = e;
  put_page_type(p);
  return 0;
}
