// One function for each privileged or special instruction that C cannot say.
#pragma once

#include "lib/types.h"

static inline void outb(uint16_t port, uint8_t v) { __asm__ volatile("outb %0,%w1" ::"a"(v), "Nd"(port)); }
static inline void outw(uint16_t port, uint16_t v) { __asm__ volatile("outw %0,%w1" ::"a"(v), "Nd"(port)); }
static inline void outl(uint16_t port, uint32_t v) { __asm__ volatile("outl %0,%w1" ::"a"(v), "Nd"(port)); }

static inline uint8_t
inb(uint16_t port)
{
  uint8_t v;
  __asm__ volatile("inb %w1,%0" : "=a"(v) : "Nd"(port));
  return v;
}

static inline uint16_t
inw(uint16_t port)
{
  uint16_t v;
  __asm__ volatile("inw %w1,%0" : "=a"(v) : "Nd"(port));
  return v;
}

static inline uint32_t
inl(uint16_t port)
{
  uint32_t v;
  __asm__ volatile("inl %w1,%0" : "=a"(v) : "Nd"(port));
  return v;
}

static inline void
insw(uint16_t port, void *to, unsigned long words)
{
  __asm__ volatile("cld; rep insw" : "+D"(to), "+c"(words) : "d"(port) : "memory");
}

static inline void
outsw(uint16_t port, const void *from, unsigned long words)
{
  __asm__ volatile("cld; rep outsw" : "+S"(from), "+c"(words) : "d"(port) : "memory");
}

static inline void
cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
  __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(subleaf));
}

static inline uint64_t
rdtsc(void)
{
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return ((uint64_t)high << 32) | low;
}

static inline uint64_t
rdmsr(uint32_t msr)
{
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
  return ((uint64_t)high << 32) | low;
}

static inline void
wrmsr(uint32_t msr, uint64_t value)
{
  __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t
read_cr2(void)
{
  uint64_t v;
  __asm__ volatile("mov %%cr2,%0" : "=r"(v));
  return v;
}

static inline uint64_t
read_cr3(void)
{
  uint64_t v;
  __asm__ volatile("mov %%cr3,%0" : "=r"(v));
  return v;
}

static inline void invlpg(const void *va) { __asm__ volatile("invlpg (%0)" ::"r"(va) : "memory"); }
static inline void pause(void) { __asm__ volatile("pause" ::: "memory"); }

static inline uint64_t
read_rflags(void)
{
  uint64_t v;
  __asm__ volatile("pushfq; pop %0" : "=r"(v)::"memory");
  return v;
}

// Device memory is reached by plain MOV and nothing else: what emulates a device need not know every instruction with a memory
// operand, and the compiler must not make "OR to memory" out of a read and a write.
static inline uint32_t
mmio_read(const volatile void *at)
{
  uint32_t v;
  __asm__ volatile("movl %1,%0" : "=r"(v) : "m"(*(const volatile uint32_t *)at) : "memory");
  return v;
}

static inline void
mmio_write(volatile void *at, uint32_t value)
{
  __asm__ volatile("movl %1,%0" : "=m"(*(volatile uint32_t *)at) : "r"(value) : "memory");
}

#define RFLAGS_IF 0x200ul
