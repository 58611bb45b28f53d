/*
 * Entry of the images for PV domains: 64-bit ring 3, the hypervisor's initial page tables, RSI = start_info.
 *
 * VIRT_BASE 0 makes virtual addresses equal to pseudo-physical ones, as in the other environments.
 */
#include <xen/elfnote.h>

.macro NOTE_STRING type, text:vararg
  .balign 4
  .long 4, 2f - 1f, \type
  .asciz "Xen"
1: .asciz \text
2: .balign 4
.endm

.macro NOTE_NUMBER type, value
  .balign 4
  .long 4, 8, \type
  .asciz "Xen"
  .quad \value
.endm

.section .note.xen, "a", @note
  NOTE_STRING XEN_ELFNOTE_GUEST_OS, "xenolith-guest"
  NOTE_STRING XEN_ELFNOTE_GUEST_VERSION, "1"
  NOTE_STRING XEN_ELFNOTE_XEN_VERSION, "xen-3.0"
  NOTE_STRING XEN_ELFNOTE_LOADER, "generic"
  NOTE_STRING XEN_ELFNOTE_PAE_MODE, "yes"
  NOTE_STRING XEN_ELFNOTE_FEATURES, ""
  NOTE_NUMBER XEN_ELFNOTE_VIRT_BASE, 0
  NOTE_NUMBER XEN_ELFNOTE_PADDR_OFFSET, 0
  NOTE_NUMBER XEN_ELFNOTE_ENTRY, start
  NOTE_NUMBER XEN_ELFNOTE_HYPERCALL_PAGE, hypercall_page

.section .head, "ax"
.code64
.globl start
.cfi_sections .debug_frame
start:
  .cfi_startproc
  .cfi_undefined rip                    /* a debugger's backtrace ends here */
  cld
  mov $boot_stack_end, %rsp
  xor %ebp, %ebp
  mov %rsi, %rdi
  call boot_from_pv
  ud2
  .cfi_endproc

.section .bss
.balign 4096
boot_stack: .skip 32768
boot_stack_end:
