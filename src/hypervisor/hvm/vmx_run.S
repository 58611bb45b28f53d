# bool vmx_enter(struct regs *guest, bool launched): run the guest until its next VM exit. False: the entry failed at once
# (VMfailValid; see the VM-instruction error field).
#
# A VM exit continues at vmx_exited with RSP as it was at the entry and every other general register still the guest's.
# SDM 3C chapter 27 "VM Entries", §28.5 "Loading Host State".

#include "frames.h"
#include "vmcs.h"

.text
.globl vmx_enter
vmx_enter:
  .cfi_startproc
  PUSH_SAVED rbp
  PUSH_SAVED rbx
  PUSH_SAVED r12
  PUSH_SAVED r13
  PUSH_SAVED r14
  PUSH_SAVED r15
  PUSH rdi                         # struct regs, for the way back
  .cfi_remember_state
  movl $HOST_RSP, %eax
  vmwrite %rsp, %rax
  testb %sil, %sil
  movq 0(%rdi), %r15               # MOV leaves the flags alone
  movq 8(%rdi), %r14
  movq 16(%rdi), %r13
  movq 24(%rdi), %r12
  movq 32(%rdi), %rbp
  movq 40(%rdi), %rbx
  movq 48(%rdi), %r11
  movq 56(%rdi), %r10
  movq 64(%rdi), %r9
  movq 72(%rdi), %r8
  movq 80(%rdi), %rax
  movq 88(%rdi), %rcx
  movq 96(%rdi), %rdx
  movq 104(%rdi), %rsi
  movq 112(%rdi), %rdi
  jnz 1f
  vmlaunch
  jmp 2f
1:
  vmresume
2:
  DROP
  xorl %eax, %eax
  jmp 3f

.globl vmx_exited
vmx_exited:
  .cfi_restore_state
  PUSH rdi
  movq 8(%rsp), %rdi
  movq %r15, 0(%rdi)
  movq %r14, 8(%rdi)
  movq %r13, 16(%rdi)
  movq %r12, 24(%rdi)
  movq %rbp, 32(%rdi)
  movq %rbx, 40(%rdi)
  movq %r11, 48(%rdi)
  movq %r10, 56(%rdi)
  movq %r9, 64(%rdi)
  movq %r8, 72(%rdi)
  movq %rax, 80(%rdi)
  movq %rcx, 88(%rdi)
  movq %rdx, 96(%rdi)
  movq %rsi, 104(%rdi)
  POP rax
  movq %rax, 112(%rdi)
  DROP
  movl $1, %eax
3:
  POP_SAVED r15
  POP_SAVED r14
  POP_SAVED r13
  POP_SAVED r12
  POP_SAVED rbx
  POP_SAVED rbp
  ret
  .cfi_endproc
