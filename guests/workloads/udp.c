// See udp.h.

#include "workloads/udp.h"
#include "drivers/net.h"
#include "lib/clock.h"
#include "lib/environment.h"
#include "lib/interrupts.h"
#include "lib/string.h"

enum {
  ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_ARP = 0x0806,
  ARP_REQUEST = 1, ARP_REPLY = 2, ARP_ETHERNET = 1,
  IP_UDP = 17, IP_TTL = 64, IP_DONT_FRAGMENT = 0x4000,
  ARP_TRIES = 100, ARP_WAIT_US = 20000, // two seconds: some cards receive nothing for a second after they are enabled
};

struct ethernet {
  uint8_t to[MAC_BYTES], from[MAC_BYTES];
  uint16_t type;
} PACKED;

struct arp {
  struct ethernet eth;
  uint16_t hardware, protocol;
  uint8_t hardware_bytes, protocol_bytes;
  uint16_t operation;
  uint8_t sender_mac[MAC_BYTES];
  uint32_t sender_ip;
  uint8_t target_mac[MAC_BYTES];
  uint32_t target_ip;
} PACKED;

struct datagram {
  struct ethernet eth;
  uint8_t version_length, service;
  uint16_t total_length, id, fragment;
  uint8_t ttl, protocol;
  uint16_t header_checksum;
  uint32_t source, destination;
  uint16_t source_port, destination_port, udp_length, udp_checksum;
  uint8_t payload[UDP_PAYLOAD_MAX];
} PACKED;

_Static_assert(offsetof(struct datagram, payload) == UDP_HEADERS, "headers of a UDP datagram over Ethernet");

static struct net_device *device;
static udp_handler *handler;
static uint32_t own_ip, peer_ip; // network byte order
static uint8_t peer_mac[MAC_BYTES];
static volatile bool peer_known;
static struct datagram out;

static uint16_t swap16(uint16_t v) { return __builtin_bswap16(v); }

static uint32_t
ip_option(const char *key, uint32_t otherwise)
{
  const char *text = option(key);
  uint32_t ip = 0;

  if(!text)
    return otherwise;
  for(int i = 0; i < 4; i++){
    ip |= (uint32_t)string_to_number(text, &text) << (8 * i);
    if(*text == '.')
      text++;
  }
  return ip;
}

static void
arp_send(uint16_t operation, const uint8_t *to, uint32_t target_ip)
{
  static const uint8_t broadcast[MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
  struct arp a = { .eth.type = swap16(ETHERTYPE_ARP), .hardware = swap16(ARP_ETHERNET), .protocol = swap16(ETHERTYPE_IPV4),
                   .hardware_bytes = MAC_BYTES, .protocol_bytes = 4, .operation = swap16(operation),
                   .sender_ip = own_ip, .target_ip = target_ip };

  memcpy(a.eth.to, to ? to : broadcast, MAC_BYTES);
  memcpy(a.eth.from, device->mac, MAC_BYTES);
  memcpy(a.sender_mac, device->mac, MAC_BYTES);
  if(to)
    memcpy(a.target_mac, to, MAC_BYTES);
  device->transmit(device, &a, sizeof a, false); // a lost one is asked for again
}

static void
arp_receive(const struct arp *a)
{
  if(a->sender_ip == peer_ip){
    memcpy(peer_mac, a->sender_mac, MAC_BYTES);
    peer_known = true;
  }
  if(a->operation == swap16(ARP_REQUEST) && a->target_ip == own_ip)
    arp_send(ARP_REPLY, a->sender_mac, a->sender_ip);
}

static void
receive(void *context, const void *frame, size_t bytes)
{
  const struct datagram *d = frame;

  if(bytes >= sizeof(struct arp) && d->eth.type == swap16(ETHERTYPE_ARP)){
    arp_receive(frame);
    return;
  }
  if(bytes < UDP_HEADERS || d->eth.type != swap16(ETHERTYPE_IPV4) || d->version_length != 0x45 || d->protocol != IP_UDP ||
     d->destination != own_ip)
    return;
  size_t udp_bytes = swap16(d->udp_length);
  if(udp_bytes < 8 || udp_bytes > bytes - (UDP_HEADERS - 8))
    return;
  if(handler)
    handler(swap16(d->source_port), swap16(d->destination_port), d->payload, udp_bytes - 8);
}

static uint16_t
ip_checksum(const void *header)
{
  const uint16_t *words = header;
  uint32_t sum = 0;

  for(int i = 0; i < 10; i++)
    sum += words[i];
  while(sum >> 16)
    sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~sum;
}

void
udp_send(uint16_t from_port, uint16_t to_port, const void *payload, size_t bytes, bool more)
{
  static uint16_t id;

  memcpy(out.eth.to, peer_mac, MAC_BYTES);
  memcpy(out.eth.from, device->mac, MAC_BYTES);
  out.eth.type = swap16(ETHERTYPE_IPV4);
  out.version_length = 0x45;
  out.total_length = swap16((uint16_t)(20 + 8 + bytes));
  out.id = swap16(id++);
  out.fragment = swap16(IP_DONT_FRAGMENT);
  out.ttl = IP_TTL;
  out.protocol = IP_UDP;
  out.source = own_ip;
  out.destination = peer_ip;
  out.header_checksum = 0;
  out.header_checksum = ip_checksum(&out.version_length);
  out.source_port = swap16(from_port);
  out.destination_port = swap16(to_port);
  out.udp_length = swap16((uint16_t)(8 + bytes));
  out.udp_checksum = 0; // none: allowed over IPv4
  memcpy(out.payload, payload, bytes);
  net_transmit(device, &out, UDP_HEADERS + bytes, more);
}

void
udp_set_handler(udp_handler *h)
{
  handler = h;
}

bool
udp_init(struct net_device *d)
{
  device = d;
  own_ip = ip_option("ip", 10 | 0 << 8 | 2 << 16 | 15 << 24);
  peer_ip = ip_option("peer", 10 | 0 << 8 | 2 << 16 | 2 << 24);
  device->receive = receive;
  for(int i = 0; i < ARP_TRIES && !peer_known; i++){
    bool enabled = interrupts_disable();
    arp_send(ARP_REQUEST, NULL, peer_ip);
    interrupts_restore(enabled);
    deadline_start(ARP_WAIT_US);
    wait_until(peer_known || deadline_passed());
    deadline_stop();
  }
  return peer_known;
}
