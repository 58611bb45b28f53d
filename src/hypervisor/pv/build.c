// Build a PV domain: its memory, its first page tables, start_info, and where it begins.
//
// Virtual addresses from the kernel's base (note VIRT_BASE), as the public interface has it; frames in the same order:
//
//   kernel | p2m list | start_info | store page | console page | page tables | boot stack | spare, to a 4-MiB boundary
//   RW       RW         RW           RW           RW             read-only     RW           RW, at least 512 KiB
//
// dom0 has no store and console pages: it serves them.
#include "defs.h"
#include "elf.h"
#include "memlayout.h"

struct build {
  struct domain *d;
  struct elf *elf;
  uint64 *p2m;       // guest frame to machine frame, while building
  uint64 npages;
  uint64 base;       // virtual address of guest frame 0
  uint64 next;       // first guest frame not laid out yet
  uint64 pt_first, pt_count;
  uint64 end;        // guest frames mapped
};

static void *
frame(struct build *b, uint64 pfn)
{
  return MFN2V(b->p2m[pfn]);
}

static void
allocate(struct build *b)
{
  uint32 order = 0;

  b->npages = b->d->max_pages;
  while((PAGE_SIZE << order) < b->npages * 8)
    order++;
  b->p2m = kalloc_pages(order);
  for(uint64 pfn = 0; pfn < b->npages; pfn++){
    struct page *p = domain_alloc_page(b->d, 0);
    if(p == 0)
      panic("domain %s: %lu MiB are not free", b->d->name, b->npages >> 8);
    b->p2m[pfn] = page_mfn(p);
    m2p[page_mfn(p)] = pfn;
  }
}

static uint64
take_pages(struct build *b, uint64 n)
{
  uint64 first = b->next;

  b->next += n;
  if(b->next > b->npages)
    panic("domain %s: %lu MiB are too little for its kernel", b->d->name, b->npages >> 8);
  for(uint64 pfn = first; pfn < b->next; pfn++)
    memset(frame(b, pfn), 0, PAGE_SIZE);
  return first;
}

static void
put_kernel(void *ctx, uint64 to, const uint8 *from, uint64 n)
{
  struct build *b = ctx;

  to -= b->elf->paddr_offset;
  while(n > 0){
    uint64 m = MIN(n, PAGE_SIZE - to % PAGE_SIZE);
    memcpy(frame(b, to >> PAGE_SHIFT) + to % PAGE_SIZE, from, m);
    to += m, from += m, n -= m;
  }
}

// Tables needed to map `pages` pages from b->base: one L4, and of L3 to L1 as many as the range touches.
static uint64
tables_for(struct build *b, uint64 pages)
{
  uint64 n = 1, last = b->base + (pages << PAGE_SHIFT) - 1;

  for(int shift = 39; shift >= 21; shift -= 9)
    n += (last >> shift) - (b->base >> shift) + 1;
  return n;
}

// How much is mapped depends on how many tables there are, and that on how much is mapped.
static void
layout_tables(struct build *b)
{
  uint64 spare = (512 << 10) >> PAGE_SHIFT, align = (4 << 20) >> PAGE_SHIFT;

  b->pt_first = b->next;
  b->pt_count = 1;
  do {
    b->pt_count++;
    uint64 va_end = (b->base >> PAGE_SHIFT) + b->pt_first + b->pt_count + 1 + spare;
    b->end = ROUNDUP(va_end, align) - (b->base >> PAGE_SHIFT);
  } while(tables_for(b, b->end) > b->pt_count);
  b->pt_count = tables_for(b, b->end);
  if(b->end > b->npages)
    panic("domain %s: %lu MiB are too little, its first page tables map %lu", b->d->name, b->npages >> 8, b->end >> 8);
  take_pages(b, b->pt_count);
}

// The entry of the table tree for va at the level where `shift` bits are below it; tables are taken in order.
static void
map_all(struct build *b)
{
  uint64 used = 1, l4 = b->pt_first;

  for(uint64 pfn = 0; pfn < b->end; pfn++){
    uint64 va = b->base + (pfn << PAGE_SHIFT), *t = frame(b, l4);
    bool table = pfn >= b->pt_first && pfn < b->pt_first + b->pt_count;
    for(int shift = 39; shift > 12; shift -= 9){
      uint64 *e = &t[(va >> shift) & 511];
      if(!(*e & PTE_P))
        *e = b->p2m[b->pt_first + used++] << PAGE_SHIFT | PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D;
      t = P2V(*e & PTE_ADDR);
    }
    t[(va >> 12) & 511] = b->p2m[pfn] << PAGE_SHIFT | PTE_P | PTE_US | PTE_A | PTE_D | (table ? 0 : PTE_RW);
  }
}

static uint64
va_of(struct build *b, uint64 pfn)
{
  return b->base + (pfn << PAGE_SHIFT);
}

