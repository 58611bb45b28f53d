#include "dom0/xenbus-back.h"

#include "lib/console.h"
#include "lib/string.h"

#pragma clang section text=".text.backend"

enum { PATH = 96 };

static void
write_number(const char *directory, const char *key, uint64_t number)
{
  char path[PATH];

  snprintf(path, sizeof path, "%s/%s", directory, key);
  store_printf(path, "%lu", number);
}

static void
write_text(const char *directory, const char *key, const char *text)
{
  char path[PATH];

  snprintf(path, sizeof path, "%s/%s", directory, key);
  store_printf(path, "%s", text);
}

void backend_write(struct backend *b, const char *key, uint64_t number) { write_number(b->path, key, number); }
void backend_write_text(struct backend *b, const char *key, const char *text) { write_text(b->path, key, text); }
void frontend_write(struct backend *b, const char *key, uint64_t number) { write_number(b->frontend, key, number); }
void frontend_write_text(struct backend *b, const char *key, const char *text) { write_text(b->frontend, key, text); }

bool
frontend_read(struct backend *b, const char *key, uint64_t *number)
{
  char path[PATH];

  snprintf(path, sizeof path, "%s/%s", b->frontend, key);
  return store_number(path, number);
}

static void
set_state(struct backend *b, enum xenbus_state state)
{
  if(b->state == state)
    return;
  b->state = state;
  backend_write(b, "state", state);
}

static void
follow_frontend(void *context)
{
  struct backend *b = context;
  uint64_t state;

  if(!frontend_read(b, "state", &state))
    return;
  switch(state){
  case XenbusStateInitialised:
  case XenbusStateConnected:
    if(b->state != XenbusStateInitWait)
      return;
    if(b->connect(b))
      set_state(b, XenbusStateConnected);
    else
      set_state(b, XenbusStateClosing);
    return;
  case XenbusStateClosing:
    set_state(b, XenbusStateClosing);
    return;
  case XenbusStateClosed:
    set_state(b, XenbusStateClosed);
    return;
  }
}

static void
fired(struct store_watch *watch, const char *path)
{
  work_queue(&((struct backend *)watch->context)->work);
}

void
backend_paths(struct backend *b)
{
  snprintf(b->path, sizeof b->path, "/local/domain/0/backend/%s/%u/%u", b->type, b->guest->domid, b->device);
  snprintf(b->frontend, sizeof b->frontend, "/local/domain/%u/device/%s/%u", b->guest->domid, b->type, b->device);
  // The back end's entries are dom0's, for the guest to read; the front end's the other way round.
  store_grant(b->path, 0, b->guest->domid);
  store_grant(b->frontend, b->guest->domid, 0);
}

void
backend_announce(struct backend *b)
{
  backend_write_text(b, "frontend", b->frontend);
  backend_write(b, "frontend-id", b->guest->domid);
  backend_write(b, "online", 1);
  set_state(b, XenbusStateInitWait);
  frontend_write_text(b, "backend", b->path);
  frontend_write(b, "backend-id", 0);
  frontend_write(b, "state", XenbusStateInitialising);
  b->work = (struct work){ .function = follow_frontend, .context = b };
  b->watch = (struct store_watch){ .path = b->frontend, .token = "", .fire = fired, .context = b };
  store_watch(&b->watch);
}
