// Runs single floating-point and vector instructions on the host's processor and reports what they did.
//
// record-fp-vectors.mjs writes one `struct state` a case to standard input, preceded by the code, and reads one back. The
// FXSAVE image holds the x87, MMX and XMM registers. Unmasked SIMD exceptions arrive as SIGFPE, with MXCSR in the signal frame.
// Linux x86-64 only.

#define _GNU_SOURCE
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { CODE = 0x200000, MEM = 0x300100, MEM_BYTES = 128, IMAGE_BYTES = 512 };

struct state {
  uint8_t length, code[15];
  uint64_t rax, rflags;
  uint32_t fault, unused; // vector, or 0xffffffff
  uint64_t unused2;
  uint8_t mem[MEM_BYTES];
  uint8_t image[IMAGE_BYTES];
};
_Static_assert(sizeof(struct state) == 48 + MEM_BYTES + IMAGE_BYTES, "layout shared with the script");

uint64_t rax, rflags, host_rsp;
uint8_t image[IMAGE_BYTES] __attribute__((aligned(16)));
uint8_t host_image[IMAGE_BYTES] __attribute__((aligned(16)));
const uint64_t code_address = CODE;
void enter(void);
extern char back[], leave[];

__asm__(
  ".text\n.globl enter\nenter:\n push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n mov %rsp, host_rsp\n"
  " fxsave64 host_image\n fxrstor64 image\n push rflags\n popfq\n mov rax, %rax\n mov $0x300100, %edi\n jmp *code_address\n"
  ".globl back\nback:\n mov host_rsp, %rsp\n mov %rax, rax\n pushfq\n pop rflags\n fxsave64 image\n"
  ".globl leave\nleave:\n mov host_rsp, %rsp\n fxrstor64 host_image\n cld\n"
  " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n");

static volatile uint32_t fault;

static void
on_fault(int sig, siginfo_t *info, void *context)
{
  ucontext_t *u = context;
  (void)sig;
  (void)info;
  fault = (uint32_t)u->uc_mcontext.gregs[REG_TRAPNO];
  memcpy(image, u->uc_mcontext.fpregs, 416);
  u->uc_mcontext.gregs[REG_RIP] = (greg_t)leave;
}

int
main(void)
{
  static uint8_t alternate[65536];
  stack_t stack = {.ss_sp = alternate, .ss_size = sizeof(alternate)};
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  static const int signals[] = {SIGFPE, SIGSEGV, SIGBUS, SIGILL, SIGTRAP};
  struct state s;

  if(mmap((void *)CODE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != (void *)CODE ||
     mmap((void *)(MEM & ~4095), 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED){
    perror("mmap");
    return 1;
  }
  sigaltstack(&stack, NULL);
  for(size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
    sigaction(signals[i], &action, NULL);
  while(fread(&s, sizeof(s), 1, stdin) == 1){
    uint8_t *code = (uint8_t *)CODE;
    int32_t distance = (int32_t)((intptr_t)back - (CODE + s.length + 5));
    memcpy(code, s.code, s.length);
    code[s.length] = 0xe9;
    memcpy(code + s.length + 1, &distance, 4);
    memcpy((void *)MEM, s.mem, MEM_BYTES);
    memcpy(image, s.image, IMAGE_BYTES);
    rax = s.rax;
    rflags = s.rflags;
    fault = UINT32_MAX;
    enter();
    memcpy(s.mem, (void *)MEM, MEM_BYTES);
    memcpy(s.image, image, IMAGE_BYTES);
    s.rax = rax;
    s.rflags = rflags;
    s.fault = fault;
    fwrite(&s, sizeof(s), 1, stdout);
  }
  return 0;
}
