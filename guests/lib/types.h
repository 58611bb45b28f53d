// Integer names used everywhere, and small macros.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <stdarg.h>

#define PAGE_SIZE 4096ul
#define PAGE_SHIFT 12
#define PAGE_MASK (~(PAGE_SIZE - 1))
#define PAGE_UP(x) (((x) + PAGE_SIZE - 1) & PAGE_MASK)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define ALIGNED(n) __attribute__((aligned(n)))
#define PACKED __attribute__((packed))
#define NORETURN __attribute__((noreturn))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

// The compiler must not move memory accesses over this.
#define barrier() __asm__ volatile("" ::: "memory")
// Full memory barrier (x86: only a later load may pass an earlier store, and a locked instruction stops that).
#define mb() __asm__ volatile("lock; addl $0,-4(%%rsp)" ::: "memory", "cc")
#define rmb() barrier()
#define wmb() barrier()
