// Hardware-virtualised domains: what the parts of hvm/ share, and what the rest of the hypervisor uses of them.
//
// Two extensions behind one interface: vmx.c (Intel) and svm.c (AMD) fill in a struct hvm_ops, ept.c and npt.c a struct p2m_ops.
#ifndef HVM_H
#define HVM_H
#include "../proc.h"
#include <xen/hvm/ioreq.h>

struct elf;

#define HVM_PINS 48       // of the virtual I/O APIC: 16 ISA lines, 32 PCI ones
#define APIC_TICK_NS 10   // the virtual APIC timer counts at 100 MHz, before its divider

// A segment register with its hidden part. attr as the VMCB has it: type, S, DPL, P in bits 0-7, AVL, L, D, G in bits 8-11.
struct segment {
  uint16 sel, attr;
  uint32 limit;
  uint64 base;
};
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };
#define ATTR_L 0x200
#define ATTR_D 0x400
#define ATTR_DPL(attr) ((attr) >> 5 & 3) // of SS: the privilege level

enum event_type { EVENT_INTERRUPT = 0, EVENT_EXCEPTION = 3 }; // numbers of both VMCS and VMCB

struct hvm_ops {
  const char *name;
  const struct p2m_ops *p2m;
  void (*vcpu_init)(struct vcpu *v);    // make its control structure; state as a PVH kernel starts
  void (*switch_to)(struct vcpu *v);    // its state into the processor, and back
  void (*switch_from)(struct vcpu *v);
  void (*run)(struct vcpu *v);          // enter the guest, come back, deal with why
  uint64 (*get_cr)(struct vcpu *v, int n);
  uint64 (*get_efer)(struct vcpu *v);
  void (*get_segment)(struct vcpu *v, int seg, struct segment *s);
  uint16 (*get_attr)(struct vcpu *v, int seg); // only the attributes: cheaper
  bool (*can_interrupt)(struct vcpu *v); // IF set, no shadow, nothing being injected
  void (*inject)(struct vcpu *v, enum event_type type, int vector, bool has_error, uint32 error);
  void (*set_cr2)(struct vcpu *v, uint64 val);
  void (*want_window)(struct vcpu *v);  // exit as soon as can_interrupt() would be true
  void (*end_shadow)(struct vcpu *v);   // an instruction was completed for the guest
  bool (*read_msr)(struct vcpu *v, uint32 msr, uint64 *val);
  bool (*write_msr)(struct vcpu *v, uint32 msr, uint64 val);
  const uint8 *hypercall_insn;          // 3 bytes
};
extern const struct hvm_ops *hvm_ops;   // 0: this processor has neither, or not all that is needed
extern const struct hvm_ops vmx_ops, svm_ops;
bool vmx_available(void);
bool svm_available(void);
void vmx_init(void);
void svm_init(void);

// Guest-physical to machine: how entries look. Everything else is the same for both (p2m.c).
struct p2m_ops {
  uint64 present;  // any of these bits: the entry counts
  uint64 table;    // bits of an entry that names a table
  uint64 leaf;     // bits of an entry that names memory, read-only
  uint64 write;    // and what makes it writable
};
extern const struct p2m_ops ept_ops, npt_ops;

struct vlapic {
  uint32 tpr, svr, ldr, dfr, esr, icr_high;
  uint32 lvt_timer, lvt_lint0, lvt_lint1, lvt_error, lvt_thermal, lvt_perf;
  uint32 timer_init, timer_divide;
  uint64 timer_start;                 // system time
  uint64 irr[4], isr[4], tmr[4];      // bit n: vector n
  struct timer timer;
};

struct vpic {
  uint8 irr, isr, imr, elcr, base, line; // line: levels now
  uint8 init;                            // next initialisation word, 0: running
  bool need_icw4, auto_eoi, read_isr, poll;
};

struct vioapic {
  uint32 select, id;
  uint64 redir[HVM_PINS];
  uint64 level;                          // levels of the pins now
};

struct hvm_vcpu {
  void *control;                         // VMCS or VMCB
  uint64 control_pa;
  struct vlapic lapic;
  uint8 upcall_vector;                   // HVMOP_set_evtchn_upcall_vector, 0: none
  bool launched;                         // VMX
  bool flush;                            // translations changed
  bool injecting;                        // VMX: the next entry delivers an event
  uint32 proc;                           // VMX: processor-based controls
  uint64 rip, rsp, rflags;               // VMX: what the VMCS has
  uint64 efer, cr0, cr3, cr4;            // VMX: as the guest sees them, when a write to one of them was last done for it
  uint64 star, lstar, cstar, fmask, kernel_gs_base; // VMX: the guest's while it is not loaded
  uint64 exits;
};

