// The local APIC as a guest sees it, through its page at 0xfee00000.
//
// SDM 3A chapter 10 "Advanced Programmable Interrupt Controller (APIC)", table 10-1 "Local APIC Register Address Map". One vCPU
// a domain, so inter-processor interrupts only ever reach the sender. Interrupts wait in IRR until the vCPU can take them.
#include "../defs.h"

#define SVR_ENABLE 0x100
#define LVT_MASKED 0x10000
#define LVT_PERIODIC 0x20000
#define LVT_EXTINT 0x700

static int
highest(uint64 *bits)
{
  for(int w = 3; w >= 0; w--)
    if(bits[w])
      return w * 64 + bsr64(bits[w]);
  return -1;
}

static void
set(uint64 *bits, int n)
{
  bits[n / 64] |= 1ul << (n % 64);
}

static void
clear(uint64 *bits, int n)
{
  bits[n / 64] &= ~(1ul << (n % 64));
}

static uint32
ppr(struct vlapic *a)
{
  int isr = highest(a->isr);
  uint32 tpr = a->tpr & 0xff, s = isr < 0 ? 0 : (uint32)isr & 0xf0;

  return (tpr & 0xf0) >= s ? tpr : s;
}

static bool
enabled(struct vlapic *a)
{
  return a->svr & SVR_ENABLE;
}

// Ask for an interrupt.
void
vlapic_set_irq(struct vcpu *v, int vector, bool level)
{
  struct vlapic *a = &v->hvm->lapic;

  if(!enabled(a) || vector < 16)
    return;
  set(a->irr, vector);
  if(level)
    set(a->tmr, vector);
  else
    clear(a->tmr, vector);
  hvm_kick(v);
}

// The vector that may be taken now, or -1.
int
vlapic_pending(struct vcpu *v)
{
  struct vlapic *a = &v->hvm->lapic;
  int irr = highest(a->irr);

  if(irr < 0 || !enabled(a) || ((uint32)irr & 0xf0) <= (ppr(a) & 0xf0))
    return -1;
  return irr;
}

void
vlapic_ack(struct vcpu *v, int vector)
{
  clear(v->hvm->lapic.irr, vector);
  set(v->hvm->lapic.isr, vector);
}

// Does the 8259's interrupt reach the processor? Through LINT0, or past an APIC that is off.
bool
vlapic_accepts_extint(struct vcpu *v)
{
  struct vlapic *a = &v->hvm->lapic;

  return !enabled(a) || (a->lvt_lint0 & (LVT_MASKED | 0x700)) == LVT_EXTINT;
}

static void
eoi(struct vcpu *v)
{
  struct vlapic *a = &v->hvm->lapic;
  int vector = highest(a->isr);

  if(vector < 0)
    return;
  clear(a->isr, vector);
  if(a->tmr[vector / 64] >> (vector % 64) & 1)
    vioapic_eoi(v->dom, vector);
}

// --- timer ---

static uint64
tick_ns(struct vlapic *a)
{
  uint32 code = (a->timer_divide & 3) | (a->timer_divide >> 1 & 4);

  return APIC_TICK_NS * (code == 7 ? 1 : 2ul << code);
}

static void
arm(struct vcpu *v, uint64 from)
{
  struct vlapic *a = &v->hvm->lapic;

  a->timer_start = from;
  if(a->timer_init)
    timer_set(&a->timer, from + a->timer_init * tick_ns(a));
  else
    timer_stop(&a->timer);
}

static void
timer_fired(void *arg)
{
  struct vcpu *v = arg;
  struct vlapic *a = &v->hvm->lapic;

  if(!(a->lvt_timer & LVT_MASKED))
    vlapic_set_irq(v, (int)(a->lvt_timer & 0xff), false);
  if(a->lvt_timer & LVT_PERIODIC)
    arm(v, a->timer.when);
}

