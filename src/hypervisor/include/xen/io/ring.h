/*
 * Shared rings: requests one way, responses the other, in the same slots of one page.
 *
 * The layout of the shared part and the meaning of the indices are the interface; the macros are ours. Indices are
 * free-running; a slot is index % size, and size is a power of two. An end that wants a wake-up sets req_event or rsp_event
 * to the index it waits for; the producer notifies when it passes that index.
 */
#ifndef XEN_IO_RING_H
#define XEN_IO_RING_H
#include <stddef.h>
#include <stdint.h>

typedef unsigned int RING_IDX;

#define xen_mb() __asm__ volatile("mfence" ::: "memory")
#define xen_rmb() __asm__ volatile("" ::: "memory") /* x86 keeps loads in order */
#define xen_wmb() __asm__ volatile("" ::: "memory") /* and stores */

/* Slots of a ring in `bytes` of shared memory: as many as fit, rounded down to a power of two. */
static inline unsigned int
xen_ring_slots(size_t bytes, size_t header, size_t entry)
{
  size_t n = (bytes - header) / entry, size = 1;

  while(size * 2 <= n)
    size *= 2;
  return (unsigned int)size;
}

#define DEFINE_RING_TYPES(name, req_t, rsp_t) \
  union name##_sring_entry { \
    req_t req; \
    rsp_t rsp; \
  }; \
  struct name##_sring { \
    RING_IDX req_prod, req_event; \
    RING_IDX rsp_prod, rsp_event; \
    uint8_t pvt[4]; \
    uint8_t pad[44]; \
    union name##_sring_entry ring[]; \
  }; \
  struct name##_front_ring { \
    RING_IDX req_prod_pvt; /* requests written, maybe not yet published */ \
    RING_IDX rsp_cons; \
    unsigned int nr_ents; \
    struct name##_sring *sring; \
  }; \
  struct name##_back_ring { \
    RING_IDX rsp_prod_pvt; \
    RING_IDX req_cons; \
    unsigned int nr_ents; \
    struct name##_sring *sring; \
  }; \
  typedef struct name##_sring name##_sring_t; \
  typedef struct name##_front_ring name##_front_ring_t; \
  typedef struct name##_back_ring name##_back_ring_t

#define RING_LOAD(x) (*(volatile RING_IDX *)&(x))
#define RING_STORE(x, v) (*(volatile RING_IDX *)&(x) = (v))

/* The front end owns the page before it shares it: empty ring, both ends to be told of the first entry. */
#define SHARED_RING_INIT(s) do { \
    (s)->req_prod = (s)->rsp_prod = 0; \
    (s)->req_event = (s)->rsp_event = 1; \
    (s)->pvt[0] = (s)->pvt[1] = (s)->pvt[2] = (s)->pvt[3] = 0; \
    for(unsigned i_ = 0; i_ < sizeof((s)->pad); i_++) \
      (s)->pad[i_] = 0; \
  } while(0)

#define RING_SLOTS_OF(s, bytes) xen_ring_slots((bytes), offsetof(__typeof__(*(s)), ring), sizeof((s)->ring[0]))

#define FRONT_RING_INIT(r, s, bytes) do { \
    (r)->req_prod_pvt = (r)->rsp_cons = 0; \
    (r)->nr_ents = RING_SLOTS_OF(s, bytes); \
    (r)->sring = (s); \
  } while(0)

#define BACK_RING_INIT(r, s, bytes) do { \
    (r)->rsp_prod_pvt = (r)->req_cons = 0; \
    (r)->nr_ents = RING_SLOTS_OF(s, bytes); \
    (r)->sring = (s); \
  } while(0)

#define RING_SIZE(r) ((r)->nr_ents)
#define RING_FREE_REQUESTS(r) (RING_SIZE(r) - ((r)->req_prod_pvt - (r)->rsp_cons))
#define RING_FULL(r) (RING_FREE_REQUESTS(r) == 0)
#define RING_GET_REQUEST(r, i) (&(r)->sring->ring[(i) & (RING_SIZE(r) - 1)].req)
#define RING_GET_RESPONSE(r, i) (&(r)->sring->ring[(i) & (RING_SIZE(r) - 1)].rsp)

/* For a back end that does not trust the other side: a copy first, checks on the copy. */
#define RING_COPY_REQUEST(r, i, dest) do { *(dest) = *RING_GET_REQUEST(r, i); xen_rmb(); } while(0)

#define RING_HAS_UNCONSUMED_RESPONSES(r) (RING_LOAD((r)->sring->rsp_prod) - (r)->rsp_cons)
#define RING_HAS_UNCONSUMED_REQUESTS(r) (RING_LOAD((r)->sring->req_prod) - (r)->req_cons)

/* True when the other side claims more requests than the ring holds. */
#define RING_REQUEST_PROD_OVERFLOW(r, prod) (((prod) - (r)->rsp_prod_pvt) > RING_SIZE(r))

/* Publish, and say whether the other side asked to be told. */
#define RING_PUSH_(r, prod, pvt, event, notify) do { \
    RING_IDX old_ = (r)->sring->prod; \
    RING_IDX new_ = (r)->pvt; \
    xen_wmb(); \
    RING_STORE((r)->sring->prod, new_); \
    xen_mb(); \
    (notify) = (RING_IDX)(new_ - RING_LOAD((r)->sring->event)) < (RING_IDX)(new_ - old_); \
  } while(0)
#define RING_PUSH_REQUESTS_AND_CHECK_NOTIFY(r, notify) RING_PUSH_(r, req_prod, req_prod_pvt, req_event, notify)
#define RING_PUSH_RESPONSES_AND_CHECK_NOTIFY(r, notify) RING_PUSH_(r, rsp_prod, rsp_prod_pvt, rsp_event, notify)

/* Before sleeping: ask for a notification, then look once more. */
#define RING_FINAL_CHECK_(r, event, cons, has, work) do { \
    (work) = has(r) != 0; \
    if(work) \
      break; \
    RING_STORE((r)->sring->event, (r)->cons + 1); \
    xen_mb(); \
    (work) = has(r) != 0; \
  } while(0)
#define RING_FINAL_CHECK_FOR_REQUESTS(r, work) RING_FINAL_CHECK_(r, req_event, req_cons, RING_HAS_UNCONSUMED_REQUESTS, work)
#define RING_FINAL_CHECK_FOR_RESPONSES(r, work) RING_FINAL_CHECK_(r, rsp_event, rsp_cons, RING_HAS_UNCONSUMED_RESPONSES, work)
#endif
