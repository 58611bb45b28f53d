// A workload: one kind of operation, done many times between two markers.
//
// Command line: w=NAME[:KEY=VALUE]...[,NAME...]; keys ops, size (bytes an operation), start (first sector), span (sectors),
// gap (nanoseconds between received frames), seed. Each workload has defaults.
//
// Everything that is not the operation itself (driver start, address resolution, checksums, printing) lies outside the markers.
#pragma once

#include "lib/types.h"

struct workload;

struct run {
  const struct workload *workload;
  uint64_t ops, size, start, span, gap, seed;
  uint64_t began; // TSC
};

struct workload {
  unsigned id; // in markers
  const char *name;
  struct run defaults;
  // True when it ran to the end; false after run_skip() or a complaint of its own.
  bool (*run)(struct run *run);
};
extern const struct workload workloads[];
extern const unsigned n_workloads;

// Brackets of the measured part.
void run_begin(struct run *run, uint64_t planned_ops, uint64_t bytes_per_op);
void run_end(struct run *run, uint64_t ops, uint64_t bytes);
// Checksum of the data; outside the brackets. note: what was checked.
void run_checksum(struct run *run, uint64_t checksum, const char *note);
// The environment has no such operation. Returns false.
bool run_skip(struct run *run, const char *why);
bool run_fail(struct run *run, const char *why);

// FNV-1a over 64-bit little-endian words (a last, shorter word is padded with zeroes): 14695981039346656037, 1099511628211.
#define CHECKSUM_START 14695981039346656037ul
uint64_t checksum(uint64_t start, const void *data, size_t bytes);

// xorshift64: the same sequence everywhere.
uint64_t next_random(uint64_t *state);

struct block_device *run_disk(void); // NULL: none
struct net_device *run_net(void);
// drivers=pv: PV drivers; drivers=emulated: ATA and e1000. Default: pv in a PV domain, else emulated.
bool use_pv_drivers(void);

bool run_disk_sequential(struct run *run);
bool run_disk_random(struct run *run);
bool run_disk_write(struct run *run);
bool run_net_transmit(struct run *run);
bool run_net_receive(struct run *run);
bool run_net_request(struct run *run);
bool run_null_hypercall(struct run *run);
bool run_cpuid_exit(struct run *run);
bool run_port_exit(struct run *run);
bool run_page_faults(struct run *run);
