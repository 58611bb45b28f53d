// Pushes and pops that also tell debuggers where the caller's frame and registers are (DWARF call frame information). No code differs.

.cfi_sections .debug_frame

.macro PUSH reg
  pushq %\reg
  .cfi_adjust_cfa_offset 8
.endm

.macro POP reg
  popq %\reg
  .cfi_adjust_cfa_offset -8
.endm

// A register that the caller wants back.
.macro PUSH_SAVED reg
  PUSH \reg
  .cfi_rel_offset \reg, 0
.endm

.macro POP_SAVED reg
  POP \reg
  .cfi_restore \reg
.endm

// addq $8, %rsp
.macro DROP
  addq $8, %rsp
  .cfi_adjust_cfa_offset -8
.endm
