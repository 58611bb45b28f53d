// Hypercalls, through the page that the hypervisor fills: RAX is implied by the entry, arguments RDI RSI RDX R10 R8.
// The result is negative (-Xen errno) on failure.
#pragma once

#include "lib/types.h"
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/sched.h>

extern char hypercall_page[];

static inline int64_t
hypercall5(unsigned number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
  int64_t result;
  register uint64_t r10 __asm__("r10") = d;
  register uint64_t r8 __asm__("r8") = e;

  __asm__ volatile("call *%[entry]"
                   : "=a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
                   : [entry] "r"(hypercall_page + number * 32)
                   : "memory", "rcx", "r11", "r9", "cc");
  return result;
}

static inline int64_t hypercall1(unsigned n, uint64_t a) { return hypercall5(n, a, 0, 0, 0, 0); }
static inline int64_t hypercall2(unsigned n, uint64_t a, uint64_t b) { return hypercall5(n, a, b, 0, 0, 0); }
static inline int64_t hypercall3(unsigned n, uint64_t a, uint64_t b, uint64_t c) { return hypercall5(n, a, b, c, 0, 0); }
static inline int64_t hypercall4(unsigned n, uint64_t a, uint64_t b, uint64_t c, uint64_t d) { return hypercall5(n, a, b, c, d, 0); }

static inline int64_t hypercall_set_trap_table(struct trap_info *table) { return hypercall1(__HYPERVISOR_set_trap_table, (uint64_t)table); }

// 64-bit: event entry, failsafe entry, syscall entry (none here: there is no user mode).
static inline int64_t
hypercall_set_callbacks(uint64_t event, uint64_t failsafe)
{
  return hypercall3(__HYPERVISOR_set_callbacks, event, failsafe, 0);
}

static inline int64_t
hypercall_mmu_update(struct mmu_update *updates, unsigned n)
{
  return hypercall4(__HYPERVISOR_mmu_update, (uint64_t)updates, n, 0, DOMID_SELF);
}

static inline int64_t
hypercall_update_va_mapping(uint64_t va, uint64_t pte, uint64_t flags)
{
  return hypercall3(__HYPERVISOR_update_va_mapping, va, pte, flags);
}

static inline int64_t hypercall_memory_op(unsigned cmd, void *arg) { return hypercall2(__HYPERVISOR_memory_op, cmd, (uint64_t)arg); }
static inline int64_t hypercall_event_channel_op(unsigned cmd, void *arg) { return hypercall2(__HYPERVISOR_event_channel_op, cmd, (uint64_t)arg); }
static inline int64_t hypercall_sched_op(unsigned cmd, void *arg) { return hypercall2(__HYPERVISOR_sched_op, cmd, (uint64_t)arg); }
static inline int64_t hypercall_physdev_op(unsigned cmd, void *arg) { return hypercall2(__HYPERVISOR_physdev_op, cmd, (uint64_t)arg); }
static inline int64_t hypercall_hvm_op(unsigned cmd, void *arg) { return hypercall2(__HYPERVISOR_hvm_op, cmd, (uint64_t)arg); }
static inline int64_t hypercall_xen_version(unsigned cmd, void *arg) { return hypercall2(__HYPERVISOR_xen_version, cmd, (uint64_t)arg); }
static inline int64_t hypercall_set_timer_op(uint64_t ns) { return hypercall1(__HYPERVISOR_set_timer_op, ns); }

static inline int64_t
hypercall_grant_table_op(unsigned cmd, void *ops, unsigned n)
{
  return hypercall3(__HYPERVISOR_grant_table_op, cmd, (uint64_t)ops, n);
}

static inline int64_t
hypercall_console_io(unsigned cmd, unsigned n, const char *text)
{
  return hypercall3(__HYPERVISOR_console_io, cmd, n, (uint64_t)text);
}
