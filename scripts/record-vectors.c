// Runs single instructions on the host's processor and reports what they did.
//
// record-vectors.mjs writes one `struct input` a case to standard input and reads one `struct output` a case back. Code and
// data lie at fixed addresses below 4 GiB, so that the same case runs in 64-bit mode and, through a far jump to Linux's 32-bit
// code segment, in compatibility mode. Faults arrive as signals; the handler resumes at the exit path. Linux x86-64 only.

#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum {
  CODE = 0x200000,       // the instruction, then a jump to the exit path
  TAKEN = CODE + 0x40,   // where branches of the cases lead
  DATA = 0x300000,       // two pages
  MEM = DATA + 0x100,    // window of the operands
  STACK = DATA + 0x17c0, // window around the stack pointer of the cases
  MEM_BYTES = 64,
  STACK_BYTES = 128,
  CODE_SELECTOR32 = 0x23,
  CODE_SELECTOR64 = 0x33,
};

struct input {
  uint8_t bits, length, code[14];
  uint64_t gpr[16], rflags;
  uint8_t mem[MEM_BYTES], stack[STACK_BYTES];
};
struct output {
  uint64_t gpr[16], rflags;
  uint8_t mem[MEM_BYTES], stack[STACK_BYTES];
  uint32_t fault; // vector, or 0xffffffff
  uint32_t taken;
};

// The assembly below uses these offsets.
_Static_assert(sizeof(struct input) == 16 + 17 * 8 + MEM_BYTES + STACK_BYTES, "layout shared with the script");
_Static_assert(sizeof(struct output) == 17 * 8 + MEM_BYTES + STACK_BYTES + 8, "layout shared with the script");

uint64_t regs[17];  // what the instruction starts with, then what it leaves: RAX RCX ... R15, RFLAGS
uint64_t host_rsp;
uint32_t taken;
uint32_t low_stack[64];
const uint64_t code_address = CODE;
struct __attribute__((packed)) { uint32_t offset; uint16_t selector; } to32;

void enter64(void);
void enter32(void);
extern char exit64[], exit32[], stub32[], leave[];

__asm__(
  ".text\n"
  ".macro saveHost\n push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n mov %rsp, host_rsp\n.endm\n"
  ".globl enter64\nenter64:\n saveHost\n"
  " push regs+128\n popfq\n"
  " mov regs, %rax\n mov regs+8, %rcx\n mov regs+16, %rdx\n mov regs+24, %rbx\n mov regs+32, %rsp\n mov regs+40, %rbp\n"
  " mov regs+48, %rsi\n mov regs+56, %rdi\n mov regs+64, %r8\n mov regs+72, %r9\n mov regs+80, %r10\n mov regs+88, %r11\n"
  " mov regs+96, %r12\n mov regs+104, %r13\n mov regs+112, %r14\n mov regs+120, %r15\n"
  " jmp *code_address\n"
  ".globl exit64\nexit64:\n"
  " mov %rax, regs\n mov %rcx, regs+8\n mov %rdx, regs+16\n mov %rbx, regs+24\n mov %rsp, regs+32\n mov %rbp, regs+40\n"
  " mov %rsi, regs+48\n mov %rdi, regs+56\n mov %r8, regs+64\n mov %r9, regs+72\n mov %r10, regs+80\n mov %r11, regs+88\n"
  " mov %r12, regs+96\n mov %r13, regs+104\n mov %r14, regs+112\n mov %r15, regs+120\n"
  " mov host_rsp, %rsp\n pushfq\n pop regs+128\n"
  ".globl leave\nleave:\n cld\n mov host_rsp, %rsp\n xor %eax, %eax\n mov %eax, %ds\n mov %eax, %es\n"
  " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
  ".globl enter32\nenter32:\n saveHost\n ljmp *to32\n"
  ".code32\n.globl stub32\nstub32:\n"
  " mov $0x2b, %eax\n mov %eax, %ds\n mov %eax, %es\n mov $low_stack+256, %esp\n pushl regs+128\n popfl\n"
  " mov regs, %eax\n mov regs+8, %ecx\n mov regs+16, %edx\n mov regs+24, %ebx\n mov regs+32, %esp\n mov regs+40, %ebp\n"
  " mov regs+48, %esi\n mov regs+56, %edi\n jmp *code_address\n"
  ".globl exit32\nexit32:\n"
  " mov %eax, regs\n mov %ecx, regs+8\n mov %edx, regs+16\n mov %ebx, regs+24\n mov %esp, regs+32\n mov %ebp, regs+40\n"
  " mov %esi, regs+48\n mov %edi, regs+56\n mov $low_stack+256, %esp\n pushfl\n popl regs+128\n ljmp $0x33, $leave\n"
  ".code64\n");

