/* The console of a domain: two byte rings in one page. */
#ifndef XEN_IO_CONSOLE_H
#define XEN_IO_CONSOLE_H
#include <stdint.h>

typedef uint32_t XENCONS_RING_IDX;
#define MASK_XENCONS_IDX(i, ring) ((i) & (sizeof(ring) - 1))

struct xencons_interface {
  char in[1024]; /* to the guest */
  char out[2048]; /* from the guest */
  XENCONS_RING_IDX in_cons, in_prod;
  XENCONS_RING_IDX out_cons, out_prod;
};
#endif
