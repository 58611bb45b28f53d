// From the boot loader to running domains.
//
// Multiboot Specification 0.6.96 §3.3 "Boot information format". Every module is a domain: the first one dom0, the others as
// their command line says: `name [type=pv|hvm|pvh] [mem=SIZE] [dm=none] [paused] [-- guest command line]`.
#include "defs.h"
#include "elf.h"
#include "memlayout.h"

struct multiboot_info {
  uint32 flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr;
  uint32 syms[4];
  uint32 mmap_length, mmap_addr;
};

struct multiboot_module {
  uint32 start, end, string, reserved;
};

struct multiboot_mmap {
  uint32 size;
  uint64 addr, len;
  uint32 type;
} __attribute__((packed));

struct ram_range ram[16];
int nram;

static struct multiboot_module modules[NMODULE];
static int nmodules;

static void
add_ram(uint64 start, uint64 end)
{
  end = MIN(ROUNDDOWN(end, PAGE_SIZE), MAX_PHYS);
  if(start < end && nram < (int)NELEM(ram))
    ram[nram++] = (struct ram_range){ start, end };
}

static void
read_memory_map(struct multiboot_info *mb)
{
  if(mb->flags & 1 << 6){
    uint64 at = mb->mmap_addr, end = at + mb->mmap_length;
    while(at < end){
      struct multiboot_mmap *m = P2V(at);
      if(m->type == 1)
        add_ram(m->addr, m->addr + m->len);
      at += m->size + 4;
    }
  } else {
    add_ram(0, (uint64)mb->mem_lower << 10);
    add_ram(LOAD_ADDR, LOAD_ADDR + ((uint64)mb->mem_upper << 10));
  }
  if(nram == 0)
    panic("the boot loader told of no memory");
}

// End of what the loader put into memory: nothing below may be given away.
static uint64
loader_end(struct multiboot_info *mb)
{
  uint64 end = V2P(mb) + sizeof(*mb);

  for(int i = 0; i < nmodules; i++){
    end = MAX(end, modules[i].end);
    end = MAX(end, modules[i].string + strlen(P2V(modules[i].string)) + 1);
  }
  return end;
}

static void
read_modules(struct multiboot_info *mb)
{
  if(!(mb->flags & 1 << 3) || mb->mods_count == 0)
    panic("no modules: the first one must be dom0's kernel");
  if(mb->mods_count > NMODULE)
    panic("%u modules, more than %u", mb->mods_count, NMODULE);
  nmodules = (int)mb->mods_count;
  memcpy(modules, P2V(mb->mods_addr), (size_t)nmodules * sizeof(modules[0]));
}

// Cut the next word off *s.
static char *
word(char **s)
{
  char *p = *s, *start;

  while(*p == ' ')
    p++;
  start = p;
  while(*p && *p != ' ')
    p++;
  if(*p)
    *p++ = 0;
  *s = p;
  return start;
}

static const char *
base_name(const char *path)
{
  const char *b = path;

  for(; *path; path++)
    if(*path == '/')
      b = path + 1;
  return b;
}

struct options {
  const char *name, *cmdline;
  enum domain_type type;
  uint64 mem;
  bool no_dm, paused;
};

static void
parse_options(char *s, struct options *o)
{
  const char *end;
  char *w;

  *o = (struct options){ .name = base_name(word(&s)), .type = DOMAIN_PV, .mem = DEFAULT_MEM, .cmdline = "" };
  while(*(w = word(&s))){
    if(strcmp(w, "--") == 0){
      o->cmdline = s;
      return;
    }
    if(strcmp(w, "type=pv") == 0)
      o->type = DOMAIN_PV;
    else if(strcmp(w, "type=hvm") == 0 || strcmp(w, "type=pvh") == 0){
      o->type = DOMAIN_HVM;
      o->no_dm |= strcmp(w, "type=pvh") == 0;
    } else if(strncmp(w, "mem=", 4) == 0){
      o->mem = strtosize(w + 4, &end);
      if(*end || o->mem < (8ul << 20))
        panic("module %s: %s is not a memory size of at least 8M", o->name, w);
    } else if(strcmp(w, "dm=none") == 0)
      o->no_dm = true;
    else if(strcmp(w, "paused") == 0)
      o->paused = true;
    else
      panic("module %s: unknown option %s (guest arguments go behind --)", o->name, w);
  }
}

static void
start_domain(struct multiboot_module *m, bool is_dom0)
{
  static char line[2048];
  struct options o;
  struct domain *d;
  struct elf e;

  safestrcpy(line, m->string ? P2V(m->string) : "", sizeof(line));
  parse_options(line, &o);
  if(is_dom0 && o.type != DOMAIN_PV)
    panic("module %s: dom0 must be type=pv", o.name);
  if(!elf_open(&e, P2V(m->start), m->end - m->start))
    panic("module %s: not an x86-64 ELF file, or damaged", o.name);
  if(o.type == DOMAIN_HVM && !hvm_ops)
    panic("module %s: this processor has neither VT-x with EPT nor SVM with nested paging", o.name);
  d = domain_create(o.type, o.name, o.mem);
  safestrcpy(d->cmdline, o.cmdline, sizeof(d->cmdline));
  d->paused = true;
  if(is_dom0){
    dom0 = d;
    d->privileged = true;
  }
  if(o.type == DOMAIN_PV)
    pv_build(d, &e);
  else
    hvm_build(d, &e, o.no_dm);
  printk("domain %u (%s): %s, %lu MiB\n", d->id, d->name, o.type == DOMAIN_PV ? "PV" : "HVM", o.mem >> 20);
  if(!o.paused)
    domain_unpause(d);
}

// The end: tell the debug-exit device (if there is one), then halt for good.
void
machine_stop(uint8 code)
{
  cli();
  outb(0xf4, code);
  for(;;)
    asm volatile("hlt");
}

void
main(uint32 magic, uint32 info)
{
  struct multiboot_info *mb = P2V(info);

  console_init();
  printk("Xenolith hypervisor\n");
  if(magic != 0x2badb002)
    panic("not started by a Multiboot loader: magic %x", magic);
  read_memory_map(mb);
  read_modules(mb);
  frame_init(loader_end(mb));
  vm_init();
  trap_init();
  apic_init();
  time_init();
  sched_init();
  hvm_init();
  for(int i = 0; i < nmodules; i++)
    start_domain(&modules[i], i == 0);
  vm_drop_identity();
  idle_loop();
}
