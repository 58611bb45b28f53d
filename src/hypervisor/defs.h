// Every function one file uses of another, by the file it is in.
#ifndef DEFS_H
#define DEFS_H
#include "frame.h"
#include "param.h"
#include "proc.h"
#include "types.h"
#include "x86.h"
#include <xen/errno.h>

struct elf;

struct ram_range {
  uint64 start, end;
};

// Interrupt vectors. Below IRQ_BASE are exceptions.
#define IRQ_BASE 0x30 // + interrupt line
#define VECTOR_TIMER 0xf0
#define VECTOR_SPURIOUS 0xff

#define XEN_HYPERCALL_MSR 0x40000000

// apic.c
void apic_init(void);
void lapic_count_start(void);
uint32 lapic_count(void);
void lapic_oneshot(uint32 ticks);
int line_bind(int gsi, bool on);
int line_setup(int gsi, bool level, bool low);
bool line_needs_eoi(int gsi);
void line_eoi(int gsi);
void irq_dispatch(uint32 vector);

// console.c
void console_init(void);
void console_putc(char c);
void console_write(const char *s, size_t n);
void vprintk(const char *fmt, va_list ap);
void printk(const char *fmt, ...);
void panic(const char *fmt, ...) __attribute__((noreturn));
int64 do_console_io(uint64 cmd, uint64 count, uint64 gva);

// domain.c
struct domain *find_domain(uint32 id);
struct page *domain_page(struct domain *d, uint64 gfn);
struct page *domain_alloc_page(struct domain *d, uint32 order);
struct domain *domain_create(enum domain_type type, const char *name, uint64 max_bytes);
void domain_connect_store_console(struct domain *d, uint64 store, uint64 console);
void domain_shutdown(struct domain *d, uint8 reason);
void domain_crash(struct domain *d, const char *fmt, ...);
void domain_unpause(struct domain *d);
void vcpu_set_start(struct vcpu *v, void (*fn)(struct vcpu *));
void vcpu_save(struct vcpu *v);
void vcpu_load(struct vcpu *v);
bool vcpu_has_work(struct vcpu *v);
int64 do_domctl(uint64 gva);

// elf.c
bool elf_open(struct elf *e, const uint8 *file, uint64 size);
void elf_load(struct elf *e, void (*put)(void *ctx, uint64 to, const uint8 *from, uint64 n), void *ctx);

// evtchn.c
bool evtchn_is_pending(struct domain *d, uint32 port);
void send_virq(struct domain *d, int virq);
void pirq_event(int gsi);
int evtchn_alloc_unbound(struct domain *d, uint16 remote);
int evtchn_alloc_xen(struct domain *d, uint16 remote);
int evtchn_close(struct domain *d, uint32 port);
int evtchn_send(struct domain *d, uint32 port);
int64 do_event_channel_op(uint64 cmd, uint64 gva);

// frame.c
struct page *mfn_page(uint64 mfn);
struct page *alloc_page(struct domain *d);
struct page *alloc_pages(struct domain *d, uint32 order);
void *kalloc(void);
void *kalloc_pages(uint32 order);
void kfree(void *va);
void get_page(struct page *p);
void put_page(struct page *p);
void frame_init(uint64 above);

// gnttab.c
int gnttab_grow(struct domain *d, uint32 n);
uint64 gnttab_frame_mfn(struct domain *d, uint32 i);
int64 do_grant_table_op(uint64 cmd, uint64 gva, uint64 count);

// guest.c
uint64 copy_from_guest(void *dst, uint64 gva, uint64 n);
uint64 copy_to_guest(uint64 gva, const void *src, uint64 n);

// hypercall.c
int64 hypercall(uint64 nr, uint64 a1, uint64 a2, uint64 a3, uint64 a4, uint64 a5);
void hypercall_page(uint8 *page, bool pv, const uint8 *trap, int len);

// main.c
extern struct ram_range ram[];
extern int nram;
void machine_stop(uint8 code) __attribute__((noreturn));

// memory.c
int64 do_memory_op(uint64 cmd, uint64 gva);

