// The device model of an HVM guest: what its parts know of each other.
//
//   device-model.c  I/O requests from the shared page, sent to whoever claims the port or address
//   dm-memory.c     the guest's memory
//   dm-pci.c        configuration space of the emulated bus
//   dm-ide.c        PIIX3 IDE, primary channel, one disk
//   dm-e1000.c      82540EM network card
#pragma once

#include "dom0/guest.h"
#include "dom0/services.h"
#include "dom0/work.h"
#include <xen/hvm/ioreq.h>

struct ide;
struct nic;

enum { DM_PCI_DEVICES = 4, DM_MEMORY_SLOTS = 64, ISA_IDE = 14 };

struct dm_pci_function {
  uint8_t device, function;
  uint8_t config[256];
  uint8_t writable[256]; // bits a guest may change
};

struct device_model {
  struct guest *guest;
  volatile struct ioreq *slot;
  uint32_t port; // event channel
  struct work work;
  char *windows; // DM_MEMORY_SLOTS pages, each mapping one page of the guest
  uint64_t mapped[DM_MEMORY_SLOTS]; // guest frame number + 1; 0: nothing
  uint32_t pci_address;
  struct dm_pci_function pci[DM_PCI_DEVICES];
  struct ide *ide;
  struct nic *nic;
};

// Copies between this domain and the guest's memory. False when part of it is not there; what is there has been copied.
bool dm_read(struct device_model *model, uint64_t gpa, void *to, size_t bytes);
bool dm_write(struct device_model *model, uint64_t gpa, const void *from, size_t bytes);

void dm_pci_init(struct device_model *model);
uint32_t dm_pci_read(struct device_model *model, uint16_t port, unsigned size);
void dm_pci_write(struct device_model *model, uint16_t port, unsigned size, uint32_t value);
struct dm_pci_function *dm_pci_function(struct device_model *model, unsigned device, unsigned function);
// A base address register's address, or 0 while the command register has that space switched off.
uint32_t dm_pci_bar(const struct dm_pci_function *function, unsigned index);

struct ide *ide_init(struct device_model *model, struct block_device *disk);
bool ide_claims(struct device_model *model, uint16_t port);
uint32_t ide_read(struct ide *ide, uint16_t port, unsigned size);
void ide_write(struct ide *ide, uint16_t port, unsigned size, uint32_t value);

struct nic *nic_init(struct device_model *model);
bool nic_claims(struct device_model *model, uint64_t gpa);
uint32_t nic_read(struct nic *nic, uint64_t gpa);
void nic_write(struct nic *nic, uint64_t gpa, uint32_t value);

// Interrupt lines of the guest.
void dm_isa_line(struct device_model *model, uint8_t line, bool level);
void dm_pci_line(struct device_model *model, uint8_t device, bool level);
