// Xenstore over the ring in the page that the domain builder shared with xenstored. Xen public header io/xs_wire.h.
//
// Synchronous: one request is outstanding at most, so answers need no matching; watch events that come in between are kept.

#include "xen/xenstore.h"
#include "lib/console.h"
#include "lib/interrupts.h"
#include "lib/string.h"
#include "xen/events.h"
#include "xen/xen-guest.h"
#include <xen/errno.h>
#include <xen/io/xs_wire.h>

enum { EVENTS_KEPT = 16 };

static volatile struct xenstore_domain_interface *ring;
static char answer[XENSTORE_PAYLOAD_MAX + 1];
static uint32_t answer_bytes;

static struct {
  char paths[EVENTS_KEPT][XENSTORE_TEXT_MAX];
  unsigned put, get;
} events;

static void
ring_event(void *context)
{
  // Whoever waits looks at the ring itself.
}

static void
ring_write(const void *data, size_t bytes)
{
  const char *p = data;

  for(; bytes; bytes--){
    wait_until(ring->req_prod - ring->req_cons < XENSTORE_RING_SIZE);
    ring->req[MASK_XENSTORE_IDX(ring->req_prod)] = *p++;
    wmb();
    ring->req_prod++;
    if(ring->req_prod - ring->req_cons == XENSTORE_RING_SIZE)
      event_notify(xen_rings.store_port);
  }
}

static void
ring_read(void *data, size_t bytes)
{
  char *p = data;

  for(; bytes; bytes--){
    if(ring->rsp_prod == ring->rsp_cons){
      event_notify(xen_rings.store_port); // there is room again, or a request to look at
      wait_until(ring->rsp_prod != ring->rsp_cons);
    }
    rmb();
    *p++ = ring->rsp[MASK_XENSTORE_IDX(ring->rsp_cons)];
    mb();
    ring->rsp_cons++;
  }
}

// Reads one message; its payload goes to `answer`. Watch events are put aside.
static uint32_t
read_message(void)
{
  struct xsd_sockmsg header;

  ring_read(&header, sizeof header);
  if(header.len > XENSTORE_PAYLOAD_MAX)
    panic("xenstore message of %u bytes", header.len);
  ring_read(answer, header.len);
  event_notify(xen_rings.store_port);
  answer[header.len] = 0;
  answer_bytes = header.len;
  if(header.type == XS_WATCH_EVENT)
    string_copy(events.paths[events.put++ % EVENTS_KEPT], answer, XENSTORE_TEXT_MAX);
  return header.type;
}

static int
error_number(const char *name)
{
  static const struct {
    const char *name;
    int number;
  } errors[] = { { "EINVAL", XEN_EINVAL }, { "EACCES", XEN_EACCES }, { "EEXIST", XEN_EEXIST }, { "EISDIR", XEN_EISDIR },
                 { "ENOENT", XEN_ENOENT }, { "ENOMEM", XEN_ENOMEM }, { "ENOSPC", XEN_ENOSPC }, { "EIO", XEN_EIO },
                 { "ENOTEMPTY", XEN_ENOTEMPTY }, { "ENOSYS", XEN_ENOSYS }, { "EROFS", XEN_EROFS }, { "EBUSY", XEN_EBUSY },
                 { "EAGAIN", XEN_EAGAIN }, { "EISCONN", XEN_EISCONN }, { "E2BIG", XEN_E2BIG } };

  for(unsigned i = 0; i < ARRAY_SIZE(errors); i++)
    if(!strcmp(errors[i].name, name))
      return errors[i].number;
  return XEN_EINVAL;
}

// One request of up to two pieces, and its answer.
static int
request(uint32_t type, uint32_t transaction, const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
  static uint32_t id;
  struct xsd_sockmsg header = { type, ++id, transaction, (uint32_t)(a_bytes + b_bytes) };
  uint32_t got;

  ring_write(&header, sizeof header);
  ring_write(a, a_bytes);
  ring_write(b, b_bytes);
  event_notify(xen_rings.store_port);
  do
    got = read_message();
  while(got == XS_WATCH_EVENT);
  return got == XS_ERROR ? error_number(answer) : 0;
}

bool
xenstore_init(void)
{
  static bool ready;

  if(ready)
    return true;
  if(!xen_rings.store || !xen_rings.store_port)
    return false;
  ring = xen_rings.store;
  event_set_handler(xen_rings.store_port, ring_event, NULL);
  return ready = true;
}

