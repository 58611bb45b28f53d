// Just enough ARP, IPv4 and UDP to talk to one peer. Addresses: guest 10.0.2.15 (option ip=), peer 10.0.2.2 (option peer=).
// RFC 826, RFC 791, RFC 768.
#pragma once

#include "lib/types.h"

enum { UDP_HEADERS = 14 + 20 + 8, UDP_PAYLOAD_MAX = 1472 };

struct net_device;

// Resolves the peer's address (asking again until it answers). False when it does not answer.
bool udp_init(struct net_device *device);
void udp_send(uint16_t from_port, uint16_t to_port, const void *payload, size_t bytes, bool more);
// Called with interrupts disabled for each datagram to us; payload is valid during the call.
typedef void udp_handler(uint16_t from_port, uint16_t to_port, const void *payload, size_t bytes);
void udp_set_handler(udp_handler *handler);
