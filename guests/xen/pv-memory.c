// Page tables of a PV domain: every change is a hypercall that Xen validates.
//
// What must stay true: a page that serves as a page table is mapped read-only everywhere before it is hooked in. Entries carry
// the user bit, because a 64-bit PV kernel runs in ring 3. Xen's public header xen.h, "mmu_update" and "update_va_mapping".
//
// The initial address space, as the ABI lays it out from VIRT_BASE: image, p2m list, start_info, store page, console page, page
// tables, stack, then at least 512 KiB more, up to a 4-MiB boundary.

#include "xen/pv-memory.h"
#include "lib/console.h"
#include "lib/memory.h"
#include "xen/xen-guest.h"

enum { PTE_PRESENT = 1, PTE_WRITABLE = 2, PTE_USER = 4, PTE_ACCESSED = 0x20, PTE_DIRTY = 0x40 };
#define PTE_ADDRESS 0x000ffffffffff000ul
#define PTE_TABLE (PTE_PRESENT | PTE_WRITABLE | PTE_USER | PTE_ACCESSED)
#define PTE_DATA (PTE_PRESENT | PTE_WRITABLE | PTE_USER | PTE_ACCESSED | PTE_DIRTY)

static const uint64_t *p2m;       // mfn_list
static uint64_t *top;             // the level-4 table
static uint64_t initial_tables, initial_tables_end;
static const uint64_t *const m2p = (const uint64_t *)MACH2PHYS_VIRT_START;

void
pv_memory_set_start_info(const struct start_info *si)
{
  p2m = (const uint64_t *)si->mfn_list;
  top = (uint64_t *)si->pt_base;
  initial_tables = si->pt_base;
  initial_tables_end = si->pt_base + si->nr_pt_frames * PAGE_SIZE;
}

uint64_t
pv_page_of_frame(uint64_t mfn)
{
  return m2p[mfn];
}

uint64_t
pv_machine_address(uint64_t va)
{
  return p2m[va >> PAGE_SHIFT] << PAGE_SHIFT | (va & (PAGE_SIZE - 1));
}

static uint64_t *
table_behind(uint64_t entry)
{
  return (uint64_t *)(m2p[(entry & PTE_ADDRESS) >> PAGE_SHIFT] << PAGE_SHIFT);
}

// The lowest-level entry for va, or NULL where a table is missing.
static uint64_t *
entry_of(uint64_t va)
{
  uint64_t *table = top;

  for(int shift = 39; shift > 12; shift -= 9){
    uint64_t entry = table[va >> shift & 511];
    if(!(entry & PTE_PRESENT))
      return NULL;
    table = table_behind(entry);
  }
  return &table[va >> 12 & 511];
}

void
pv_memory_init(uint64_t *first_free, uint64_t *mapped_end)
{
  uint64_t va = initial_tables_end, *entry;

  // One more page for the stack Xen builds behind the tables; entry code has left it, but bootstrap data may be there.
  *first_free = (va >> PAGE_SHIFT) + 1;
  while((entry = entry_of(va)) && (*entry & PTE_PRESENT))
    va += PAGE_SIZE;
  *mapped_end = va >> PAGE_SHIFT;
}

static void
set_entry(uint64_t *entry, uint64_t value)
{
  struct mmu_update update = { pv_machine_address((uint64_t)entry) | MMU_NORMAL_PT_UPDATE, value };

  if(hypercall_mmu_update(&update, 1))
    panic("mmu_update of entry %p to %lx refused", (void *)entry, value);
}

static void
make_read_only(uint64_t *table)
{
  uint64_t pte = pv_machine_address((uint64_t)table) | (PTE_DATA & ~(uint64_t)PTE_WRITABLE);

  if(hypercall_update_va_mapping((uint64_t)table, pte, UVMF_INVLPG))
    panic("page table %p cannot be made read-only", (void *)table);
}

// The lowest-level entry for va; missing tables are made from free pages.
static uint64_t *
entry_made(uint64_t va)
{
  uint64_t *table = top;

  for(int shift = 39; shift > 12; shift -= 9){
    uint64_t *entry = &table[va >> shift & 511];
    if(!(*entry & PTE_PRESENT)){
      uint64_t *made = pages_alloc(1);
      make_read_only(made);
      set_entry(entry, pv_machine_address((uint64_t)made) | PTE_TABLE);
    }
    table = table_behind(*entry);
  }
  return &table[va >> 12 & 511];
}

void
pv_map_pseudo_physical(uint64_t from, uint64_t to)
{
  enum { BATCH = 64 };
  struct mmu_update batch[BATCH];
  int n = 0;

  for(uint64_t page = from; page < to; page++){
    uint64_t *entry = entry_made(page << PAGE_SHIFT);
    batch[n++] = (struct mmu_update){ pv_machine_address((uint64_t)entry) | MMU_NORMAL_PT_UPDATE, p2m[page] << PAGE_SHIFT | PTE_DATA };
    if(n == BATCH || page + 1 == to){
      if(hypercall_mmu_update(batch, n))
        panic("cannot map pages up to %lx", page);
      n = 0;
    }
  }
}

void
pv_prepare(void *va)
{
  entry_made((uint64_t)va);
}

void
pv_map(void *va, uint64_t pte)
{
  if(!entry_of((uint64_t)va))
    entry_made((uint64_t)va);
  if(hypercall_update_va_mapping((uint64_t)va, pte | PTE_USER | PTE_ACCESSED | PTE_DIRTY, UVMF_NONE))
    panic("update_va_mapping of %p to %lx refused", va, pte);
}

void
pv_unmap(void *va)
{
  if(hypercall_update_va_mapping((uint64_t)va, 0, UVMF_INVLPG))
    panic("update_va_mapping of %p to nothing refused", va);
}
