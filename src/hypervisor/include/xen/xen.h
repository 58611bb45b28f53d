/*
 * The core of the Xen guest interface: hypercall numbers, the pages shared between hypervisor and guest, MMU operations.
 *
 * What must stay true: names, numbers and layouts are those of Xen's public interface for 64-bit x86 (interface version 4.17);
 * a guest built with these headers runs on Xen, and a Xen guest runs on this hypervisor. The files are our own transcription
 * of those facts, for one architecture and one interface version, so nothing here is conditional.
 * Usable from C and, for the numbers, from assembly.
 */
#ifndef XEN_XEN_H
#define XEN_XEN_H

/* Hypercall numbers: RAX. Arguments: RDI RSI RDX R10 R8. Result: RAX. */
#define __HYPERVISOR_set_trap_table 0
#define __HYPERVISOR_mmu_update 1
#define __HYPERVISOR_set_gdt 2
#define __HYPERVISOR_stack_switch 3
#define __HYPERVISOR_set_callbacks 4
#define __HYPERVISOR_fpu_taskswitch 5
#define __HYPERVISOR_sched_op_compat 6
#define __HYPERVISOR_platform_op 7
#define __HYPERVISOR_set_debugreg 8
#define __HYPERVISOR_get_debugreg 9
#define __HYPERVISOR_update_descriptor 10
#define __HYPERVISOR_memory_op 12
#define __HYPERVISOR_multicall 13
#define __HYPERVISOR_update_va_mapping 14
#define __HYPERVISOR_set_timer_op 15
#define __HYPERVISOR_event_channel_op_compat 16
#define __HYPERVISOR_xen_version 17
#define __HYPERVISOR_console_io 18
#define __HYPERVISOR_physdev_op_compat 19
#define __HYPERVISOR_grant_table_op 20
#define __HYPERVISOR_vm_assist 21
#define __HYPERVISOR_update_va_mapping_otherdomain 22
#define __HYPERVISOR_iret 23
#define __HYPERVISOR_vcpu_op 24
#define __HYPERVISOR_set_segment_base 25
#define __HYPERVISOR_mmuext_op 26
#define __HYPERVISOR_xsm_op 27
#define __HYPERVISOR_nmi_op 28
#define __HYPERVISOR_sched_op 29
#define __HYPERVISOR_callback_op 30
#define __HYPERVISOR_xenoprof_op 31
#define __HYPERVISOR_event_channel_op 32
#define __HYPERVISOR_physdev_op 33
#define __HYPERVISOR_hvm_op 34
#define __HYPERVISOR_sysctl 35
#define __HYPERVISOR_domctl 36
#define __HYPERVISOR_kexec_op 37
#define __HYPERVISOR_dm_op 41

/* Virtual interrupts: EVTCHNOP_bind_virq. */
#define VIRQ_TIMER 0
#define VIRQ_DEBUG 1
#define VIRQ_CONSOLE 2
#define VIRQ_DOM_EXC 3
#define VIRQ_TBUF 4
#define VIRQ_DEBUGGER 6
#define VIRQ_XENOPROF 7
#define VIRQ_CON_RING 8
#define VIRQ_PCPU_STATE 9
#define VIRQ_MEM_EVENT 10
#define VIRQ_ARGO 11
#define VIRQ_ENOMEM 12
#define VIRQ_XENPMU 13
#define VIRQ_ARCH_0 16
#define NR_VIRQS 24

/* mmu_update: the low two bits of mmu_update.ptr. */
#define MMU_NORMAL_PT_UPDATE 0
#define MMU_MACHPHYS_UPDATE 1
#define MMU_PT_UPDATE_PRESERVE_AD 2
#define MMU_PT_UPDATE_NO_TRANSLATE 3

/* mmuext_op.cmd */
#define MMUEXT_PIN_L1_TABLE 0
#define MMUEXT_PIN_L2_TABLE 1
#define MMUEXT_PIN_L3_TABLE 2
#define MMUEXT_PIN_L4_TABLE 3
#define MMUEXT_UNPIN_TABLE 4
#define MMUEXT_NEW_BASEPTR 5
#define MMUEXT_TLB_FLUSH_LOCAL 6
#define MMUEXT_INVLPG_LOCAL 7
#define MMUEXT_TLB_FLUSH_MULTI 8
#define MMUEXT_INVLPG_MULTI 9
#define MMUEXT_TLB_FLUSH_ALL 10
#define MMUEXT_INVLPG_ALL 11
#define MMUEXT_FLUSH_CACHE 12
#define MMUEXT_SET_LDT 13
#define MMUEXT_NEW_USER_BASEPTR 15
#define MMUEXT_CLEAR_PAGE 16
#define MMUEXT_COPY_PAGE 17
#define MMUEXT_FLUSH_CACHE_GLOBAL 18

/* update_va_mapping flags: what to flush, and whether only for this vCPU. */
#define UVMF_NONE 0
#define UVMF_TLB_FLUSH 1
#define UVMF_INVLPG 2
#define UVMF_FLUSHTYPE_MASK 3
#define UVMF_MULTI 0
#define UVMF_LOCAL 0
#define UVMF_ALL 4

