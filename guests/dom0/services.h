// What dom0 does for each guest: one start function a service.
#pragma once

#include "dom0/guest.h"
#include "drivers/block.h"
#include "drivers/net.h"

// xenstored: the guest's ring. After store_init.
void store_connect(struct guest *guest);

void console_start(struct guest *guest);
void console_finish(struct guest *guest); // prints what is left after the guest has ended

// Announce a disk or network interface in xenstore, and serve its front end once that is there.
void block_backend_start(struct guest *guest, struct block_device *disk);
void net_backend_start(struct guest *guest);

// The bridge between the network card and the guests' interfaces (netback's and the device model's).
struct bridge_port {
  uint8_t mac[MAC_BYTES];
  // A frame for this port; the memory is the caller's again after the call.
  void (*deliver)(struct bridge_port *port, const void *frame, size_t bytes);
  // There is room for frames to the card again, after bridge_has_room() said no.
  void (*resume)(struct bridge_port *port);
  bool held; // the bridge's
};
void bridge_init(struct net_device *card);
void bridge_add(struct bridge_port *port);
// A frame from a port (NULL: from the card) to wherever its address says.
void bridge_send(struct bridge_port *from, const void *frame, size_t bytes);
// Whether n more frames to the card will be kept. If not, the port sends nothing until its `resume` is called: what it has stays
// in the guest's ring, and the guest finds its ring full, as with a real card.
bool bridge_has_room(struct bridge_port *from, unsigned n);
// The address of a guest's interface.
void bridge_guest_mac(const struct guest *guest, uint8_t mac[MAC_BYTES]);

// Emulated devices of an HVM guest: I/O requests from its shared page.
void device_model_start(struct guest *guest, struct block_device *disk);
