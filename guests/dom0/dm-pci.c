// Configuration space of the emulated bus: host bridge, PIIX3 ISA bridge, PIIX3 IDE, network card. Mechanism 1.
//
// Addresses are assigned at start, as firmware would. PCI Local Bus Specification 2.2, section 3.2.2.3.2 and chapter 6.
#include "dom0/dm.h"

#include "lib/string.h"
#include "xen/hypercall.h"
#include <xen/hvm/hvm_op.h>

#pragma clang section text=".text.devmodel"

enum { COMMAND = 0x04, CLASS = 0x08, HEADER = 0x0e, BAR0 = 0x10, INTERRUPT_LINE = 0x3c, INTERRUPT_PIN = 0x3d, PIRQ_ROUTE = 0x60, PIRQ_OFF = 0x80 };
enum { IDE_BUS_MASTER = 0xc000, NIC_LINE = 11, NIC_DEVICE = 3 };
#define NIC_MEMORY 0xf3000000u

static void
put16(uint8_t *at, uint16_t v)
{
  memcpy(at, &v, 2);
}

static void
put32(uint8_t *at, uint32_t v)
{
  memcpy(at, &v, 4);
}

static struct dm_pci_function *
add(struct device_model *m, unsigned n, uint8_t device, uint8_t function, uint16_t vendor, uint16_t id, uint32_t class_revision)
{
  struct dm_pci_function *f = &m->pci[n];

  f->device = device;
  f->function = function;
  put16(f->config, vendor);
  put16(f->config + 2, id);
  put32(f->config + CLASS, class_revision);
  put16(f->writable + COMMAND, 0x0007);
  f->writable[INTERRUPT_LINE] = 0xff;
  return f;
}

static void
route(struct device_model *m, unsigned link, uint8_t value)
{
  struct xen_hvm_set_pci_link_route op = { .domid = m->guest->domid, .link = (uint8_t)link, .isa_irq = value & PIRQ_OFF ? 0 : value & 15 };

  hypercall_hvm_op(HVMOP_set_pci_link_route, &op);
}

void
dm_pci_init(struct device_model *m)
{
  static const uint8_t lines[4] = { 10, 11, 10, 11 };
  struct dm_pci_function *f;

  add(m, 0, 0, 0, 0x8086, 0x1237, 0x06000002);
  f = add(m, 1, 1, 0, 0x8086, 0x7000, 0x06010000);
  f->config[HEADER] = 0x80; // more functions
  for(unsigned link = 0; link < 4; link++){
    f->config[PIRQ_ROUTE + link] = lines[link];
    f->writable[PIRQ_ROUTE + link] = 0x8f;
    route(m, link, lines[link]);
  }
  f = add(m, 2, 1, 1, 0x8086, 0x7010, 0x01018000);
  put16(f->config + COMMAND, 1);
  put32(f->config + BAR0 + 16, IDE_BUS_MASTER | 1);
  put32(f->writable + BAR0 + 16, 0xfff0);
  put32(f->config + 0x40, 0x80008000); // both channels decode their ports
  put32(f->writable + 0x40, 0xffffffff);
  f = add(m, 3, NIC_DEVICE, 0, 0x8086, 0x100e, 0x02000003);
  put16(f->config + COMMAND, 2);
  put32(f->config + BAR0, NIC_MEMORY);
  put32(f->writable + BAR0, ~0x1ffffu);
  f->config[INTERRUPT_LINE] = NIC_LINE;
  f->config[INTERRUPT_PIN] = 1;
}

struct dm_pci_function *
dm_pci_function(struct device_model *m, unsigned device, unsigned function)
{
  for(unsigned i = 0; i < DM_PCI_DEVICES; i++)
    if(m->pci[i].device == device && m->pci[i].function == function)
      return &m->pci[i];
  return NULL;
}

uint32_t
dm_pci_bar(const struct dm_pci_function *f, unsigned index)
{
  uint32_t bar;

  memcpy(&bar, f->config + BAR0 + 4 * index, 4);
  if(!(f->config[COMMAND] & (bar & 1 ? 1 : 2)))
    return 0;
  return bar & 1 ? bar & ~3u : bar & ~15u;
}

static struct dm_pci_function *
addressed(struct device_model *m)
{
  if(!(m->pci_address & 0x80000000u) || m->pci_address >> 16 & 0xff)
    return NULL;
  return dm_pci_function(m, m->pci_address >> 11 & 31, m->pci_address >> 8 & 7);
}

uint32_t
dm_pci_read(struct device_model *m, uint16_t port, unsigned size)
{
  uint32_t value = ~0u;

  if(port < 0xcfc)
    return port == 0xcf8 && size == 4 ? m->pci_address : value >> (32 - 8 * size);
  unsigned reg = (m->pci_address & 0xfc) + (port & 3);
  struct dm_pci_function *f = addressed(m);
  if(f && reg + size <= 256){
    value = 0;
    memcpy(&value, f->config + reg, size);
    return value;
  }
  return value >> (32 - 8 * size);
}

void
dm_pci_write(struct device_model *m, uint16_t port, unsigned size, uint32_t value)
{
  if(port < 0xcfc){
    if(port == 0xcf8 && size == 4)
      m->pci_address = value;
    return;
  }
  unsigned reg = (m->pci_address & 0xfc) + (port & 3);
  struct dm_pci_function *f = addressed(m);
  if(!f || reg + size > 256)
    return;
  for(unsigned i = 0; i < size; i++){
    uint8_t mask = f->writable[reg + i];
    f->config[reg + i] = (uint8_t)((f->config[reg + i] & ~mask) | (value >> (8 * i) & mask));
    if(f->device == 1 && f->function == 0 && reg + i >= PIRQ_ROUTE && reg + i < PIRQ_ROUTE + 4)
      route(m, reg + i - PIRQ_ROUTE, f->config[reg + i]);
  }
}
