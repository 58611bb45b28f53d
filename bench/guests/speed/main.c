// Runs the parts that the command line names and says when each begins and ends, on COM1.
//
//   part=NAME     only this part (all, in order, without it)
//   rounds=N      how often each part does its work between BEGIN and END (1); 0: for ever
//
// Ends by a write to port 0xf4 (debug exit).

#include "speed.h"

enum { COM1 = 0x3f8, COM1_LINE_STATUS = COM1 + 5, TRANSMITTER_EMPTY = 0x20, DEBUG_EXIT = 0xf4 };

uint8_t arena[ARENA_BYTES] __attribute__((aligned(4096)));

static const struct {
  const char *name;
  uint32_t (*run)(void);
} parts[] = {
  { "sieve", part_sieve },       { "crc", part_crc },         { "sort", part_sort },   { "float", part_float }, { "chase", part_chase },
  { "tree", part_tree },         { "multiply", part_multiply }, { "strings", part_strings }, { "calls", part_calls },
};

static void
out8(uint16_t port, uint8_t value)
{
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t
in8(uint16_t port)
{
  uint8_t value;

  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

static void
print(const char *text)
{
  for(; *text; text++){
    while(!(in8(COM1_LINE_STATUS) & TRANSMITTER_EMPTY))
      ;
    out8(COM1, *text);
  }
}

static void
print_hex(uint32_t value)
{
  char digits[9] = { 0 };

  for(int i = 0; i < 8; i++)
    digits[i] = "0123456789abcdef"[value >> (28 - 4 * i) & 15];
  print(digits);
}

// The text behind "KEY=" in the command line, or NULL.
static const char *
option(const char *line, const char *key)
{
  for(; *line; line++){
    size_t i = 0;
    while(key[i] && line[i] == key[i])
      i++;
    if(!key[i])
      return line + i;
  }
  return NULL;
}

static int
is_word(const char *text, const char *word)
{
  while(*word && *text == *word){
    text++;
    word++;
  }
  return !*word && (*text == 0 || *text == ' ');
}

static uint32_t
number(const char *text, uint32_t otherwise)
{
  uint32_t value = 0;

  if(!text || *text < '0' || *text > '9')
    return otherwise;
  for(; *text >= '0' && *text <= '9'; text++)
    value = value * 10 + (*text - '0');
  return value;
}

void
main(const char *command_line)
{
  const char *only = option(command_line, "part=");
  uint32_t rounds = number(option(command_line, "rounds="), 1);

  for(size_t p = 0; p < sizeof parts / sizeof parts[0]; p++){
    if(only && !is_word(only, parts[p].name))
      continue;
    print("BEGIN ");
    print(parts[p].name);
    print("\n");
    uint32_t value = 0;
    for(uint32_t done = 0; rounds == 0 || done < rounds; done++)
      value = parts[p].run();
    print("END ");
    print(parts[p].name);
    print(" ");
    print_hex(value);
    print("\n");
  }
  print("DONE\n");
  out8(DEBUG_EXIT, 0);
}
