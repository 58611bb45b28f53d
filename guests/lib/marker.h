// Markers: how a guest tells the machine where a workload begins and ends.
//
// XCHG %bx,%bx does nothing on any processor and costs one cycle at most; the machine watches for it with
// EAX = 0x584d0000 ("XM") | code and takes RDI, RSI, RDX as facts. Nothing in the machine acts on them.
#pragma once

#include "lib/types.h"

enum marker {
  MARKER_BEGIN = 1,    // workload id, planned operations, bytes an operation
  MARKER_END = 2,      // workload id, operations done, bytes moved
  MARKER_CHECKSUM = 3, // workload id, checksum of the data read, written or received
  MARKER_ALL_DONE = 4,
};

static inline void
mark_point(enum marker code, uint64_t id, uint64_t a, uint64_t b)
{
  __asm__ volatile("xchg %%bx, %%bx" ::"a"(0x584d0000u | code), "D"(id), "S"(a), "d"(b) : "memory");
}
