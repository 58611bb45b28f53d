# svm_enter(uint64 vmcb_pa, struct regs *guest): run the guest until its next #VMEXIT.
#
# The processor itself loads and saves RAX, RSP, RIP and RFLAGS (VMCB); the other registers are ours. Everything else of the host
# comes back by VMRUN's host save area. APM 2 §15.5 "VMRUN Instruction".

#include "frames.h"

.text
.globl svm_enter
svm_enter:
  .cfi_startproc
  PUSH_SAVED rbp
  PUSH_SAVED rbx
  PUSH_SAVED r12
  PUSH_SAVED r13
  PUSH_SAVED r14
  PUSH_SAVED r15
  PUSH rsi                         # struct regs, for the way back
  movq %rdi, %rax                  # VMRUN takes the VMCB's address in RAX
  movq 0(%rsi), %r15
  movq 8(%rsi), %r14
  movq 16(%rsi), %r13
  movq 24(%rsi), %r12
  movq 32(%rsi), %rbp
  movq 40(%rsi), %rbx
  movq 48(%rsi), %r11
  movq 56(%rsi), %r10
  movq 64(%rsi), %r9
  movq 72(%rsi), %r8
  movq 88(%rsi), %rcx
  movq 96(%rsi), %rdx
  movq 112(%rsi), %rdi
  movq 104(%rsi), %rsi
  vmrun %rax
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
  movq %rcx, 88(%rdi)
  movq %rdx, 96(%rdi)
  movq %rsi, 104(%rdi)
  POP rax
  movq %rax, 112(%rdi)
  DROP
  POP_SAVED r15
  POP_SAVED r14
  POP_SAVED r13
  POP_SAVED r12
  POP_SAVED rbx
  POP_SAVED rbp
  ret
  .cfi_endproc
