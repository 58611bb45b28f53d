// Page allocator (a bitmap, first fit) and windows. What differs in a PV domain is in xen/pv-memory.c.
//
// SDM 3A section 4.5 "4-Level Paging and 5-Level Paging".

#include "lib/memory.h"
#include "lib/console.h"
#include "lib/environment.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "xen/pv-memory.h"

enum {
  PAGES_MAX = 1 << 18, // 1 GiB; more is left alone
  PTE_PRESENT = 1, PTE_WRITABLE = 2, PTE_UNCACHED = 0x18,
};
#define PTE_ADDRESS 0x000ffffffffff000ul

extern char image_end[];
static uint64_t used[PAGES_MAX / 64];
static uint64_t first_page, end_page, available;
static uint64_t search_from; // where the last search ended: keeps allocation of many pages linear
static uint64_t window_next = WINDOW_BASE;

static bool is_used(uint64_t page) { return used[page / 64] >> (page % 64) & 1; }

static void
mark(uint64_t page, size_t n, bool in_use)
{
  for(uint64_t p = page; p < page + n; p++){
    if(in_use)
      used[p / 64] |= 1ul << (p % 64);
    else
      used[p / 64] &= ~(1ul << (p % 64));
  }
  available += in_use ? -n : n;
}

// Gives [from, to) to the allocator.
static void
add_pages(uint64_t from, uint64_t to)
{
  end_page = to;
  mark(from, to - from, false);
}

void
memory_init(void)
{
  uint64_t end = MIN(boot.memory_end >> PAGE_SHIFT, PAGES_MAX);

  memset(used, 0xff, sizeof used);
  if(!on_pv()){
    first_page = search_from = PAGE_UP((uint64_t)image_end) >> PAGE_SHIFT;
    add_pages(first_page, end);
    return;
  }
  // Xen maps the image, what it built behind it, and some room; that room becomes page tables for the rest.
  uint64_t mapped_end;
  pv_memory_init(&first_page, &mapped_end);
  search_from = first_page;
  mapped_end = MIN(mapped_end, end);
  add_pages(first_page, mapped_end);
  while(mapped_end < end){
    uint64_t next = MIN(end, (mapped_end | 511) + 1);
    pv_map_pseudo_physical(mapped_end, next);
    add_pages(mapped_end, next);
    mapped_end = next;
  }
}

static uint64_t
find_run(uint64_t from, uint64_t to, size_t n)
{
  uint64_t run = 0;

  for(uint64_t p = from; p < to; p++){
    run = is_used(p) ? 0 : run + 1;
    if(run == n)
      return p - n + 1;
  }
  return 0;
}

void *
pages_alloc(size_t n)
{
  uint64_t page = find_run(search_from, end_page, n);

  if(!page)
    page = find_run(first_page, end_page, n);
  if(!page)
    panic("out of memory: %lu pages wanted, %lu free", n, available);
  mark(page, n, true);
  search_from = page + n;
  void *va = (void *)(page << PAGE_SHIFT);
  memset(va, 0, n * PAGE_SIZE);
  return va;
}

void
pages_free(void *pages, size_t n)
{
  mark((uint64_t)pages >> PAGE_SHIFT, n, false);
}

uint64_t
pages_available(void)
{
  return available;
}

uint64_t
machine_address(const void *va)
{
  return on_pv() ? pv_machine_address((uint64_t)va) : (uint64_t)va;
}

void *
window_reserve(size_t n)
{
  void *va = (void *)window_next;

  window_next += n * PAGE_SIZE;
  return va;
}

// The page-table entry for va at the lowest level, making tables on the way (bare machine and HVM).
static uint64_t *
entry_of(uint64_t va)
{
  uint64_t *table = (uint64_t *)(read_cr3() & PTE_ADDRESS);

  for(int shift = 39; shift > 12; shift -= 9){
    uint64_t *entry = &table[va >> shift & 511];
    if(!(*entry & PTE_PRESENT))
      *entry = (uint64_t)pages_alloc(1) | PTE_PRESENT | PTE_WRITABLE;
    table = (uint64_t *)(*entry & PTE_ADDRESS);
  }
  return &table[va >> 12 & 511];
}

void
window_prepare(void *va, size_t n)
{
  for(uint64_t a = (uint64_t)va; a < (uint64_t)va + n * PAGE_SIZE; a += PAGE_SIZE){
    if(on_pv())
      pv_prepare((void *)a);
    else
      entry_of(a);
  }
}

void
window_map(void *va, uint64_t machine, enum mapping mapping)
{
  uint64_t pte = machine | PTE_PRESENT | PTE_WRITABLE | (mapping == MAPPING_UNCACHED ? PTE_UNCACHED : 0);

  if(on_pv())
    pv_map(va, pte);
  else
    *entry_of((uint64_t)va) = pte; // was not present: nothing to flush
}

void
window_unmap(void *va)
{
  if(on_pv()){
    pv_unmap(va);
    return;
  }
  *entry_of((uint64_t)va) = 0;
  invlpg(va);
}

volatile void *
device_map(uint64_t machine, size_t bytes)
{
  uint64_t offset = machine & (PAGE_SIZE - 1);
  size_t pages = PAGE_UP(offset + bytes) >> PAGE_SHIFT;

  if(!on_pv() && machine + bytes <= 0x100000000ul)
    return (volatile void *)machine; // entry code maps all of it
  char *va = window_reserve(pages);
  for(size_t i = 0; i < pages; i++)
    window_map(va + i * PAGE_SIZE, (machine - offset) + i * PAGE_SIZE, MAPPING_UNCACHED);
  return va + offset;
}
