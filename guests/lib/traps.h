// Exceptions, interrupts and event upcalls: one entry path, one frame, for the processor's IDT and for Xen's PV trap table.
#pragma once

#include "lib/types.h"

struct trap_frame {
  uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
  uint64_t vector, error;
  uint64_t rip, cs, rflags, rsp, ss;
};

enum {
  TRAP_GP = 13,
  TRAP_PF = 14,
  VECTOR_IRQ_BASE = 0x20,   // ISA lines 0-15 (PIC) or I/O APIC inputs 0-23
  VECTOR_TIMER = 0x40,      // local APIC timer
  VECTOR_EVENT = 0x50,      // Xen events in an HVM domain (HVM_PARAM_CALLBACK_IRQ by vector)
  VECTOR_SPURIOUS = 0xff,
  VECTOR_PV_EVENT = 0x100,  // Xen events in a PV domain (event callback; not a processor vector)
  VECTORS = 0x101,
};

typedef void trap_handler(struct trap_frame *frame);

void traps_init(void);
// Replaces the handler of a vector; NULL: back to "unexpected", which ends the guest with a register dump.
void trap_set_handler(unsigned vector, trap_handler *handler);
// The linear address a page fault is about; valid at the start of a TRAP_PF handler.
uint64_t fault_address(void);

// Runs `access(argument)`; true when it came back, false when it raised #GP. Not for nested use.
bool survives_general_protection(void (*access)(uint64_t), uint64_t argument);
