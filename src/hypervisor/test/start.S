# Ways into the test guest: PV (RSI = start_info, 64-bit, paging on), PVH (EBX = hvm_start_info, 32-bit, paging off),
# and its handlers for events and exceptions.

#include <xen/elfnote.h>

.macro NOTE type:req, desc:vararg
  .balign 4
  .long 4, 2f - 1f, \type
  .asciz "Xen"
1: \desc
2: .balign 4
.endm

.section .note.Xen, "a", @note
NOTE XEN_ELFNOTE_GUEST_OS, .asciz "xenolith-test"
NOTE XEN_ELFNOTE_XEN_VERSION, .asciz "xen-3.0"
NOTE XEN_ELFNOTE_LOADER, .asciz "generic"
NOTE XEN_ELFNOTE_VIRT_BASE, .quad 0
NOTE XEN_ELFNOTE_PADDR_OFFSET, .quad 0
NOTE XEN_ELFNOTE_ENTRY, .quad pv_start
NOTE XEN_ELFNOTE_HYPERCALL_PAGE, .quad hypercall_page
NOTE XEN_ELFNOTE_PHYS32_ENTRY, .long pvh_start

.section .text.start, "ax"
.code64
.globl pv_start
pv_start:
  cld
  leaq stack_top(%rip), %rsp
  movq %rsi, %rdi
  xorl %esi, %esi
  call guest_main
1: jmp 1b

.code32
.globl pvh_start
pvh_start:
  cld
  movl $page_l2, %edi
  movl $0x83, %eax
1: movl %eax, (%edi)
  movl $0, 4(%edi)
  addl $8, %edi
  addl $0x200000, %eax
  jnc 1b
  movl $page_l2 + 7, %eax
  movl $page_l3, %edi
  movl $4, %ecx
2: movl %eax, (%edi)
  addl $0x1000, %eax
  addl $8, %edi
  loop 2b
  movl $page_l3 + 7, page_l4
  movl $0x620, %eax
  movl %eax, %cr4
  movl $page_l4, %eax
  movl %eax, %cr3
  movl $0xc0000080, %ecx
  rdmsr
  orl $0x101, %eax
  wrmsr
  movl %cr0, %eax
  orl $0x80000001, %eax
  movl %eax, %cr0
  lgdt gdtr
  ljmp $8, $3f
.code64
3:
  movl $16, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  leaq stack_top(%rip), %rsp
  movl %ebx, %edi
  movl $1, %esi
  call guest_main
4: jmp 4b

.macro PUSH_ALL
  pushq %rax; pushq %rcx; pushq %rdx; pushq %rsi; pushq %rdi; pushq %r8; pushq %r9; pushq %r10; pushq %r11
.endm
.macro POP_ALL
  popq %r11; popq %r10; popq %r9; popq %r8; popq %rdi; popq %rsi; popq %rdx; popq %rcx; popq %rax
.endm

# Event in a PV guest: frame RCX, R11, RIP, CS, RFLAGS, RSP, SS. Back through hypercall iret.
.globl pv_event
pv_event:
  popq %rcx
  popq %r11
  PUSH_ALL
  call guest_event
  POP_ALL
pv_iret:
  pushq $0                         # flags; the stub pushes RCX, R11 and RAX
  jmp hypercall_page + 23 * 32

.globl pv_page_fault
pv_page_fault:
  popq %rcx
  popq %r11
  addq $8, %rsp
  PUSH_ALL
  movq 72(%rsp), %rdi              # RIP
  call guest_page_fault
  movq %rax, 72(%rsp)
  POP_ALL
  jmp pv_iret

.globl hvm_event, hvm_lapic_timer, hvm_isa
hvm_event:
  PUSH_ALL
  call guest_event
  POP_ALL
  iretq
hvm_lapic_timer:
  PUSH_ALL
  call guest_lapic_timer
  POP_ALL
  iretq
hvm_isa:
  PUSH_ALL
  call guest_isa
  POP_ALL
  iretq

.data
.balign 8
gdt:
  .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdtr:
  .word 23
  .long gdt
  .long 0

.bss
.balign 4096
.globl hypercall_page
hypercall_page: .skip 4096
page_l4: .skip 4096
page_l3: .skip 4096
page_l2: .skip 4 * 4096
stack: .skip 16384
stack_top:
