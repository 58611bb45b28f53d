// Trap tables and dispatch. See traps.h.
//
// SDM 3A section 6.14 "Exception and Interrupt Handling in 64-bit Mode".

#include "lib/traps.h"
#include "lib/console.h"
#include "lib/environment.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "xen/xen-guest.h"

_Static_assert(sizeof(struct trap_frame) == 22 * 8, "trap-entry.S pushes these registers");
_Static_assert(VECTOR_PV_EVENT == 0x100, "trap-entry.S pushes this number");

struct gate {
  uint16_t offset_low, selector;
  uint8_t ist, type;
  uint16_t offset_middle;
  uint32_t offset_high, reserved;
} PACKED;

enum { GATE_INTERRUPT = 0x8e, CODE_SELECTOR = 0x08, PV_EXCEPTIONS = 20 };

extern char trap_entries[], pv_trap_entries[], pv_event_entry[], pv_failsafe_entry[];

bool return_by_hypercall; // read by trap-entry.S
static struct gate idt[256] ALIGNED(16);
static trap_handler *handlers[VECTORS];
static uint64_t resume_after_gp;

void
trap_set_handler(unsigned vector, trap_handler *handler)
{
  handlers[vector] = handler;
}

uint64_t
fault_address(void)
{
  return on_pv() ? xen_shared_info()->vcpu_info[0].arch.cr2 : read_cr2();
}

static void
unexpected(struct trap_frame *f)
{
  printf("rip %p cs %lx rflags %lx rsp %p ss %lx\n", (void *)f->rip, f->cs, f->rflags, (void *)f->rsp, f->ss);
  printf("rax %p rbx %p rcx %p rdx %p\n", (void *)f->rax, (void *)f->rbx, (void *)f->rcx, (void *)f->rdx);
  printf("rsi %p rdi %p rbp %p r8  %p\n", (void *)f->rsi, (void *)f->rdi, (void *)f->rbp, (void *)f->r8);
  printf("r9  %p r10 %p r11 %p r12 %p\n", (void *)f->r9, (void *)f->r10, (void *)f->r11, (void *)f->r12);
  panic("unexpected trap %lu error %lx address %p", f->vector, f->error, (void *)fault_address());
}

void trap_dispatch(struct trap_frame *frame);

void
trap_dispatch(struct trap_frame *frame)
{
  trap_handler *handler = handlers[frame->vector];

  if(handler)
    handler(frame);
  else if(frame->vector == TRAP_GP && resume_after_gp){
    frame->rip = resume_after_gp;
    resume_after_gp = 0;
  } else
    unexpected(frame);
}

bool
survives_general_protection(void (*access)(uint64_t), uint64_t argument)
{
  // The handler resumes at label 1 with RBX, RBP and RSP as they were: the asm statement keeps them on the stack itself.
  uint64_t survived;

  __asm__ volatile("push %%rbp\n\t"
                   "mov %%rsp, %%rbp\n\t"
                   "mov %%rbp, gp_saved_rsp\n\t"
                   "movq $1f, %1\n\t"
                   "and $-16, %%rsp\n\t"
                   "call *%2\n\t"
                   "1:\n\t"
                   "mov gp_saved_rsp, %%rsp\n\t"
                   "pop %%rbp\n\t"
                   : "=a"(survived), "+m"(resume_after_gp)
                   : "r"(access), "D"(argument)
                   : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "rbx", "r12", "r13", "r14", "r15", "memory", "cc");
  survived = resume_after_gp != 0;
  resume_after_gp = 0;
  return survived;
}
uint64_t gp_saved_rsp;

static void
native_traps_init(void)
{
  struct {
    uint16_t limit;
    uint64_t base;
  } PACKED idtr = { sizeof idt - 1, (uint64_t)idt };

  for(int v = 0; v < 256; v++){
    uint64_t entry = (uint64_t)trap_entries + 16 * v;
    idt[v] = (struct gate){ (uint16_t)entry, CODE_SELECTOR, 0, GATE_INTERRUPT, (uint16_t)(entry >> 16), (uint32_t)(entry >> 32), 0 };
  }
  __asm__ volatile("lidt %0" ::"m"(idtr));
}

static void
pv_traps_init(void)
{
  static struct trap_info table[PV_EXCEPTIONS + 1];

  for(int v = 0; v < PV_EXCEPTIONS; v++)
    table[v] = (struct trap_info){ (uint8_t)v, 0, FLAT_KERNEL_CS, (unsigned long)pv_trap_entries + 32 * v };
  return_by_hypercall = true;
  if(hypercall_set_trap_table(table))
    panic("set_trap_table refused");
  if(hypercall_set_callbacks((unsigned long)pv_event_entry, (unsigned long)pv_failsafe_entry))
    panic("set_callbacks refused");
}

void
traps_init(void)
{
  if(on_pv())
    pv_traps_init();
  else
    native_traps_init();
}
