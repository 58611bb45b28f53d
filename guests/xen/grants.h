// Grant tables, version 1: giving other domains access to single pages, and using what others gave.
#pragma once

#include "lib/types.h"

// Sets up the domain's own table. After events_init; called by the first user.
void grants_init(void);

// Lets `domain` reach the page at va. Never fails (running out ends the guest).
uint32_t grant_access(uint16_t domain, const void *va, bool read_only);
// Takes a grant back; false when the other side still has the page mapped.
bool grant_end(uint32_t ref);

// What another domain granted, mapped at a window page (window_reserve). Negative GNTST_* on failure.
struct grant_mapping {
  void *va;
  uint64_t machine; // for DMA
  uint32_t handle;
};
int grant_map(uint16_t domain, uint32_t ref, void *window, bool read_only, struct grant_mapping *mapping);
int grant_unmap(const struct grant_mapping *mapping);

// One piece of a hypervisor copy; a side is a grant of another domain or a page of our own.
struct grant_copy_side {
  bool is_grant;
  uint16_t domain; // of the grant
  uint32_t ref;
  const void *va;  // own memory (with its offset in the page)
  uint16_t offset; // in the granted page
};
int grant_copy(const struct grant_copy_side *from, const struct grant_copy_side *to, uint16_t bytes);
