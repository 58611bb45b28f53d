// One interface over every network driver: e1000 (bare machine, HVM, initial domain) and netfront (PV drivers).
#pragma once

#include "lib/types.h"

enum { NOTIFY_NEVER = -1 };
enum { MAC_BYTES = 6, FRAME_MIN = 60, FRAME_MAX = 1514 }; // without the frame check sequence

struct net_device {
  const char *name;
  uint8_t mac[MAC_BYTES];
  // Called with each received frame, interrupts disabled; the memory is the driver's again after the call.
  void (*receive)(void *context, const void *frame, size_t bytes);
  void *receive_context;
  // Called likewise, once for each notify_at that came true; may be NULL for whoever only waits.
  void (*sent)(void *context);

  // Copies the frame and queues it; false when the queue is full. more: the caller promises another frame at once, so
  // completion of this one need not be reported.
  bool (*transmit)(struct net_device *device, const void *frame, size_t bytes, bool more);
  // Frames queued and not yet sent (as far as completion has been reported).
  unsigned (*in_flight)(struct net_device *device);
  // Asks for one interrupt once at most `remaining` frames are in flight. It may come too early: look, and ask again.
  // NOTIFY_NEVER: no interrupt. So it is unless somebody waits.
  void (*notify_at)(struct net_device *device, unsigned remaining);
  // Receive frames for every address (a bridge's device). NULL where the driver has no such filter.
  void (*promiscuous)(struct net_device *device, bool on);
  unsigned queue_size;
  void *driver;
};

// Queues a frame, sleeping while there is no room.
void net_transmit(struct net_device *device, const void *frame, size_t bytes, bool more);
// Sleeps until every queued frame has been sent. The last frame must have been queued without `more`.
void net_drain(struct net_device *device);

struct net_device *e1000_init(void);
struct net_device *netfront_init(void);
