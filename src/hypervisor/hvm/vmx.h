// VT-x instructions, and what vmx_setup.c and vmx.c share. SDM 3C chapter 31 "VMX Instruction Reference".
#ifndef VMX_H
#define VMX_H
#include "vmcs.h"
#include "../defs.h"

// Bits of CR0 and CR4 that are the hypervisor's: guest/host masks.
#define CR0_OURS (CR0_PE | CR0_PG | CR0_NE | CR0_ET | CR0_CD | CR0_NW)
#define CR4_OURS (CR4_VMXE | CR4_PAE | CR4_PSE)

static inline uint64
vmread(uint64 field)
{
  uint64 v;

  asm volatile("vmread %1, %0" : "=r"(v) : "r"(field) : "cc");
  return v;
}

static inline void
vmwrite(uint64 field, uint64 v)
{
  bool bad;

  asm volatile("vmwrite %2, %1; setna %0" : "=qm"(bad) : "r"(field), "r"(v) : "cc", "memory");
  if(bad)
    panic("vmx: VMWRITE of field %lx failed", field);
}

// VMXON, VMCLEAR and VMPTRLD take the address of an address and set CF or ZF on failure.
#define VMX_POINTER_INSN(insn) \
  static inline bool insn(uint64 pa) \
  { \
    bool bad; \
    asm volatile(#insn " %1; setna %0" : "=qm"(bad) : "m"(pa) : "cc", "memory"); \
    return !bad; \
  }
VMX_POINTER_INSN(vmxon)
VMX_POINTER_INSN(vmclear)
VMX_POINTER_INSN(vmptrld)

struct inv_descriptor {
  uint64 context, address;
};

static inline void
invept(uint64 type, struct inv_descriptor d)
{
  asm volatile("invept %0, %1" : : "m"(d), "r"(type) : "cc", "memory");
}

static inline void
invvpid(uint64 type, struct inv_descriptor d)
{
  asm volatile("invvpid %0, %1" : : "m"(d), "r"(type) : "cc", "memory");
}

extern bool vmx_has_vpid, vmx_invept_single;

// vmx_setup.c
void vmx_vcpu_init(struct vcpu *v);
uint64 vmx_eptp(struct vcpu *v);
bool vmx_on_identity_map(struct vcpu *v);
void vmx_put_efer(struct vcpu *v);
void vmx_apply_control_registers(struct vcpu *v);

#endif
