/*
 * From 32-bit protected mode without paging to 64-bit mode, with the first 4 GiB mapped one to one.
 *
 * Used by the Multiboot and the PVH entry. In: EDI, ESI kept for the C function (they become its first two arguments).
 * Page tables: one PML4, one page-directory-pointer table, four page directories of 2-MByte pages; the last gigabyte, where
 * the local APIC, the I/O APIC and PCI devices are, is mapped uncacheable.
 * SDM 3A section 10.8.5 "Initializing IA-32e Mode"; APM 2 section 14.6 "Enabling and Activating Long Mode".
 */

#define CR0_PE_PG_WP 0x80010001
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define PTE_PRESENT_WRITABLE 0x3
#define PDE_2MB 0x83
#define PDE_2MB_UNCACHED 0x9b

.macro ENTER_LONG_MODE then
  cld
  mov $boot_pml4, %eax
  lea PTE_PRESENT_WRITABLE + boot_pdpt, %ecx
  mov %ecx, (%eax)
  mov $boot_pdpt, %eax
  lea PTE_PRESENT_WRITABLE + boot_page_directories, %ecx
  mov $4, %edx
1:
  mov %ecx, (%eax)
  add $8, %eax
  add $4096, %ecx
  dec %edx
  jnz 1b

  mov $boot_page_directories, %eax
  mov $PDE_2MB, %ecx
  mov $2048, %edx
2:
  mov %ecx, (%eax)
  add $8, %eax
  add $0x200000, %ecx
  dec %edx
  cmp $512, %edx
  jne 3f
  or $PDE_2MB_UNCACHED, %ecx
3:
  test %edx, %edx
  jnz 2b

  mov %cr4, %eax
  or $CR4_PAE, %eax
  mov %eax, %cr4
  mov $boot_pml4, %eax
  mov %eax, %cr3
  mov $MSR_EFER, %ecx
  rdmsr
  or $EFER_LME, %eax
  wrmsr
  mov %cr0, %eax
  or $CR0_PE_PG_WP, %eax
  mov %eax, %cr0
  lgdt boot_gdtr
  ljmp $0x08, $4f

.code64
4:
  mov $0x10, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  xor %eax, %eax
  mov %eax, %fs
  mov %eax, %gs
  mov $boot_stack_end, %rsp
  xor %ebp, %ebp
  mov %edi, %edi
  mov %esi, %esi
  call \then
  ud2
  .cfi_endproc                          /* of the entry that this is a part of */

.section .data
.balign 16
boot_gdt:
  .quad 0
  .quad 0x00af9b000000ffff      /* 0x08: 64-bit code */
  .quad 0x00cf93000000ffff      /* 0x10: data */
boot_gdtr:
  .word . - boot_gdt - 1
  .long boot_gdt
  .long 0

.section .bss
.balign 4096
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_page_directories: .skip 4 * 4096
boot_stack: .skip 32768
boot_stack_end:
.endm
