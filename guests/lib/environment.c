// Start and end of every image. See environment.h.

#include "lib/environment.h"
#include "lib/console.h"
#include "lib/interrupts.h"
#include "lib/memory.h"
#include "lib/traps.h"
#include "lib/x86.h"
#include "xen/events.h"
#include "xen/xen-guest.h"

enum { DEBUG_EXIT_PORT = 0xf4 };

struct boot boot;

const char *
environment_name(void)
{
  switch(boot.environment){
  case ENVIRONMENT_NATIVE: return "native";
  case ENVIRONMENT_HVM: return "hvm";
  case ENVIRONMENT_PV: return "pv";
  }
  return "?";
}

void
environment_start(void)
{
  if(!on_xen()){
    serial_init();
    console_write = serial_write;
  }
  if(on_pv())
    xen_init(); // page tables and traps are hypercalls there
  traps_init();
  memory_init();
  interrupts_init();
  if(boot.environment == ENVIRONMENT_HVM)
    xen_init();
  if(on_xen()){
    events_init();
    xen_console_init();
  }
  interrupts_enable();
  environment_exit(main());
}

void
environment_exit(enum exit_status status)
{
  interrupts_disable();
  if(on_xen() && !xen_is_initial_domain())
    xen_shutdown(status == EXIT_SUCCESS ? SHUTDOWN_poweroff : SHUTDOWN_crash);
  outb(DEBUG_EXIT_PORT, status);
  for(;;){
    if(on_xen())
      xen_shutdown(status == EXIT_SUCCESS ? SHUTDOWN_poweroff : SHUTDOWN_crash);
    __asm__ volatile("cli; hlt");
  }
}
