/* Domain control, the part a dom0 without a toolstack needs: what domains are there and how are they (hypercall domctl). */
#ifndef XEN_DOMCTL_H
#define XEN_DOMCTL_H
#include "xen.h"

#define XEN_DOMCTL_INTERFACE_VERSION 0x00000015

#define XEN_DOMCTL_destroydomain 2
#define XEN_DOMCTL_pausedomain 3
#define XEN_DOMCTL_unpausedomain 4
#define XEN_DOMCTL_getdomaininfo 5

#define XEN_DOMINF_dying (1u << 0)
#define XEN_DOMINF_hvm_guest (1u << 1)
#define XEN_DOMINF_shutdown (1u << 2)
#define XEN_DOMINF_paused (1u << 3)
#define XEN_DOMINF_blocked (1u << 4)
#define XEN_DOMINF_running (1u << 5)
#define XEN_DOMINF_debugged (1u << 6)
#define XEN_DOMINF_xs_domain (1u << 7)
#define XEN_DOMINF_hap (1u << 8)
#define XEN_DOMINF_shutdownmask 255
#define XEN_DOMINF_shutdownshift 16

/* Answers for the domain asked for, or for the next one above it: count up until -ESRCH. */
struct xen_domctl_getdomaininfo {
  domid_t domain;
  uint16_t pad1;
  uint32_t flags; /* XEN_DOMINF_*, shutdown reason << XEN_DOMINF_shutdownshift */
  uint64_t tot_pages;
  uint64_t max_pages;
  uint64_t outstanding_pages;
  uint64_t shr_pages;
  uint64_t paged_pages;
  uint64_t shared_info_frame; /* mfn (PV), as a foreign mapping names it */
  uint64_t cpu_time; /* ns */
  uint32_t nr_online_vcpus;
  uint32_t max_vcpu_id;
  uint32_t ssidref;
  xen_domain_handle_t handle;
  uint32_t cpupool;
  uint8_t gpaddr_bits;
  uint8_t pad2[7];
  struct {
    uint32_t emulation_flags;
    uint32_t misc_flags;
  } arch_config;
};

struct xen_domctl {
  uint32_t cmd;
  uint32_t interface_version; /* XEN_DOMCTL_INTERFACE_VERSION */
  domid_t domain;
  uint16_t _pad[3];
  union {
    struct xen_domctl_getdomaininfo getdomaininfo;
    uint8_t pad[128];
  } u;
};
#endif
