// Event channels: Xen's interrupts. Two-level ABI.
#pragma once

#include "lib/types.h"

typedef void event_handler(void *context);

// Installs the upcall's dispatcher. After xen_init.
void events_init(void);
// Calls handler (with interrupts disabled) whenever the port is notified; unmasks the port.
void event_set_handler(uint32_t port, event_handler *handler, void *context);
void event_mask(uint32_t port);
void event_unmask(uint32_t port);
void event_notify(uint32_t port);
void event_close(uint32_t port);

// All return the new local port, or a negative Xen error.
int event_alloc_unbound(uint16_t remote_domain);
int event_bind_interdomain(uint16_t remote_domain, uint32_t remote_port);
int event_bind_virq(uint32_t virq);
// A real interrupt line of a domain that owns devices; level-triggered lines are ended by PHYSDEVOP_eoi after the handlers.
void event_bind_interrupt_line(unsigned line, bool level, event_handler *handler, void *context);

// The upcall mask of a PV domain, the counterpart of RFLAGS.IF.
void events_unmask_upcalls(void);
bool events_mask_upcalls(void); // true when they were unmasked before
void events_block(void);
