// The device model's front: takes the guest's I/O request, sends it to a device, answers.
//
// One request at a time a vCPU: its slot in the shared page says how far it is (hvm/ioreq.h). Ports and addresses that no
// device claims read as all ones, and writes to them are lost, as on a PC.
#include "dom0/dm.h"

#include "dom0/foreign.h"
#include "lib/console.h"
#include "lib/memory.h"
#include "xen/events.h"
#include "xen/hypercall.h"
#include <xen/hvm/params.h>

#pragma clang section text=".text.devmodel"

enum { PCI_ADDRESS = 0xcf8, PCI_DATA = 0xcfc };

static uint32_t
all_ones(unsigned size)
{
  return size >= 4 ? ~0u : (1u << (8 * size)) - 1;
}

static uint32_t
port_read(struct device_model *m, uint16_t port, unsigned size)
{
  if(port >= PCI_ADDRESS && port < PCI_DATA + 4)
    return dm_pci_read(m, port, size);
  if(ide_claims(m, port))
    return ide_read(m->ide, port, size);
  return all_ones(size);
}

static void
port_write(struct device_model *m, uint16_t port, unsigned size, uint32_t value)
{
  if(port >= PCI_ADDRESS && port < PCI_DATA + 4)
    dm_pci_write(m, port, size, value);
  else if(ide_claims(m, port))
    ide_write(m->ide, port, size, value);
}

// The card's registers are 32 bits wide; smaller accesses see their part.
static uint32_t
memory_read(struct device_model *m, uint64_t gpa, unsigned size)
{
  if(!nic_claims(m, gpa))
    return all_ones(size);
  return nic_read(m->nic, gpa & ~3ul) >> (8 * (gpa & 3)) & all_ones(size);
}

static void
memory_write(struct device_model *m, uint64_t gpa, unsigned size, uint32_t value)
{
  if(nic_claims(m, gpa) && size == 4)
    nic_write(m->nic, gpa, value);
}

static uint32_t
read_one(struct device_model *m, uint8_t type, uint64_t address, unsigned size)
{
  return type == IOREQ_TYPE_PIO ? port_read(m, (uint16_t)address, size) : memory_read(m, address, size);
}

static void
write_one(struct device_model *m, uint8_t type, uint64_t address, unsigned size, uint32_t value)
{
  if(type == IOREQ_TYPE_PIO)
    port_write(m, (uint16_t)address, size, value);
  else
    memory_write(m, address, size, value);
}

// A request whose data is in the guest's memory: string I/O. The port stays, a memory-mapped address moves along.
static void
repeat(struct device_model *m, struct ioreq *r)
{
  int64_t step = r->df ? -(int64_t)r->size : (int64_t)r->size;
  uint64_t data = r->data, address = r->addr;

  for(uint32_t i = 0; i < r->count; i++, data += (uint64_t)step){
    uint32_t value = 0;
    if(r->dir == IOREQ_READ){
      value = read_one(m, r->type, address, r->size);
      dm_write(m, data, &value, r->size);
    } else {
      dm_read(m, data, &value, r->size);
      write_one(m, r->type, address, r->size, value);
    }
    if(r->type == IOREQ_TYPE_COPY)
      address += (uint64_t)step;
  }
}

static void
carry_out(struct device_model *m, struct ioreq *r)
{
  switch(r->type){
  case IOREQ_TYPE_PIO:
  case IOREQ_TYPE_COPY:
    if(r->size != 1 && r->size != 2 && r->size != 4 && r->size != 8)
      panic("d%u: I/O request of %u bytes", m->guest->domid, r->size);
    if(r->data_is_ptr)
      repeat(m, r);
    else if(r->size == 8){
      if(r->dir == IOREQ_READ)
        r->data = read_one(m, r->type, r->addr, 4) | (uint64_t)read_one(m, r->type, r->addr + 4, 4) << 32;
      else {
        write_one(m, r->type, r->addr, 4, (uint32_t)r->data);
        write_one(m, r->type, r->addr + 4, 4, (uint32_t)(r->data >> 32));
      }
    } else if(r->dir == IOREQ_READ)
      r->data = read_one(m, r->type, r->addr, r->size);
    else
      write_one(m, r->type, r->addr, r->size, (uint32_t)r->data);
    return;
  case IOREQ_TYPE_INVALIDATE:
  case IOREQ_TYPE_TIMEOFFSET:
    return; // nothing is cached that could change, and nothing here keeps the guest's clock
  default:
    panic("d%u: I/O request of unknown type %u", m->guest->domid, r->type);
  }
}

static void
serve(void *context)
{
  struct device_model *m = context;
  struct ioreq r;

  if(m->slot->state != STATE_IOREQ_READY)
    return;
  rmb();
  r = *m->slot;
  m->slot->state = STATE_IOREQ_INPROCESS;
  carry_out(m, &r);
  if(r.dir == IOREQ_READ && !r.data_is_ptr)
    m->slot->data = r.data;
  wmb();
  m->slot->state = STATE_IORESP_READY;
  event_notify(m->port);
}

static void
notified(void *context)
{
  work_queue(&((struct device_model *)context)->work);
}

void
dm_isa_line(struct device_model *m, uint8_t line, bool level)
{
  struct xen_hvm_set_isa_irq_level op = { .domid = m->guest->domid, .isa_irq = line, .level = level };

  hypercall_hvm_op(HVMOP_set_isa_irq_level, &op);
}

void
dm_pci_line(struct device_model *m, uint8_t device, bool level)
{
  struct xen_hvm_set_pci_intx_level op = { .domid = m->guest->domid, .device = device, .level = level };

  hypercall_hvm_op(HVMOP_set_pci_intx_level, &op);
}

void
device_model_start(struct guest *guest, struct block_device *disk)
{
  struct device_model *m = pages_alloc((sizeof *m + PAGE_SIZE - 1) / PAGE_SIZE);
  char *page = window_reserve(1);

  m->guest = guest;
  m->windows = window_reserve(DM_MEMORY_SLOTS);
  window_prepare(m->windows, DM_MEMORY_SLOTS);
  window_prepare(page, 1);
  if(!foreign_map(guest->domid, guest_param(guest, HVM_PARAM_IOREQ_PFN), page))
    panic("d%u: the I/O request page cannot be mapped", guest->domid);
  m->slot = ((struct shared_iopage *)page)->vcpu_ioreq;
  dm_pci_init(m);
  if(disk)
    m->ide = ide_init(m, disk);
  m->nic = nic_init(m);
  guest->model = m;
  int port = event_bind_interdomain(guest->domid, m->slot->vp_eport);
  if(port < 0)
    panic("d%u: event channel %u of its I/O requests: %d", guest->domid, m->slot->vp_eport, port);
  m->port = (uint32_t)port;
  m->work = (struct work){ .function = serve, .context = m };
  event_set_handler(m->port, notified, m);
  work_queue(&m->work); // the guest may have asked already
}
