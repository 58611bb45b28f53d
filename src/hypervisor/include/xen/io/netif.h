/* Network protocol between netfront and netback. */
#ifndef XEN_IO_NETIF_H
#define XEN_IO_NETIF_H
#include "../grant_table.h"
#include "ring.h"

#define NETTXF_csum_blank (1U << 0)
#define NETTXF_data_validated (1U << 1)
#define NETTXF_more_data (1U << 2)
#define NETTXF_extra_info (1U << 3)
#define XEN_NETIF_MAX_TX_SIZE 0xffff
#define XEN_NETIF_NR_SLOTS_MIN 18

/* size: of the whole packet in the first request of a packet, of this piece in the others. */
struct netif_tx_request {
  grant_ref_t gref;
  uint16_t offset;
  uint16_t flags; /* NETTXF_* */
  uint16_t id;
  uint16_t size;
};

struct netif_tx_response {
  uint16_t id;
  int16_t status; /* NETIF_RSP_* */
};

struct netif_rx_request {
  uint16_t id;
  uint16_t pad;
  grant_ref_t gref;
};

#define NETRXF_data_validated (1U << 0)
#define NETRXF_csum_blank (1U << 1)
#define NETRXF_more_data (1U << 2)
#define NETRXF_extra_info (1U << 3)
struct netif_rx_response {
  uint16_t id;
  uint16_t offset;
  uint16_t flags; /* NETRXF_* */
  int16_t status; /* bytes, or NETIF_RSP_* below 0 */
};

#define NETIF_RSP_DROPPED (-2)
#define NETIF_RSP_ERROR (-1)
#define NETIF_RSP_OKAY 0
#define NETIF_RSP_NULL 1

typedef struct netif_tx_request netif_tx_request_t;
typedef struct netif_tx_response netif_tx_response_t;
typedef struct netif_rx_request netif_rx_request_t;
typedef struct netif_rx_response netif_rx_response_t;
DEFINE_RING_TYPES(netif_tx, struct netif_tx_request, struct netif_tx_response);
DEFINE_RING_TYPES(netif_rx, struct netif_rx_request, struct netif_rx_response);

_Static_assert(sizeof(struct netif_tx_request) == 12, "ABI");
_Static_assert(sizeof(struct netif_rx_request) == 8, "ABI");
_Static_assert(sizeof(struct netif_rx_response) == 8, "ABI");
#endif
