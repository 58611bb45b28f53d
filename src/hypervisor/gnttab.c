// Grant tables: pages of one domain that another may map or copy, because the first one said so.
//
// A grant entry is in memory shared with the granting domain, so it is read once and checked as read. While a grant is mapped the
// GTF_reading and GTF_writing bits in the entry say so; `active` counts the mappings behind them. A mapping holds a reference on
// the frame (pv/mmu.c takes it with the page-table entry), so the frame stays even if the granting domain goes away.
#include "defs.h"
#include "memlayout.h"

#define ENTRIES_A_FRAME (PAGE_SIZE / sizeof(struct grant_entry_v1))

static struct {
  uint16 maps, writes;
} *active[NDOMAIN][NGRANTFRAME];

// Make the domain's table at least n frames. Also used while a domain is built.
int
gnttab_grow(struct domain *d, uint32 n)
{
  if(n > NGRANTFRAME)
    return -XEN_EINVAL;
  while(d->ngrant < n){
    struct page *p = alloc_page(d);
    if(p == 0)
      return -XEN_ENOMEM;
    p->flags |= PG_XEN;
    d->grant[d->ngrant] = memset(MFN2V(page_mfn(p)), 0, PAGE_SIZE);
    active[d->id][d->ngrant] = kalloc();
    d->ngrant++;
  }
  return 0;
}

uint64
gnttab_frame_mfn(struct domain *d, uint32 i)
{
  return V2MFN(d->grant[i]);
}

static struct grant_entry_v1 *
entry_of(struct domain *d, uint32 ref)
{
  if(ref / ENTRIES_A_FRAME >= d->ngrant)
    return 0;
  return &d->grant[ref / ENTRIES_A_FRAME][ref % ENTRIES_A_FRAME];
}

// May domain `id` use this grant of d (for writing)? The granted page, or 0 with the reason in *status.
static struct page *
granted_page(struct domain *d, uint32 ref, uint16 id, bool write, int16 *status)
{
  struct grant_entry_v1 *e = entry_of(d, ref), now_;
  struct page *p;

  *status = GNTST_bad_gntref;
  if(e == 0)
    return 0;
  now_ = *(volatile struct grant_entry_v1 *)e;
  if((now_.flags & GTF_type_mask) != GTF_permit_access || now_.domid != id)
    return 0;
  *status = GNTST_permission_denied;
  if(write && (now_.flags & GTF_readonly))
    return 0;
  *status = GNTST_bad_page;
  p = domain_page(d, now_.frame);
  if(p)
    *status = GNTST_okay;
  return p;
}

static void
mark(struct domain *d, uint32 ref, bool write)
{
  active[d->id][ref / ENTRIES_A_FRAME][ref % ENTRIES_A_FRAME].maps++;
  if(write)
    active[d->id][ref / ENTRIES_A_FRAME][ref % ENTRIES_A_FRAME].writes++;
  entry_of(d, ref)->flags |= GTF_reading | (write ? GTF_writing : 0);
}

static void
unmark(struct domain *d, uint32 ref, bool write)
{
  uint16 *maps = &active[d->id][ref / ENTRIES_A_FRAME][ref % ENTRIES_A_FRAME].maps;
  uint16 *writes = &active[d->id][ref / ENTRIES_A_FRAME][ref % ENTRIES_A_FRAME].writes;
  struct grant_entry_v1 *e = entry_of(d, ref);

  if(write && --*writes == 0)
    e->flags &= ~GTF_writing;
  if(--*maps == 0)
    e->flags &= ~GTF_reading;
}

static int
free_handle(struct domain *d)
{
  static int hint;

  if(d->maptrack == 0)
    d->maptrack = kalloc_pages(6);
  _Static_assert(NMAPTRACK * sizeof(struct maptrack) <= PAGE_SIZE << 6, "fits the allocation");
  for(int i = 0; i < NMAPTRACK; i++){
    int h = (hint + i) % NMAPTRACK;
    if(d->maptrack[h].flags == 0){
      hint = h + 1;
      return h;
    }
  }
  return -1;
}

static void
map_one(struct domain *d, struct gnttab_map_grant_ref *a)
{
  struct domain *rd = find_domain(a->dom);
  bool write = !(a->flags & GNTMAP_readonly);
  struct page *p;
  int h;

  a->handle = ~0u;
  a->dev_bus_addr = 0;
  if(rd == 0){
    a->status = GNTST_bad_domain;
    return;
  }
  if(is_hvm(d) || !(a->flags & GNTMAP_host_map)){
    a->status = GNTST_general_error; // neither device mappings nor back ends in HVM domains
    return;
  }
  p = granted_page(rd, a->ref, d->id, write, &a->status);
  if(p == 0)
    return;
  if((h = free_handle(d)) < 0){
    a->status = GNTST_no_device_space;
    return;
  }
  a->status = pv_map_grant(current, a->host_addr, a->flags, page_mfn(p));
  if(a->status != GNTST_okay)
    return;
  mark(rd, a->ref, write);
  d->maptrack[h] = (struct maptrack){ rd->id, (uint16)a->flags, a->ref, page_mfn(p) };
  a->handle = (uint32)h;
  a->dev_bus_addr = page_mfn(p) << PAGE_SHIFT;
}

