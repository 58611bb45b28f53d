# Ways into the hypervisor from a PV guest (interrupt, exception, SYSCALL) and back, and the switch between hypervisor stacks.
#
# Every way in leaves a struct regs (proc.h) on the stack; coming from a guest it lies at the very top of the vCPU's stack.
# Interrupts stay off in the hypervisor, except in the windows it opens itself.

#include "memlayout.h"

#define R_RCX 88
#define R_VECTOR 124
#define R_RIP 128
#define R_CS 136
#define R_RSP 152
#define VECTOR_SYSCALL 256

.section .text.entry, "ax"

.macro SAVE_REGS
  pushq %rdi
  pushq %rsi
  pushq %rdx
  pushq %rcx
  pushq %rax
  pushq %r8
  pushq %r9
  pushq %r10
  pushq %r11
  pushq %rbx
  pushq %rbp
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
.endm

.macro RESTORE_REGS
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbp
  popq %rbx
  popq %r11
  popq %r10
  popq %r9
  popq %r8
  popq %rax
  popq %rcx
  popq %rdx
  popq %rsi
  popq %rdi
.endm

# One stub a vector, 16 bytes each: trap.c computes their addresses. Vectors 8, 10-14, 17, 21, 29 and 30 come with an error code.
.balign 16
.globl vectors
vectors:
.set vector, 0
.rept 256
  .balign 16
  .if (vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
    .byte 0x66, 0x90
  .else
    pushq $0
  .endif
  movl $vector, 4(%rsp)            # struct regs: vector beside error code
  jmp alltraps
  .set vector, vector + 1
.endr

.balign 16
alltraps:
  SAVE_REGS
  cld
  movq %rsp, %rdi
  call trap
.globl trapret
trapret:
  testb $3, R_CS(%rsp)
  jz 1f
  movq %rsp, %rdi
  call pv_leave
1:
  RESTORE_REGS
  addq $8, %rsp
.globl iret_to_guest
iret_to_guest:
  iretq

# SYSCALL from ring 3: RCX = RIP, R11 = RFLAGS, stack still the guest's. One processor, so one place to put RSP.
.balign 16
.globl syscall_entry
syscall_entry:
  movq %rsp, guest_rsp(%rip)
  movq kstack_top(%rip), %rsp
  pushq $SEL_R3_DS
  pushq guest_rsp(%rip)
  pushq %r11
  pushq $SEL_R3_CS64
  pushq %rcx
  pushq $0
  movl $VECTOR_SYSCALL, 4(%rsp)
  SAVE_REGS
  cld
  movq %rsp, %rdi
  call pv_syscall
.globl syscall_ret
syscall_ret:
  movq %rsp, %rdi
  call pv_leave                    # true: SYSRET will do
  testb %al, %al
  jz 1f
  RESTORE_REGS                     # RCX and R11 are RIP and RFLAGS again
  movq 32(%rsp), %rsp              # past error code, RIP, CS, RFLAGS
  sysretq
1:
  RESTORE_REGS
  addq $8, %rsp
  jmp iret_to_guest

# SYSCALL from compatibility mode is not part of the interface for 64-bit guests.
.globl syscall32_entry
syscall32_entry:
  movl $-38, %eax                  # -ENOSYS
  sysretl

# swtch(uint64 *old_rsp, uint64 new_rsp): put callee-saved registers on this stack, take those of the other.
.balign 16
.globl swtch
swtch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret

# First return of a new vCPU's stack: swtch() "returns" here; RBX = function to run, R12 = its argument.
.globl vcpu_first
vcpu_first:
  movq %r12, %rdi
  call *%rbx
  jmp trapret                      # a PV vCPU: its registers are at the top of the stack

# copy_user(dst, src, n): bytes not copied. trap.c resumes at copy_user_fault when the copy faults; RCX is then what is left.
.balign 16
.globl copy_user
copy_user:
  movq %rdx, %rcx
.globl copy_user_insn
copy_user_insn:
  rep movsb
.globl copy_user_fault
copy_user_fault:
  movq %rcx, %rax
  ret

# probe_rdmsr(msr, &value): 0, or -1 when the processor has no such MSR (trap.c resumes at probe_rdmsr_fault).
.globl probe_rdmsr
probe_rdmsr:
  movl %edi, %ecx
.globl probe_rdmsr_insn
probe_rdmsr_insn:
  rdmsr
  movl %eax, (%rsi)
  movl %edx, 4(%rsi)
  xorl %eax, %eax
  ret
.globl probe_rdmsr_fault
probe_rdmsr_fault:
  movl $-1, %eax
  ret

# set_data_segments(ds, es, fs, gs): load selectors of a guest; one that faults is loaded as null (trap.c resumes past it with AX = 0).
.globl load_ds, load_es, load_fs, load_gs
load_ds: movl %edi, %ds
  ret
load_es: movl %edi, %es
  ret
load_fs: movl %edi, %fs
  ret
load_gs: movl %edi, %gs
  ret

.section .bss
.balign 8
guest_rsp: .skip 8
.globl kstack_top
kstack_top: .skip 8
