// Page tables of a PV domain. Only lib/memory.c calls these.
#pragma once

#include "lib/types.h"

struct start_info;
// Remembers where Xen put the p2m list and the page tables. Called by xen_set_start_info.
void pv_memory_set_start_info(const struct start_info *si);
// First free page and first unmapped page of what Xen mapped.
void pv_memory_init(uint64_t *first_free, uint64_t *mapped_end);
// Maps pseudo-physical pages [from, to) at their own addresses.
void pv_map_pseudo_physical(uint64_t from, uint64_t to);
uint64_t pv_machine_address(uint64_t va);
// Makes page tables down to the lowest level.
void pv_prepare(void *va);
// Sets or clears a lowest-level entry.
void pv_map(void *va, uint64_t pte);
void pv_unmap(void *va);
// The pseudo-physical page behind a machine frame of this domain.
uint64_t pv_page_of_frame(uint64_t mfn);
