// Runs the workloads that the command line names, one after another, and ends.

#include "drivers/block.h"
#include "drivers/net.h"
#include "lib/console.h"
#include "lib/environment.h"
#include "lib/marker.h"
#include "lib/string.h"
#include "lib/x86.h"
#include "workloads/workload.h"
#include "xen/xen-guest.h"

enum { SPECIFICATION_MAX = 1024 };

bool
use_pv_drivers(void)
{
  return option("drivers") ? option_is("drivers", "pv") : on_pv();
}

struct block_device *
run_disk(void)
{
  static struct block_device *disk;
  static bool tried;

  if(!tried){
    tried = true;
    disk = use_pv_drivers() ? blkfront_init() : ata_init();
    if(disk)
      printf("disk: %s, %lu sectors\n", disk->name, disk->sectors);
  }
  return disk;
}

struct net_device *
run_net(void)
{
  static struct net_device *net;
  static bool tried;

  if(!tried){
    tried = true;
    net = use_pv_drivers() ? netfront_init() : e1000_init();
    if(net)
      printf("net: %s, %02x:%02x:%02x:%02x:%02x:%02x\n", net->name, net->mac[0], net->mac[1], net->mac[2], net->mac[3], net->mac[4],
             net->mac[5]);
  }
  return net;
}

void
run_begin(struct run *run, uint64_t planned_ops, uint64_t bytes_per_op)
{
  if(on_xen())
    xen_console_drain(); // what was printed before must not be somebody's work during the measurement
  run->began = rdtsc();
  mark_point(MARKER_BEGIN, run->workload->id, planned_ops, bytes_per_op);
}

void
run_end(struct run *run, uint64_t ops, uint64_t bytes)
{
  mark_point(MARKER_END, run->workload->id, ops, bytes);
  uint64_t ticks = rdtsc() - run->began;
  printf("workload %s id=%u ops=%lu bytes=%lu tsc=%lu\n", run->workload->name, run->workload->id, ops, bytes, ticks);
}

void
run_checksum(struct run *run, uint64_t sum, const char *note)
{
  mark_point(MARKER_CHECKSUM, run->workload->id, sum, 0);
  printf("workload %s id=%u checksum=0x%016lx (%s)\n", run->workload->name, run->workload->id, sum, note);
}

bool
run_skip(struct run *run, const char *why)
{
  printf("workload %s id=%u skipped: %s\n", run->workload->name, run->workload->id, why);
  return true;
}

bool
run_fail(struct run *run, const char *why)
{
  printf("workload %s id=%u failed: %s\n", run->workload->name, run->workload->id, why);
  return false;
}

uint64_t
checksum(uint64_t sum, const void *data, size_t bytes)
{
  const uint64_t *words = data;

  for(; bytes >= 8; bytes -= 8)
    sum = (sum ^ *words++) * 1099511628211ul;
  if(bytes){
    uint64_t last = 0;
    memcpy(&last, words, bytes);
    sum = (sum ^ last) * 1099511628211ul;
  }
  return sum;
}

uint64_t
next_random(uint64_t *state)
{
  uint64_t x = *state ? *state : 88172645463325252ul;

  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *state = x;
}

static const struct workload *
find_workload(const char *name)
{
  for(unsigned i = 0; i < n_workloads; i++)
    if(!strcmp(workloads[i].name, name))
      return &workloads[i];
  return NULL;
}

// One ":key=value" of a specification.
static bool
set_parameter(struct run *run, const char *text)
{
  static const struct {
    const char *key;
    size_t offset;
  } keys[] = {
    { "ops=", offsetof(struct run, ops) },   { "size=", offsetof(struct run, size) }, { "start=", offsetof(struct run, start) },
    { "span=", offsetof(struct run, span) }, { "gap=", offsetof(struct run, gap) },   { "seed=", offsetof(struct run, seed) },
  };

  for(unsigned i = 0; i < ARRAY_SIZE(keys); i++)
    if(!strncmp(text, keys[i].key, strlen(keys[i].key))){
      const char *end, *value = text + strlen(keys[i].key);
      *(uint64_t *)((char *)run + keys[i].offset) = string_to_number(value, &end);
      return end != value && *end == 0;
    }
  return false;
}

// "name:key=value:..."; takes the text apart in place.
static bool
run_specification(char *text)
{
  char *next = strchr(text, ':');

  if(next)
    *next++ = 0;
  const struct workload *workload = find_workload(text);
  if(!workload){
    printf("unknown workload %s\n", text);
    return false;
  }
  struct run run = workload->defaults;
  run.workload = workload;
  while(next){
    char *parameter = next;
    next = strchr(parameter, ':');
    if(next)
      *next++ = 0;
    if(!set_parameter(&run, parameter)){
      printf("workload %s: bad parameter %s\n", workload->name, parameter);
      return false;
    }
  }
  return workload->run(&run);
}

enum exit_status
main(void)
{
  static char specification[SPECIFICATION_MAX];
  bool good = true;

  printf("workloads on %s, %s drivers\n", environment_name(), use_pv_drivers() ? "pv" : "emulated");
  if(option_string("w", specification, sizeof specification)){
    for(char *next = specification; next;){
      char *one = next;
      next = strchr(one, ',');
      if(next)
        *next++ = 0;
      good &= run_specification(one);
    }
  } else
    printf("nothing to do: no w= option\n");
  mark_point(MARKER_ALL_DONE, good, 0, 0);
  printf("workloads done: %s\n", good ? "ok" : "FAILED");
  return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
