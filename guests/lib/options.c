// The command line: words "key=value" or "key", separated by blanks.

#include "lib/environment.h"
#include "lib/string.h"

const char *
option(const char *key)
{
  size_t n = strlen(key);
  const char *p = boot.command_line;

  while(*p){
    while(*p == ' ')
      p++;
    if(!strncmp(p, key, n)){
      if(p[n] == '=')
        return p + n + 1;
      if(p[n] == ' ' || !p[n])
        return p + n;
    }
    while(*p && *p != ' ')
      p++;
  }
  return NULL;
}

bool
option_string(const char *key, char *to, size_t size)
{
  const char *value = option(key);
  size_t n = 0;

  if(!value)
    return false;
  for(; n + 1 < size && value[n] && value[n] != ' '; n++)
    to[n] = value[n];
  to[n] = 0;
  return true;
}

uint64_t
option_number(const char *key, uint64_t otherwise)
{
  const char *value = option(key);

  return value ? string_to_number(value, NULL) : otherwise;
}

bool
option_is(const char *key, const char *value)
{
  char found[64];

  return option_string(key, found, sizeof found) && !strcmp(found, value);
}
