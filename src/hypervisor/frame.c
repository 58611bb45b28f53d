// Page frames: who owns each, how it is used, and which are free.
//
// Every frame of RAM has a struct page. `count` counts reasons to keep it: one for being somebody's, one for each mapping and
// each use by the hypervisor. `type` says how it may be used; it can only change while `type_count` is 0, and that is what keeps
// a PV guest from writing its own page tables: a frame is writable or a table, never both (pv/types.c).
//
// Invariant: a frame is on the free list exactly when count is 0.
#include "defs.h"
#include "memlayout.h"

struct page *pages;
uint64 npages;  // entries in pages[]
uint64 nfree;
uint64 *m2p;

static struct page *freelist;
extern char image_end[];

// Frame of a machine frame number that is RAM, or 0.
struct page *
mfn_page(uint64 mfn)
{
  if(mfn >= npages || !(pages[mfn].flags & PG_RAM))
    return 0;
  return &pages[mfn];
}

static void
free_frame(struct page *p)
{
  p->owner = 0;
  p->type = PGT_NONE;
  p->type_count = p->count = 0;
  p->flags = PG_RAM;
  m2p[page_mfn(p)] = INVALID_M2P;
  p->next = freelist;
  p->prev = 0;
  if(freelist)
    freelist->prev = p;
  freelist = p;
  nfree++;
}

static void
take(struct page *p)
{
  if(p->prev)
    p->prev->next = p->next;
  else
    freelist = p->next;
  if(p->next)
    p->next->prev = p->prev;
  p->next = p->prev = 0;
  p->count = 1;
  nfree--;
}

// One frame for the given owner (0: the hypervisor), or 0. Its content is zero or what the boot loader left there.
struct page *
alloc_page(struct domain *d)
{
  struct page *p = freelist;

  if(p == 0)
    return 0;
  take(p);
  p->owner = d;
  return p;
}

// 2^order frames in a row, aligned to their size, or 0.
struct page *
alloc_pages(struct domain *d, uint32 order)
{
  uint64 n = 1ul << order, run;

  if(order == 0)
    return alloc_page(d);
  for(uint64 base = ROUNDUP(LOAD_ADDR >> PAGE_SHIFT, n); base + n <= npages; base += n){
    for(run = 0; run < n; run++)
      if(!(pages[base + run].flags & PG_RAM) || pages[base + run].count != 0)
        break;
    if(run < n)
      continue;
    for(uint64 i = 0; i < n; i++){
      take(&pages[base + i]);
      pages[base + i].owner = d;
    }
    return &pages[base];
  }
  return 0;
}

// A zeroed page for the hypervisor's own use; the hypervisor does not live on without it.
void *
kalloc(void)
{
  struct page *p = alloc_page(0);

  if(p == 0)
    panic("out of memory");
  return memset(MFN2V(page_mfn(p)), 0, PAGE_SIZE);
}

void *
kalloc_pages(uint32 order)
{
  struct page *p = alloc_pages(0, order);

  if(p == 0)
    panic("out of memory for %u pages in a row", 1u << order);
  return memset(MFN2V(page_mfn(p)), 0, PAGE_SIZE << order);
}

void
kfree(void *va)
{
  put_page(mfn_page(V2MFN(va)));
}

void
get_page(struct page *p)
{
  p->count++;
}

void
put_page(struct page *p)
{
  if(p->count == 0)
    panic("frame %lx given back twice", page_mfn(p));
  if(--p->count == 0){
    if(p->type_count != 0)
      panic("frame %lx freed while type %x is in use", page_mfn(p), p->type);
    tlb_flush(); // a guest may still reach it through a stale translation
    memset(MFN2V(page_mfn(p)), 0, PAGE_SIZE); // nothing of one domain shows in another
    free_frame(p);
  }
}

// Build the frame table behind the image (and behind `above`, the end of the loader's modules), then free what is RAM.
void
frame_init(uint64 above)
{
  uint64 top = 0, start;

  for(int i = 0; i < nram; i++)
    top = MAX(top, ram[i].end);
  npages = top >> PAGE_SHIFT;
  start = ROUNDUP(MAX(above, V2P(image_end)), PAGE_SIZE);
  pages = P2V(start);
  start = ROUNDUP(start + npages * sizeof(struct page), PAGE_SIZE);
  m2p = P2V(start);
  start = ROUNDUP(start + npages * sizeof(uint64), PAGE_SIZE);
  if(start > top)
    panic("no memory for the frame table");
  memset(pages, 0, npages * sizeof(struct page));
  memset(m2p, 0xff, npages * sizeof(uint64));
  // From the top down, so that the list hands out ascending frames.
  for(int i = nram - 1; i >= 0; i--)
    for(uint64 mfn = ram[i].end >> PAGE_SHIFT; mfn-- > ROUNDUP(ram[i].start, PAGE_SIZE) >> PAGE_SHIFT;){
      pages[mfn].flags = PG_RAM;
      if(mfn << PAGE_SHIFT >= start)
        free_frame(&pages[mfn]);
      else
        pages[mfn].count = 1; // below 1 MiB, image, modules, tables: the hypervisor's for good
    }
  printk("memory: %lu MiB, %lu MiB free\n", top >> 20, nfree >> 8);
}