static uint32
timer_current(struct vlapic *a)
{
  uint64 gone = (now() - a->timer_start) / tick_ns(a);

  if(a->timer_init == 0)
    return 0;
  if(a->lvt_timer & LVT_PERIODIC)
    gone %= a->timer_init;
  return gone < a->timer_init ? a->timer_init - (uint32)gone : 0;
}

// --- registers ---

uint32
vlapic_read(struct vcpu *v, uint32 reg)
{
  struct vlapic *a = &v->hvm->lapic;

  if(reg >= 0x100 && reg < 0x280){
    uint64 *bits = reg < 0x180 ? a->isr : reg < 0x200 ? a->tmr : a->irr;
    return ((uint32 *)bits)[(reg & 0x7f) >> 4];
  }
  switch(reg){
  case 0x20: return (uint32)v->id << 24;
  case 0x30: return 0x50014;
  case 0x80: return a->tpr;
  case 0xa0: return ppr(a);
  case 0xd0: return a->ldr;
  case 0xe0: return a->dfr;
  case 0xf0: return a->svr;
  case 0x280: return a->esr;
  case 0x300: return 0;
  case 0x310: return a->icr_high;
  case 0x320: return a->lvt_timer;
  case 0x330: return a->lvt_thermal;
  case 0x340: return a->lvt_perf;
  case 0x350: return a->lvt_lint0;
  case 0x360: return a->lvt_lint1;
  case 0x370: return a->lvt_error;
  case 0x380: return a->timer_init;
  case 0x390: return timer_current(a);
  case 0x3e0: return a->timer_divide;
  default: return 0;
  }
}

static void
send_ipi(struct vcpu *v, uint32 icr)
{
  uint32 shorthand = icr >> 18 & 3;
  bool me = shorthand == 1 || shorthand == 2 || (shorthand == 0 && (v->hvm->lapic.icr_high >> 24) == (uint32)v->id);

  if(me && (icr & 0x700) <= 0x100) // fixed and lowest priority; the others start or stop processors, and there is one
    vlapic_set_irq(v, (int)(icr & 0xff), false);
}

void
vlapic_write(struct vcpu *v, uint32 reg, uint32 val)
{
  struct vlapic *a = &v->hvm->lapic;

  switch(reg){
  case 0x80: a->tpr = val & 0xff; break;
  case 0xb0: eoi(v); break;
  case 0xd0: a->ldr = val & 0xff000000; break;
  case 0xe0: a->dfr = val | 0x0fffffff; break;
  case 0xf0:
    a->svr = val & 0x3ff;
    if(!enabled(a)){
      a->lvt_timer |= LVT_MASKED;
      a->lvt_lint0 |= LVT_MASKED;
      a->lvt_lint1 |= LVT_MASKED;
      a->lvt_error |= LVT_MASKED;
    }
    break;
  case 0x280: a->esr = 0; break;
  case 0x300: send_ipi(v, val); break;
  case 0x310: a->icr_high = val & 0xff000000; break;
  case 0x320:
    a->lvt_timer = val & 0x300ff;
    break;
  case 0x330: a->lvt_thermal = val & 0x107ff; break;
  case 0x340: a->lvt_perf = val & 0x107ff; break;
  case 0x350: a->lvt_lint0 = val & 0x1a7ff; break;
  case 0x360: a->lvt_lint1 = val & 0x1a7ff; break;
  case 0x370: a->lvt_error = val & 0x100ff; break;
  case 0x380:
    a->timer_init = val;
    arm(v, now());
    break;
  case 0x3e0: a->timer_divide = val & 0xb; break;
  }
}

// As after reset: software-disabled, so the 8259 goes past it.
void
vlapic_init(struct vcpu *v)
{
  struct vlapic *a = &v->hvm->lapic;

  a->svr = 0xff;
  a->dfr = 0xffffffff;
  a->lvt_timer = a->lvt_lint0 = a->lvt_lint1 = a->lvt_error = a->lvt_thermal = a->lvt_perf = LVT_MASKED;
  a->timer.fn = timer_fired;
  a->timer.arg = v;
}
