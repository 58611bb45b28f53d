// Parts whose time goes to memory: bits, bytes, order, pointers, strings.

#include "speed.h"

// Primes below 2^22, one bit for each odd number.
uint32_t
part_sieve(void)
{
  enum { HALF = 1 << 21 };
  uint32_t *composite = (uint32_t *)arena, primes = 1;

  for(uint32_t i = 0; i < HALF / 32; i++)
    composite[i] = 0;
  for(uint32_t i = 1; i < HALF; i++){
    if(composite[i >> 5] >> (i & 31) & 1)
      continue;
    primes++;
    uint32_t prime = 2 * i + 1;
    for(uint64_t j = 2ull * i * (i + 1); j < HALF; j += prime)
      composite[j >> 5] |= 1u << (j & 31);
  }
  return primes;
}

// CRC-32C over 4 MiB, a byte at a time.
uint32_t
part_crc(void)
{
  static uint32_t table[256];
  uint32_t crc = ~0u;
  uint64_t state = 1;

  for(uint32_t byte = 0; byte < 256; byte++){
    uint32_t remainder = byte;
    for(int bit = 0; bit < 8; bit++)
      remainder = remainder >> 1 ^ (remainder & 1 ? 0x82f63b78 : 0);
    table[byte] = remainder;
  }
  for(uint32_t i = 0; i < 1 << 20; i++)
    ((uint32_t *)arena)[i] = next_number(&state);
  for(uint32_t i = 0; i < 4 << 20; i++)
    crc = table[(uint8_t)(crc ^ arena[i])] ^ crc >> 8;
  return ~crc;
}

static void
sift_down(uint32_t *heap, uint32_t at, uint32_t n)
{
  uint32_t value = heap[at];

  for(uint32_t child; (child = 2 * at + 1) < n; at = child){
    if(child + 1 < n && heap[child + 1] > heap[child])
      child++;
    if(heap[child] <= value)
      break;
    heap[at] = heap[child];
  }
  heap[at] = value;
}

// Heapsort of 2^17 numbers.
uint32_t
part_sort(void)
{
  enum { N = 1 << 17 };
  uint32_t *a = (uint32_t *)arena;
  uint64_t state = 2;

  for(uint32_t i = 0; i < N; i++)
    a[i] = next_number(&state);
  for(uint32_t i = N / 2; i-- > 0;)
    sift_down(a, i, N);
  for(uint32_t n = N; --n > 0;){
    uint32_t largest = a[0];
    a[0] = a[n];
    a[n] = largest;
    sift_down(a, 0, n);
  }
  return a[N / 3] ^ a[N - 1];
}

// Follows one random cycle through 4 MiB.
uint32_t
part_chase(void)
{
  enum { N = 1 << 20, STEPS = 6000000 };
  uint32_t *next = (uint32_t *)arena, at = 0;
  uint64_t state = 3;

  for(uint32_t i = 0; i < N; i++)
    next[i] = i;
  for(uint32_t i = N - 1; i > 0; i--){
    uint32_t j = (uint64_t)next_number(&state) * i >> 32, other = next[j];
    next[j] = next[i];
    next[i] = other;
  }
  for(uint32_t i = 0; i < STEPS; i++)
    at = next[at];
  return at;
}

struct node {
  struct node *child[2];
  uint32_t key, count;
};

// Numbers into a binary search tree, then looks for each and for as many that are not there.
uint32_t
part_tree(void)
{
  enum { N = 60000 };
  struct node *nodes = (struct node *)arena, *root = NULL;
  uint32_t used = 0, depth = 0;
  uint64_t state = 4;

  for(uint32_t i = 0; i < N; i++){
    uint32_t key = next_number(&state) | 1;
    struct node **link = &root;
    while(*link && (*link)->key != key)
      link = &(*link)->child[key > (*link)->key];
    if(!*link){
      *link = &nodes[used++];
      **link = (struct node){ .key = key };
    }
    (*link)->count++;
  }
  for(uint32_t missing = 0; missing < 2; missing++)
    for(uint32_t i = 0; i < used; i++)
      for(struct node *n = root; n && n->key != nodes[i].key - missing; n = n->child[nodes[i].key - missing > n->key])
        depth++;
  return depth;
}

// Fills and copies by the widest string instruction that there is.
#ifdef __x86_64__
typedef uint64_t word;
#define STOS "rep stosq"
#define MOVS "rep movsq"
#else
typedef uint32_t word;
#define STOS "rep stosl"
#define MOVS "rep movsl"
#endif

// String instructions: copies, fills, a search and a comparison.
uint32_t
part_strings(void)
{
  enum { BYTES = 1 << 20 };
  uint8_t *from = arena, *to = arena + BYTES;
  uint64_t sum = 0;

  for(uint32_t round = 0; round < 64; round++){
    void *d = from, *s = from;
    size_t n = BYTES / sizeof(word);
    __asm__ volatile(STOS : "+D"(d), "+c"(n) : "a"((word)(round * 0x0101010101010101ull)) : "memory");
    from[BYTES - 1 - round] = 0xff;
    d = to;
    n = BYTES / sizeof(word);
    __asm__ volatile(MOVS : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    d = to;
    n = BYTES / 16;
    __asm__ volatile("repne scasb" : "+D"(d), "+c"(n) : "a"(0xee) : "memory", "cc");
    sum += n;
    d = to + BYTES - 4096;
    s = from + BYTES - 4096;
    n = 4096;
    __asm__ volatile("repe cmpsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory", "cc");
    sum = sum * 31 + n + to[BYTES - 1 - round];
  }
  return sum ^ sum >> 32;
}
