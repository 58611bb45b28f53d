// Two 8259s in a row, as a domain sees them. Intel 8259A data sheet; ELCR: 82371SB data sheet "Edge/Level Control Registers".
//
// Fixed priority, fully nested. Polled mode, special mask mode and rotation are not there; PC software does not use them.
#include "../defs.h"

// Highest-priority line waiting and not blocked by one in service, or -1.
static int
best(struct vpic *p)
{
  uint8 want = p->irr & ~p->imr;
  int line = want ? bsf64(want) : 8;

  return line < (p->isr ? bsf64(p->isr) : 8) ? line : -1;
}

bool
vpic_output(struct domain *d)
{
  return best(&d->hvm->pic[0]) >= 0;
}

// The second one's output is line 2 of the first.
static void
update(struct domain *d)
{
  struct vpic *master = &d->hvm->pic[0];

  if(best(&d->hvm->pic[1]) >= 0)
    master->irr |= 4;
  else
    master->irr &= ~4;
  if(vpic_output(d))
    hvm_kick(d->vcpu);
}

void
vpic_set_line(struct domain *d, int line, bool level)
{
  struct vpic *p = &d->hvm->pic[line >> 3];
  uint8 bit = 1 << (line & 7);
  bool was = p->line & bit;

  if(line == 2)
    return;
  p->line = level ? p->line | bit : p->line & ~bit;
  if(level && (!was || (p->elcr & bit)))
    p->irr |= bit;
  else if(!level)
    p->irr &= ~bit; // the request must stay until acknowledged
  update(d);
}

static int
ack_one(struct vpic *p)
{
  int line = best(p);

  if(line < 0)
    return p->base + 7; // spurious
  if(!(p->elcr & 1 << line))
    p->irr &= ~(1 << line);
  if(!p->auto_eoi)
    p->isr |= 1 << line;
  return p->base + line;
}

// The processor takes the interrupt: its vector.
int
vpic_ack(struct domain *d)
{
  struct vpic *master = &d->hvm->pic[0];
  int vector = ack_one(master);

  if(vector == master->base + 2){
    vector = ack_one(&d->hvm->pic[1]);
    master->irr &= ~4;
  }
  update(d);
  return vector;
}

static void
eoi(struct domain *d, struct vpic *p, uint8 val)
{
  int line = val & 0x40 ? val & 7 : p->isr ? bsf64(p->isr) : -1;

  if(line < 0)
    return;
  p->isr &= ~(1 << line);
  if((p->elcr & 1 << line) && (p->line & 1 << line))
    p->irr |= 1 << line; // still asserted
  update(d);
}

static void
command(struct domain *d, struct vpic *p, uint8 val)
{
  if(val & 0x10){ // ICW1
    *p = (struct vpic){ .elcr = p->elcr, .line = p->line, .init = 2, .need_icw4 = val & 1 };
    return;
  }
  if(val & 0x08){ // OCW3
    if(val & 2)
      p->read_isr = val & 1;
    return;
  }
  if(val & 0x20) // OCW2 with EOI
    eoi(d, p, val);
}

static void
data(struct domain *d, struct vpic *p, uint8 val)
{
  switch(p->init){
  case 2:
    p->base = val & 0xf8;
    p->init = 3;
    return;
  case 3:
    p->init = p->need_icw4 ? 4 : 0;
    return;
  case 4:
    p->auto_eoi = val & 2;
    p->init = 0;
    return;
  default:
    p->imr = val;
    update(d);
  }
}

bool
vpic_owns(uint16 port)
{
  return (port & ~0x81) == 0x20 || port == 0x4d0 || port == 0x4d1;
}

uint8
vpic_read(struct domain *d, uint16 port)
{
  struct vpic *p = &d->hvm->pic[port & 0x80 ? 1 : 0];

  if(port >= 0x4d0)
    return d->hvm->pic[port & 1].elcr;
  if(port & 1)
    return p->imr;
  return p->read_isr ? p->isr : p->irr;
}

void
vpic_write(struct domain *d, uint16 port, uint8 val)
{
  struct vpic *p = &d->hvm->pic[port & 0x80 ? 1 : 0];

  if(port >= 0x4d0)
    d->hvm->pic[port & 1].elcr = val & (port & 1 ? 0xde : 0xf8);
  else if(port & 1)
    data(d, p, val);
  else
    command(d, p, val);
}

void
vpic_init(struct domain *d)
{
  d->hvm->pic[0] = (struct vpic){ .base = 8, .imr = 0xff };
  d->hvm->pic[1] = (struct vpic){ .base = 0x70, .imr = 0xff };
}
