// Formatted output.

#include "lib/console.h"
#include "lib/environment.h"
#include "lib/string.h"

void (*console_write)(const char *text, size_t n);

struct out {
  char *to;
  size_t size, used; // used counts what would have been written, as snprintf returns
};

static void
put(struct out *o, char c)
{
  if(o->used + 1 < o->size)
    o->to[o->used] = c;
  o->used++;
}

static void
put_number(struct out *o, uint64_t value, unsigned base, bool negative, int width, char pad)
{
  char digits[24];
  int n = 0;

  do {
    digits[n++] = "0123456789abcdef"[value % base];
    value /= base;
  } while(value);
  if(negative && pad == '0')
    put(o, '-');
  for(int i = n + negative; i < width; i++)
    put(o, pad);
  if(negative && pad != '0')
    put(o, '-');
  while(n)
    put(o, digits[--n]);
}

static void
put_string(struct out *o, const char *s, int width, bool left)
{
  int n = (int)strlen(s);

  for(int i = n; !left && i < width; i++)
    put(o, ' ');
  for(int i = 0; i < n; i++)
    put(o, s[i]);
  for(int i = n; left && i < width; i++)
    put(o, ' ');
}

int
vsnprintf(char *to, size_t size, const char *format, va_list args)
{
  struct out o = { to, size, 0 };

  for(const char *f = format; *f; f++){
    if(*f != '%'){
      put(&o, *f);
      continue;
    }
    char pad = ' ';
    int width = 0, longs = 0;
    bool left = false;
    f++;
    if(*f == '-'){
      left = true;
      f++;
    }
    if(*f == '0')
      pad = '0';
    while(*f >= '0' && *f <= '9')
      width = width * 10 + *f++ - '0';
    while(*f == 'l' || *f == 'z'){
      longs++;
      f++;
    }
    switch(*f){
    case 'd': {
      int64_t v = longs ? va_arg(args, int64_t) : va_arg(args, int);
      put_number(&o, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, v < 0, width, pad);
      break;
    }
    case 'u': put_number(&o, longs ? va_arg(args, uint64_t) : va_arg(args, unsigned), 10, false, width, pad); break;
    case 'x': put_number(&o, longs ? va_arg(args, uint64_t) : va_arg(args, unsigned), 16, false, width, pad); break;
    case 'p': put_number(&o, (uint64_t)va_arg(args, void *), 16, false, 16, '0'); break;
    case 's': put_string(&o, va_arg(args, const char *), width, left); break;
    case 'c': put(&o, (char)va_arg(args, int)); break;
    default: put(&o, *f); break;
    }
  }
  if(size)
    to[MIN(o.used, size - 1)] = 0;
  return (int)o.used;
}

int
snprintf(char *to, size_t size, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  int n = vsnprintf(to, size, format, args);
  va_end(args);
  return n;
}

static int
vprintf(const char *format, va_list args)
{
  char line[512];
  int n = vsnprintf(line, sizeof line, format, args);

  n = MIN(n, (int)sizeof line - 1);
  if(console_write)
    console_write(line, n);
  return n;
}

int
printf(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  int n = vprintf(format, args);
  va_end(args);
  return n;
}

void
panic(const char *format, ...)
{
  va_list args;
  va_start(args, format);
  printf("panic: ");
  vprintf(format, args);
  printf("\n");
  va_end(args);
  environment_exit(EXIT_FAILURE);
}
