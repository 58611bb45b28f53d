// Build a hardware-virtualised domain and start it as the public interface starts PVH kernels: 32-bit protected mode, flat
// segments, paging off, EBX = struct hvm_start_info. What makes the difference between "hvm" and "pvh" here is only whether
// there is a device model.
//
// Guest-physical memory:
//   0x00000000  RAM                      0x00001000 start_info, memory map, command line
//   0xfec00000  I/O APIC (emulated)      0xfee00000 local APIC (emulated)
//   0xfeffc000  store page, console page; behind them, invisible to the guest, the I/O request pages
#include "../defs.h"
#include "../elf.h"
#include "../memlayout.h"
#include <xen/hvm/start_info.h>

#define START_INFO 0x1000
#define MEMMAP (START_INFO + 0x100)
#define CMDLINE (START_INFO + 0x200)
#define IDENT_PT 0x3000 // page directory for a processor that cannot run without paging: see vmx.c

static void
allocate(struct domain *d, uint64 bytes)
{
  uint64 gfn = 0, end = bytes >> PAGE_SHIFT;
  uint32 order = 0;

  while((PAGE_SIZE << order) < end * sizeof(uint32))
    order++;
  d->hvm->ram = kalloc_pages(order);
  d->hvm->nram = end;
  while(gfn < end){
    struct page *p = gfn % 512 == 0 && gfn + 512 <= end ? domain_alloc_page(d, 9) : 0;
    uint64 n = p ? 512 : 1;
    if(p == 0 && (p = domain_alloc_page(d, 0)) == 0)
      panic("domain %s: %lu MiB are not free", d->name, bytes >> 20);
    if(n == 512)
      p2m_map_2m(d, gfn, page_mfn(p));
    else
      p2m_map(d, gfn, page_mfn(p), true);
    for(uint64 i = 0; i < n; i++)
      m2p[page_mfn(p) + i] = gfn + i;
    gfn += n;
  }
}

static uint64
special_page(struct domain *d, int which, bool visible)
{
  struct page *p = alloc_page(d);
  uint64 gfn = SPECIAL_BASE + (uint64)which;

  if(p == 0)
    panic("no memory for domain %s", d->name);
  p->flags |= PG_XEN;
  memset(MFN2V(page_mfn(p)), 0, PAGE_SIZE);
  m2p[page_mfn(p)] = gfn;
  if(visible)
    p2m_map(d, gfn, page_mfn(p), true);
  else
    d->hvm->ioreq_mfn[which - SPECIAL_IOREQ] = page_mfn(p);
  return gfn;
}

static void
special_pages(struct domain *d)
{
  struct shared_iopage *io;
  int port;

  d->hvm->special_gfn = SPECIAL_BASE;
  domain_connect_store_console(d, special_page(d, SPECIAL_STORE, true), special_page(d, SPECIAL_CONSOLE, true));
  d->params[HVM_PARAM_IOREQ_PFN] = special_page(d, SPECIAL_IOREQ, false);
  d->params[HVM_PARAM_BUFIOREQ_PFN] = special_page(d, SPECIAL_BUFIOREQ, false);
  if((port = evtchn_alloc_xen(d, 0)) < 0)
    panic("domain %s: no event channel for its device model", d->name);
  io = MFN2V(d->hvm->ioreq_mfn[0]);
  io->vcpu_ioreq[0].vp_eport = (uint32)port;
}

static void
put_kernel(void *ctx, uint64 to, const uint8 *from, uint64 n)
{
  struct domain *d = ctx;

  while(n > 0){
    uint64 m = MIN(n, PAGE_SIZE - to % PAGE_SIZE);
    void *p = hvm_gpa(d, to);
    if(p == 0)
      panic("domain %s: its kernel does not fit its memory", d->name);
    memcpy(p, from, m);
    to += m, from += m, n -= m;
  }
}

static void
clear(struct domain *d, uint64 from, uint64 to)
{
  for(uint64 at = from & PAGE_MASK; at < to; at += PAGE_SIZE){
    void *p = hvm_gpa(d, at);
    if(p)
      memset(p, 0, PAGE_SIZE);
  }
}

static void
fill_start_info(struct domain *d, uint64 bytes)
{
  struct hvm_start_info *si = hvm_gpa(d, START_INFO);
  struct hvm_memmap_table_entry *m = hvm_gpa(d, MEMMAP);

  m[0] = (struct hvm_memmap_table_entry){ 0, bytes, XEN_HVM_MEMMAP_TYPE_RAM, 0 };
  m[1] = (struct hvm_memmap_table_entry){ SPECIAL_BASE << PAGE_SHIFT, 4 * PAGE_SIZE, XEN_HVM_MEMMAP_TYPE_RESERVED, 0 };
  safestrcpy(hvm_gpa(d, CMDLINE), d->cmdline, MAX_GUEST_CMDLINE);
  *si = (struct hvm_start_info){
    .magic = XEN_HVM_START_MAGIC_VALUE, .version = 1, .cmdline_paddr = CMDLINE, .memmap_paddr = MEMMAP, .memmap_entries = 2,
  };
}

// Identity map of 4 GiB in 4-MiB pages.
static void
fill_ident_pt(struct domain *d)
{
  uint32 *t = hvm_gpa(d, IDENT_PT);

  for(uint32 i = 0; i < 1024; i++)
    t[i] = i << 22 | PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D | PTE_PS;
  d->hvm->ident_pt = IDENT_PT;
}

void
hvm_build(struct domain *d, struct elf *e, bool no_dm)
{
  struct vcpu *v = d->vcpu;
  uint64 bytes = d->max_pages << PAGE_SHIFT;

  if(!e->has_phys32)
    panic("domain %s: the kernel has no PVH note (PHYS32_ENTRY)", d->name);
  if(bytes > 0xe0000000)
    panic("domain %s: at most 3584 MiB", d->name);
  if(e->plow < IDENT_PT + PAGE_SIZE)
    panic("domain %s: its kernel lies where start_info goes", d->name);
  _Static_assert(sizeof(struct hvm_domain) <= PAGE_SIZE && sizeof(struct hvm_vcpu) <= PAGE_SIZE, "a page each");
  d->hvm = kalloc();
  d->hvm->p2m = kalloc();
  d->hvm->no_dm = no_dm || d == dom0;
  d->hvm->link_route[0] = 10, d->hvm->link_route[1] = 11, d->hvm->link_route[2] = 10, d->hvm->link_route[3] = 11;
  v->hvm = kalloc();
  vpic_init(d);
  vioapic_init(d);
  vlapic_init(v);
  allocate(d, bytes);
  special_pages(d);
  clear(d, START_INFO, IDENT_PT + PAGE_SIZE);
  clear(d, e->plow, e->phigh);
  elf_load(e, put_kernel, d);
  fill_start_info(d, bytes);
  fill_ident_pt(d);
  *v->regs = (struct regs){ .rip = e->phys32_entry, .rflags = RFLAGS_FIXED1, .rbx = START_INFO };
  hvm_ops->vcpu_init(v);
  vcpu_set_start(v, hvm_loop);
}
