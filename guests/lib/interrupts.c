// Interrupt controllers of a bare machine or HVM domain, and the environment's way of waiting. See interrupts.h.
//
// Intel 8259A data sheet, "Programming the 8259A"; 82093AA I/O APIC data sheet, section 3.0 "Register Description";
// SDM 3A chapter 11 "Advanced Programmable Interrupt Controller (APIC)".

#include "lib/interrupts.h"
#include "lib/console.h"
#include "lib/environment.h"
#include "lib/traps.h"
#include "lib/x86.h"
#include "xen/events.h"
#include "xen/xen-guest.h"

enum {
  PIC1 = 0x20, PIC2 = 0xa0, ELCR1 = 0x4d0, // command port; data port is +1
  ICW1_INIT_ICW4 = 0x11, ICW4_8086 = 0x01, OCW2_EOI = 0x20, OCW3_READ_ISR = 0x0b,
  CASCADE_LINE = 2, LINES = 16, HANDLERS_PER_LINE = 4,
  IOAPIC_WINDOW = 0x10, IOAPIC_VERSION_REG = 1, IOAPIC_REDIRECTION = 0x10,
  IOAPIC_LEVEL_LOW = 0xa000, IOAPIC_MASKED = 0x10000,
  SVR_ENABLE = 0x100, LVT_EXTINT = 0x700, LVT_NMI = 0x400,
};
#define LAPIC_BASE 0xfee00000ul
#define IOAPIC_BASE 0xfec00000ul

struct line {
  struct {
    interrupt_handler *handler;
    void *context;
  } handlers[HANDLERS_PER_LINE];
  int n;
};
static struct line lines[LINES];
static bool use_ioapic, have_lapic;

uint32_t lapic_read(unsigned reg) { return mmio_read((void *)(LAPIC_BASE + reg)); }
void lapic_write(unsigned reg, uint32_t value) { mmio_write((void *)(LAPIC_BASE + reg), value); }

static uint32_t
ioapic_read(unsigned reg)
{
  mmio_write((void *)IOAPIC_BASE, reg);
  return mmio_read((void *)(IOAPIC_BASE + IOAPIC_WINDOW));
}

static void
ioapic_write(unsigned reg, uint32_t value)
{
  mmio_write((void *)IOAPIC_BASE, reg);
  mmio_write((void *)(IOAPIC_BASE + IOAPIC_WINDOW), value);
}

static void
run_handlers(unsigned number)
{
  struct line *line = &lines[number];

  for(int i = 0; i < line->n; i++)
    line->handlers[i].handler(line->handlers[i].context);
}

static void
pic_interrupt(struct trap_frame *frame)
{
  unsigned line = frame->vector - VECTOR_IRQ_BASE;

  if(line == 7 || line == 15){ // spurious when its in-service bit is clear
    uint16_t pic = line == 7 ? PIC1 : PIC2;
    outb(pic, OCW3_READ_ISR);
    if(!(inb(pic) & 0x80)){
      if(line == 15)
        outb(PIC1, OCW2_EOI);
      return;
    }
  }
  run_handlers(line);
  if(line >= 8)
    outb(PIC2, OCW2_EOI);
  outb(PIC1, OCW2_EOI);
}

static void
ioapic_interrupt(struct trap_frame *frame)
{
  run_handlers(frame->vector - VECTOR_IRQ_BASE);
  lapic_write(LAPIC_EOI, 0);
}

static void
pic_init(void)
{
  for(int i = 0; i < 2; i++){
    uint16_t pic = i ? PIC2 : PIC1;
    outb(pic, ICW1_INIT_ICW4);
    outb(pic + 1, VECTOR_IRQ_BASE + 8 * i);
    outb(pic + 1, i ? CASCADE_LINE : 1 << CASCADE_LINE);
    outb(pic + 1, ICW4_8086);
    outb(pic + 1, 0xff); // all masked
  }
}

static void
pic_unmask(unsigned line, enum trigger trigger)
{
  uint16_t elcr = ELCR1 + line / 8;

  if(trigger == TRIGGER_LEVEL)
    outb(elcr, inb(elcr) | 1 << line % 8);
  else if(line > 2 && line != 8 && line != 13)
    outb(elcr, inb(elcr) & ~(1 << line % 8));
  if(line >= 8){
    outb(PIC2 + 1, inb(PIC2 + 1) & ~(1 << (line - 8)));
    line = CASCADE_LINE;
  }
  outb(PIC1 + 1, inb(PIC1 + 1) & ~(1 << line));
}

static void
ioapic_unmask(unsigned line, enum trigger trigger)
{
  uint32_t low = (VECTOR_IRQ_BASE + line) | (trigger == TRIGGER_LEVEL ? IOAPIC_LEVEL_LOW & ~0x2000 : 0);

  ioapic_write(IOAPIC_REDIRECTION + 2 * line + 1, lapic_read(0x20) & 0xff000000); // destination: this processor
  ioapic_write(IOAPIC_REDIRECTION + 2 * line, low);
}

static void
spurious(struct trap_frame *frame)
{
  // The local APIC's spurious vector wants no EOI.
}

static void
lapic_init(void)
{
  uint32_t id[4];

  cpuid(1, 0, id);
  have_lapic = id[3] >> 9 & 1;
  if(!have_lapic)
    return;
  trap_set_handler(VECTOR_SPURIOUS, spurious);
  lapic_write(LAPIC_LVT_LINT0, use_ioapic ? IOAPIC_MASKED : LVT_EXTINT); // the 8259's INTR arrives here
  lapic_write(LAPIC_LVT_LINT1, LVT_NMI);
  lapic_write(LAPIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
}

void
interrupts_init(void)
{
  if(on_pv())
    return;
  pic_init();
  use_ioapic = option_is("irqchip", "ioapic");
  lapic_init();
  for(unsigned line = 0; line < LINES; line++)
    trap_set_handler(VECTOR_IRQ_BASE + line, use_ioapic ? ioapic_interrupt : pic_interrupt);
  if(use_ioapic)
    for(unsigned pin = 0; pin <= (ioapic_read(IOAPIC_VERSION_REG) >> 16 & 0xff); pin++)
      ioapic_write(IOAPIC_REDIRECTION + 2 * pin, IOAPIC_MASKED);
}

void
interrupt_bind(unsigned number, enum trigger trigger, interrupt_handler *handler, void *context)
{
  struct line *line = &lines[number];

  if(number >= LINES || line->n == HANDLERS_PER_LINE)
    panic("interrupt line %u cannot take another handler", number);
  line->handlers[line->n].handler = handler;
  line->handlers[line->n++].context = context;
  if(on_pv()){
    event_bind_interrupt_line(number, trigger == TRIGGER_LEVEL, handler, context);
    return;
  }
  if(use_ioapic)
    ioapic_unmask(number, trigger);
  else
    pic_unmask(number, trigger);
}

void
interrupts_enable(void)
{
  if(on_pv())
    events_unmask_upcalls();
  else
    __asm__ volatile("sti" ::: "memory");
}

bool
interrupts_disable(void)
{
  if(on_pv())
    return events_mask_upcalls();
  bool enabled = read_rflags() & RFLAGS_IF;
  __asm__ volatile("cli" ::: "memory");
  return enabled;
}

void
cpu_wait(void)
{
  if(on_pv())
    events_block();
  else
    __asm__ volatile("sti; hlt; cli" ::: "memory"); // STI holds interrupts off until HLT has begun: none is missed
}