static volatile uint32_t fault;

// General registers in the manual's order, by their place in the signal frame.
static const int frame[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void
on_fault(int sig, siginfo_t *info, void *context)
{
  ucontext_t *u = context;
  (void)sig;
  (void)info;
  fault = (uint32_t)u->uc_mcontext.gregs[REG_TRAPNO];
  for(int i = 0; i < 16; i++)
    regs[i] = (uint64_t)u->uc_mcontext.gregs[frame[i]];
  regs[16] = (uint64_t)u->uc_mcontext.gregs[REG_EFL];
  u->uc_mcontext.gregs[REG_RIP] = (greg_t)leave;
  u->uc_mcontext.gregs[REG_EFL] &= ~0x400;
  u->uc_mcontext.gregs[REG_CSGSFS] = (u->uc_mcontext.gregs[REG_CSGSFS] & ~0xffffLL) | CODE_SELECTOR64;
}

// A near jump at `at` to `to`, both below 2 GiB.
static uint8_t *
put_jump(uint8_t *at, const char *to)
{
  int32_t distance = (int32_t)((intptr_t)to - ((intptr_t)at + 5));

  *at = 0xe9;
  memcpy(at + 1, &distance, 4);
  return at + 5;
}

static void
run(const struct input *in, struct output *out)
{
  const char *back = in->bits == 64 ? exit64 : exit32;
  uint8_t *code = (uint8_t *)CODE;
  uint8_t *at = (uint8_t *)TAKEN;
  uint32_t flag = (uint32_t)(uintptr_t)&taken;

  memcpy(code, in->code, in->length);
  put_jump(code + in->length, back);
  *at++ = 0xc6;                     // MOV byte [taken], 1: absolute in both modes
  if(in->bits == 64){
    *at++ = 0x04;
    *at++ = 0x25;
  } else
    *at++ = 0x05;
  memcpy(at, &flag, 4);
  at[4] = 1;
  put_jump(at + 5, back);

  memcpy((void *)MEM, in->mem, MEM_BYTES);
  memcpy((void *)STACK, in->stack, STACK_BYTES);
  memcpy(regs, in->gpr, sizeof(regs));
  fault = UINT32_MAX;
  taken = 0;
  if(in->bits == 64)
    enter64();
  else
    enter32();
  memcpy(out->gpr, regs, sizeof(regs));
  memcpy(out->mem, (void *)MEM, MEM_BYTES);
  memcpy(out->stack, (void *)STACK, STACK_BYTES);
  out->fault = fault;
  out->taken = taken;
}

int
main(void)
{
  static uint8_t alternate[65536];
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  static const int signals[] = {SIGFPE, SIGSEGV, SIGBUS, SIGILL, SIGTRAP};
  struct input in;
  struct output out;

  if(mmap((void *)CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)CODE ||
     mmap((void *)DATA, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)DATA){
    perror("mmap");
    return 1;
  }
  memset((void *)DATA, 0x5a, 8192);
  sigaltstack(&stack, NULL);
  for(size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
    sigaction(signals[i], &action, NULL);
  to32.offset = (uint32_t)(uintptr_t)stub32;
  to32.selector = CODE_SELECTOR32;

  while(fread(&in, sizeof(in), 1, stdin) == 1){
    run(&in, &out);
    fwrite(&out, sizeof(out), 1, stdout);
  }
  return 0;
}
