// Memory and string functions. Copies use REP MOVS: on every modelled processor that is the fast way for big blocks.

#include "lib/string.h"

void *
memcpy(void *to, const void *from, size_t n)
{
  void *d = to;
  size_t words = n >> 3;

  __asm__ volatile("rep movsq" : "+D"(d), "+S"(from), "+c"(words)::"memory");
  n &= 7;
  if(n)
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n)::"memory");
  return to;
}

void *
memmove(void *to, const void *from, size_t n)
{
  char *d = to;
  const char *s = from;

  if(d <= s || d >= s + n)
    return memcpy(to, from, n);
  while(n--){
    d[n] = s[n];
    barrier(); // keeps the compiler from turning the loop into a call of memmove
  }
  return to;
}

void *
memset(void *to, int byte, size_t n)
{
  void *d = to;
  uint64_t pattern = 0x0101010101010101ul * (uint8_t)byte;
  size_t words = n >> 3;

  __asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(pattern) : "memory");
  n &= 7;
  if(n)
    __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(pattern) : "memory");
  return to;
}

int
memcmp(const void *a, const void *b, size_t n)
{
  const uint8_t *x = a, *y = b;

  for(; n--; x++, y++)
    if(*x != *y)
      return *x - *y;
  return 0;
}

size_t
strlen(const char *s)
{
  size_t n = 0;

  while(s[n]){
    n++;
    barrier();
  }
  return n;
}

int
strcmp(const char *a, const char *b)
{
  while(*a && *a == *b){
    a++;
    b++;
  }
  return (uint8_t)*a - (uint8_t)*b;
}

int
strncmp(const char *a, const char *b, size_t n)
{
  while(n && *a && *a == *b){
    a++;
    b++;
    n--;
  }
  return n ? (uint8_t)*a - (uint8_t)*b : 0;
}

char *
strchr(const char *s, int c)
{
  for(;; s++){
    if(*s == (char)c)
      return (char *)s;
    if(!*s)
      return NULL;
  }
}

void
string_copy(char *to, const char *from, size_t size)
{
  size_t i = 0;

  for(; i + 1 < size && from[i]; i++)
    to[i] = from[i];
  to[i] = 0;
}

static int
digit_value(char c)
{
  if(c >= '0' && c <= '9')
    return c - '0';
  if(c >= 'a' && c <= 'f')
    return c - 'a' + 10;
  if(c >= 'A' && c <= 'F')
    return c - 'A' + 10;
  return 99;
}

uint64_t
string_to_number(const char *s, const char **end)
{
  int base = 10;
  uint64_t value = 0;

  if(s[0] == '0' && (s[1] == 'x' || s[1] == 'X')){
    base = 16;
    s += 2;
  }
  for(; digit_value(*s) < base; s++)
    value = value * base + digit_value(*s);
  if(end)
    *end = s;
  return value;
}
