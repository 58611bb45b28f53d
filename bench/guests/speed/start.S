// Multiboot 1 entry: SSE on, in the 64-bit build long mode with the first GiB mapped to itself, then main(command line).
//
// The 64-bit image is linked as ELF64; the address fields of the header (bit 16) let loaders that only know ELF32 load it.

  .section .multiboot, "a"
  .set MAGIC, 0x1badb002
  .set FLAGS, 0x00010003
header:
  .long MAGIC, FLAGS, -(MAGIC + FLAGS)
  .long header, image_start, image_data_end, image_end, start

  .section .text
  .code32
  .globl start
start:
  cld
  mov $stack_end, %esp
  mov 16(%ebx), %edi           // command line, if bit 2 of the flags says so
  testl $4, (%ebx)
  jnz 1f
  mov $no_command_line, %edi
1:
#ifdef __i386__
  mov %cr4, %eax
  or $0x600, %eax              // OSFXSR, OSXMMEXCPT
  mov %eax, %cr4
  mov %cr0, %eax
  and $~4, %eax                // EM
  or $0x22, %eax               // NE, MP
  mov %eax, %cr0
  push %edi
  call main
2:
  hlt
  jmp 2b

  .section .data
#else
  mov %cr4, %eax
  or $0x620, %eax              // PAE, OSFXSR, OSXMMEXCPT
  mov %eax, %cr4
  mov $pml4, %eax
  mov %eax, %cr3
  mov $0xc0000080, %ecx        // IA32_EFER: LME
  rdmsr
  or $0x100, %eax
  wrmsr
  mov %cr0, %eax
  and $~4, %eax                // EM
  or $0x80000022, %eax         // PG, NE, MP
  mov %eax, %cr0
  lgdt gdt_pointer
  ljmp $8, $2f

  .code64
2:
  mov $16, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  mov %edi, %edi               // upper half is zero
  call main
3:
  hlt
  jmp 3b

  .section .data
  .balign 8
gdt:
  .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
gdt_pointer:
  .word 23
  .long gdt
  .balign 4096
pml4:
  .quad directory_pointers + 3
  .fill 511, 8, 0
directory_pointers:
  .quad directory + 3
  .fill 511, 8, 0
directory:
  .set page, 0
  .rept 512
  .quad (page << 21) + 0x83    // 2 MiB, present, writable
  .set page, page + 1
  .endr

#endif
no_command_line:
  .byte 0

  .section .bss
  .balign 16
  .skip 65536
stack_end:
