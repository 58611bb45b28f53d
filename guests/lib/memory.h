// Pages, addresses that devices and the hypervisor understand, and mappings made at run time.
//
//   virtual 0x0000000000 .. memory_end   all usable memory, virtual = (pseudo-)physical
//           0x00c0000000 .. 0x0100000000 devices, on a bare machine and in an HVM domain (uncached)
//           0x4000000000 ..              windows: device memory and grants of a PV domain, the page-fault workload
//
// In a PV domain virtual = pseudo-physical, and what a device must be told is the machine address: neighbouring pages are not
// neighbours there, so a DMA buffer is described page by page.
#pragma once

#include "lib/types.h"

#define WINDOW_BASE 0x4000000000ul

void memory_init(void);

// n neighbouring zeroed pages; never NULL (running out ends the guest). pages_free takes what pages_alloc gave.
void *pages_alloc(size_t n);
void pages_free(void *pages, size_t n);
uint64_t pages_available(void);

// The address a device or the hypervisor knows this memory by: physical (bare), guest-physical (HVM), machine (PV).
uint64_t machine_address(const void *va);
// The same as a frame number: what shared rings, grants and hypercalls want.
static inline uint64_t machine_frame(const void *va) { return machine_address(va) >> PAGE_SHIFT; }

enum mapping { MAPPING_CACHED, MAPPING_UNCACHED };

// Reserves n pages of window address space (never given back).
void *window_reserve(size_t n);
// Maps one page of a window to a machine address, or removes it. Page tables are made as needed.
void window_map(void *va, uint64_t machine, enum mapping mapping);
void window_unmap(void *va);
// Makes sure that the page tables for n pages of a window exist, so that mapping costs the same for every page.
void window_prepare(void *va, size_t n);

// Device memory (a PCI BAR), from anywhere in the address space.
volatile void *device_map(uint64_t machine, size_t bytes);
