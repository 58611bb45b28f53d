// Where things are.
//
// Physical:
//   0x00000000  left to firmware and boot loader, except what HVM guests never see
//   0x00100000  this image, then the frame table and the machine-to-physical table, then frames for domains
//
// Virtual: the public interface leaves the hypervisor 0xffff800000000000 - 0xffff87ffffffffff in every PV address space.
//   0xffff800000000000  machine-to-physical table, readable by PV guests       L4 slot 256
//   0xffff820000000000  the descriptor table window: GDT of the running vCPU   L4 slot 260
//   0xffff830000000000  all physical memory below 4 GiB, this image in it      L4 slot 262
#ifndef MEMLAYOUT_H
#define MEMLAYOUT_H

#define M2P_VIRT 0xffff800000000000
#define GDT_VIRT 0xffff820000000000
#define DIRECTMAP 0xffff830000000000

#define M2P_SLOT 256
#define GDT_SLOT 260
#define DIRECTMAP_SLOT 262
#define HV_FIRST_SLOT 256
#define HV_LAST_SLOT 271

#define LOAD_ADDR 0x100000

#define LAPIC_PHYS 0xfee00000
#define IOAPIC_PHYS 0xfec00000

#ifndef __ASSEMBLER__
#define P2V(pa) ((void *)((uint64)(pa) + DIRECTMAP))
#define V2P(va) ((uint64)(va) - DIRECTMAP)
#define MFN2V(mfn) P2V((uint64)(mfn) << PAGE_SHIFT)
#define V2MFN(va) (V2P(va) >> PAGE_SHIFT)
#endif

// Selectors. The GDT's page 14 is ours (FIRST_RESERVED_GDT_PAGE); the ones with privilege 3 are part of the public interface.
#define SEL_HV_CS 0xe008
#define SEL_HV_DS 0xe010
#define SEL_R3_CS32 0xe023
#define SEL_R3_DS 0xe02b
#define SEL_R3_CS64 0xe033
#define SEL_TSS 0xe040

#endif