struct hvm_domain {
  uint64 *p2m;                           // root table
  uint32 *ram;                           // the same for the first nram frames, flat: machine frame, 0 for none
  uint64 nram;
  uint64 special_gfn;                    // store, console, ioreq, buffered ioreq: four in a row
  uint64 ioreq_mfn[2];
  bool no_dm;                            // nobody answers I/O: reads are all ones
  struct vpic pic[2];
  struct vioapic ioapic;
  uint8 link_route[4];                   // PCI link to ISA line, 0: none
  uint8 intx[32];                        // asserted INTx of each device on bus 0
  uint64 gsi_asserted;                   // by HVMOP_set_isa_irq_level and the callback
  uint64 ident_pt;                       // guest-physical; VMX without unrestricted guest
};

#define SPECIAL_STORE 0
#define SPECIAL_CONSOLE 1
#define SPECIAL_IOREQ 2
#define SPECIAL_BUFIOREQ 3
#define SPECIAL_BASE 0xfeffc // frames

// hvm/build.c
void hvm_build(struct domain *d, struct elf *e, bool no_dm);

// hvm/hvm.c
void hvm_init(void);
void hvm_loop(struct vcpu *v);
void hvm_upcall_pending(struct vcpu *v);
bool hvm_has_interrupt(struct vcpu *v);
void hvm_kick(struct vcpu *v);
void hvm_dump(struct vcpu *v);
void hvm_advance(struct vcpu *v, uint64 len);
void hvm_inject_fault(struct vcpu *v, int vector, bool has_error, uint32 error);
void hvm_inject_page_fault(struct vcpu *v, uint64 gva, uint32 error);
void hvm_cpuid(struct vcpu *v);
void hvm_hlt(struct vcpu *v);
void hvm_hypercall(struct vcpu *v);
void hvm_rdmsr(struct vcpu *v);
void hvm_wrmsr(struct vcpu *v);
void hvm_gpa_fault(struct vcpu *v, uint64 gpa, bool write);
bool hvm_is_64bit(struct vcpu *v);
int64 do_hvm_op(uint64 cmd, uint64 gva);

// hvm/emulate.c
void hvm_mmio(struct vcpu *v, uint64 gpa, bool write);

// hvm/io.c
void hvm_io(struct vcpu *v, uint16 port, int size, bool in, bool string, bool rep, uint64 next_rip);
uint64 hvm_mmio_access(struct vcpu *v, uint64 gpa, int size, bool write, uint64 data);
void hvm_ioreq_answered(struct vcpu *v);

// hvm/irq.c
void hvm_set_isa_line(struct domain *d, int line, bool level);
void hvm_set_pci_line(struct domain *d, int device, int intx, bool level);
void hvm_set_link_route(struct domain *d, int link, int line);
void hvm_set_gsi(struct domain *d, int gsi, bool level);

// hvm/p2m.c
uint64 p2m_lookup(struct domain *d, uint64 gfn);
void p2m_map(struct domain *d, uint64 gfn, uint64 mfn, bool write);
void p2m_map_2m(struct domain *d, uint64 gfn, uint64 mfn);
void p2m_unmap(struct domain *d, uint64 gfn);

// hvm/vioapic.c
uint32 vioapic_read(struct domain *d, uint32 off);
void vioapic_write(struct domain *d, uint32 off, uint32 val);
void vioapic_set_pin(struct domain *d, int pin, bool level);
void vioapic_eoi(struct domain *d, int vector);
void vioapic_init(struct domain *d);

// hvm/vlapic.c
void vlapic_init(struct vcpu *v);
uint32 vlapic_read(struct vcpu *v, uint32 reg);
void vlapic_write(struct vcpu *v, uint32 reg, uint32 val);
void vlapic_set_irq(struct vcpu *v, int vector, bool level);
int vlapic_pending(struct vcpu *v);
void vlapic_ack(struct vcpu *v, int vector);
bool vlapic_accepts_extint(struct vcpu *v);

// hvm/vpic.c
void vpic_init(struct domain *d);
bool vpic_owns(uint16 port);
uint8 vpic_read(struct domain *d, uint16 port);
void vpic_write(struct domain *d, uint16 port, uint8 val);
void vpic_set_line(struct domain *d, int line, bool level);
bool vpic_output(struct domain *d);
int vpic_ack(struct domain *d);

// hvm/walk.c
bool hvm_translate(struct vcpu *v, uint64 gva, bool write, uint64 *gpa, uint32 *error);
uint64 hvm_copy(struct vcpu *v, uint64 gva, void *buf, uint64 n, bool write);
void *hvm_gpa(struct domain *d, uint64 gpa);
int hvm_fetch(struct vcpu *v, uint8 *code, int n);

#endif
