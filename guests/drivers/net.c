// Waiting for room and for the end, over the drivers' interface.

#include "drivers/net.h"
#include "lib/interrupts.h"

void
net_transmit(struct net_device *device, const void *frame, size_t bytes, bool more)
{
  bool enabled = interrupts_disable();
  bool queued = device->transmit(device, frame, bytes, more);

  interrupts_restore(enabled);
  if(queued)
    return;
  // Until half is free, so that not every frame waits for its predecessor.
  device->notify_at(device, device->queue_size / 2);
  wait_until(device->in_flight(device) <= device->queue_size / 2);
  device->notify_at(device, NOTIFY_NEVER);
  wait_until(device->transmit(device, frame, bytes, more));
}

void
net_drain(struct net_device *device)
{
  device->notify_at(device, 0);
  wait_until(device->in_flight(device) == 0);
  device->notify_at(device, NOTIFY_NEVER);
}
