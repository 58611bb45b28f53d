// Being a Xen guest: finding the hypervisor, the shared-info page, the domain's store and console pages.
#pragma once

#include "xen/hypercall.h"

// True when the CPUID leaves 0x400000xx say Xen (HVM).
bool xen_detect(void);
// HVM: hypercall page, shared-info page, event vector. PV: shared-info page. Panics when the hypervisor refuses.
void xen_init(void);

// PV entry: before everything else.
void xen_set_start_info(const struct start_info *si);

struct shared_info *xen_shared_info(void);

// The domain's xenstore and console rings (NULL where the domain has none) and their event channel ports.
struct xen_rings {
  void *store, *console;
  uint32_t store_port, console_port;
};
extern struct xen_rings xen_rings;

// True in the initial domain (SIF_INITDOMAIN).
bool xen_is_initial_domain(void);
// What the domain builder gave a PV domain; NULL elsewhere.
const struct start_info *xen_start_info(void);

// Console output through the ring, or through CONSOLEIO_write in the initial domain.
void xen_console_init(void);
void xen_console_write(const char *text, size_t n);
// Waits until the daemon has taken everything.
void xen_console_drain(void);

// Ends the domain: SHUTDOWN_poweroff or SHUTDOWN_crash.
void xen_shutdown(unsigned reason) NORETURN;

// Nanoseconds since the hypervisor started, from the vCPU's time page; and the frequency it implies.
uint64_t xen_system_time(void);
uint64_t xen_tsc_hz(void);
