// The processor: instructions C has no words for, and the bits of its registers.
// SDM 3A chapter 2 "System Architecture Overview"; APM 2 chapter 3 "System Resources".
#ifndef X86_H
#define X86_H
#include "types.h"

#define CR0_PE (1ul << 0)
#define CR0_MP (1ul << 1)
#define CR0_TS (1ul << 3)
#define CR0_ET (1ul << 4)
#define CR0_NE (1ul << 5)
#define CR0_WP (1ul << 16)
#define CR0_NW (1ul << 29)
#define CR0_CD (1ul << 30)
#define CR0_PG (1ul << 31)

#define CR4_PSE (1ul << 4)
#define CR4_PAE (1ul << 5)
#define CR4_PGE (1ul << 7)
#define CR4_OSFXSR (1ul << 9)
#define CR4_OSXMMEXCPT (1ul << 10)
#define CR4_VMXE (1ul << 13)

#define RFLAGS_CF (1ul << 0)
#define RFLAGS_FIXED1 (1ul << 1)
#define RFLAGS_ZF (1ul << 6)
#define RFLAGS_TF (1ul << 8)
#define RFLAGS_IF (1ul << 9)
#define RFLAGS_DF (1ul << 10)
#define RFLAGS_IOPL (3ul << 12)
#define RFLAGS_NT (1ul << 14)
#define RFLAGS_RF (1ul << 16)
#define RFLAGS_VM (1ul << 17)
#define RFLAGS_AC (1ul << 18)

#define PTE_P (1ul << 0)
#define PTE_RW (1ul << 1)
#define PTE_US (1ul << 2)
#define PTE_PWT (1ul << 3)
#define PTE_PCD (1ul << 4)
#define PTE_A (1ul << 5)
#define PTE_D (1ul << 6)
#define PTE_PS (1ul << 7)
#define PTE_G (1ul << 8)
#define PTE_NX (1ul << 63)
#define PTE_ADDR 0x000ffffffffff000ul

#define PFEC_P 1
#define PFEC_W 2
#define PFEC_U 4

#define MSR_TSC 0x10
#define MSR_APIC_BASE 0x1b
#define MSR_FEATURE_CONTROL 0x3a
#define MSR_SYSENTER_CS 0x174
#define MSR_SYSENTER_ESP 0x175
#define MSR_SYSENTER_EIP 0x176
#define MSR_PAT 0x277
#define MSR_EFER 0xc0000080
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_CSTAR 0xc0000083
#define MSR_FMASK 0xc0000084
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103

#define EFER_SCE (1ul << 0)
#define EFER_LME (1ul << 8)
#define EFER_LMA (1ul << 10)
#define EFER_NXE (1ul << 11)
#define EFER_SVME (1ul << 12)

#define T_DIVIDE 0
#define T_DEBUG 1
#define T_NMI 2
#define T_BRKPT 3
#define T_ILLOP 6
#define T_DEVICE 7
#define T_DBLFLT 8
#define T_TSS 10
#define T_SEGNP 11
#define T_STACK 12
#define T_GPFLT 13
#define T_PGFLT 14
#define T_ALIGN 17
#define T_MCHK 18

#define PIO(w, t) \
  static inline t in##w(uint16 port) { t v; asm volatile("in" #w " %1, %0" : "=a"(v) : "Nd"(port)); return v; } \
  static inline void out##w(uint16 port, t v) { asm volatile("out" #w " %0, %1" : : "a"(v), "Nd"(port)); }
PIO(b, uint8)
PIO(w, uint16)
PIO(l, uint32)

#define CREG(n) \
  static inline uint64 rcr##n(void) { uint64 v; asm volatile("mov %%cr" #n ", %0" : "=r"(v)); return v; } \
  static inline void lcr##n(uint64 v) { asm volatile("mov %0, %%cr" #n : : "r"(v) : "memory"); }
CREG(0)
CREG(2)
CREG(3)
CREG(4)

static inline uint64
rdmsr(uint32 msr)
{
  uint32 lo, hi;
  asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
  return (uint64)hi << 32 | lo;
}

static inline void
wrmsr(uint32 msr, uint64 v)
{
  asm volatile("wrmsr" : : "c"(msr), "a"((uint32)v), "d"((uint32)(v >> 32)) : "memory");
}

static inline uint64
rdtsc(void)
{
  uint32 lo, hi;
  asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
  return (uint64)hi << 32 | lo;
}

struct cpuid {
  uint32 eax, ebx, ecx, edx;
};

static inline struct cpuid
cpuid(uint32 leaf, uint32 subleaf)
{
  struct cpuid c;
  asm volatile("cpuid" : "=a"(c.eax), "=b"(c.ebx), "=c"(c.ecx), "=d"(c.edx) : "a"(leaf), "c"(subleaf));
  return c;
}

static inline void cli(void) { asm volatile("cli" : : : "memory"); }
static inline void sti(void) { asm volatile("sti" : : : "memory"); }
// Interrupts open for exactly as long as it takes to deliver the pending ones.
static inline void interrupt_window(void) { asm volatile("sti; nop; cli" : : : "memory"); }
// STI blocks interrupts for one instruction: nothing can arrive between it and HLT.
static inline void sti_hlt_cli(void) { asm volatile("sti; hlt; cli" : : : "memory"); }
static inline void pause(void) { asm volatile("pause"); }
static inline void invlpg(uint64 va) { asm volatile("invlpg (%0)" : : "r"(va) : "memory"); }
static inline void ltr(uint16 sel) { asm volatile("ltr %0" : : "r"(sel)); }
static inline void lldt(uint16 sel) { asm volatile("lldt %0" : : "r"(sel)); }
static inline void clts(void) { asm volatile("clts"); }
static inline void stts(void) { lcr0(rcr0() | CR0_TS); }
static inline void fxsave(void *p) { asm volatile("fxsave64 (%0)" : : "r"(p) : "memory"); }
static inline void fxrstor(void *p) { asm volatile("fxrstor64 (%0)" : : "r"(p) : "memory"); }

#define SEGREG(s) \
  static inline uint16 r##s(void) { uint16 v; asm volatile("mov %%" #s ", %0" : "=r"(v)); return v; }
SEGREG(ds)
SEGREG(es)
SEGREG(fs)
SEGREG(gs)

struct dtr {
  uint16 limit;
  uint64 base;
} __attribute__((packed));

static inline void lgdt(struct dtr *d) { asm volatile("lgdt %0" : : "m"(*d)); }
static inline void lidt(struct dtr *d) { asm volatile("lidt %0" : : "m"(*d)); }

// 64-bit TSS with its I/O permission map. SDM 3A §7.7 "Task Management in 64-bit Mode".
struct tss {
  uint32 reserved0;
  uint64 rsp0, rsp1, rsp2;
  uint64 reserved1;
  uint64 ist[7];
  uint64 reserved2;
  uint16 reserved3;
  uint16 iomap_base;
  uint8 iomap[8192 + 1]; // a bit a port, 0 allows; the byte after the last must be all ones
} __attribute__((packed));
_Static_assert(offsetof(struct tss, iomap) == 104, "hardware layout");

static inline int
bsr64(uint64 x)
{
  return 63 - __builtin_clzll(x);
}

static inline int
bsf64(uint64 x)
{
  return __builtin_ctzll(x);
}

#endif
