// Domains and their virtual processors: the structures everything else hangs on.
#ifndef PROC_H
#define PROC_H
#include "param.h"
#include "types.h"
#include "x86.h"
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/params.h>
#include <xen/vcpu.h>
#include <xen/xen.h>

struct domain;
struct vcpu;
struct hvm_vcpu;
struct hvm_domain;

// A guest's registers as entry.S and the exit stubs save them: the first part of the public struct cpu_user_regs.
struct regs {
  uint64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
  uint32 error;
  uint32 vector;
  uint64 rip, cs, rflags, rsp, ss;
};
#define VECTOR_SYSCALL 256
_Static_assert(offsetof(struct regs, vector) == 124, "entry.S: R_VECTOR");
_Static_assert(offsetof(struct regs, cs) == 136, "entry.S: R_CS");
_Static_assert(offsetof(struct regs, rsp) == 152, "entry.S: R_RSP");
_Static_assert(offsetof(struct regs, rip) == offsetof(struct cpu_user_regs, rip), "ABI");

// A point in time at which a function is called with interrupts off. In time.c's list when armed.
struct timer {
  uint64 when; // system time, ns
  void (*fn)(void *);
  void *arg;
  bool armed;
  struct timer *next;
};

enum vcpu_state { VCPU_RUNNABLE, VCPU_RUNNING, VCPU_BLOCKED, VCPU_OFFLINE };
enum vcpu_priority { PRI_IDLE, PRI_NORMAL, PRI_BOOST };

// What a PV vCPU has told us of itself, and what of its state is not in struct regs.
struct pv_vcpu {
  struct trap_info traps[256];
  uint64 cr3_kernel, cr3_user;   // machine addresses of the two L4 tables; user: 0 when there is none
  bool in_user;                  // guest user mode: cr3_user and GS of the user are in force
  uint64 kernel_sp;
  uint64 event_callback, failsafe_callback, syscall_callback;
  bool syscall_masks_events, failsafe_masks_events;
  uint64 fs_base, gs_base_kernel, gs_base_user;
  uint16 ds, es, fs, gs;
  uint64 gdt_frames[14];         // machine frames; 0: none
  uint32 gdt_ents;
  uint64 cr4;
  uint64 dr7;
  bool ts;                       // guest asked for #NM on FPU use
  uint32 iopl;
};

struct vcpu {
  struct domain *dom;
  int id;
  uint8 *kstack;                 // KSTACK_PAGES pages
  uint64 rsp;                    // of the hypervisor stack while not running
  struct regs *regs;             // the guest's registers: at the top of kstack

  enum vcpu_state state;
  enum vcpu_priority pri;
  bool poll;                     // blocked in SCHEDOP_poll: any of the polled ports wakes
  uint32 poll_ports[8];
  int npoll;
  bool ioreq_wait;               // blocked until the device model answers: events do not wake the guest
  struct vcpu *next;             // in the run queue
  uint64 slice_start;

  struct vcpu_info *info;        // in the shared page, or where VCPUOP_register_vcpu_info put it
  struct vcpu_runstate_info runstate;
  uint64 runstate_area;          // guest address to keep a copy at, or 0
  struct timer timer;            // set_timer_op, VCPUOP_set_singleshot_timer
  struct timer periodic;
  uint64 period;                 // ns, 0: off
  struct timer poll_timer;
  uint16 virq_port[NR_VIRQS];

  uint8 fpu[512] __attribute__((aligned(16)));
  union {
    struct pv_vcpu pv;
  };
  struct hvm_vcpu *hvm;          // HVM only
};

enum domain_type { DOMAIN_PV, DOMAIN_HVM, DOMAIN_IDLE };

struct evtchn {
  uint8 state;                   // EVTCHNSTAT_*
  uint8 vcpu;
  uint16 remote_dom;             // unbound, interdomain
  uint16 remote_port;
  uint16 line;                   // virq or pirq
};

struct maptrack {
  uint16 dom;
  uint16 flags;                  // GNTMAP_*, 0: free
  uint32 ref;
  uint64 mfn;
};

struct domain {
  uint16 id;
  enum domain_type type;
  bool privileged;
  bool paused;
  bool shutdown, dying;
  uint8 shutdown_reason;
  char name[32];
  char cmdline[MAX_GUEST_CMDLINE];
  struct vcpu *vcpu;             // one each

  uint64 tot_pages, max_pages;
  struct shared_info *shared;
  uint64 shared_mfn;
  uint64 vm_assist;

  struct evtchn port[NPORT];
  uint16 pirq_port[NPIRQ];       // 0: not bound

  struct grant_entry_v1 *grant[NGRANTFRAME];
  uint32 ngrant;                 // frames
  struct maptrack *maptrack;     // NMAPTRACK entries, allocated at first use

  uint64 params[HVM_NR_PARAMS];  // HVM_PARAM_*, kept for PV domains too: store, console
  struct hvm_domain *hvm;        // HVM only
};

extern struct vcpu *current;
extern struct domain *domains[NDOMAIN];
extern struct domain *dom0;

static inline bool
is_hvm(struct domain *d)
{
  return d->type == DOMAIN_HVM;
}

#endif
