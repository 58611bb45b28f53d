// The byte and text functions a C compiler or a reader expects. No locale, no surprises.
#include "defs.h"

void *
memset(void *dst, int c, size_t n)
{
  void *d = dst;
  size_t words = n / 8, rest = n % 8;
  uint64 fill = (uint8)c * 0x0101010101010101ul;

  asm volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(fill) : "memory");
  asm volatile("rep stosb" : "+D"(d), "+c"(rest) : "a"(fill) : "memory");
  return dst;
}

void *
memcpy(void *dst, const void *src, size_t n)
{
  void *d = dst;
  size_t words = n / 8, rest = n % 8;

  asm volatile("rep movsq" : "+D"(d), "+S"(src), "+c"(words) : : "memory");
  asm volatile("rep movsb" : "+D"(d), "+S"(src), "+c"(rest) : : "memory");
  return dst;
}

void *
memmove(void *dst, const void *src, size_t n)
{
  uint8 *d = dst;
  const uint8 *s = src;

  if(s >= d || s + n <= d)
    return memcpy(dst, src, n);
  while(n-- > 0)
    d[n] = s[n];
  return dst;
}

int
memcmp(const void *a, const void *b, size_t n)
{
  const uint8 *p = a, *q = b;

  for(; n > 0; n--, p++, q++)
    if(*p != *q)
      return *p - *q;
  return 0;
}

size_t
strlen(const char *s)
{
  size_t n = 0;

  while(s[n])
    n++;
  return n;
}

int
strcmp(const char *p, const char *q)
{
  while(*p && *p == *q)
    p++, q++;
  return (uint8)*p - (uint8)*q;
}

int
strncmp(const char *p, const char *q, size_t n)
{
  while(n > 0 && *p && *p == *q)
    n--, p++, q++;
  return n == 0 ? 0 : (uint8)*p - (uint8)*q;
}

// Like strncpy, but always terminated.
char *
safestrcpy(char *d, const char *s, size_t n)
{
  size_t i;

  for(i = 0; i + 1 < n && s[i]; i++)
    d[i] = s[i];
  d[i] = 0;
  return d;
}

// Decimal number with optional suffix K, M or G. *end is where it stopped.
uint64
strtosize(const char *s, const char **end)
{
  uint64 v = 0;

  while(*s >= '0' && *s <= '9')
    v = v * 10 + (uint64)(*s++ - '0');
  switch(*s){
  case 'K': case 'k': v <<= 10; s++; break;
  case 'M': case 'm': v <<= 20; s++; break;
  case 'G': case 'g': v <<= 30; s++; break;
  }
  *end = s;
  return v;
}
