/*
 * Entry of the image for a bare machine: Multiboot 1 ("Multiboot Specification version 0.6.96", section 3.1).
 *
 * The header carries the address fields, because a Multiboot 1 loader need not know 64-bit ELF.
 */
#include "enter-long-mode.h"

#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0x00010003      /* page-aligned modules, memory information, address fields valid */

.section .head, "ax"
.balign 8
multiboot_header:
  .long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)
  .long multiboot_header                /* header_addr */
  .long image_start                     /* load_addr */
  .long data_end                        /* load_end_addr */
  .long bss_end                         /* bss_end_addr */
  .long start                           /* entry_addr */

.code32
.globl start
.cfi_sections .debug_frame
start:
  .cfi_startproc
  .cfi_undefined 16                     /* RIP: a debugger's backtrace ends here */
  cli
  cld
  mov %eax, %edx                        /* loader's magic */
  mov $bss_start, %edi
  mov $bss_end, %ecx
  sub %edi, %ecx
  shr $2, %ecx
  xor %eax, %eax
  rep stosl
  mov %edx, %edi
  mov %ebx, %esi                        /* multiboot information */
  ENTER_LONG_MODE boot_from_multiboot
