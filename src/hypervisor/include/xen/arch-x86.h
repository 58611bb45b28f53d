/* The x86-64 part of the Xen guest interface: registers, selectors, trap table, the hypervisor's address range. */
#ifndef XEN_ARCH_X86_H
#define XEN_ARCH_X86_H

/* Selectors every 64-bit PV guest may use; the GDT entries behind them belong to the hypervisor. */
#define FLAT_RING3_CS32 0xe023
#define FLAT_RING3_CS64 0xe033
#define FLAT_RING3_DS32 0xe02b
#define FLAT_RING3_DS64 0x0000
#define FLAT_RING3_SS32 0xe02b
#define FLAT_RING3_SS64 0xe02b
#define FLAT_KERNEL_CS FLAT_RING3_CS64
#define FLAT_KERNEL_DS FLAT_RING3_DS64
#define FLAT_KERNEL_SS FLAT_RING3_SS64
#define FLAT_USER_CS FLAT_RING3_CS64
#define FLAT_USER_DS FLAT_RING3_DS64
#define FLAT_USER_SS FLAT_RING3_SS64

#define FIRST_RESERVED_GDT_PAGE 14
#define FIRST_RESERVED_GDT_BYTE (FIRST_RESERVED_GDT_PAGE * 4096)
#define FIRST_RESERVED_GDT_ENTRY (FIRST_RESERVED_GDT_BYTE / 8)

#define HYPERVISOR_VIRT_START 0xffff800000000000
#define HYPERVISOR_VIRT_END 0xffff880000000000
#define MACH2PHYS_VIRT_START 0xffff800000000000
#define MACH2PHYS_VIRT_END 0xffff804000000000

/* set_segment_base */
#define SEGBASE_FS 0
#define SEGBASE_GS_USER 1
#define SEGBASE_GS_KERNEL 2
#define SEGBASE_GS_USER_SEL 3

/* iret_context.flags: return with SYSRET, which loses RCX and R11. */
#define VGCF_in_syscall (1 << 8)

/* vcpu_guest_context.flags */
#define VGCF_i387_valid (1 << 0)
#define VGCF_in_kernel (1 << 2)
#define VGCF_failsafe_disables_events (1 << 3)
#define VGCF_syscall_disables_events (1 << 4)
#define VGCF_online (1 << 5)

/* Prefix that makes an instruction go to the hypervisor even where the processor would not trap it: ud2a; "xen". */
#define XEN_EMULATE_PREFIX ".byte 0x0f,0x0b,0x78,0x65,0x6e ; "
#define XEN_HVM_DEBUGCONS_IOPORT 0xe9

/* trap_info.flags: bits 0-1 privilege that may raise it by software, bit 2 masks events on entry. */
#define TI_GET_DPL(ti) ((ti)->flags & 3)
#define TI_GET_IF(ti) ((ti)->flags & 4)

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

typedef uint16_t domid_t;
typedef unsigned long xen_pfn_t;
typedef unsigned long xen_ulong_t;
typedef unsigned long xen_callback_t;

/* One entry of set_trap_table; the table ends with address 0. */
struct trap_info {
  uint8_t vector;
  uint8_t flags;
  uint16_t cs;
  unsigned long address;
};

/* What __HYPERVISOR_iret finds at the guest's stack pointer. */
struct iret_context {
  uint64_t rax, r11, rcx, flags, rip, cs, rflags, rsp, ss;
};

struct cpu_user_regs {
  uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
  uint32_t error_code;
  uint32_t entry_vector;
  uint64_t rip;
  uint16_t cs, _pad0[1];
  uint8_t saved_upcall_mask;
  uint8_t _pad1[3];
  uint64_t rflags;
  uint64_t rsp;
  uint16_t ss, _pad2[3];
  uint16_t es, _pad3[3];
  uint16_t ds, _pad4[3];
  uint16_t fs, _pad5[3];
  uint16_t gs, _pad6[3];
};

struct arch_vcpu_info {
  unsigned long cr2;
  unsigned long pad;
};

struct arch_shared_info {
  unsigned long max_pfn;
  xen_pfn_t pfn_to_mfn_frame_list_list;
  unsigned long nmi_reason;
  unsigned long p2m_cr3;
  unsigned long p2m_vaddr;
  unsigned long p2m_generation;
};

/* State of a vCPU, as VCPUOP_initialise takes it. */
struct vcpu_guest_context {
  struct {
    char x[512];
  } fpu_ctxt;
  unsigned long flags;
  struct cpu_user_regs user_regs;
  struct trap_info trap_ctxt[256];
  unsigned long ldt_base, ldt_ents;
  unsigned long gdt_frames[16], gdt_ents;
  unsigned long kernel_ss, kernel_sp;
  unsigned long ctrlreg[8];
  unsigned long debugreg[8];
  unsigned long event_callback_eip;
  unsigned long failsafe_callback_eip;
  unsigned long syscall_callback_eip;
  unsigned long vm_assist;
  uint64_t fs_base;
  uint64_t gs_base_kernel;
  uint64_t gs_base_user;
};

typedef struct trap_info trap_info_t;
typedef struct cpu_user_regs cpu_user_regs_t;
typedef struct vcpu_guest_context vcpu_guest_context_t;

_Static_assert(sizeof(struct trap_info) == 16, "ABI");
_Static_assert(sizeof(struct cpu_user_regs) == 200, "ABI");
_Static_assert(offsetof(struct cpu_user_regs, rip) == 128, "ABI");
#endif
#endif
