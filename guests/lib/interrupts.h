// Interrupt lines and waiting, the same in every environment.
//
// Bare machine and HVM domain: the 8259 pair (default) or the I/O APIC (option irqchip=ioapic). PV domain: an event channel bound
// to the line (only in a domain that owns devices). Handlers run with interrupts disabled, on the interrupted stack.
#pragma once

#include "lib/types.h"

typedef void interrupt_handler(void *context);
enum trigger { TRIGGER_EDGE, TRIGGER_LEVEL };

void interrupts_init(void);
// Installs a handler for an ISA interrupt line and unmasks it. Several handlers may share a level-triggered line.
void interrupt_bind(unsigned line, enum trigger trigger, interrupt_handler *handler, void *context);

void interrupts_enable(void);
// Returns whether they were enabled before.
bool interrupts_disable(void);
static inline void
interrupts_restore(bool enabled)
{
  if(enabled)
    interrupts_enable();
}

// To be called with interrupts disabled: sleeps until one came, lets its handler run, returns with interrupts disabled.
void cpu_wait(void);

// Sleeps until `condition`, which interrupt handlers change, holds.
#define wait_until(condition)            \
  do {                                   \
    bool enabled_ = interrupts_disable(); \
    while(!(condition)){                 \
      cpu_wait();                        \
      barrier();                         \
    }                                    \
    interrupts_restore(enabled_);        \
  } while(0)

// A local APIC register of a bare machine or HVM domain (xAPIC, SDM 3A section 11.4.1 "The Local APIC Block Diagram").
uint32_t lapic_read(unsigned reg);
void lapic_write(unsigned reg, uint32_t value);
enum { LAPIC_EOI = 0xb0, LAPIC_SVR = 0xf0, LAPIC_LVT_TIMER = 0x320, LAPIC_LVT_LINT0 = 0x350, LAPIC_LVT_LINT1 = 0x360,
       LAPIC_TIMER_INITIAL = 0x380, LAPIC_TIMER_CURRENT = 0x390, LAPIC_TIMER_DIVIDE = 0x3e0 };
