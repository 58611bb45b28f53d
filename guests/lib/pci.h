// PCI configuration space, mechanism 1, bus 0.
#pragma once

#include "lib/types.h"

struct pci_device {
  uint8_t device, function;
  uint16_t vendor_id, device_id;
};

enum { PCI_COMMAND = 0x04, PCI_CLASS = 0x08, PCI_HEADER_TYPE = 0x0c, PCI_BAR0 = 0x10, PCI_INTERRUPT = 0x3c };
enum { PCI_COMMAND_IO = 1, PCI_COMMAND_MEMORY = 2, PCI_COMMAND_MASTER = 4 };

uint32_t pci_read(const struct pci_device *d, unsigned reg);
void pci_write(const struct pci_device *d, unsigned reg, uint32_t value);
// The n-th (from 0) device of this class code (class << 8 | subclass), or with this vendor and device.
bool pci_find_class(uint16_t class, unsigned n, struct pci_device *found);
bool pci_find_device(uint16_t vendor, uint16_t device, unsigned n, struct pci_device *found);
void pci_enable(const struct pci_device *d, uint32_t command_bits);
// Base of an I/O or memory BAR (64-bit memory BARs included). One that no firmware has set is given an address below 4 GiB.
// Call before pci_enable: a device must not decode while its BAR is moved.
uint64_t pci_bar(const struct pci_device *d, unsigned index);
// The ISA line the device's INTx# arrives at. Where firmware has not routed it, routes it (PIIX PIRQ router) and records it.
unsigned pci_interrupt_line(const struct pci_device *d);
