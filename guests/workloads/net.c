// Network workloads: transmit stream, receive stream, request and response, against the peer at the other end of the wire.
//
// The peer: UDP port 9 counts and sums what arrives and answers "XQRY" with its counters; port 7 echoes; a datagram
// "XSRC", count, payload bytes, gap in ns (u32 each) to port 19 makes it send that many datagrams. Every payload begins with
// a sequence number (u32, little endian), so that loss and reordering are seen.

#include "drivers/net.h"
#include "lib/clock.h"
#include "lib/console.h"
#include "lib/interrupts.h"
#include "lib/memory.h"
#include "lib/string.h"
#include "workloads/udp.h"
#include "workloads/workload.h"

enum {
  PORT_ECHO = 7, PORT_SINK = 9, PORT_SOURCE = 19, PORT_OWN = 5000,
  CAPTURE_MAX = 8 << 20,
  SILENCE_US = 1000000, // a stream that stops for so long has lost its rest
  PATIENCE_US = 10000000,
};

struct sink_counters {
  uint64_t frames, bytes, checksum;
};

static struct {
  volatile uint64_t frames;  // that arrived
  volatile uint64_t bytes;
  uint64_t out_of_order, expected;
  char *capture;
  uint64_t capture_slots, slot_bytes;
} rx;

static struct {
  struct sink_counters counters;
  volatile bool answered;
} query;

static volatile uint64_t echoes;
static uint32_t echo_sequence;

static const char *
prepare(struct run *run)
{
  static bool ready;
  struct net_device *net = run_net();

  if(!net)
    return "no network device";
  if(run->size < 4 || run->size > UDP_PAYLOAD_MAX || !run->ops)
    return "size must be 4 to 1472 and ops not 0";
  if(!ready)
    ready = udp_init(net);
  return ready ? NULL : "the peer does not answer";
}

static void
query_answer(uint16_t from, uint16_t to, const void *payload, size_t bytes)
{
  if(from != PORT_SINK || bytes < sizeof query.counters)
    return;
  memcpy(&query.counters, payload, sizeof query.counters);
  query.answered = true;
}

// Asks the sink for its counters. Frames keep their order, so the answer also says that all sent before has arrived.
static bool
query_sink(struct sink_counters *counters)
{
  query.answered = false;
  udp_send(PORT_OWN, PORT_SINK, "XQRY", 4, false);
  wait_until(query.answered || deadline_passed());
  *counters = query.counters;
  return query.answered;
}

// Payload of frame i: sequence number, then a pattern of it.
static void
make_payload(uint32_t *words, uint32_t sequence, size_t bytes)
{
  for(size_t w = 0; w < (bytes + 3) / 4; w++)
    words[w] = sequence * 2654435761u + (uint32_t)w;
  words[0] = sequence;
}

bool
run_net_transmit(struct run *run)
{
  static uint32_t payload[UDP_PAYLOAD_MAX / 4];
  struct sink_counters before, after;
  const char *why = prepare(run);

  if(why)
    return run_fail(run, why);
  udp_set_handler(query_answer);
  deadline_start(PATIENCE_US);
  if(!query_sink(&before))
    return run_fail(run, "the sink does not answer");
  make_payload(payload, 0, run->size);
  // The end is the sink's answer, not the driver's: how much of the stream queues hide on the way differs from path to path.
  run_begin(run, run->ops, run->size);
  for(uint64_t i = 0; i < run->ops; i++){
    payload[0] = (uint32_t)i;
    udp_send(PORT_OWN, PORT_SINK, payload, run->size, true);
  }
  bool answered = query_sink(&after);
  run_end(run, run->ops, run->ops * run->size);
  deadline_stop();
  udp_set_handler(NULL);
  if(!answered)
    return run_fail(run, "the sink does not answer");
  run_checksum(run, after.checksum, "the sink's, of what arrived");
  printf("workload %s peer_frames=%lu peer_bytes=%lu\n", run->workload->name, after.frames - before.frames, after.bytes - before.bytes);
  return after.frames - before.frames == run->ops ? true : run_fail(run, "frames were lost");
}

static void
stream_frame(uint16_t from, uint16_t to, const void *payload, size_t bytes)
{
  uint32_t sequence;

  if(from != PORT_SOURCE || bytes < 4)
    return;
  memcpy(&sequence, payload, 4);
  if(sequence != rx.expected)
    rx.out_of_order++;
  rx.expected = sequence + 1;
  memcpy(rx.capture + rx.frames % rx.capture_slots * rx.slot_bytes, payload, MIN(bytes, rx.slot_bytes));
  rx.bytes += bytes;
  rx.frames++;
}

// Sleeps until all frames are here, or none came for SILENCE_US.
static void
wait_for_stream(uint64_t frames)
{
  uint64_t seen;

  do {
    seen = rx.frames;
    deadline_start(SILENCE_US);
    wait_until(rx.frames == frames || deadline_passed());
  } while(rx.frames != frames && rx.frames != seen);
  deadline_stop();
}

bool
run_net_receive(struct run *run)
{
  const char *why = prepare(run);
  uint32_t request[4] = { 'X' | 'S' << 8 | 'R' << 16 | (uint32_t)'C' << 24, (uint32_t)run->ops, (uint32_t)run->size, (uint32_t)run->gap };

  if(why)
    return run_fail(run, why);
  rx.slot_bytes = run->size;
  rx.capture_slots = MIN(run->ops, CAPTURE_MAX / run->size);
  size_t pages = PAGE_UP(rx.capture_slots * rx.slot_bytes) / PAGE_SIZE;
  rx.capture = pages_alloc(pages);
  rx.frames = rx.bytes = rx.out_of_order = rx.expected = 0;
  udp_set_handler(stream_frame);
  run_begin(run, run->ops, run->size);
  udp_send(PORT_OWN, PORT_SOURCE, request, sizeof request, false);
  wait_for_stream(run->ops);
  run_end(run, rx.frames, rx.bytes);
  udp_set_handler(NULL);
  uint64_t sum = CHECKSUM_START;
  for(uint64_t i = 0; i < MIN(rx.frames, rx.capture_slots); i++)
    sum = checksum(sum, rx.capture + i * rx.slot_bytes, rx.slot_bytes);
  run_checksum(run, sum, "payloads received");
  printf("workload %s frames=%lu out_of_order=%lu\n", run->workload->name, rx.frames, rx.out_of_order);
  pages_free(rx.capture, pages);
  return rx.frames == run->ops ? true : run_fail(run, "frames were lost");
}

static void
echo_frame(uint16_t from, uint16_t to, const void *payload, size_t bytes)
{
  if(from == PORT_ECHO && bytes >= 4 && !memcmp(payload, &echo_sequence, 4))
    echoes++;
}

bool
run_net_request(struct run *run)
{
  static uint32_t payload[UDP_PAYLOAD_MAX / 4];
  const char *why = prepare(run);
  uint64_t i;

  if(why)
    return run_fail(run, why);
  make_payload(payload, 0, run->size);
  echoes = 0;
  udp_set_handler(echo_frame);
  deadline_start(PATIENCE_US); // one for all: starting it anew for each request would be part of the measurement
  run_begin(run, run->ops, run->size);
  for(i = 0; i < run->ops; i++){
    payload[0] = echo_sequence = (uint32_t)i;
    udp_send(PORT_OWN, PORT_ECHO, payload, run->size, false);
    wait_until(echoes > i || deadline_passed());
    if(echoes <= i)
      break;
  }
  run_end(run, i, 2 * i * run->size);
  deadline_stop();
  udp_set_handler(NULL);
  return i == run->ops ? true : run_fail(run, "an answer did not come");
}
