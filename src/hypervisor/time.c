// Time: how fast the TSC and the APIC timer run, system time in nanoseconds, timers, and what guests are told of it.
//
// Guests compute system time from the TSC with the factors in their struct vcpu_time_info; the hypervisor uses the same ones.
// 8254 data sheet, "Mode 0: interrupt on terminal count": channel 2 is the yardstick, gated and read through port 0x61.
#include "defs.h"

#define PIT_HZ 1193182

static uint64 tsc_base;          // TSC at system time 0
static uint32 tsc_mul;           // ns = (tsc << tsc_shift) * tsc_mul >> 32
static int8 tsc_shift;
static uint64 tsc_hz, apic_hz;
static uint64 boot_seconds;      // of the real-time clock, at system time 0
static struct timer *armed;      // sorted by time

static uint64
scale(uint64 delta)
{
  if(tsc_shift < 0)
    delta >>= -tsc_shift;
  else
    delta <<= tsc_shift;
  return (uint64)((unsigned __int128)delta * tsc_mul >> 32);
}

// System time: nanoseconds since the hypervisor started to count.
uint64
now(void)
{
  return scale(rdtsc() - tsc_base);
}

uint64
tsc_frequency(void)
{
  return tsc_hz;
}

uint64
ns_to_tsc(uint64 ns)
{
  return ns / 1000000000 * tsc_hz + ns % 1000000000 * tsc_hz / 1000000000;
}

static void
calibrate(void)
{
  uint64 t0, t1;
  uint32 a0, a1;

  outb(0x61, (inb(0x61) & ~2) | 1); // gate on, speaker off
  outb(0x43, 0xb0);                 // channel 2, both bytes, mode 0
  outb(0x42, CALIBRATE_PIT & 0xff);
  lapic_count_start();
  outb(0x42, CALIBRATE_PIT >> 8);   // counting begins
  t0 = rdtsc();
  a0 = lapic_count();
  while((inb(0x61) & 0x20) == 0)
    ;
  t1 = rdtsc();
  a1 = lapic_count();
  tsc_hz = (t1 - t0) * PIT_HZ / CALIBRATE_PIT;
  apic_hz = (uint64)(a1 - a0) * PIT_HZ / CALIBRATE_PIT;
  if(tsc_hz < 1000000 || apic_hz < 1000000)
    panic("clocks do not run: TSC %lu Hz, APIC timer %lu Hz", tsc_hz, apic_hz);
}

// Factors as the public interface wants them: the multiplier uses all of its 32 bits.
static void
set_factors(void)
{
  uint64 hz = tsc_hz;

  tsc_shift = 0;
  while(hz > 2000000000){
    hz >>= 1;
    tsc_shift--;
  }
  while(hz <= 1000000000){
    hz <<= 1;
    tsc_shift++;
  }
  tsc_mul = (uint32)((1000000000ul << 32) / hz);
}

static uint8
cmos(uint8 reg)
{
  outb(0x70, reg);
  return inb(0x71);
}

static uint32
bcd(uint32 v)
{
  return (v >> 4) * 10 + (v & 15);
}

// Seconds since 1970 from the MC146818 clock. Days by the usual civil-calendar arithmetic, years 2000-2099.
static uint64
rtc_seconds(void)
{
  uint32 s, mi, h, d, mo, y, b;

  if(cmos(0x0a) == 0xff)
    return 0; // no clock there
  while(cmos(0x0a) & 0x80)
    ; // update in progress
  s = cmos(0), mi = cmos(2), h = cmos(4), d = cmos(7), mo = cmos(8), y = cmos(9), b = cmos(0x0b);
  if(!(b & 4))
    s = bcd(s), mi = bcd(mi), h = bcd(h & 0x7f), d = bcd(d), mo = bcd(mo), y = bcd(y);
  static const uint16 before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
  uint64 days = 10957 + y * 365ul + (y + 3) / 4 + before[(mo - 1) % 12] + d - 1;
  if(mo > 2 && y % 4 == 0)
    days++;
  return days * 86400 + h * 3600ul + mi * 60ul + s;
}

void
time_init(void)
{
  calibrate();
  set_factors();
  boot_seconds = rtc_seconds();
  tsc_base = rdtsc();
  printk("TSC %lu kHz, APIC timer %lu kHz\n", tsc_hz / 1000, apic_hz / 1000);
}

// The APIC timer rings for the first timer. A far one is reached in steps of what the counter holds.
static void
program_next(void)
{
  uint64 t, ns, ticks;

  if(armed == 0){
    lapic_oneshot(0);
    return;
  }
  t = now();
  ns = armed->when > t ? armed->when - t : 1;
  ns = MIN(ns, 1000000000ul);
  ticks = ns * apic_hz / 1000000000;
  lapic_oneshot((uint32)MAX(ticks, 1ul));
}

void
timer_stop(struct timer *tm)
{
  struct timer **p;

  if(!tm->armed)
    return;
  for(p = &armed; *p != tm; p = &(*p)->next)
    ;
  bool first = p == &armed;
  *p = tm->next;
  tm->armed = false;
  if(first)
    program_next();
}

// fn(arg) at system time `when`; a time that has passed rings at once.
void
timer_set(struct timer *tm, uint64 when)
{
  struct timer **p;

  timer_stop(tm);
  tm->when = when;
  for(p = &armed; *p && (*p)->when <= when; p = &(*p)->next)
    ;
  tm->next = *p;
  *p = tm;
  tm->armed = true;
  if(p == &armed)
    program_next();
}

void
timer_interrupt(void)
{
  while(armed && armed->when <= now()){
    struct timer *tm = armed;
    armed = tm->next;
    tm->armed = false;
    tm->fn(tm->arg);
  }
  program_next();
}

// Tell a vCPU the factors. They never change, but the version protocol is kept.
void
time_publish(struct vcpu *v)
{
  volatile struct vcpu_time_info *t = &v->info->time;

  t->version |= 1;
  t->tsc_timestamp = tsc_base;
  t->system_time = 0;
  t->tsc_to_system_mul = tsc_mul;
  t->tsc_shift = tsc_shift;
  t->flags = XEN_PVCLOCK_TSC_STABLE_BIT;
  t->version++;
}

// Wall clock time at system time 0, in a domain's shared page.
void
wallclock_publish(struct shared_info *s)
{
  volatile struct shared_info *w = s;

  w->wc_version |= 1;
  w->wc_sec = (uint32)boot_seconds;
  w->wc_sec_hi = (uint32)(boot_seconds >> 32);
  w->wc_nsec = 0;
  w->wc_version++;
}