// sched.c
extern bool need_resched;
void sched_init(void);
bool is_idle(struct vcpu *v);
void vcpu_start(struct vcpu *v);
void vcpu_stop(struct vcpu *v);
void vcpu_wake(struct vcpu *v);
void vcpu_block(void);
void vcpu_yield(void);
void vcpu_forget(struct vcpu *v);
bool vcpu_is_loaded(struct vcpu *v);
void schedule(void);
void idle_loop(void) __attribute__((noreturn));
int64 do_sched_op(uint64 cmd, uint64 gva);
void swtch(uint64 *old_rsp, uint64 new_rsp);

// string.c
void *memset(void *dst, int c, size_t n);
void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *p, const char *q);
int strncmp(const char *p, const char *q, size_t n);
char *safestrcpy(char *d, const char *s, size_t n);
uint64 strtosize(const char *s, const char **end);

// time.c
void time_init(void);
uint64 now(void);
uint64 tsc_frequency(void);
uint64 ns_to_tsc(uint64 ns);
void timer_set(struct timer *tm, uint64 when);
void timer_stop(struct timer *tm);
void timer_interrupt(void);
void time_publish(struct vcpu *v);
void wallclock_publish(struct shared_info *s);

// trap.c
void trap_init(void);
void idt_load(void);
void dump_regs(struct regs *r);
int probe_rdmsr(uint32 msr, uint64 *v); // entry.S

// vm.c
void vm_init(void);
void vm_drop_identity(void);
uint64 hv_cr3(void);
void gdt_load(void);
void syscall_msrs_load(void);
void vm_fill_l4(uint64 *l4);
void vm_map_guest_gdt(const uint64 *frames);
void vm_set_kstack(uint64 top, bool ports);
void vm_deny_ports(uint16 first, uint16 last);
uint64 *vm_tss_base(void);
void tlb_flush(void);

// pv/build.c
void pv_build(struct domain *d, struct elf *e);

// pv/emulate.c
void guest_cpuid(struct domain *d, uint32 leaf, uint32 subleaf, struct cpuid *c);
uint64 *reg_of(struct regs *r, int n);
bool pv_emulate_prefix(struct vcpu *v, struct regs *r);
bool pv_emulate_gp(struct vcpu *v, struct regs *r);

// pv/mmu.c
int64 do_mmu_update(uint64 gva, uint64 count, uint64 done_gva, uint64 domid);
int64 do_update_va_mapping(uint64 va, uint64 val, uint64 flags, uint16 domid);
int64 do_mmuext_op(uint64 gva, uint64 count, uint64 done_gva, uint64 domid);
int16 pv_map_grant(struct vcpu *v, uint64 host_addr, uint32 flags, uint64 mfn);
int16 pv_unmap_grant(struct vcpu *v, uint64 host_addr, uint32 flags, uint64 mfn);

// pv/segs.c
int64 do_set_gdt(uint64 gva, uint64 entries);
int64 do_update_descriptor(uint64 ma, uint64 e);

// pv/traps.c
bool pv_bad_address(uint64 va, uint64 n);
void pv_save(struct vcpu *v);
void pv_load(struct vcpu *v);
void pv_inject(struct vcpu *v, struct regs *r, int vector, bool has_error, uint64 error);
void pv_trap(struct vcpu *v, struct regs *r);
void pv_syscall(struct regs *r);
bool pv_leave(struct regs *r);
int64 do_iret(void);
int64 do_set_trap_table(uint64 gva);
int64 do_set_callbacks(uint64 event, uint64 failsafe, uint64 syscall);
int64 do_callback_op(uint64 cmd, uint64 gva);
int64 do_stack_switch(uint64 ss, uint64 sp);
int64 do_fpu_taskswitch(uint64 set);
int64 do_set_segment_base(uint64 which, uint64 base);
int64 do_set_debugreg(uint64 reg, uint64 v);
int64 do_get_debugreg(uint64 reg);
int64 do_vm_assist(uint64 cmd, uint64 type);

// pv/types.c
bool get_page_type(struct page *p, int type);
void put_page_type(struct page *p);
bool get_l1e(struct domain *d, uint64 *e, struct domain *foreign);
void put_l1e(uint64 e);
bool get_table_entry(struct domain *d, uint64 *e, int type);
void put_table_entry(uint64 e);

#include "hvm/hvm.h"

#endif
