// The hypervisor's own address space, which every PV address space contains: direct map (boot.S), machine-to-physical table,
// descriptor table window. SDM 3A §4.5 "4-Level Paging and 5-Level Paging".
#include "defs.h"
#include "memlayout.h"

extern uint64 hv_l4[512], boot_l3[512];
static uint64 gdt_l1[512] __attribute__((aligned(4096)));
static uint64 gdt_l2[512] __attribute__((aligned(4096)));
static uint64 gdt_l3[512] __attribute__((aligned(4096)));
static uint64 hv_gdt[512] __attribute__((aligned(4096)));  // the ABI's page 14
static uint64 null_gdt[512] __attribute__((aligned(4096))); // stands for guest pages that are not set
static struct tss tss;

// Table below entry i of table t, made when absent.
static uint64 *
descend(uint64 *t, uint64 i, uint64 flags)
{
  if(!(t[i] & PTE_P))
    t[i] = V2P(kalloc()) | flags;
  return P2V(t[i] & PTE_ADDR);
}

// The machine-to-physical table, for guests to read: 4-KiB pages, so that nothing beside it shows.
static void
map_m2p(void)
{
  uint64 flags = PTE_P | PTE_US | PTE_A;
  uint64 end = ROUNDUP(npages * sizeof(uint64), PAGE_SIZE);

  for(uint64 off = 0; off < end; off += PAGE_SIZE){
    uint64 va = M2P_VIRT + off;
    uint64 *t = descend(hv_l4, (va >> 39) & 511, flags | PTE_RW);
    t = descend(t, (va >> 30) & 511, flags | PTE_RW);
    t = descend(t, (va >> 21) & 511, flags | PTE_RW);
    t[(va >> 12) & 511] = V2P((uint64)m2p + off) | flags | PTE_NX;
  }
}

static uint64
code_desc(uint64 dpl, bool is64)
{
  return (is64 ? 0x00af9b000000ffff : 0x00cf9b000000ffff) | dpl << 45;
}

static uint64
data_desc(uint64 dpl)
{
  return 0x00cf93000000ffff | dpl << 45;
}

static void
gdt_init(void)
{
  uint64 base = (uint64)&tss, *e = hv_gdt;

  e[(SEL_HV_CS & 0xfff) >> 3] = code_desc(0, true);
  e[(SEL_HV_DS & 0xfff) >> 3] = data_desc(0);
  e[(SEL_R3_CS32 & 0xfff) >> 3] = code_desc(3, false);
  e[(SEL_R3_DS & 0xfff) >> 3] = data_desc(3);
  e[(SEL_R3_CS64 & 0xfff) >> 3] = code_desc(3, true);
  e[(SEL_TSS & 0xfff) >> 3] = (sizeof(tss) - 1) | (base & 0xffffff) << 16 | 0x89ul << 40 | (base >> 24 & 0xff) << 56;
  e[((SEL_TSS & 0xfff) >> 3) + 1] = base >> 32;

  hv_l4[GDT_SLOT] = V2P(gdt_l3) | PTE_P | PTE_RW;
  gdt_l3[0] = V2P(gdt_l2) | PTE_P | PTE_RW;
  gdt_l2[0] = V2P(gdt_l1) | PTE_P | PTE_RW;
  for(int i = 0; i < FIRST_RESERVED_GDT_PAGE; i++)
    gdt_l1[i] = V2P(null_gdt) | PTE_P | PTE_RW;
  gdt_l1[FIRST_RESERVED_GDT_PAGE] = V2P(hv_gdt) | PTE_P | PTE_RW;
}

// Put the descriptor tables, the TSS and the SYSCALL entry in force. Also after a VM exit has shortened them (hvm/vmx.c).
void
gdt_load(void)
{
  struct dtr d = { (FIRST_RESERVED_GDT_PAGE + 1) * PAGE_SIZE - 1, GDT_VIRT };

  lgdt(&d);
  hv_gdt[(SEL_TSS & 0xfff) >> 3] &= ~(2ul << 40); // not busy: LTR wants it so
  ltr(SEL_TSS);
}

// SYSCALL of PV guests comes to entry.S. A hardware-virtualised guest has values of its own in these registers.
void
syscall_msrs_load(void)
{
  extern char syscall_entry[], syscall32_entry[];

  wrmsr(MSR_STAR, (uint64)SEL_R3_CS32 << 48 | (uint64)SEL_HV_CS << 32);
  wrmsr(MSR_LSTAR, (uint64)syscall_entry);
  wrmsr(MSR_CSTAR, (uint64)syscall32_entry);
  wrmsr(MSR_FMASK, RFLAGS_IF | RFLAGS_TF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_RF | RFLAGS_IOPL);
}

void
vm_init(void)
{
  static uint8 df_stack[4096] __attribute__((aligned(16)));

  map_m2p();
  gdt_init();
  memset(tss.iomap, 0, sizeof(tss.iomap) - 1);
  tss.iomap[8192] = 0xff;
  tss.iomap_base = sizeof(tss); // beyond the limit: nobody has ports
  tss.ist[0] = (uint64)df_stack + sizeof(df_stack);
  gdt_load();
  asm volatile("pushq %0; leaq 1f(%%rip), %%rax; pushq %%rax; lretq; 1:" : : "i"(SEL_HV_CS) : "rax", "memory");
  asm volatile("mov %0, %%ss" : : "r"((uint16)SEL_HV_DS));
  lldt(0);
  syscall_msrs_load();
}

// The boot loader's identity map has done its work.
void
vm_drop_identity(void)
{
  hv_l4[0] = 0;
  lcr3(V2P(hv_l4));
}

uint64
hv_cr3(void)
{
  return V2P(hv_l4);
}

// The slots of an L4 that are the hypervisor's.
void
vm_fill_l4(uint64 *l4)
{
  for(int i = HV_FIRST_SLOT; i <= HV_LAST_SLOT; i++)
    l4[i] = hv_l4[i];
}

// Show the guest's descriptor table pages in the window. frames[i] 0: none there.
void
vm_map_guest_gdt(const uint64 *frames)
{
  for(int i = 0; i < FIRST_RESERVED_GDT_PAGE; i++){
    uint64 pte = (frames[i] ? frames[i] << PAGE_SHIFT : V2P(null_gdt)) | PTE_P | PTE_RW | PTE_A | PTE_D;
    if(gdt_l1[i] == pte)
      continue;
    gdt_l1[i] = pte;
    invlpg(GDT_VIRT + (uint64)i * PAGE_SIZE);
  }
}

// Where the processor finds its stack when a guest in ring 3 traps, and whether that guest may use I/O ports.
void
vm_set_kstack(uint64 top, bool ports)
{
  extern uint64 kstack_top;

  kstack_top = top;
  tss.rsp0 = top;
  tss.iomap_base = ports ? offsetof(struct tss, iomap) : sizeof(tss);
}

// Ports no guest gets: what the hypervisor itself drives.
void
vm_deny_ports(uint16 first, uint16 last)
{
  for(uint32 p = first; p <= last; p++)
    tss.iomap[p / 8] |= 1 << (p % 8);
}

uint64 *
vm_tss_base(void)
{
  return (uint64 *)&tss;
}

// Everything but global translations, and no guest has those.
void
tlb_flush(void)
{
  lcr3(rcr3());
}
