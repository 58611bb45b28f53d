// Text output: to COM1 on a bare machine, to the Xen console in a domain.
#pragma once

#include "lib/types.h"

// Where bytes go; set by the environment's start code. Before that they are dropped.
extern void (*console_write)(const char *text, size_t n);

void serial_init(void);
void serial_write(const char *text, size_t n);

// %d %u %x %p %s %c %%, with 0-padding, width, and l / ll / z before d u x. Returns the number of bytes written.
int printf(const char *format, ...) PRINTF_LIKE(1, 2);
int snprintf(char *to, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);
int vsnprintf(char *to, size_t size, const char *format, va_list args);

// Prints a reason and ends the machine or domain with failure.
void panic(const char *format, ...) PRINTF_LIKE(1, 2) NORETURN;
