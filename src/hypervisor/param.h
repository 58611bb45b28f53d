// Limits. Nothing else bounds what the hypervisor can hold.
#ifndef PARAM_H
#define PARAM_H

#define NDOMAIN 16            // domains, dom0 included
#define NMODULE 16            // Multiboot modules
#define NPORT 1024            // event channels of a domain (the ABI allows 4096)
#define NGRANTFRAME 32        // pages of grant entries of a domain, 512 entries each
#define NMAPTRACK 8192        // grant mappings a domain may hold
#define NPIRQ 24              // interrupt lines: one IOAPIC
#define KSTACK_PAGES 4        // hypervisor stack of a vCPU
#define MAX_PHYS (4ul << 30)  // physical memory above is left alone
#define SLICE_NS 10000000ul   // a vCPU runs this long when another one waits
#define CALIBRATE_PIT 4773    // ticks of 1.193182 MHz: 4 ms
#define DEFAULT_MEM (64ul << 20) // of a domain whose module does not say mem=

#endif
