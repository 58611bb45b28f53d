// Parts whose time goes to the processor: wide products, calls.

#include "speed.h"

// x -> x*x + 1 in Montgomery form, modulo an odd number: three 64-bit products a step.
uint32_t
part_multiply(void)
{
  const uint64_t modulus = 0xfffffffffffffc5bul;
  uint64_t inverse = modulus, x = 7;

  for(int i = 0; i < 5; i++) // Newton: the number of right bits doubles each time
    inverse *= 2 - modulus * inverse;
  for(uint32_t i = 0; i < 2000000; i++){
    unsigned __int128 product = (unsigned __int128)x * x;
    uint64_t q = (uint64_t)product * inverse, high = (unsigned __int128)q * modulus >> 64, top = product >> 64;
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
