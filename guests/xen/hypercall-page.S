/*
 * The page of hypercall entries, 32 bytes each: filled by the domain builder (PV, by the ELF note HYPERCALL_PAGE) or by writing its
 * address to the MSR that CPUID names (HVM). Until then a hypercall stops at UD2.
 */
.section .hypercall, "ax"
.balign 4096
.globl hypercall_page
hypercall_page:
.rept 128
  ud2
  .balign 32, 0x90
.endr
