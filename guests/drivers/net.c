// Waiting for room and for the end, over the drivers' interface.

#include "drivers/net.h"
#include "lib/interrupts.h"

static bool
queue_is_down_to(struct net_device *device, unsigned frames)
{
  if(device->in_flight(device) <= frames)
    return true;
  device->notify_at(device, frames);
  return device->in_flight(device) <= frames; // it may have come true before the request for a notification
}

static void
wait_for_queue(struct net_device *device, unsigned frames)
{
  wait_until(queue_is_down_to(device, frames));
  device->notify_at(device, NOTIFY_NEVER);
}

void
net_transmit(struct net_device *device, const void *frame, size_t bytes, bool more)
{
  bool enabled = interrupts_disable();
  bool queued = device->transmit(device, frame, bytes, more);

  interrupts_restore(enabled);
  if(queued)
    return;
  // Until half is free, so that not every frame waits for its predecessor.
  wait_for_queue(device, device->queue_size / 2);
  wait_until(device->transmit(device, frame, bytes, more));
}

void
net_drain(struct net_device *device)
{
  wait_for_queue(device, 0);
}
