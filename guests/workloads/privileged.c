// Workloads of the processor alone: each operation is one event that a hypervisor has to look at.

#include "lib/environment.h"
#include "lib/console.h"
#include "lib/memory.h"
#include "lib/traps.h"
#include "lib/x86.h"
#include "workloads/workload.h"
#include "xen/hypercall.h"
#include <xen/version.h>

enum { HARMLESS_PORT = 0x80, WINDOW_PAGES = 256 }; // 0x80: power-on self-test codes; every PC decodes it

bool
run_null_hypercall(struct run *run)
{
  if(!on_xen())
    return run_skip(run, "no hypervisor below");
  run_begin(run, run->ops, 0);
  for(uint64_t i = 0; i < run->ops; i++)
    hypercall_xen_version(XENVER_version, NULL);
  run_end(run, run->ops, 0);
  return true;
}

bool
run_cpuid_exit(struct run *run)
{
  uint32_t r[4];

  run_begin(run, run->ops, 0);
  for(uint64_t i = 0; i < run->ops; i++)
    cpuid(0, 0, r);
  run_end(run, run->ops, 0);
  return true;
}

static void
write_port(uint64_t value)
{
  outb(HARMLESS_PORT, (uint8_t)value);
}

bool
run_port_exit(struct run *run)
{
  if(!survives_general_protection(write_port, 0))
    return run_skip(run, "the domain may not use the port");
  run_begin(run, run->ops, 0);
  for(uint64_t i = 0; i < run->ops; i++)
    write_port(i);
  run_end(run, run->ops, 0);
  return true;
}

static struct {
  char *window;
  uint64_t machine[WINDOW_PAGES];
  uint64_t faults;
} storm;

static void
map_on_fault(struct trap_frame *frame)
{
  uint64_t page = (fault_address() - (uint64_t)storm.window) >> PAGE_SHIFT;

  if(page >= WINDOW_PAGES)
    panic("page fault outside the window: address %p rip %p", (void *)fault_address(), (void *)frame->rip);
  window_map(storm.window + page * PAGE_SIZE, storm.machine[page], MAPPING_CACHED);
  storm.faults++;
}

static void
unmap_first(uint64_t n)
{
  for(uint64_t i = 0; i < n; i++)
    window_unmap(storm.window + i * PAGE_SIZE);
}

// One operation: touch an unmapped page, take the fault, map it, go on; the unmapping of each page counts with it.
bool
run_page_faults(struct run *run)
{
  char *frames = pages_alloc(WINDOW_PAGES);
  uint64_t left = run->ops;

  storm.window = window_reserve(WINDOW_PAGES);
  storm.faults = 0;
  for(unsigned i = 0; i < WINDOW_PAGES; i++)
    storm.machine[i] = machine_address(frames + i * PAGE_SIZE);
  window_prepare(storm.window, WINDOW_PAGES);
  trap_set_handler(TRAP_PF, map_on_fault);
  run_begin(run, run->ops, 0);
  while(left){
    uint64_t n = MIN(left, WINDOW_PAGES);
    for(uint64_t i = 0; i < n; i++)
      *(volatile uint64_t *)(storm.window + i * PAGE_SIZE) = i;
    unmap_first(n);
    left -= n;
  }
  run_end(run, storm.faults, 0);
  trap_set_handler(TRAP_PF, NULL);
  uint64_t sum = CHECKSUM_START;
  for(unsigned i = 0; i < MIN(run->ops, WINDOW_PAGES); i++)
    sum = checksum(sum, frames + i * PAGE_SIZE, 8);
  run_checksum(run, sum, "what the stores left in memory");
  pages_free(frames, WINDOW_PAGES);
  return storm.faults == run->ops ? true : run_fail(run, "lost faults");
}