int
xenstore_read(uint32_t transaction, const char *path, char *value, size_t size)
{
  int error = request(XS_READ, transaction, path, strlen(path) + 1, NULL, 0);

  if(!error)
    string_copy(value, answer, size);
  return error;
}

int
xenstore_write(uint32_t transaction, const char *path, const char *value)
{
  return request(XS_WRITE, transaction, path, strlen(path) + 1, value, strlen(value));
}

int
xenstore_mkdir(uint32_t transaction, const char *path)
{
  return request(XS_MKDIR, transaction, path, strlen(path) + 1, NULL, 0);
}

int
xenstore_remove(uint32_t transaction, const char *path)
{
  return request(XS_RM, transaction, path, strlen(path) + 1, NULL, 0);
}

int
xenstore_directory(uint32_t transaction, const char *path, char *names, size_t size, size_t *bytes)
{
  int error = request(XS_DIRECTORY, transaction, path, strlen(path) + 1, NULL, 0);

  if(error)
    return error;
  if(answer_bytes > size)
    return XEN_E2BIG;
  memcpy(names, answer, answer_bytes);
  *bytes = answer_bytes;
  return 0;
}

int
xenstore_set_permissions(uint32_t transaction, const char *path, const char *permissions, size_t bytes)
{
  return request(XS_SET_PERMS, transaction, path, strlen(path) + 1, permissions, bytes);
}

int
xenstore_transaction_start(uint32_t *transaction)
{
  int error = request(XS_TRANSACTION_START, 0, "", 1, NULL, 0);

  if(!error)
    *transaction = (uint32_t)string_to_number(answer, NULL);
  return error;
}

int
xenstore_transaction_end(uint32_t transaction, bool commit)
{
  return request(XS_TRANSACTION_END, transaction, commit ? "T" : "F", 2, NULL, 0);
}

int
xenstore_watch(const char *path, const char *token)
{
  return request(XS_WATCH, 0, path, strlen(path) + 1, token, strlen(token) + 1);
}

int
xenstore_unwatch(const char *path, const char *token)
{
  return request(XS_UNWATCH, 0, path, strlen(path) + 1, token, strlen(token) + 1);
}

void
xenstore_wait_event(char *path, size_t size)
{
  while(events.get == events.put)
    read_message();
  if(events.put - events.get > EVENTS_KEPT)
    events.get = events.put - EVENTS_KEPT;
  string_copy(path, events.paths[events.get++ % EVENTS_KEPT], size);
}

int
xenstore_read_entry(const char *directory, const char *name, char *value, size_t size)
{
  char path[XENSTORE_TEXT_MAX];

  snprintf(path, sizeof path, "%s/%s", directory, name);
  return xenstore_read(0, path, value, size);
}

int
xenstore_write_entry(uint32_t transaction, const char *directory, const char *name, const char *value)
{
  char path[XENSTORE_TEXT_MAX];

  snprintf(path, sizeof path, "%s/%s", directory, name);
  return xenstore_write(transaction, path, value);
}

int
xenstore_read_number(const char *directory, const char *name, uint64_t *value)
{
  char text[32];
  int error = xenstore_read_entry(directory, name, text, sizeof text);

  if(!error)
    *value = string_to_number(text, NULL);
  return error;
}

int
xenstore_write_number(uint32_t transaction, const char *directory, const char *name, uint64_t value)
{
  char text[32];

  snprintf(text, sizeof text, "%lu", value);
  return xenstore_write_entry(transaction, directory, name, text);
}

enum xenbus_state
xenbus_read_state(const char *directory)
{
  uint64_t state;

  return xenstore_read_number(directory, "state", &state) ? XenbusStateUnknown : (enum xenbus_state)state;
}

int
xenbus_switch_state(const char *directory, enum xenbus_state state)
{
  return xenstore_write_number(0, directory, "state", state);
}

bool
xenbus_wait_state(const char *directory, enum xenbus_state wanted)
{
  char path[XENSTORE_TEXT_MAX];
  enum xenbus_state state;

  // Setting a watch fires it once: nothing that happened before is missed.
  snprintf(path, sizeof path, "%s/state", directory);
  if(xenstore_watch(path, "state"))
    return false;
  for(;;){
    char changed[XENSTORE_TEXT_MAX];
    xenstore_wait_event(changed, sizeof changed);
    state = xenbus_read_state(directory);
    if(state >= wanted)
      break;
  }
  xenstore_unwatch(path, "state");
  return state < XenbusStateClosing || state > XenbusStateClosed;
}
