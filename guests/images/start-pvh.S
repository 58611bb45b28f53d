/*
 * Entry of the image for HVM domains: PVH, 32-bit protected mode without paging, EBX = hvm_start_info.
 * The same image starts under any loader of PVH kernels; whether Xen is below is found out by CPUID.
 */
#include "enter-long-mode.h"
#include <xen/elfnote.h>

.section .note.xen, "a", @note
.balign 4
  .long 4, 4, XEN_ELFNOTE_PHYS32_ENTRY
  .asciz "Xen"
  .long start

.section .head, "ax"
.code32
.globl start
.cfi_sections .debug_frame
start:
  .cfi_startproc
  .cfi_undefined 16                     /* RIP: a debugger's backtrace ends here */
  cli
  cld
  mov %ebx, %edi
  xor %esi, %esi
  ENTER_LONG_MODE boot_from_pvh
