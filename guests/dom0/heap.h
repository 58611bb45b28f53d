// Memory in sizes other than pages: powers of two from 32 bytes to a page.
#pragma once

#include "lib/types.h"

void *heap_alloc(size_t bytes); // zeroed
void heap_free(void *memory, size_t bytes);
char *heap_string(const char *text);
static inline void heap_free_string(char *text) { extern size_t strlen(const char *); if(text) heap_free(text, strlen(text) + 1); }
