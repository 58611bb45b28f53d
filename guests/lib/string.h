// The few functions of the C library that the compiler expects, and string helpers.
#pragma once

#include "lib/types.h"

void *memcpy(void *to, const void *from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);

// Copies at most size-1 characters and always ends with a zero.
void string_copy(char *to, const char *from, size_t size);
// Decimal or 0x hexadecimal; stops at the first other character, which *end (when not null) then points to.
uint64_t string_to_number(const char *s, const char **end);
