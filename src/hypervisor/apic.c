// The interrupt controllers of the machine: local APIC with its timer, I/O APIC, and the 8259s, which are shut.
//
// SDM 3A chapter 10 "Advanced Programmable Interrupt Controller (APIC)"; 82093AA data sheet §3.2 "IOAPIC Registers".
// A physical line that a domain has bound becomes an event (evtchn.c). A level-triggered line stays masked from its interrupt
// until the domain says PHYSDEVOP_eoi, an edge is done with at once.
#include "defs.h"
#include "memlayout.h"

#define LAPIC_ID 0x20
#define LAPIC_VERSION 0x30
#define LAPIC_TPR 0x80
#define LAPIC_EOI 0xb0
#define LAPIC_SVR 0xf0
#define LAPIC_LVT_TIMER 0x320
#define LAPIC_LVT_LINT0 0x350
#define LAPIC_LVT_LINT1 0x360
#define LAPIC_LVT_ERROR 0x370
#define LAPIC_TIMER_INIT 0x380
#define LAPIC_TIMER_CURRENT 0x390
#define LAPIC_TIMER_DIVIDE 0x3e0
#define LVT_MASKED 0x10000

#define IOAPIC_VER 1
#define IOAPIC_REDIR 0x10
#define REDIR_LOW_ACTIVE (1u << 13)
#define REDIR_LEVEL (1u << 15)
#define REDIR_MASKED (1u << 16)

struct line {
  bool level, low;
  bool in_service; // masked until the domain's EOI
  bool bound;
};
static struct line lines[NPIRQ];
static int nlines;

static uint32
lapic_read(uint32 reg)
{
  return *(volatile uint32 *)P2V(LAPIC_PHYS + reg);
}

static void
lapic_write(uint32 reg, uint32 v)
{
  *(volatile uint32 *)P2V(LAPIC_PHYS + reg) = v;
}

static uint32
ioapic_read(uint32 reg)
{
  volatile uint32 *io = P2V(IOAPIC_PHYS);

  io[0] = reg;
  return io[4];
}

static void
ioapic_write(uint32 reg, uint32 v)
{
  volatile uint32 *io = P2V(IOAPIC_PHYS);

  io[0] = reg;
  io[4] = v;
}

static void
program(int gsi)
{
  struct line *l = &lines[gsi];
  uint32 v = IRQ_BASE + (uint32)gsi;

  if(l->level)
    v |= REDIR_LEVEL;
  if(l->low)
    v |= REDIR_LOW_ACTIVE;
  if(!l->bound || l->in_service)
    v |= REDIR_MASKED;
  ioapic_write(IOAPIC_REDIR + 2 * (uint32)gsi, v);
}

static void
pic_mask_all(void)
{
  outb(0x21, 0xff);
  outb(0xa1, 0xff);
}

void
apic_init(void)
{
  uint32 dest = lapic_read(LAPIC_ID) & 0xff000000;

  pic_mask_all();
  wrmsr(MSR_APIC_BASE, (rdmsr(MSR_APIC_BASE) & 0xfff) | LAPIC_PHYS | 1 << 11);
  lapic_write(LAPIC_SVR, 0x100 | VECTOR_SPURIOUS);
  lapic_write(LAPIC_LVT_LINT0, LVT_MASKED);
  lapic_write(LAPIC_LVT_LINT1, LVT_MASKED);
  lapic_write(LAPIC_LVT_ERROR, LVT_MASKED);
  lapic_write(LAPIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
  lapic_write(LAPIC_TIMER_DIVIDE, 0xb); // by 1
  lapic_write(LAPIC_TPR, 0);
  lapic_write(LAPIC_EOI, 0);

  nlines = (int)MIN(((ioapic_read(IOAPIC_VER) >> 16) & 0xff) + 1, NPIRQ);
  for(int i = 0; i < nlines; i++){
    ioapic_write(IOAPIC_REDIR + 2 * (uint32)i + 1, dest);
    // Lines 0-15 are ISA, edges, but for those the PC's chip set routes PCI to; 16 and up are PCI.
    lines[i].level = i >= 16 || i == 9 || i == 10 || i == 11 || i == 5;
    lines[i].low = i >= 16;
    program(i);
  }
  vm_deny_ports(0x20, 0x21);
  vm_deny_ports(0xa0, 0xa1);
  vm_deny_ports(0x40, 0x43);
}

// Free-running count of the APIC timer, for calibration: how many ticks have gone since start.
void
lapic_count_start(void)
{
  lapic_write(LAPIC_TIMER_INIT, 0xffffffff);
}

uint32
lapic_count(void)
{
  return 0xffffffff - lapic_read(LAPIC_TIMER_CURRENT);
}

// One timer interrupt in `ticks`; 0: none.
void
lapic_oneshot(uint32 ticks)
{
  lapic_write(LAPIC_LVT_TIMER, ticks ? VECTOR_TIMER : LVT_MASKED | VECTOR_TIMER);
  lapic_write(LAPIC_TIMER_INIT, ticks);
}

// A domain wants interrupts of this line, or no more.
int
line_bind(int gsi, bool on)
{
  if(gsi < 0 || gsi >= nlines)
    return -XEN_EINVAL;
  lines[gsi].bound = on;
  lines[gsi].in_service = false;
  program(gsi);
  return 0;
}

int
line_setup(int gsi, bool level, bool low)
{
  if(gsi < 0 || gsi >= nlines)
    return -XEN_EINVAL;
  lines[gsi].level = level;
  lines[gsi].low = low;
  program(gsi);
  return 0;
}

bool
line_needs_eoi(int gsi)
{
  return gsi >= 0 && gsi < nlines && lines[gsi].level;
}

void
line_eoi(int gsi)
{
  if(gsi < 0 || gsi >= nlines || !lines[gsi].in_service)
    return;
  lines[gsi].in_service = false;
  program(gsi);
}

void
irq_dispatch(uint32 vector)
{
  int gsi = (int)vector - IRQ_BASE;

  if(vector == VECTOR_SPURIOUS)
    return;
  if(gsi >= 0 && gsi < nlines && lines[gsi].level){
    lines[gsi].in_service = true;
    program(gsi);
  }
  lapic_write(LAPIC_EOI, 0);
  if(vector == VECTOR_TIMER)
    timer_interrupt();
  else if(gsi >= 0 && gsi < nlines)
    pirq_event(gsi);
  else
    printk("interrupt with vector %u has no owner\n", vector);
}
