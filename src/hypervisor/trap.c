// Exceptions and interrupts: from PV guests, and from the hypervisor itself.
//
// SDM 3A chapter 6 "Interrupt and Exception Handling". Interrupts are off in the hypervisor except in the windows it opens, so
// only those, and the few instructions that may fault on a guest's behalf, ever interrupt hypervisor code.
#include "defs.h"
#include "memlayout.h"

struct gate {
  uint16 offset_low, selector;
  uint8 ist, type;
  uint16 offset_mid;
  uint32 offset_high, reserved;
};
_Static_assert(sizeof(struct gate) == 16, "hardware layout");

static struct gate idt[256] __attribute__((aligned(16)));
extern char vectors[];

static void
set_gate(int vector, int dpl, int ist)
{
  uint64 at = (uint64)vectors + (uint64)vector * 16;

  idt[vector] = (struct gate){ (uint16)at, SEL_HV_CS, (uint8)ist, (uint8)(0x8e | dpl << 5), (uint16)(at >> 16), (uint32)(at >> 32), 0 };
}

void
idt_load(void)
{
  struct dtr d = { sizeof(idt) - 1, (uint64)idt };

  lidt(&d);
}

void
trap_init(void)
{
  for(int i = 0; i < 256; i++)
    set_gate(i, 0, 0);
  set_gate(T_BRKPT, 3, 0); // INT3 and INTO of guests
  set_gate(4, 3, 0);
  set_gate(T_DBLFLT, 0, 1);
  idt_load();
}

void
dump_regs(struct regs *r)
{
  printk("rip %p cs %lx rflags %lx rsp %p ss %lx\n", r->rip, r->cs, r->rflags, r->rsp, r->ss);
  printk("rax %p rbx %p rcx %p rdx %p\n", r->rax, r->rbx, r->rcx, r->rdx);
  printk("rsi %p rdi %p rbp %p r8  %p\n", r->rsi, r->rdi, r->rbp, r->r8);
  printk("r9  %p r10 %p r11 %p r12 %p\n", r->r9, r->r10, r->r11, r->r12);
  printk("r13 %p r14 %p r15 %p cr2 %p\n", r->r13, r->r14, r->r15, rcr2());
  printk("vector %u error %x cr3 %lx\n", r->vector, r->error, rcr3());
}

// Instructions of the hypervisor that may fault because of what a guest asked, and where they go on.
static bool
fixup(struct regs *r)
{
  extern char copy_user_insn[], copy_user_fault[], probe_rdmsr_insn[], probe_rdmsr_fault[], iret_to_guest[];
  extern char load_ds[], load_es[], load_fs[], load_gs[];
  uint64 rip = r->rip;

  if(rip == (uint64)copy_user_insn){
    r->rip = (uint64)copy_user_fault;
    return true;
  }
  if(rip == (uint64)probe_rdmsr_insn){
    r->rip = (uint64)probe_rdmsr_fault;
    return true;
  }
  if(rip == (uint64)load_ds || rip == (uint64)load_es || rip == (uint64)load_fs || rip == (uint64)load_gs){
    r->rdi = 0; // the null selector loads
    return true;
  }
  if(rip == (uint64)iret_to_guest){
    domain_crash(current->dom, "cannot return to guest: exception %u, error %x", r->vector, r->error);
    schedule();
  }
  return false;
}

static void
hv_trap(struct regs *r)
{
  if(r->vector >= IRQ_BASE){
    irq_dispatch(r->vector);
    return;
  }
  if(fixup(r))
    return;
  if(current && current->dom)
    printk("on behalf of domain %u (%s)\n", current->dom->id, current->dom->name);
  dump_regs(r);
  panic("exception %u in the hypervisor at %lx", r->vector, r->rip);
}

// From entry.S, whatever the vector.
void
trap(struct regs *r)
{
  if((r->cs & 3) == 0){
    hv_trap(r);
    return;
  }
  if(r->vector >= IRQ_BASE)
    irq_dispatch(r->vector);
  else
    pv_trap(current, r);
}
