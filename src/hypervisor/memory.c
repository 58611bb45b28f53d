// Hypercall memory_op: how much memory a domain has and, for HVM, where it sees it.
#include "defs.h"
#include "memlayout.h"
#include <xen/memory.h>

// A reservation argument names the caller, or (from dom0) another domain.
static struct domain *
target(uint16 id, int64 *err)
{
  struct domain *d;

  if(id == DOMID_SELF || id == current->dom->id)
    return current->dom;
  *err = -XEN_EPERM;
  if(!current->dom->privileged)
    return 0;
  *err = -XEN_ESRCH;
  d = find_domain(id);
  return d;
}

// More memory. The guest names the frames as it wants to see them; a PV guest is told the machine frames.
static int64
populate(struct domain *d, struct xen_memory_reservation *r, bool increase)
{
  uint64 gfn, mfn, i;
  struct page *p;

  for(i = 0; i < r->nr_extents; i++){
    uint64 at = (uint64)(r->extent_start + i);
    if(!increase && copy_from_guest(&gfn, at, sizeof(gfn)))
      return -XEN_EFAULT;
    if(r->extent_order > 9 || (p = domain_alloc_page(d, r->extent_order)) == 0)
      break;
    mfn = page_mfn(p);
    if(!increase)
      for(uint64 j = 0; j < 1ul << r->extent_order; j++){
        m2p[mfn + j] = gfn + j;
        if(is_hvm(d))
          p2m_map(d, gfn + j, mfn + j, true);
      }
    if(!is_hvm(d) && copy_to_guest(at, &mfn, sizeof(mfn)))
      return -XEN_EFAULT;
  }
  return (int64)i;
}

// Memory given back. The guest must not have it mapped any more, or the frame stays until it has not.
static int64
decrease(struct domain *d, struct xen_memory_reservation *r)
{
  uint64 gfn, i;

  if(r->extent_order != 0)
    return -XEN_EINVAL;
  for(i = 0; i < r->nr_extents; i++){
    if(copy_from_guest(&gfn, (uint64)(r->extent_start + i), sizeof(gfn)))
      return -XEN_EFAULT;
    struct page *p = domain_page(d, gfn);
    if(p == 0 || (p->flags & PG_XEN))
      break;
    if(is_hvm(d))
      p2m_unmap(d, gfn);
    if(p->flags & PG_PINNED)
      break;
    m2p[page_mfn(p)] = INVALID_M2P;
    d->tot_pages--;
    put_page(p);
  }
  return (int64)i;
}

// Swap frames for others, in larger or smaller pieces: how a PV guest gets memory for DMA that is contiguous.
static int64
exchange(uint64 gva)
{
  struct xen_memory_exchange x;
  struct domain *d = current->dom;
  uint64 in_per_out, gfn, out_mfn;

  if(copy_from_guest(&x, gva, sizeof(x)))
    return -XEN_EFAULT;
  if(is_hvm(d) || x.in.extent_order != 0 || x.out.extent_order > 9)
    return -XEN_EINVAL;
  in_per_out = 1ul << x.out.extent_order;
  if(x.in.nr_extents != x.out.nr_extents << x.out.extent_order)
    return -XEN_EINVAL;
  for(uint64 i = 0; i < x.out.nr_extents; i++){
    struct page *p = alloc_pages(d, x.out.extent_order);
    if(p == 0)
      return -XEN_ENOMEM;
    for(uint64 j = 0; j < in_per_out; j++){
      uint64 mfn;
      if(copy_from_guest(&mfn, (uint64)(x.in.extent_start + i * in_per_out + j), sizeof(mfn)))
        return -XEN_EFAULT;
      struct page *old = domain_page(d, mfn);
      if(old == 0 || old->count != 1 || old->type_count != 0)
        return -XEN_EBUSY;
      put_page(old);
    }
    if(copy_from_guest(&gfn, (uint64)(x.out.extent_start + i), sizeof(gfn)))
      return -XEN_EFAULT;
    for(uint64 j = 0; j < in_per_out; j++)
      m2p[page_mfn(p) + j] = gfn + j;
    out_mfn = page_mfn(p);
    if(copy_to_guest((uint64)(x.out.extent_start + i), &out_mfn, sizeof(out_mfn)))
      return -XEN_EFAULT;
    x.nr_exchanged += in_per_out;
  }
  return copy_to_guest(gva, &x, sizeof(x)) ? -XEN_EFAULT : 0;
}

