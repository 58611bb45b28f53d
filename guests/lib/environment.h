// Where this image finds itself running, and its command line.
//
// The same C sources run on a bare machine, in an HVM (or PVH) domain and in a PV domain. Each way of starting has its entry
// code in guests/images; all of them fill `boot` and call environment_start().
#pragma once

#include "lib/types.h"

enum environment { ENVIRONMENT_NATIVE, ENVIRONMENT_HVM, ENVIRONMENT_PV };

struct boot {
  enum environment environment;
  uint64_t memory_end;     // bytes of (pseudo-)physical memory, from 0; the hole below 1 MiB is never used
  char command_line[2048]; // NUL-terminated
};
extern struct boot boot;

static inline bool on_pv(void) { return boot.environment == ENVIRONMENT_PV; }
static inline bool on_xen(void) { return boot.environment != ENVIRONMENT_NATIVE; }
const char *environment_name(void);

enum exit_status { EXIT_SUCCESS = 0, EXIT_FAILURE = 1 };

// Called by entry code once `boot` is filled and there is a stack and an address space: sets up lib, calls main, exits.
void environment_start(void) NORETURN;
// Ends: debug-exit port on a bare machine (and for dom0), SCHEDOP_shutdown in a domU.
void environment_exit(enum exit_status status) NORETURN;

// What the image is for: guests/workloads or guests/dom0. Returns the exit status.
enum exit_status main(void);

// Value of "key=value" among the words of the command line; NULL when absent. The value ends at a blank: use the functions
// below, or copy it with option_string().
const char *option(const char *key);
bool option_string(const char *key, char *to, size_t size);
uint64_t option_number(const char *key, uint64_t otherwise);
// True when the option is present with exactly this value.
bool option_is(const char *key, const char *value);