#define CONSOLEIO_write 0
#define CONSOLEIO_read 1

#define VMASST_CMD_enable 0
#define VMASST_CMD_disable 1
#define VMASST_TYPE_4gb_segments 0
#define VMASST_TYPE_4gb_segments_notify 1
#define VMASST_TYPE_writable_pagetables 2
#define VMASST_TYPE_pae_extended_cr3 3
#define VMASST_TYPE_architectural_iopl 4
#define VMASST_TYPE_runstate_update_flag 5
#define VMASST_TYPE_m2p_strict 32

/* Domain identifiers with a meaning of their own. */
#define DOMID_FIRST_RESERVED 0x7ff0
#define DOMID_SELF 0x7ff0
#define DOMID_IO 0x7ff1
#define DOMID_XEN 0x7ff2
#define DOMID_COW 0x7ff3
#define DOMID_INVALID 0x7ff4
#define DOMID_ANY 0x7ff5
#define DOMID_IDLE 0x7fff

/* start_info.flags */
#define SIF_PRIVILEGED (1 << 0)
#define SIF_INITDOMAIN (1 << 1)
#define SIF_MULTIBOOT_MOD (1 << 2)
#define SIF_MOD_START_PFN (1 << 3)
#define SIF_VIRT_P2M_4TOOLS (1 << 4)

#define MAX_GUEST_CMDLINE 1024
#define XEN_LEGACY_MAX_VCPUS 32
#define XEN_PVCLOCK_TSC_STABLE_BIT (1 << 0)

#include "arch-x86.h"

#ifndef __ASSEMBLER__

struct mmuext_op {
  unsigned int cmd;
  union {
    xen_pfn_t mfn;
    unsigned long linear_addr;
  } arg1;
  union {
    unsigned int nr_ents;
    const void *vcpumask;
    xen_pfn_t src_mfn;
  } arg2;
};

/* ptr: machine address of the entry, with MMU_* in the low two bits. */
struct mmu_update {
  uint64_t ptr;
  uint64_t val;
};

struct multicall_entry {
  xen_ulong_t op, result;
  xen_ulong_t args[6];
};

/*
 * System time in nanoseconds = system_time + ((tsc - tsc_timestamp) << tsc_shift) * tsc_to_system_mul / 2^32
 * (a negative tsc_shift shifts right). version is odd while the hypervisor writes.
 */
struct vcpu_time_info {
  uint32_t version;
  uint32_t pad0;
  uint64_t tsc_timestamp;
  uint64_t system_time;
  uint32_t tsc_to_system_mul;
  int8_t tsc_shift;
  uint8_t flags;
  uint8_t pad1[2];
};

struct vcpu_info {
  uint8_t evtchn_upcall_pending;
  uint8_t evtchn_upcall_mask;
  xen_ulong_t evtchn_pending_sel; /* bit i: word i of evtchn_pending[] has work */
  struct arch_vcpu_info arch;
  struct vcpu_time_info time;
};

struct shared_info {
  struct vcpu_info vcpu_info[XEN_LEGACY_MAX_VCPUS];
  xen_ulong_t evtchn_pending[64];
  xen_ulong_t evtchn_mask[64];
  uint32_t wc_version;
  uint32_t wc_sec;
  uint32_t wc_nsec;
  uint32_t wc_sec_hi;
  struct arch_shared_info arch;
};

/* What a PV kernel finds at RSI when it starts. */
struct start_info {
  char magic[32];           /* "xen-<version>-<platform>" */
  unsigned long nr_pages;
  unsigned long shared_info; /* machine address */
  uint32_t flags;           /* SIF_* */
  xen_pfn_t store_mfn;
  uint32_t store_evtchn;
  union {
    struct {
      xen_pfn_t mfn;
      uint32_t evtchn;
    } domU;
    struct {
      uint32_t info_off;
      uint32_t info_size;
    } dom0;
  } console;
  unsigned long pt_base;      /* virtual address of the page directory */
  unsigned long nr_pt_frames;
  unsigned long mfn_list;     /* virtual address of the p2m list */
  unsigned long mod_start;
  unsigned long mod_len;
  int8_t cmd_line[MAX_GUEST_CMDLINE];
  unsigned long first_p2m_pfn;
  unsigned long nr_p2m_frames;
};

typedef struct mmuext_op mmuext_op_t;
typedef struct mmu_update mmu_update_t;
typedef struct multicall_entry multicall_entry_t;
typedef struct vcpu_time_info vcpu_time_info_t;
typedef struct vcpu_info vcpu_info_t;
typedef struct shared_info shared_info_t;
typedef struct start_info start_info_t;
typedef uint8_t xen_domain_handle_t[16];

_Static_assert(sizeof(struct vcpu_info) == 64, "ABI: one cache line each");
_Static_assert(offsetof(struct shared_info, evtchn_pending) == 2048, "ABI");
_Static_assert(offsetof(struct shared_info, wc_version) == 3072, "ABI");
_Static_assert(offsetof(struct start_info, cmd_line) == 128, "ABI");

#endif
#endif
