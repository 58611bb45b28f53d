// The I/O APIC as a domain sees it: HVM_PINS pins, all to the one vCPU. 82093AA data sheet §3.0 "Register Description".
#include "../defs.h"

#define R_VECTOR 0xff
#define R_MODE 0x700
#define R_REMOTE_IRR (1ul << 14)
#define R_LEVEL (1ul << 15)
#define R_MASK (1ul << 16)

static void
deliver(struct domain *d, int pin)
{
  uint64 *r = &d->hvm->ioapic.redir[pin];

  if(*r & R_MASK)
    return;
  if(*r & R_LEVEL){
    if(*r & R_REMOTE_IRR)
      return; // until its EOI
    *r |= R_REMOTE_IRR;
  }
  if((*r & R_MODE) <= 0x100) // fixed, lowest priority: there is only one
    vlapic_set_irq(d->vcpu, (int)(*r & R_VECTOR), *r & R_LEVEL);
}

void
vioapic_set_pin(struct domain *d, int pin, bool level)
{
  struct vioapic *io = &d->hvm->ioapic;
  bool was = io->level >> pin & 1;

  io->level = level ? io->level | 1ul << pin : io->level & ~(1ul << pin);
  if(level && (!was || (io->redir[pin] & R_LEVEL)))
    deliver(d, pin);
}

// The local APIC has seen an EOI for a level-triggered vector.
void
vioapic_eoi(struct domain *d, int vector)
{
  struct vioapic *io = &d->hvm->ioapic;

  for(int pin = 0; pin < HVM_PINS; pin++){
    uint64 *r = &io->redir[pin];
    if((int)(*r & R_VECTOR) != vector || !(*r & R_REMOTE_IRR))
      continue;
    *r &= ~R_REMOTE_IRR;
    if(io->level >> pin & 1)
      deliver(d, pin);
  }
}

uint32
vioapic_read(struct domain *d, uint32 off)
{
  struct vioapic *io = &d->hvm->ioapic;

  if(off == 0)
    return io->select;
  if(off != 0x10)
    return 0;
  switch(io->select){
  case 0: return io->id;
  case 1: return (HVM_PINS - 1) << 16 | 0x11;
  case 2: return io->id;
  }
  if(io->select >= 0x10 && io->select < 0x10 + 2 * HVM_PINS)
    return (uint32)(io->redir[(io->select - 0x10) / 2] >> (io->select & 1 ? 32 : 0));
  return 0;
}

static void
write_redir(struct domain *d, uint32 index, uint32 val)
{
  uint32 pin = index / 2;
  uint64 *r = &d->hvm->ioapic.redir[pin];
  uint64 keep = 1ul << 12 | R_REMOTE_IRR;

  if(index & 1)
    *r = (*r & 0xffffffff) | (uint64)val << 32;
  else
    *r = (*r & (0xffffffff00000000 | keep)) | (val & 0x1ffff & ~keep);
  if(!(*r & R_LEVEL))
    *r &= ~R_REMOTE_IRR;
  else if(d->hvm->ioapic.level >> pin & 1)
    deliver(d, (int)pin);
}

void
vioapic_write(struct domain *d, uint32 off, uint32 val)
{
  struct vioapic *io = &d->hvm->ioapic;

  if(off == 0)
    io->select = val & 0xff;
  else if(off == 0x10 && io->select == 0)
    io->id = val & 0x0f000000;
  else if(off == 0x10 && io->select >= 0x10 && io->select < 0x10 + 2 * HVM_PINS)
    write_redir(d, io->select - 0x10, val);
}

void
vioapic_init(struct domain *d)
{
  for(int i = 0; i < HVM_PINS; i++)
    d->hvm->ioapic.redir[i] = R_MASK;
}
