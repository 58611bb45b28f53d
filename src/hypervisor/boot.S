# From the boot loader to main(): Multiboot header, page tables for the direct map, long mode.
#
# The loader enters at `start` in 32-bit protected mode, paging off, EAX = magic, EBX = Multiboot information.
# Multiboot Specification 0.6.96 §3.1 "OS image format", §3.2 "Machine state".
# The header carries addresses (flag bit 16), because the image is an ELF64 and loaders only read ELF32 themselves.

#include "memlayout.h"

#define MB_FLAGS 0x00010003       /* page-align modules, memory information, addresses are valid */
#define PHYS(x) ((x) - DIRECTMAP)

.section .multiboot, "a"
.balign 4
multiboot_header:
  .long 0x1badb002
  .long MB_FLAGS
  .long -(0x1badb002 + MB_FLAGS)
  .long PHYS(multiboot_header)
  .long PHYS(image_start)
  .long PHYS(image_load_end)
  .long PHYS(image_end)
  .long PHYS(start)

.section .boot, "ax"
.code32
.globl start
start:
  cli
  cld
  movl $PHYS(boot_stack_top), %esp
  movl %eax, %ebp                  # kept: magic in EBP, information in EBX

  # Direct map: 4 GiB in 2-MiB pages; what lies from 0xe0000000 up is devices, uncached.
  movl $PHYS(boot_l2), %edi
  movl $0x83, %eax                 # present, writable, 2 MiB
1:
  movl %eax, %edx
  cmpl $0xe0000083, %eax
  jb 2f
  orl $0x18, %edx                  # PWT, PCD
2:
  movl %edx, (%edi)
  movl $0, 4(%edi)
  addl $8, %edi
  addl $0x200000, %eax
  jnc 1b

  # Four page directories in one L3, seen at 0 (until main) and at DIRECTMAP.
  movl $PHYS(boot_l2) + 3, %eax
  movl $PHYS(boot_l3), %edi
  movl $4, %ecx
3:
  movl %eax, (%edi)
  addl $0x1000, %eax
  addl $8, %edi
  loop 3b
  movl $PHYS(boot_l3) + 3, %eax
  movl %eax, PHYS(hv_l4)
  movl %eax, PHYS(hv_l4) + DIRECTMAP_SLOT * 8

  movl %cr4, %eax
  orl $0x6a0, %eax                 # PAE, PGE, OSFXSR, OSXMMEXCPT
  movl %eax, %cr4
  movl $PHYS(hv_l4), %eax
  movl %eax, %cr3
  movl $0xc0000080, %ecx           # EFER: SCE, LME, NXE
  rdmsr
  orl $0x901, %eax
  wrmsr
  movl $0x80010033, %eax           # PG, WP, NE, ET, MP, PE; no TS, no EM
  movl %eax, %cr0
  lgdt PHYS(boot_gdtr)
  ljmp $8, $PHYS(start64)

.code64
start64:
  movabsq $start_high, %rax
  jmp *%rax
start_high:
  xorl %eax, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  movl %eax, %fs
  movl %eax, %gs
  leaq boot_stack_top(%rip), %rsp
  movl %ebp, %edi
  movl %ebx, %esi
  xorl %ebp, %ebp
  call main
1:
  hlt
  jmp 1b

.balign 8
boot_gdt:
  .quad 0
  .quad 0x00af9b000000ffff         # 64-bit code
boot_gdtr:
  .word 15
  .long PHYS(boot_gdt)

.section .bss
.balign 4096
.globl hv_l4, boot_l3, boot_l2
hv_l4:   .skip 4096
boot_l3: .skip 4096
boot_l2: .skip 4 * 4096
boot_stack: .skip 16384
.globl boot_stack_top
boot_stack_top:
