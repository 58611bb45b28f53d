// xenstored: requests from the guests' rings, answered from the store.
//
// The rings are store-ring.c's. docs/misc/xenstore.txt of Xen; messages in io/xs_wire.h.
#include "dom0/services.h"

#include "dom0/foreign.h"
#include "dom0/heap.h"
#include "dom0/store-connection.h"
#include "dom0/store.h"
#include "dom0/work.h"
#include "lib/console.h"
#include "lib/memory.h"
#include "lib/string.h"
#include "xen/events.h"
#include <xen/hvm/params.h>
#include <xen/io/xs_wire.h>

#pragma clang section text=".text.backend"

enum { PATH_MAX = XENSTORE_ABS_PATH_MAX };

// ---- paths and transactions

static bool
has_double_slash(const char *path)
{
  for(; path[0]; path++)
    if(path[0] == '/' && path[1] == '/')
      return true;
  return false;
}

// The absolute form; relative paths begin at the guest's home. NULL (and an answer) when it is not a path.
static const char *
absolute(struct store_connection *c, const char *path, char *to)
{
  size_t n = strlen(path);

  if(n == 0 || n >= XENSTORE_REL_PATH_MAX || has_double_slash(path) || (n > 1 && path[n - 1] == '/')){
    store_fail(c, "EINVAL");
    return NULL;
  }
  if(path[0] == '/')
    string_copy(to, path, PATH_MAX);
  else
    snprintf(to, PATH_MAX, "/local/domain/%u/%s", c->guest->domid, path);
  return to;
}

static struct transaction *
find_transaction(struct store_connection *c, uint32_t id)
{
  for(unsigned i = 0; i < TRANSACTIONS_MAX; i++)
    if(c->transactions[i].id == id)
      return &c->transactions[i];
  return NULL;
}

// The tree that the request works on. NULL (and an answer) when it names no transaction of this guest.
static struct store_tree *
tree_of(struct store_connection *c)
{
  if(!c->header.tx_id)
    return &store;
  struct transaction *t = find_transaction(c, c->header.tx_id);
  if(!t)
    store_fail(c, "ENOENT");
  return t ? t->tree : NULL;
}

// A node has changed: watches fire now, or at the end of the transaction.
static void
changed(struct store_connection *c, const char *path)
{
  struct transaction *t = c->header.tx_id ? find_transaction(c, c->header.tx_id) : NULL;

  if(!t)
    store_changed(path);
  else if(t->n_changed < CHANGES_MAX)
    t->changed[t->n_changed++] = heap_string(path);
  else
    printf("d%u: more than %u changes in a transaction; a watch does not fire\n", c->guest->domid, CHANGES_MAX);
}

static void
end_transaction(struct store_connection *c, struct transaction *t, bool commit)
{
  bool replaced = commit && store_replace(t->tree);

  if(!commit)
    store_discard(t->tree);
  t->id = 0;
  for(unsigned i = 0; i < t->n_changed; i++){
    if(replaced)
      store_changed(t->changed[i]);
    heap_free_string(t->changed[i]);
  }
  t->n_changed = 0;
  if(commit && !replaced)
    store_fail(c, "EAGAIN");
  else
    store_answer(c, "OK", 3);
}

// ---- requests

static void
do_read(struct store_connection *c, struct store_tree *tree, const char *path)
{
  struct store_node *node = store_find(tree, path);

  if(!node)
    store_fail(c, "ENOENT");
  else if(!store_allowed(node, c->guest->domid, STORE_READ))
    store_fail(c, "EACCES");
  else
    store_answer(c, node->value, node->value_bytes);
}

static void
do_directory(struct store_connection *c, struct store_tree *tree, const char *path)
{
  static char list[XENSTORE_PAYLOAD_MAX];
  struct store_node *node = store_find(tree, path);
  size_t n = 0;

  if(!node || !store_allowed(node, c->guest->domid, STORE_READ)){
    store_fail(c, node ? "EACCES" : "ENOENT");
    return;
  }
  for(struct store_node *k = node->children; k; k = k->next){
    size_t length = strlen(k->name) + 1;
    if(n + length > sizeof list){
      store_fail(c, "E2BIG");
      return;
    }
    memcpy(list + n, k->name, length);
    n += length;
  }
  store_answer(c, list, n);
}

static void
do_write(struct store_connection *c, struct store_tree *tree, const char *path, const void *value, size_t bytes)
{
  if(!store_path_allowed(tree, path, c->guest->domid, STORE_WRITE)){
    store_fail(c, "EACCES");
    return;
  }
  store_set(tree, store_make(tree, path), value, bytes);
  store_answer(c, "OK", 3);
  changed(c, path);
}

static void
do_mkdir(struct store_connection *c, struct store_tree *tree, const char *path)
{
  if(!store_path_allowed(tree, path, c->guest->domid, STORE_WRITE)){
    store_fail(c, "EACCES");
    return;
  }
  bool there = store_find(tree, path);
  store_make(tree, path);
  store_answer(c, "OK", 3);
  if(!there)
    changed(c, path);
}

static void
do_rm(struct store_connection *c, struct store_tree *tree, const char *path)
{
  if(!store_path_allowed(tree, path, c->guest->domid, STORE_WRITE)){
    store_fail(c, "EACCES");
    return;
  }
  bool removed = store_remove(tree, path);
  store_answer(c, "OK", 3);
  if(removed)
    changed(c, path);
}

static void
do_get_perms(struct store_connection *c, struct store_tree *tree, const char *path)
{
  struct store_node *node = store_find(tree, path);
  char list[STORE_PERMS_MAX * 8];
  size_t n = 0;

  if(!node || !store_allowed(node, c->guest->domid, STORE_READ)){
    store_fail(c, node ? "EACCES" : "ENOENT");
    return;
  }
  for(unsigned i = 0; i < node->n_perms; i++)
    n += (size_t)snprintf(list + n, sizeof list - n, "%c%u", node->perms[i].access, node->perms[i].domid) + 1;
  store_answer(c, list, n);
}

static void
do_set_perms(struct store_connection *c, struct store_tree *tree, const char *path, const char *list, size_t bytes)
{
  struct store_node *node = store_find(tree, path);
  struct store_perm perms[STORE_PERMS_MAX];
  unsigned n = 0;

  if(!node || (c->guest->domid != 0 && node->perms[0].domid != c->guest->domid)){
    store_fail(c, node ? "EACCES" : "ENOENT");
    return;
  }
  for(const char *end = list + bytes; list < end; list += strlen(list) + 1){
    const char *stop;
    uint64_t domid = string_to_number(list + 1, &stop);
    if(n == STORE_PERMS_MAX || !strchr("nrwb", list[0]) || stop == list + 1 || *stop){
      store_fail(c, n == STORE_PERMS_MAX ? "ENOSPC" : "EINVAL");
      return;
    }
    perms[n++] = (struct store_perm){ list[0], (uint16_t)domid };
  }
  if(!n || (c->guest->domid != 0 && perms[0].domid != c->guest->domid)){
    store_fail(c, n ? "EPERM" : "EINVAL");
    return;
  }
  memcpy(node->perms, perms, sizeof perms);
  node->n_perms = n;
  tree->generation++;
  store_answer(c, "OK", 3);
  changed(c, path);
}

static void
fire(struct store_watch *watch, const char *path)
{
  static char event[PATH_MAX + 256];
  struct store_connection *c = watch->context;
  char home[32];
  // A watch on a relative path is told of relative paths.
  size_t skip = (size_t)snprintf(home, sizeof home, "/local/domain/%u/", c->guest->domid);

  if(watch->token[0] == 'a' || strncmp(path, home, skip))
    skip = 0;
  const char *token = watch->token + 1;
  size_t path_bytes = strlen(path + skip) + 1, token_bytes = strlen(token) + 1;
  if(path_bytes + token_bytes > sizeof event)
    return;
  memcpy(event, path + skip, path_bytes);
  memcpy(event + path_bytes, token, token_bytes);
  store_send(c, XS_WATCH_EVENT, 0, 0, event, path_bytes + token_bytes);
  work_queue(&c->work);
}

static struct store_watch **
find_watch(struct store_connection *c, const char *path, const char *token)
{
  for(unsigned i = 0; i < c->n_watches; i++)
    if(!strcmp(c->watches[i]->path, path) && !strcmp(c->watches[i]->token + 1, token))
      return &c->watches[i];
  return NULL;
}

static void
forget_watch(struct store_connection *c, struct store_watch **slot)
{
  struct store_watch *w = *slot;

  store_unwatch(w);
  *slot = c->watches[--c->n_watches];
  heap_free_string(w->path);
  heap_free_string(w->token);
  heap_free(w, sizeof *w);
}

static void
do_watch(struct store_connection *c, const char *path, const char *token, bool relative)
{
  char marked[128];

  if(find_watch(c, path, token)){
    store_fail(c, "EEXIST");
    return;
  }
  if(c->n_watches == WATCHES_MAX || strlen(token) > sizeof marked - 2){
    store_fail(c, "ENOSPC");
    return;
  }
  // The first letter of the kept token says how the guest named the path: absolute or relative.
  snprintf(marked, sizeof marked, "%c%s", relative ? 'r' : 'a', token);
  struct store_watch *w = heap_alloc(sizeof *w);
  *w = (struct store_watch){ .path = heap_string(path), .token = heap_string(marked), .fire = fire, .context = c };
  c->watches[c->n_watches++] = w;
  store_answer(c, "OK", 3);
  store_watch(w);
}

static void
do_unwatch(struct store_connection *c, const char *path, const char *token)
{
  struct store_watch **slot = find_watch(c, path, token);

  if(!slot){
    store_fail(c, "ENOENT");
    return;
  }
  forget_watch(c, slot);
  store_answer(c, "OK", 3);
}

static void
do_transaction_start(struct store_connection *c)
{
  struct transaction *t = find_transaction(c, 0);
  char id[16];

  if(!t){
    store_fail(c, "ENOSPC");
    return;
  }
  t->id = ++c->last_transaction;
  t->tree = store_copy();
  size_t n = (size_t)snprintf(id, sizeof id, "%u", t->id) + 1;
  store_answer(c, id, n);
}

// Requests about a path, which every other kind of request begins with.
static void
path_request(struct store_connection *c, const char *body, size_t bytes)
{
  static char path_buffer[PATH_MAX];
  const char *path = absolute(c, body, path_buffer);
  const char *rest = body + strlen(body) + 1;
  size_t rest_bytes = rest < body + bytes ? (size_t)(body + bytes - rest) : 0;

  if(!path)
    return;
  if(c->header.type == XS_WATCH)
    return do_watch(c, path, rest_bytes ? rest : "", body[0] != '/');
  if(c->header.type == XS_UNWATCH)
    return do_unwatch(c, path, rest_bytes ? rest : "");
  struct store_tree *tree = tree_of(c);
  if(!tree)
    return;
  switch(c->header.type){
  case XS_READ:      return do_read(c, tree, path);
  case XS_DIRECTORY: return do_directory(c, tree, path);
  case XS_WRITE:     return do_write(c, tree, path, rest, rest_bytes);
  case XS_MKDIR:     return do_mkdir(c, tree, path);
  case XS_RM:        return do_rm(c, tree, path);
  case XS_GET_PERMS: return do_get_perms(c, tree, path);
  case XS_SET_PERMS: return do_set_perms(c, tree, path, rest, rest_bytes);
  }
}

static void
request(struct store_connection *c)
{
  const char *body = c->body;
  char text[32];

  c->body[c->header.len] = 0;
  switch(c->header.type){
  case XS_READ: case XS_DIRECTORY: case XS_WRITE: case XS_MKDIR: case XS_RM: case XS_GET_PERMS: case XS_SET_PERMS: case XS_WATCH: case XS_UNWATCH:
    path_request(c, body, c->header.len);
    break;
  case XS_TRANSACTION_START:
    do_transaction_start(c);
    break;
  case XS_TRANSACTION_END: {
    struct transaction *t = c->header.tx_id ? find_transaction(c, c->header.tx_id) : NULL;
    if(!t)
      store_fail(c, "ENOENT");
    else
      end_transaction(c, t, body[0] == 'T');
    break;
  }
  case XS_GET_DOMAIN_PATH: {
    size_t n = (size_t)snprintf(text, sizeof text, "/local/domain/%lu", string_to_number(body, NULL)) + 1;
    store_answer(c, text, n);
    break;
  }
  case XS_RESET_WATCHES:
    while(c->n_watches)
      forget_watch(c, &c->watches[0]);
    store_answer(c, "OK", 3);
    break;
  default:
    store_fail(c, "ENOSYS");
  }
}

static void
serve(void *context)
{
  struct store_connection *c = context;

  store_flush(c);
  while(store_receive(c)){
    c->received = 0;
    if(c->header.len > XENSTORE_PAYLOAD_MAX)
      store_fail(c, "E2BIG");
    else
      request(c);
    store_flush(c);
  }
}

static void
notified(void *context)
{
  work_queue(&((struct store_connection *)context)->work);
}

void
store_connect(struct guest *guest)
{
  struct store_connection *c = pages_alloc((sizeof *c + PAGE_SIZE - 1) / PAGE_SIZE);
  int port = event_bind_interdomain(guest->domid, (uint32_t)guest_param(guest, HVM_PARAM_STORE_EVTCHN));
  char path[48];

  c->guest = guest;
  c->ring = grant_map_ring(guest->domid, GNTTAB_RESERVED_XENSTORE);
  if(port < 0 || !c->ring)
    panic("d%u: no store", guest->domid);
  c->port = (uint32_t)port;
  c->out = pages_alloc(STORE_OUT_PAGES);
  c->work = (struct work){ .function = serve, .context = c };
  guest->store = c;
  // What every guest finds of itself. Its home is its own to read, a few places in it also to write.
  static const char *const own[] = { "device", "control", "data", "drivers", "feature", "attr", "error" };
  snprintf(path, sizeof path, "/local/domain/%u", guest->domid);
  store_grant(path, 0, guest->domid);
  for(unsigned i = 0; i < ARRAY_SIZE(own); i++){
    snprintf(path, sizeof path, "/local/domain/%u/%s", guest->domid, own[i]);
    store_grant(path, guest->domid, 0);
  }
  snprintf(path, sizeof path, "/local/domain/%u/domid", guest->domid);
  store_printf(path, "%u", guest->domid);
  snprintf(path, sizeof path, "/local/domain/%u/name", guest->domid);
  store_printf(path, "Domain-%u", guest->domid);
  event_set_handler(c->port, notified, c);
  work_queue(&c->work);
}
