// Interrupt lines of a hardware-virtualised domain: what its device model asserts, and where that goes.
//
// ISA lines go to the 8259s and to the I/O APIC's pin of the same number. A PCI interrupt goes to its own I/O APIC pin, and by
// the chip set's link to an ISA line, where links and ISA devices share by wired-or.
// 82371SB data sheet, "PIRQRC[A:D]"; PCI Local Bus Specification 3.0 §2.2.6 "Interrupt Pins".
#include "../defs.h"

static bool
link_asserted(struct hvm_domain *h, int link)
{
  for(int dev = 0; dev < 32; dev++)
    for(int pin = 0; pin < 4; pin++)
      if((h->intx[dev] >> pin & 1) && ((dev + pin) & 3) == link)
        return true;
  return false;
}

static void
update_isa(struct domain *d, int line)
{
  struct hvm_domain *h = d->hvm;
  bool level = h->gsi_asserted >> line & 1;

  for(int link = 0; link < 4; link++)
    if(h->link_route[link] == line && line != 0 && link_asserted(h, link))
      level = true;
  vpic_set_line(d, line, level);
  vioapic_set_pin(d, line, level);
}

void
hvm_set_gsi(struct domain *d, int gsi, bool level)
{
  if(level)
    d->hvm->gsi_asserted |= 1ul << gsi;
  else
    d->hvm->gsi_asserted &= ~(1ul << gsi);
  if(gsi < 16)
    update_isa(d, gsi);
  else
    vioapic_set_pin(d, gsi, level);
}

void
hvm_set_isa_line(struct domain *d, int line, bool level)
{
  hvm_set_gsi(d, line, level);
}

// The I/O APIC pin of a PCI device's INTx, as the public interface's platform wires it.
static int
intx_gsi(int device, int intx)
{
  return (((device << 2) + (device >> 3) + intx) & 31) + 16;
}

void
hvm_set_pci_line(struct domain *d, int device, int intx, bool level)
{
  struct hvm_domain *h = d->hvm;
  int link = (device + intx) & 3;

  if(level)
    h->intx[device] |= 1 << intx;
  else
    h->intx[device] &= ~(1 << intx);
  vioapic_set_pin(d, intx_gsi(device, intx), level);
  if(h->link_route[link])
    update_isa(d, h->link_route[link]);
}

void
hvm_set_link_route(struct domain *d, int link, int line)
{
  int old = d->hvm->link_route[link];

  d->hvm->link_route[link] = (uint8)line;
  if(old)
    update_isa(d, old);
  if(line)
    update_isa(d, line);
}
