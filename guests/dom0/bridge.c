// The bridge: frames between the network card and the guests' interfaces, by destination address.
#include "dom0/services.h"

#include "dom0/work.h"
#include "lib/console.h"
#include "lib/interrupts.h"
#include "lib/memory.h"
#include "lib/string.h"

#pragma clang section text=".text.backend"

enum { QUEUE = 512, OUT_QUEUE = 64, SLOT = 2048, PORTS_MAX = 32 };

static struct net_device *card;
static struct bridge_port *ports[PORTS_MAX];
static unsigned n_ports;

// Frames from the card wait here for the main loop: its handler must not make hypercalls for guests.
static char *queue_data;
static uint16_t queue_bytes[QUEUE];
static volatile unsigned queue_head, queue_tail; // free-running
static uint64_t dropped;

// Frames for the card that it has no room for.
static char *out_data;
static uint16_t out_bytes[OUT_QUEUE];
static unsigned out_head, out_tail;

static void drain(void *context);
static void refill_card(void *context);
static struct work work = { .function = drain };
static struct work out_work = { .function = refill_card };

static void
flush_out(void)
{
  while(out_head != out_tail){
    unsigned slot = out_head % OUT_QUEUE;
    if(!card->transmit(card, out_data + slot * SLOT, out_bytes[slot], out_head + 1 != out_tail))
      return;
    out_head++;
  }
}

static void
send_to_card(const void *frame, size_t bytes)
{
  if(!card)
    return;
  flush_out();
  if(out_head == out_tail && card->transmit(card, frame, bytes, false))
    return;
  if(out_tail - out_head == OUT_QUEUE){
    dropped++; // a port that did not ask bridge_has_room
    return;
  }
  unsigned slot = out_tail % OUT_QUEUE;
  memcpy(out_data + slot * SLOT, frame, bytes);
  out_bytes[slot] = (uint16_t)bytes;
  out_tail++;
  card->notify_at(card, card->queue_size / 2);
}

bool
bridge_has_room(struct bridge_port *from, unsigned n)
{
  from->held = OUT_QUEUE - (out_tail - out_head) < n;
  return !from->held;
}

static void
card_sent(void *context)
{
  work_queue(&out_work);
}

// The card has sent some: hand it what waits, then let the ports go on.
static void
refill_card(void *context)
{
  flush_out();
  if(out_head != out_tail)
    card->notify_at(card, card->queue_size / 2);
  if(out_tail - out_head > OUT_QUEUE / 2)
    return;
  for(unsigned i = 0; i < n_ports; i++)
    if(ports[i]->held){
      ports[i]->held = false;
      ports[i]->resume(ports[i]);
    }
}

void
bridge_send(struct bridge_port *from, const void *frame, size_t bytes)
{
  const uint8_t *destination = frame;
  bool group = destination[0] & 1;

  for(unsigned i = 0; i < n_ports; i++)
    if(ports[i] != from && (group || !memcmp(ports[i]->mac, destination, MAC_BYTES))){
      ports[i]->deliver(ports[i], frame, bytes);
      if(!group)
        return;
    }
  if(from)
    send_to_card(frame, bytes);
}

static void
from_card(void *context, const void *frame, size_t bytes)
{
  if(queue_tail - queue_head == QUEUE || bytes > SLOT){
    dropped++;
    return;
  }
  unsigned slot = queue_tail % QUEUE;
  memcpy(queue_data + slot * SLOT, frame, bytes);
  queue_bytes[slot] = (uint16_t)bytes;
  barrier();
  queue_tail++;
  work_queue(&work);
}

static void
drain(void *context)
{
  while(queue_head != queue_tail){
    unsigned slot = queue_head % QUEUE;
    bridge_send(NULL, queue_data + slot * SLOT, queue_bytes[slot]);
    queue_head++;
  }
}

void
bridge_init(struct net_device *device)
{
  card = device;
  if(!card)
    return;
  queue_data = pages_alloc(QUEUE * SLOT / PAGE_SIZE);
  out_data = pages_alloc(OUT_QUEUE * SLOT / PAGE_SIZE);
  card->receive = from_card;
  card->sent = card_sent;
  if(card->promiscuous)
    card->promiscuous(card, true);
}

void
bridge_add(struct bridge_port *port)
{
  if(n_ports == PORTS_MAX)
    panic("more than %u bridge ports", PORTS_MAX);
  ports[n_ports++] = port;
}

void
bridge_guest_mac(const struct guest *guest, uint8_t mac[MAC_BYTES])
{
  // Xen's range of addresses for guests.
  const uint8_t base[MAC_BYTES] = { 0x00, 0x16, 0x3e, 0, 0, (uint8_t)guest->domid };

  memcpy(mac, base, MAC_BYTES);
}
