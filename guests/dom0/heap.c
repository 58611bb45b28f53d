#include "dom0/heap.h"

#include "lib/console.h"
#include "lib/memory.h"
#include "lib/string.h"

enum { SMALLEST_SHIFT = 5, CLASSES = PAGE_SHIFT - SMALLEST_SHIFT + 1 };

struct free_block {
  struct free_block *next;
};
static struct free_block *free_blocks[CLASSES];

static unsigned
class_of(size_t bytes)
{
  unsigned c = 0;

  while((1ul << (c + SMALLEST_SHIFT)) < bytes)
    c++;
  return c;
}

void *
heap_alloc(size_t bytes)
{
  unsigned c = class_of(bytes);
  size_t size = 1ul << (c + SMALLEST_SHIFT);

  if(c >= CLASSES)
    panic("heap: %lu bytes are more than a page", bytes);
  if(!free_blocks[c]){
    char *page = pages_alloc(1);
    for(size_t at = 0; at < PAGE_SIZE; at += size){
      struct free_block *block = (struct free_block *)(page + at);
      block->next = free_blocks[c];
      free_blocks[c] = block;
    }
  }
  struct free_block *block = free_blocks[c];
  free_blocks[c] = block->next;
  return memset(block, 0, size);
}

void
heap_free(void *memory, size_t bytes)
{
  struct free_block *block = memory;
  unsigned c = class_of(bytes);

  block->next = free_blocks[c];
  free_blocks[c] = block;
}

char *
heap_string(const char *text)
{
  size_t n = strlen(text) + 1;

  return memcpy(heap_alloc(n), text, n);
}