// Put a page the hypervisor keeps for the domain, or one of its own, where the guest wants to see it.
static int64
add_to_physmap(uint64 gva)
{
  struct xen_add_to_physmap a;
  struct domain *d;
  int64 err;
  uint64 mfn, old;

  if(copy_from_guest(&a, gva, sizeof(a)))
    return -XEN_EFAULT;
  if((d = target(a.domid, &err)) == 0)
    return err;
  if(!is_hvm(d))
    return -XEN_EINVAL;
  switch(a.space){
  case XENMAPSPACE_shared_info:
    if(a.idx != 0)
      return -XEN_EINVAL;
    mfn = d->shared_mfn;
    break;
  case XENMAPSPACE_grant_table:
    if(a.idx >= NGRANTFRAME || gnttab_grow(d, (uint32)a.idx + 1) != 0)
      return -XEN_EINVAL;
    mfn = gnttab_frame_mfn(d, (uint32)a.idx);
    break;
  default:
    return -XEN_ENOSYS;
  }
  old = m2p[mfn];
  if(old != INVALID_M2P)
    p2m_unmap(d, old);
  // What lay there before is the guest's loss, but not the machine's.
  struct page *under = domain_page(d, a.gpfn);
  p2m_unmap(d, a.gpfn);
  if(under && !(under->flags & PG_XEN)){
    d->tot_pages--;
    put_page(under);
  }
  p2m_map(d, a.gpfn, mfn, true);
  m2p[mfn] = a.gpfn;
  return 0;
}

static int64
memory_map(uint64 gva, bool machine)
{
  struct xen_memory_map a;
  struct domain *d = current->dom;
  struct e820entry e[8];
  uint32 n = 0;

  if(copy_from_guest(&a, gva, sizeof(a)))
    return -XEN_EFAULT;
  if(machine){
    if(!d->privileged)
      return -XEN_EPERM;
    for(int i = 0; i < nram && n < NELEM(e); i++)
      e[n++] = (struct e820entry){ ram[i].start, ram[i].end - ram[i].start, 1 };
  } else
    e[n++] = (struct e820entry){ 0, d->max_pages << PAGE_SHIFT, 1 };
  n = MIN(n, a.nr_entries);
  a.nr_entries = n;
  if(copy_to_guest((uint64)a.buffer, e, n * sizeof(e[0])) || copy_to_guest(gva, &a, sizeof(a)))
    return -XEN_EFAULT;
  return 0;
}

int64
do_memory_op(uint64 cmd, uint64 gva)
{
  struct xen_memory_reservation r;
  struct xen_remove_from_physmap rm;
  struct domain *d;
  uint16 id;
  int64 err = -XEN_ESRCH;

  switch(cmd){
  case XENMEM_increase_reservation:
  case XENMEM_populate_physmap:
  case XENMEM_decrease_reservation:
    if(copy_from_guest(&r, gva, sizeof(r)))
      return -XEN_EFAULT;
    if((d = target(r.domid, &err)) == 0)
      return err;
    return cmd == XENMEM_decrease_reservation ? decrease(d, &r) : populate(d, &r, cmd == XENMEM_increase_reservation);
  case XENMEM_maximum_ram_page:
    return (int64)npages - 1;
  case XENMEM_current_reservation:
  case XENMEM_maximum_reservation:
    if(copy_from_guest(&id, gva, sizeof(id)))
      return -XEN_EFAULT;
    if((d = target(id, &err)) == 0)
      return err;
    return (int64)(cmd == XENMEM_current_reservation ? d->tot_pages : d->max_pages);
  case XENMEM_machphys_mapping: {
    struct xen_machphys_mapping m = { M2P_VIRT, MACH2PHYS_VIRT_END, npages - 1 };
    return copy_to_guest(gva, &m, sizeof(m)) ? -XEN_EFAULT : 0;
  }
  case XENMEM_add_to_physmap:
    return add_to_physmap(gva);
  case XENMEM_remove_from_physmap:
    if(copy_from_guest(&rm, gva, sizeof(rm)))
      return -XEN_EFAULT;
    if((d = target(rm.domid, &err)) == 0)
      return err;
    if(!is_hvm(d))
      return -XEN_EINVAL;
    p2m_unmap(d, rm.gpfn);
    return 0;
  case XENMEM_memory_map:
  case XENMEM_machine_memory_map:
    return memory_map(gva, cmd == XENMEM_machine_memory_map);
  case XENMEM_exchange:
    return exchange(gva);
  default:
    return -XEN_ENOSYS;
  }
}
