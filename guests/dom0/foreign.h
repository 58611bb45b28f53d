// Other domains' memory: by grant (what they offer), by frame number (what the device model of an HVM domain may see).
#pragma once

#include "lib/types.h"
#include <xen/grant_table.h>

// Maps n grants at consecutive pages from va (window memory, prepared). Records handles and, where bus is not NULL, machine
// addresses. False when one was refused; nothing stays mapped then.
bool grants_map(uint16_t domid, const grant_ref_t *refs, unsigned n, bool read_only, void *va, grant_handle_t *handles, uint64_t *bus);
void grants_unmap(void *va, const grant_handle_t *handles, unsigned n);
// One grant for good, at a page of its own: a shared ring. NULL when refused.
void *grant_map_ring(uint16_t domid, grant_ref_t ref);

// Copies between pages of this domain and grants of another, as one hypercall; each operation has its own status.
void grants_copy(struct gnttab_copy *operations, unsigned n);

// A page of an HVM domain's physical memory, mapped at va (window memory, prepared). False when there is none.
bool foreign_map(uint16_t domid, uint64_t gfn, void *va);
