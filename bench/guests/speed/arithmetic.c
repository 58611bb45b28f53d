// Parts whose time goes to the processor: wide products, calls.

#include "speed.h"

// Both halves of a 64-bit product: the upper one, and the lower one at `low`.
static inline uint64_t
product(uint64_t a, uint64_t b, uint64_t *low)
{
#ifdef __SIZEOF_INT128__
  unsigned __int128 p = (unsigned __int128)a * b;

  *low = p;
  return p >> 64;
#else
  uint32_t a0 = a, a1 = a >> 32, b0 = b, b1 = b >> 32;
  uint64_t p = (uint64_t)a0 * b0, q = (uint64_t)a1 * b0 + (p >> 32), r = (uint64_t)a0 * b1 + (uint32_t)q;

  *low = r << 32 | (uint32_t)p;
  return (uint64_t)a1 * b1 + (q >> 32) + (r >> 32);
#endif
}

// x -> x*x + 1 in Montgomery form, modulo an odd number: three 64-bit products a step.
// A 32-bit build makes them of 32-bit ones.
uint32_t
part_multiply(void)
{
  const uint64_t modulus = 0xfffffffffffffc5bull;
  uint64_t inverse = modulus, x = 7;

  for(int i = 0; i < 5; i++) // Newton: the number of right bits doubles each time
    inverse *= 2 - modulus * inverse;
  for(uint32_t i = 0; i < 2000000; i++){
    uint64_t low, unused, top = product(x, x, &low), high = product(low * inverse, modulus, &unused);
    x = top - high + (top < high ? modulus : 0) + 1;
  }
  return x ^ x >> 32;
}

// Takeuchi's function: calls and comparisons, and hardly anything else.
static __attribute__((noinline)) int
takeuchi(int x, int y, int z)
{
  return y < x ? takeuchi(takeuchi(x - 1, y, z), takeuchi(y - 1, z, x), takeuchi(z - 1, x, y)) : z;
}

uint32_t
part_calls(void)
{
  uint32_t sum = 0;

  for(int i = 0; i < 12; i++)
    sum = sum * 3 + takeuchi(18, 12, 6 - (i & 1));
  return sum;
}
