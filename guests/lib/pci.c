// PCI Local Bus Specification 2.2 section 3.2.2.3.2 "Software Generation of Configuration Transactions";
// section 6.2.5 "Base Addresses"; 82371SB (PIIX3) data sheet section 2.2.5 "PIRQRC[A:D]" for interrupt routing.

#include "lib/pci.h"
#include "lib/console.h"
#include "lib/x86.h"

enum {
  CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc,
  VENDOR_INTEL = 0x8086, PIIX3_ISA = 0x7000, PIIX4_ISA = 0x7110,
  PIRQRC = 0x60, PIRQRC_DISABLED = 0x80,
  FALLBACK_LINE = 11,
  ASSIGN_IO = 0xc000,
};
#define CONFIG_ENABLE 0x80000000u
#define ASSIGN_MEMORY 0xf0000000u

uint32_t
pci_read(const struct pci_device *d, unsigned reg)
{
  outl(CONFIG_ADDRESS, CONFIG_ENABLE | (uint32_t)d->device << 11 | d->function << 8 | (reg & 0xfc));
  return inl(CONFIG_DATA);
}

void
pci_write(const struct pci_device *d, unsigned reg, uint32_t value)
{
  outl(CONFIG_ADDRESS, CONFIG_ENABLE | (uint32_t)d->device << 11 | d->function << 8 | (reg & 0xfc));
  outl(CONFIG_DATA, value);
}

// Calls match for each function; stops at the n-th that matches.
static bool
find(bool (*match)(const struct pci_device *, uint32_t), uint32_t wanted, unsigned n, struct pci_device *found)
{
  for(unsigned dev = 0; dev < 32; dev++){
    unsigned functions = 1;
    for(unsigned fn = 0; fn < functions; fn++){
      struct pci_device d = { (uint8_t)dev, (uint8_t)fn, 0, 0 };
      uint32_t id = pci_read(&d, 0);
      if((id & 0xffff) == 0xffff)
        continue;
      if(fn == 0 && pci_read(&d, PCI_HEADER_TYPE) & 0x800000)
        functions = 8;
      d.vendor_id = (uint16_t)id;
      d.device_id = (uint16_t)(id >> 16);
      if(match(&d, wanted) && n-- == 0){
        *found = d;
        return true;
      }
    }
  }
  return false;
}

static bool is_class(const struct pci_device *d, uint32_t class) { return pci_read(d, PCI_CLASS) >> 16 == class; }
static bool is_device(const struct pci_device *d, uint32_t id) { return d->vendor_id == id >> 16 && d->device_id == (id & 0xffff); }

bool
pci_find_class(uint16_t class, unsigned n, struct pci_device *found)
{
  return find(is_class, class, n, found);
}

bool
pci_find_device(uint16_t vendor, uint16_t device, unsigned n, struct pci_device *found)
{
  return find(is_device, (uint32_t)vendor << 16 | device, n, found);
}

void
pci_enable(const struct pci_device *d, uint32_t command_bits)
{
  pci_write(d, PCI_COMMAND, (pci_read(d, PCI_COMMAND) & 0xffff) | command_bits);
}

// Where there is no firmware to do it (direct boot, domains), BARs are given addresses on first use.
static uint32_t
assign_bar(const struct pci_device *d, unsigned reg, bool io)
{
  static uint32_t next_memory = ASSIGN_MEMORY, next_io = ASSIGN_IO;
  uint32_t *next = io ? &next_io : &next_memory;
  uint32_t command = pci_read(d, PCI_COMMAND) & 0xffff;

  // The size shows in the address bits that stay zero; the device must not decode meanwhile.
  pci_write(d, PCI_COMMAND, command & ~(uint32_t)(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
  pci_write(d, reg, 0xffffffff);
  uint32_t mask = pci_read(d, reg) & (io ? 0xfffffffc : 0xfffffff0), size = ~(io ? mask | 0xffff0000 : mask) + 1;
  if(!mask)
    panic("PCI device %u.%u has no BAR at %x", d->device, d->function, reg);
  uint32_t base = (*next + size - 1) & ~(size - 1);
  *next = base + size;
  pci_write(d, reg, base);
  pci_write(d, PCI_COMMAND, command);
  return base;
}

uint64_t
pci_bar(const struct pci_device *d, unsigned index)
{
  unsigned reg = PCI_BAR0 + 4 * index;
  uint32_t low = pci_read(d, reg);
  bool io = low & 1, wide = !io && (low >> 1 & 3) == 2;
  uint64_t base = low & (io ? ~3u : ~15u);

  if(wide)
    base |= (uint64_t)pci_read(d, reg + 4) << 32;
  return base ? base : assign_bar(d, reg, io);
}

unsigned
pci_interrupt_line(const struct pci_device *d)
{
  uint32_t interrupt = pci_read(d, PCI_INTERRUPT);
  unsigned pin = interrupt >> 8 & 0xff, line = interrupt & 0xff;
  struct pci_device bridge;

  if(!pin)
    panic("PCI device %u.%u has no interrupt pin", d->device, d->function);
  if(line >= 3 && line <= 15) // firmware has routed it, and knows the board
    return line;
  if(!pci_find_device(VENDOR_INTEL, PIIX3_ISA, 0, &bridge) && !pci_find_device(VENDOR_INTEL, PIIX4_ISA, 0, &bridge))
    panic("PCI device %u.%u: nobody has routed its interrupt, and there is no PIIX to do it", d->device, d->function);
  // On a PIIX board INTA#-INTD# of the slots are rotated over PIRQA#-PIRQD# (slot 1: A).
  unsigned pirq = (d->device - 1 + pin - 1) & 3, shift = 8 * pirq;
  uint32_t routes = pci_read(&bridge, PIRQRC);
  uint8_t route = (uint8_t)(routes >> shift);
  line = route & PIRQRC_DISABLED ? FALLBACK_LINE : route & 15;
  pci_write(&bridge, PIRQRC, (routes & ~(0xffu << shift)) | line << shift);
  pci_write(d, PCI_INTERRUPT, (interrupt & ~0xffu) | line);
  return line;
}