static void
unmap_one(struct domain *d, struct gnttab_unmap_grant_ref *a)
{
  struct maptrack *m;
  struct domain *rd;

  if(a->handle >= NMAPTRACK || d->maptrack == 0 || d->maptrack[a->handle].flags == 0){
    a->status = GNTST_bad_handle;
    return;
  }
  m = &d->maptrack[a->handle];
  a->status = pv_unmap_grant(current, a->host_addr, m->flags, m->mfn);
  if(a->status != GNTST_okay)
    return;
  rd = find_domain(m->dom);
  if(rd)
    unmark(rd, m->ref, !(m->flags & GNTMAP_readonly));
  m->flags = 0;
}

static int64
setup_table(struct domain *d, struct gnttab_setup_table *a)
{
  if(a->dom != DOMID_SELF && a->dom != d->id){
    if(!d->privileged)
      return a->status = GNTST_permission_denied, 0;
    if((d = find_domain(a->dom)) == 0)
      return a->status = GNTST_bad_domain, 0;
  }
  if(gnttab_grow(d, a->nr_frames) != 0)
    return a->status = GNTST_general_error, 0;
  for(uint32 i = 0; i < a->nr_frames; i++){
    uint64 mfn = gnttab_frame_mfn(d, i);
    if(copy_to_guest((uint64)(a->frame_list + i), &mfn, sizeof(mfn)))
      return -XEN_EFAULT;
  }
  a->status = GNTST_okay;
  return 0;
}

static void
query_size(struct domain *d, struct gnttab_query_size *a)
{
  if(a->dom != DOMID_SELF && a->dom != d->id && (!d->privileged || (d = find_domain(a->dom)) == 0)){
    a->status = GNTST_bad_domain;
    return;
  }
  a->nr_frames = d->ngrant;
  a->max_nr_frames = NGRANTFRAME;
  a->status = GNTST_okay;
}

// One end of a copy: the page behind a grant of another domain, or of the caller's own frame.
static struct page *
copy_end(struct domain *d, struct gnttab_copy_ptr *p, bool by_ref, bool write, int16 *status)
{
  struct domain *rd = p->domid == DOMID_SELF ? d : find_domain(p->domid);

  if(rd == 0){
    *status = GNTST_bad_domain;
    return 0;
  }
  if(by_ref)
    return granted_page(rd, p->u.ref, d->id, write, status);
  if(rd != d){
    *status = GNTST_permission_denied;
    return 0;
  }
  *status = GNTST_bad_page;
  return domain_page(d, p->u.gmfn);
}

static void
copy_one(struct domain *d, struct gnttab_copy *a)
{
  struct page *src, *dst;

  if(a->source.offset + (uint32)a->len > PAGE_SIZE || a->dest.offset + (uint32)a->len > PAGE_SIZE){
    a->status = GNTST_bad_copy_arg;
    return;
  }
  if((src = copy_end(d, &a->source, a->flags & GNTCOPY_source_gref, false, &a->status)) == 0)
    return;
  if((dst = copy_end(d, &a->dest, a->flags & GNTCOPY_dest_gref, true, &a->status)) == 0)
    return;
  if(!get_page_type(dst, PGT_WRITABLE)){ // a page table, say
    a->status = GNTST_permission_denied;
    return;
  }
  memcpy(MFN2V(page_mfn(dst)) + a->dest.offset, MFN2V(page_mfn(src)) + a->source.offset, a->len);
  put_page_type(dst);
  a->status = GNTST_okay;
}

// Walk an array of operations in guest memory: in, done, out.
#define EACH(type, fn) \
  for(uint64 i = 0; i < count; i++){ \
    struct type a; \
    if(copy_from_guest(&a, gva + i * sizeof(a), sizeof(a))) \
      return -XEN_EFAULT; \
    fn(d, &a); \
    if(copy_to_guest(gva + i * sizeof(a), &a, sizeof(a))) \
      return -XEN_EFAULT; \
  }

int64
do_grant_table_op(uint64 cmd, uint64 gva, uint64 count)
{
  struct domain *d = current->dom;

  switch(cmd){
  case GNTTABOP_map_grant_ref:
    EACH(gnttab_map_grant_ref, map_one);
    return 0;
  case GNTTABOP_unmap_grant_ref:
    EACH(gnttab_unmap_grant_ref, unmap_one);
    tlb_flush();
    return 0;
  case GNTTABOP_copy:
    EACH(gnttab_copy, copy_one);
    return 0;
  case GNTTABOP_query_size:
    EACH(gnttab_query_size, query_size);
    return 0;
  case GNTTABOP_setup_table: {
    struct gnttab_setup_table a;
    if(copy_from_guest(&a, gva, sizeof(a)))
      return -XEN_EFAULT;
    int64 err = setup_table(d, &a);
    return err ? err : copy_to_guest(gva, &a, sizeof(a)) ? -XEN_EFAULT : 0;
  }
  case GNTTABOP_set_version: {
    uint32 one = 1; // the only version there is
    return copy_to_guest(gva, &one, sizeof(one)) ? -XEN_EFAULT : 0;
  }
  case GNTTABOP_get_version: {
    struct gnttab_get_version a = { .version = 1 };
    return copy_to_guest(gva, &a, sizeof(a)) ? -XEN_EFAULT : 0;
  }
  default:
    return -XEN_ENOSYS;
  }
}
