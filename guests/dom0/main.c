// dom0: owns the disk and the network card, and serves the other domains.
//
// It waits for nothing by itself: event handlers queue work, the loop does it. When every guest has ended, it ends.

#include "dom0/guest.h"
#include "dom0/services.h"
#include "dom0/store.h"
#include "dom0/work.h"
#include "drivers/block.h"
#include "drivers/net.h"
#include "lib/console.h"
#include "lib/environment.h"
#include "xen/events.h"
#include <xen/xen.h>

static volatile bool look_at_guests;
static bool all_ended;

static void
domain_event(void *context)
{
  look_at_guests = true;
}

static bool
finished(void)
{
  if(look_at_guests){
    look_at_guests = false;
    all_ended = guests_all_ended();
  }
  return all_ended;
}

enum exit_status
main(void)
{
  struct block_device *disk = ata_init();
  struct net_device *card = e1000_init();
  enum exit_status status = EXIT_SUCCESS;

  printf("dom0: disk %s, %lu sectors; net %s\n", disk ? disk->name : "none", disk ? disk->sectors : 0, card ? card->name : "none");
  guests_find();
  store_init();
  bridge_init(card);
  for(unsigned i = 0; i < n_guests; i++){
    struct guest *g = &guests[i];
    console_start(g);
    store_connect(g);
    if(disk)
      block_backend_start(g, disk);
    net_backend_start(g);
    if(g->device_model)
      device_model_start(g, disk);
    printf("dom0: serving d%u (%s%s)\n", g->domid, g->hvm ? "hvm" : "pv", g->device_model ? ", emulated devices" : "");
  }
  int port = event_bind_virq(VIRQ_DOM_EXC);
  if(port < 0)
    panic("VIRQ_DOM_EXC: %d", port);
  event_set_handler((uint32_t)port, domain_event, NULL);
  for(unsigned i = 0; i < n_guests; i++)
    guest_unpause(&guests[i]);
  look_at_guests = true;
  work_loop(finished);
  for(unsigned i = 0; i < n_guests; i++){
    console_finish(&guests[i]);
    if(guests[i].crashed){
      printf("dom0: d%u crashed\n", guests[i].domid);
      status = EXIT_FAILURE;
    }
  }
  return status;
}
