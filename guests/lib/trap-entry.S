/*
 * Where the processor, or Xen for a PV domain, arrives: builds struct trap_frame, calls trap_dispatch(frame), returns.
 *
 * A PV guest finds RCX and R11 on top of the processor's frame and returns by the hypercall iret
 * (struct iret_context: rax r11 rcx flags rip cs rflags rsp ss).
 */
#include <xen/xen.h>

#define HAS_ERROR_CODE(v) ((v) == 8 || ((v) >= 10 && (v) <= 14) || (v) == 17 || (v) == 21 || (v) == 29 || (v) == 30)

.text

/* The processor's entries: 16 bytes each, trap_entries + 16 * vector. */
.balign 16
.globl trap_entries
trap_entries:
vector = 0
.rept 256
  .balign 16
  .if !HAS_ERROR_CODE(vector)
    push $0
  .endif
  push $vector
  jmp trap_common
  vector = vector + 1
.endr

/* Xen's PV entries: 32 bytes each, pv_trap_entries + 32 * vector. */
.balign 32
.globl pv_trap_entries
pv_trap_entries:
vector = 0
.rept 32
  .balign 32
  pop %rcx
  pop %r11
  .if !HAS_ERROR_CODE(vector)
    push $0
  .endif
  push $vector
  jmp trap_common
  vector = vector + 1
.endr

.globl pv_event_entry
pv_event_entry:
  pop %rcx
  pop %r11
  push $0
  push $0x100                   /* VECTOR_PV_EVENT */
  jmp trap_common

/* A segment register could not be loaded on the way back: nothing here loads any, so this is fatal. Frame: ds es fs gs first. */
.globl pv_failsafe_entry
pv_failsafe_entry:
  pop %rcx
  pop %r11
  add $32, %rsp
  push $0
  push $0x0d
  jmp trap_common

trap_common:
  cld
  push %rax
  push %rbx
  push %rcx
  push %rdx
  push %rsi
  push %rdi
  push %rbp
  push %r8
  push %r9
  push %r10
  push %r11
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, %rdi
  call trap_dispatch
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %r11
  pop %r10
  pop %r9
  pop %r8
  pop %rbp
  pop %rdi
  pop %rsi
  pop %rdx
  pop %rcx
  pop %rbx
  pop %rax
  add $16, %rsp
  cmpb $0, return_by_hypercall
  jne 1f
  iretq
1:
  push $0                       /* iret_context.flags */
  push %rcx
  push %r11
  push %rax
  mov $__HYPERVISOR_iret, %eax
  syscall
  ud2