static void
fill_start_info(struct build *b, uint64 si_pfn, uint64 p2m_pfn, uint64 store_pfn, uint64 console_pfn)
{
  struct start_info *si = frame(b, si_pfn);
  struct domain *d = b->d;

  safestrcpy(si->magic, "xen-3.0-x86_64", sizeof(si->magic));
  si->nr_pages = b->npages;
  si->shared_info = d->shared_mfn << PAGE_SHIFT;
  si->flags = d->privileged ? SIF_PRIVILEGED | SIF_INITDOMAIN : 0;
  if(!d->privileged){
    domain_connect_store_console(d, b->p2m[store_pfn], b->p2m[console_pfn]);
    si->store_mfn = d->params[HVM_PARAM_STORE_PFN];
    si->store_evtchn = (uint32)d->params[HVM_PARAM_STORE_EVTCHN];
    si->console.domU.mfn = d->params[HVM_PARAM_CONSOLE_PFN];
    si->console.domU.evtchn = (uint32)d->params[HVM_PARAM_CONSOLE_EVTCHN];
  }
  si->pt_base = va_of(b, b->pt_first);
  si->nr_pt_frames = b->pt_count;
  si->mfn_list = va_of(b, p2m_pfn);
  safestrcpy((char *)si->cmd_line, d->cmdline, sizeof(si->cmd_line));
}

static void
copy_p2m(struct build *b, uint64 p2m_pfn)
{
  for(uint64 i = 0; i < b->npages; i++)
    ((uint64 *)frame(b, p2m_pfn + i / 512))[i % 512] = b->p2m[i];
}

static void
fill_hypercall_page(struct build *b)
{
  static const uint8 syscall_insn[] = { 0x0f, 0x05 };
  uint64 pfn = (b->elf->hypercall_page - b->base) >> PAGE_SHIFT;

  if(!b->elf->has_hypercall_page)
    return;
  if(pfn >= b->end)
    panic("domain %s: its hypercall page is outside its image", b->d->name);
  hypercall_page(frame(b, pfn), true, syscall_insn, sizeof(syscall_insn));
}

static void
pv_first_run(struct vcpu *v)
{
  (void)v; // its registers are set; entry.S goes on to return to the guest
}

void
pv_build(struct domain *d, struct elf *e)
{
  struct build b = { .d = d, .elf = e, .base = e->virt_base };
  uint64 p2m_pfn, si_pfn, store_pfn = 0, console_pfn = 0, stack_pfn;
  struct vcpu *v = d->vcpu;
  struct page *l4;

  if(e->notes == 0)
    panic("domain %s: the kernel has no Xen notes, so it is no PV kernel", d->name);
  if(pv_bad_address(e->virt_base, 1) || e->plow < e->paddr_offset)
    panic("domain %s: its addresses (base %lx) cannot be had", d->name, e->virt_base);
  allocate(&b);
  take_pages(&b, ROUNDUP(e->phigh - e->paddr_offset, PAGE_SIZE) >> PAGE_SHIFT);
  elf_load(e, put_kernel, &b);
  p2m_pfn = take_pages(&b, ROUNDUP(b.npages * 8, PAGE_SIZE) >> PAGE_SHIFT);
  si_pfn = take_pages(&b, 1);
  if(!d->privileged){
    store_pfn = take_pages(&b, 1);
    console_pfn = take_pages(&b, 1);
  }
  layout_tables(&b);
  stack_pfn = take_pages(&b, 1);
  map_all(&b);
  copy_p2m(&b, p2m_pfn);
  fill_start_info(&b, si_pfn, p2m_pfn, store_pfn, console_pfn);
  fill_hypercall_page(&b);

  l4 = mfn_page(b.p2m[b.pt_first]);
  // Twice: for CR3, and as pinned, which the interface says of the first tables; a kernel that leaves them unpins them.
  if(!get_page_type(l4, PGT_L4) || !get_page_type(l4, PGT_L4))
    panic("domain %s: its first page tables do not pass", d->name);
  get_page(l4);
  get_page(l4);
  l4->flags |= PG_PINNED;
  v->pv.cr3_kernel = page_mfn(l4) << PAGE_SHIFT;
  v->pv.kernel_sp = va_of(&b, stack_pfn + 1);
  *v->regs = (struct regs){
    .rip = e->entry, .cs = SEL_R3_CS64, .rflags = RFLAGS_IF | RFLAGS_FIXED1,
    .rsp = v->pv.kernel_sp, .ss = SEL_R3_DS, .rsi = va_of(&b, si_pfn),
  };
  vcpu_set_start(v, pv_first_run);
  for(uint64 va = (uint64)b.p2m; va < (uint64)b.p2m + b.npages * 8; va += PAGE_SIZE)
    kfree((void *)va);
}
