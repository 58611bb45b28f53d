// The workloads, with their defaults. Ids are part of the marker interface: never renumber.

#include "workloads/workload.h"

const struct workload workloads[] = {
  { 1, "diskseq", { .ops = 64, .size = 65536, .start = 0 }, run_disk_sequential },
  { 2, "diskrand", { .ops = 64, .size = 4096, .start = 0, .span = 65536, .seed = 1 }, run_disk_random },
  { 3, "diskwrite", { .ops = 64, .size = 65536, .start = 65536, .seed = 1 }, run_disk_write },
  { 4, "nettx", { .ops = 256, .size = 1400 }, run_net_transmit },
  { 5, "netrx", { .ops = 256, .size = 1400, .gap = 12000 }, run_net_receive },
  { 6, "netrr", { .ops = 64, .size = 64 }, run_net_request },
  { 7, "hypercall", { .ops = 1000 }, run_null_hypercall },
  { 8, "cpuid", { .ops = 1000 }, run_cpuid_exit },
  { 9, "portio", { .ops = 1000 }, run_port_exit },
  { 10, "pagefault", { .ops = 1024 }, run_page_faults },
};
const unsigned n_workloads = ARRAY_SIZE(workloads);
