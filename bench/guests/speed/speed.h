// What the parts of the speed guest share.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { ARENA_BYTES = 16 << 20 };

// Memory of the part that runs.
extern uint8_t arena[ARENA_BYTES];

// The same sequence in every round. A linear congruential generator; the upper bits are the good ones.
static inline uint32_t
next_number(uint64_t *state)
{
  *state = *state * 6364136223846793005ull + 1442695040888963407ull;
  return *state >> 32;
}

// Each does its work once and returns a value that depends on all of it.
uint32_t part_sieve(void);
uint32_t part_crc(void);
uint32_t part_sort(void);
uint32_t part_float(void);
uint32_t part_chase(void);
uint32_t part_tree(void);
uint32_t part_multiply(void);
uint32_t part_strings(void);
uint32_t part_calls(void);
