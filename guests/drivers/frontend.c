// See frontend.h. Xen public headers io/xenbus.h and io/blkif.h, "Front to back negotiations".

#include "drivers/frontend.h"
#include "lib/console.h"
#include "lib/environment.h"
#include "lib/string.h"
#include "xen/grants.h"
#include <xen/errno.h>

bool
frontend_find(const char *type, struct frontend *f)
{
  char path[XENSTORE_TEXT_MAX], ids[XENSTORE_TEXT_MAX];
  size_t bytes;
  uint64_t backend_domain;

  if(!on_xen() || !xenstore_init())
    return false;
  snprintf(path, sizeof path, "device/%s", type);
  if(xenstore_directory(0, path, ids, sizeof ids, &bytes) || !bytes)
    return false;
  f->id = (unsigned)string_to_number(ids, NULL);
  snprintf(f->directory, sizeof f->directory, "device/%s/%u", type, f->id);
  if(xenstore_read_entry(f->directory, "backend", f->backend, sizeof f->backend) ||
     xenstore_read_number(f->directory, "backend-id", &backend_domain))
    return false;
  f->backend_domain = (uint16_t)backend_domain;
  grants_init();
  return xenbus_wait_state(f->backend, XenbusStateInitWait);
}

uint32_t
frontend_bind(struct frontend *f, event_handler *handler, void *context)
{
  int port = event_alloc_unbound(f->backend_domain);

  if(port < 0)
    panic("no event channel for %s: %d", f->directory, port);
  f->port = (uint32_t)port;
  event_set_handler(f->port, handler, context);
  return f->port;
}

void
frontend_publish(struct frontend *f, const struct frontend_entry *entries, unsigned n, enum xenbus_state state)
{
  uint32_t transaction;
  int error;

  do {
    if((error = xenstore_transaction_start(&transaction)))
      panic("no xenstore transaction: %d", error);
    for(unsigned i = 0; i < n; i++)
      xenstore_write_number(transaction, f->directory, entries[i].name, entries[i].number);
    xenstore_write_entry(transaction, f->directory, "protocol", "x86_64-abi");
    error = xenstore_transaction_end(transaction, true);
  } while(error == XEN_EAGAIN);
  if(error || (error = xenbus_switch_state(f->directory, state)))
    panic("%s cannot be published: %d", f->directory, error);
}
