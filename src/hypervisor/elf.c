// Guest kernels: ELF files, 32- or 64-bit, with Xen's notes. System V ABI, "Object Files"; include/xen/elfnote.h.
#include "defs.h"
#include "elf.h"
#include <xen/elfnote.h>

#define PT_LOAD 1
#define PT_NOTE 4
#define SHT_NOTE 7

struct elf_header {
  uint8 ident[16];
  uint16 type, machine;
  uint32 version;
  uint64 entry, phoff, shoff;
  uint32 flags;
  uint16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct program_header {
  uint32 type, flags;
  uint64 offset, vaddr, paddr, filesz, memsz, align;
};

struct section_header {
  uint32 name, type;
  uint64 flags, addr, offset, size;
  uint32 link, info;
  uint64 addralign, entsize;
};

struct note {
  uint32 namesz, descsz, type;
};

static uint64
desc_value(const uint8 *desc, uint32 size)
{
  uint64 v = 0;

  memcpy(&v, desc, MIN(size, sizeof(v)));
  return v;
}

static void
one_note(struct elf *e, const struct note *n, const uint8 *desc)
{
  uint64 v = desc_value(desc, n->descsz);

  switch(n->type){
  case XEN_ELFNOTE_ENTRY: e->entry = v; break;
  case XEN_ELFNOTE_HYPERCALL_PAGE: e->hypercall_page = v; e->has_hypercall_page = true; break;
  case XEN_ELFNOTE_VIRT_BASE: e->virt_base = v; break;
  case XEN_ELFNOTE_PADDR_OFFSET: e->paddr_offset = v; e->has_paddr_offset = true; break;
  case XEN_ELFNOTE_INIT_P2M: e->init_p2m = v; break;
  case XEN_ELFNOTE_PHYS32_ENTRY: e->phys32_entry = v; e->has_phys32 = true; break;
  }
  e->notes++;
}

static void
notes(struct elf *e, uint64 offset, uint64 size)
{
  uint64 at = offset;

  if(offset + size > e->size)
    return;
  while(at + sizeof(struct note) <= offset + size){
    const struct note *n = (const void *)(e->file + at);
    uint64 desc = at + sizeof(*n) + ROUNDUP(n->namesz, 4);
    if(desc + n->descsz > offset + size)
      return;
    if(n->namesz == 4 && memcmp(n + 1, "Xen", 4) == 0)
      one_note(e, n, e->file + desc);
    at = desc + ROUNDUP(n->descsz, 4);
  }
}

static const struct program_header *
segment(struct elf *e, int i)
{
  const struct elf_header *h = (const void *)e->file;

  return (const void *)(e->file + h->phoff + (uint64)i * h->phentsize);
}

// Read headers and notes. False: not an x86-64 ELF that can be loaded.
bool
elf_open(struct elf *e, const uint8 *file, uint64 size)
{
  const struct elf_header *h = (const void *)file;

  *e = (struct elf){ .file = file, .size = size, .low = ~0ul, .plow = ~0ul };
  if(size < sizeof(*h) || memcmp(h->ident, "\177ELF\2\1", 6) != 0 || h->machine != 62)
    return false;
  if(h->phoff + (uint64)h->phnum * h->phentsize > size || h->phentsize < sizeof(struct program_header))
    return false;
  e->entry = h->entry;
  for(int i = 0; i < h->phnum; i++){
    const struct program_header *p = segment(e, i);
    if(p->type == PT_NOTE)
      notes(e, p->offset, p->filesz);
    if(p->type != PT_LOAD || p->memsz == 0)
      continue;
    if(p->offset + p->filesz > size || p->filesz > p->memsz)
      return false;
    e->low = MIN(e->low, p->vaddr);
    e->high = MAX(e->high, p->vaddr + p->memsz);
    e->plow = MIN(e->plow, p->paddr);
    e->phigh = MAX(e->phigh, p->paddr + p->memsz);
  }
  // Linkers do not always make a segment of the notes.
  if(e->notes == 0 && h->shoff && h->shoff + (uint64)h->shnum * h->shentsize <= size)
    for(int i = 0; i < h->shnum; i++){
      const struct section_header *s = (const void *)(file + h->shoff + (uint64)i * h->shentsize);
      if(s->type == SHT_NOTE)
        notes(e, s->offset, s->size);
    }
  return e->high > e->low;
}

// Hand every loaded segment to put(): `to` is its physical address. bss is not handed out, the memory is zero.
void
elf_load(struct elf *e, void (*put)(void *ctx, uint64 to, const uint8 *from, uint64 n), void *ctx)
{
  const struct elf_header *h = (const void *)e->file;

  for(int i = 0; i < h->phnum; i++){
    const struct program_header *p = segment(e, i);
    if(p->type == PT_LOAD && p->filesz)
      put(ctx, p->paddr, e->file + p->offset, p->filesz);
  }
}
