// What elf_open found out. See elf.c.
#ifndef ELF_H
#define ELF_H
#include "types.h"

struct elf {
  const uint8 *file;
  uint64 size;
  uint64 low, high;   // virtual addresses of all segments
  uint64 plow, phigh; // physical ones
  uint64 entry;       // of the note, or of the header
  uint64 virt_base, paddr_offset, hypercall_page, init_p2m, phys32_entry;
  bool has_hypercall_page, has_phys32, has_paddr_offset;
  int notes;          // of Xen's
};

#endif
