// The virtual machine control block. APM 2 Appendix B "Layout of VMCB"; exit codes: Appendix C "SVM Intercept Exit Codes".
#ifndef VMCB_H
#define VMCB_H
#include "../types.h"
#include "hvm.h"

// Intercepts: byte 0x0c (first word) and 0x10 (second word).
#define INTERCEPT_INTR (1u << 0)
#define INTERCEPT_NMI (1u << 1)
#define INTERCEPT_SMI (1u << 2)
#define INTERCEPT_INIT (1u << 3)
#define INTERCEPT_VINTR (1u << 4)
#define INTERCEPT_RDPMC (1u << 15)
#define INTERCEPT_CPUID (1u << 18)
#define INTERCEPT_INVD (1u << 22)
#define INTERCEPT_HLT (1u << 24)
#define INTERCEPT_INVLPGA (1u << 26)
#define INTERCEPT_IOIO (1u << 27)
#define INTERCEPT_MSR (1u << 28)
#define INTERCEPT_SHUTDOWN (1u << 31)

#define INTERCEPT_VMRUN (1u << 0)
#define INTERCEPT_VMMCALL (1u << 1)
#define INTERCEPT_VMLOAD (1u << 2)
#define INTERCEPT_VMSAVE (1u << 3)
#define INTERCEPT_STGI (1u << 4)
#define INTERCEPT_CLGI (1u << 5)
#define INTERCEPT_SKINIT (1u << 6)
#define INTERCEPT_WBINVD (1u << 9)
#define INTERCEPT_MONITOR (1u << 10)
#define INTERCEPT_MWAIT (1u << 11)
#define INTERCEPT_XSETBV (1u << 13)

#define VMEXIT_EXCP 0x40 // + vector
#define VMEXIT_INTR 0x60
#define VMEXIT_NMI 0x61
#define VMEXIT_VINTR 0x64
#define VMEXIT_RDPMC 0x6f
#define VMEXIT_CPUID 0x72
#define VMEXIT_INVD 0x76
#define VMEXIT_HLT 0x78
#define VMEXIT_INVLPGA 0x7a
#define VMEXIT_IOIO 0x7b
#define VMEXIT_MSR 0x7c
#define VMEXIT_SHUTDOWN 0x7f
#define VMEXIT_VMRUN 0x80
#define VMEXIT_VMMCALL 0x81
#define VMEXIT_VMLOAD 0x82
#define VMEXIT_SKINIT 0x86
#define VMEXIT_WBINVD 0x89
#define VMEXIT_MONITOR 0x8a
#define VMEXIT_MWAIT 0x8b
#define VMEXIT_XSETBV 0x8d
#define VMEXIT_NPF 0x400
#define VMEXIT_INVALID ~0ul

#define V_IRQ (1ul << 8)
#define V_INTR_PRIO (0xful << 16)
#define V_IGN_TPR (1ul << 20)
#define V_INTR_MASKING (1ul << 24)

#define EVENTINJ_VALID (1ul << 31)
#define EVENTINJ_EV (1ul << 11)

#define IOIO_IN (1 << 0)
#define IOIO_STR (1 << 2)
#define IOIO_REP (1 << 3)

struct vmcb {
  uint32 intercept_cr, intercept_dr, intercept_exceptions, intercept1, intercept2; // 0x000
  uint8 reserved1[0x40 - 0x14];
  uint64 iopm_base, msrpm_base, tsc_offset; // 0x040
  uint32 asid;                              // 0x058
  uint32 tlb_control;
  uint64 vintr;                             // 0x060
  uint64 interrupt_shadow;                  // 0x068
  uint64 exitcode, exitinfo1, exitinfo2, exitintinfo; // 0x070
  uint64 np_enable;                         // 0x090
  uint8 reserved2[0xa8 - 0x98];
  uint64 eventinj, n_cr3, lbr_enable;       // 0x0a8
  uint64 clean, nrip;                       // 0x0c0
  uint8 reserved3[0x400 - 0xd0];
  struct segment es, cs, ss, ds, fs, gs;    // 0x400
  struct segment gdtr, ldtr, idtr, tr;      // 0x460
  uint8 reserved4[0x4cb - 0x4a0];
  uint8 cpl;                                // 0x4cb
  uint32 reserved5;
  uint64 efer;                              // 0x4d0
  uint8 reserved6[0x548 - 0x4d8];
  uint64 cr4, cr3, cr0, dr7, dr6, rflags, rip; // 0x548
  uint8 reserved7[0x5d8 - 0x580];
  uint64 rsp;                               // 0x5d8
  uint8 reserved8[0x5f8 - 0x5e0];
  uint64 rax, star, lstar, cstar, sfmask, kernel_gs_base; // 0x5f8
  uint64 sysenter_cs, sysenter_esp, sysenter_eip, cr2;    // 0x628
  uint8 reserved9[0x668 - 0x648];
  uint64 g_pat;                             // 0x668
  uint8 reserved10[0x1000 - 0x670];
};
_Static_assert(offsetof(struct vmcb, iopm_base) == 0x40, "hardware layout");
_Static_assert(offsetof(struct vmcb, exitcode) == 0x70, "hardware layout");
_Static_assert(offsetof(struct vmcb, eventinj) == 0xa8, "hardware layout");
_Static_assert(offsetof(struct vmcb, nrip) == 0xc8, "hardware layout");
_Static_assert(offsetof(struct vmcb, tr) == 0x490, "hardware layout");
_Static_assert(offsetof(struct vmcb, cpl) == 0x4cb, "hardware layout");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "hardware layout");
_Static_assert(offsetof(struct vmcb, rip) == 0x578, "hardware layout");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "hardware layout");
_Static_assert(offsetof(struct vmcb, cr2) == 0x640, "hardware layout");
_Static_assert(offsetof(struct vmcb, g_pat) == 0x668, "hardware layout");
_Static_assert(sizeof(struct vmcb) == 4096, "hardware layout");

#endif
