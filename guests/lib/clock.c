// Deadlines by the local APIC's timer (bare machine, HVM without Xen's events) or by VIRQ_TIMER (PV). See clock.h.
//
// Intel 8254 data sheet, "Mode 0: Interrupt on Terminal Count"; SDM 3A section 11.5.4 "APIC Timer".

#include "lib/clock.h"
#include "lib/console.h"
#include "lib/environment.h"
#include "lib/interrupts.h"
#include "lib/traps.h"
#include "lib/x86.h"
#include "xen/events.h"
#include "xen/xen-guest.h"

enum {
  PIT_HZ = 1193182, PIT_CHANNEL2 = 0x42, PIT_COMMAND = 0x43, PIT_CH2_MODE0_WORD = 0xb0,
  PORT61 = 0x61, PORT61_GATE2 = 1, PORT61_SPEAKER = 2, PORT61_OUT2 = 0x20,
  CALIBRATION_TICKS = PIT_HZ / 1000, // 1 ms: short, because a model has to run through it; good to 0.1 %
  PAUSES = 16,
  DIVIDE_BY_16 = 3,
  LVT_MASKED = 0x10000,
};

static uint64_t tsc_per_second, lapic_per_second;
static uint64_t deadline_begin, deadline_end; // TSC values
static volatile bool deadline_fired;
static bool timer_ready;

// Counts TSC ticks while channel 2 of the 8254 counts down.
static void
calibrate_by_pit(void)
{
  outb(PORT61, (inb(PORT61) & ~PORT61_SPEAKER) | PORT61_GATE2);
  outb(PIT_COMMAND, PIT_CH2_MODE0_WORD);
  outb(PIT_CHANNEL2, CALIBRATION_TICKS & 0xff);
  outb(PIT_CHANNEL2, CALIBRATION_TICKS >> 8);
  uint64_t begin = rdtsc();
  while(!(inb(PORT61) & PORT61_OUT2)) // port reads are slow: not too many
    for(int i = 0; i < PAUSES; i++)
      pause();
  tsc_per_second = (rdtsc() - begin) * PIT_HZ / CALIBRATION_TICKS;
}

uint64_t
tsc_hz(void)
{
  if(!tsc_per_second){
    if(on_xen())
      tsc_per_second = xen_tsc_hz();
    else
      calibrate_by_pit();
  }
  return tsc_per_second;
}

// A timer that was stopped may still deliver once: what comes long before the deadline is not its timer.
static void
fired(void)
{
  if(rdtsc() >= deadline_end - (deadline_end - deadline_begin) / 8)
    deadline_fired = true;
}

static void
lapic_timer_interrupt(struct trap_frame *frame)
{
  fired();
  lapic_write(LAPIC_EOI, 0);
}

static void
pv_timer_event(void *context)
{
  fired();
}

static void
timer_init(void)
{
  timer_ready = true;
  if(on_pv()){
    int port = event_bind_virq(VIRQ_TIMER);
    if(port < 0)
      panic("bind_virq of VIRQ_TIMER refused: %d", port);
    event_set_handler(port, pv_timer_event, NULL);
    return;
  }
  trap_set_handler(VECTOR_TIMER, lapic_timer_interrupt);
  lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_16);
  lapic_write(LAPIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
  lapic_write(LAPIC_TIMER_INITIAL, 0xffffffff);
  uint64_t begin = rdtsc(), ticks = tsc_hz() / 1000; // 1 ms
  while(rdtsc() - begin < ticks)
    pause();
  lapic_per_second = (0xffffffff - lapic_read(LAPIC_TIMER_CURRENT)) * 1000ul;
  lapic_write(LAPIC_TIMER_INITIAL, 0);
  lapic_write(LAPIC_LVT_TIMER, VECTOR_TIMER);
}

void
deadline_start(uint64_t microseconds)
{
  if(!timer_ready)
    timer_init();
  deadline_fired = false;
  deadline_begin = rdtsc();
  deadline_end = deadline_begin + microseconds * tsc_hz() / 1000000;
  if(on_pv())
    hypercall_set_timer_op(xen_system_time() + microseconds * 1000);
  else
    lapic_write(LAPIC_TIMER_INITIAL, (uint32_t)MIN(microseconds * lapic_per_second / 1000000 + 1, 0xfffffffful));
}

bool
deadline_passed(void)
{
  return deadline_fired;
}

void
deadline_stop(void)
{
  if(on_pv())
    hypercall_set_timer_op(0);
  else
    lapic_write(LAPIC_TIMER_INITIAL, 0);
}

void
delay(uint64_t microseconds)
{
  uint64_t begin = rdtsc(), ticks = microseconds * tsc_hz() / 1000000;

  while(rdtsc() - begin < ticks)
    pause();
}
