#include "dom0/store.h"

#include "dom0/heap.h"
#include "lib/console.h"
#include "lib/string.h"

#pragma clang section text=".text.backend"

struct store_tree store;
static struct store_watch *watches;

// ---- nodes

static struct store_node *
new_node(const char *name, size_t n)
{
  struct store_node *node = heap_alloc(sizeof *node);

  node->name = heap_alloc(n + 1);
  memcpy(node->name, name, n);
  return node;
}

static void
free_tree(struct store_node *node)
{
  while(node){
    struct store_node *next = node->next;
    free_tree(node->children);
    heap_free_string(node->name);
    if(node->value)
      heap_free(node->value, node->value_bytes + 1);
    heap_free(node, sizeof *node);
    node = next;
  }
}

static struct store_node *
copy_tree(const struct store_node *from)
{
  struct store_node *first = NULL, **to = &first;

  for(; from; from = from->next, to = &(*to)->next){
    struct store_node *node = *to = heap_alloc(sizeof *node);
    *node = *from;
    node->name = heap_string(from->name);
    if(from->value){
      node->value = heap_alloc(from->value_bytes + 1);
      memcpy(node->value, from->value, from->value_bytes);
    }
    node->children = copy_tree(from->children);
    node->next = NULL;
  }
  return first;
}

// Cuts the next name off a path: its length, or 0 at the end.
static size_t
next_name(const char **path)
{
  size_t n = 0;

  while(**path == '/')
    ++*path;
  while((*path)[n] && (*path)[n] != '/')
    n++;
  return n;
}

static struct store_node *
child(struct store_node *node, const char *name, size_t n)
{
  for(struct store_node *c = node->children; c; c = c->next)
    if(!strncmp(c->name, name, n) && c->name[n] == 0)
      return c;
  return NULL;
}

struct store_node *
store_find(struct store_tree *tree, const char *path)
{
  struct store_node *node = tree->root;
  size_t n;

  while(node && (n = next_name(&path))){
    node = child(node, path, n);
    path += n;
  }
  return node;
}

struct store_node *
store_make(struct store_tree *tree, const char *path)
{
  struct store_node *node = tree->root;
  size_t n;

  while((n = next_name(&path))){
    struct store_node *c = child(node, path, n);
    if(!c){
      c = new_node(path, n);
      memcpy(c->perms, node->perms, sizeof c->perms);
      c->n_perms = node->n_perms;
      // At the end of the list: directories list their entries in the order they were made.
      struct store_node **end = &node->children;
      while(*end)
        end = &(*end)->next;
      *end = c;
      tree->generation++;
    }
    node = c;
    path += n;
  }
  return node;
}

void
store_set(struct store_tree *tree, struct store_node *node, const void *value, size_t bytes)
{
  if(node->value)
    heap_free(node->value, node->value_bytes + 1);
  node->value = heap_alloc(bytes + 1);
  memcpy(node->value, value, bytes);
  node->value_bytes = bytes;
  tree->generation++;
}

bool
store_remove(struct store_tree *tree, const char *path)
{
  struct store_node *node = tree->root, *parent = NULL;
  size_t n;

  while(node && (n = next_name(&path))){
    parent = node;
    node = child(node, path, n);
    path += n;
  }
  if(!node || !parent)
    return false;
  struct store_node **link = &parent->children;
  while(*link != node)
    link = &(*link)->next;
  *link = node->next;
  node->next = NULL;
  free_tree(node);
  tree->generation++;
  return true;
}

// ---- permissions

bool
store_allowed(const struct store_node *node, uint16_t domid, enum store_access access)
{
  char letter = node->perms[0].access;

  if(domid == 0 || node->perms[0].domid == domid)
    return true;
  for(unsigned i = 1; i < node->n_perms; i++)
    if(node->perms[i].domid == domid)
      letter = node->perms[i].access;
  return letter == 'b' || letter == (access == STORE_READ ? 'r' : 'w');
}

bool
store_path_allowed(struct store_tree *tree, const char *path, uint16_t domid, enum store_access access)
{
  struct store_node *node = tree->root, *above = node;
  size_t n;

  while(node && (n = next_name(&path))){
    above = node;
    node = child(node, path, n);
    path += n;
  }
  return store_allowed(node ? node : above, domid, access);
}

void
store_set_owner(struct store_node *node, uint16_t owner, uint16_t reader)
{
  node->perms[0] = (struct store_perm){ 'n', owner };
  node->perms[1] = (struct store_perm){ 'r', reader };
  node->n_perms = 2;
}

// ---- transactions

struct store_tree *
store_copy(void)
{
  struct store_tree *copy = heap_alloc(sizeof *copy);

  copy->root = copy_tree(store.root);
  copy->generation = copy->start = store.generation;
  return copy;
}

// A copy knows the generation it was made at: changes in the copy count on from there, so the start is kept apart.
bool
store_replace(struct store_tree *tree)
{
  bool current = tree->start == store.generation;

  if(current){
    struct store_node *old = store.root;
    store.root = tree->root;
    store.generation = tree->generation + 1;
    tree->root = old;
  }
  store_discard(tree);
  return current;
}

void
store_discard(struct store_tree *tree)
{
  free_tree(tree->root);
  heap_free(tree, sizeof *tree);
}

// ---- watches

// Is `path` the same as `top`, or below it?
static bool
within(const char *path, const char *top)
{
  size_t n = strlen(top);

  if(n == 1 && top[0] == '/')
    return path[0] == '/';
  return !strncmp(path, top, n) && (path[n] == 0 || path[n] == '/');
}

void
store_watch(struct store_watch *watch)
{
  watch->next = watches;
  watches = watch;
  watch->fire(watch, watch->path);
}

void
store_unwatch(struct store_watch *watch)
{
  for(struct store_watch **link = &watches; *link; link = &(*link)->next)
    if(*link == watch){
      *link = watch->next;
      return;
    }
}

void
store_changed(const char *path)
{
  struct store_watch *next;

  for(struct store_watch *w = watches; w; w = next){
    next = w->next;
    if(within(path, w->path))
      w->fire(w, path);
    else if(within(w->path, path) && !store_find(&store, w->path))
      w->fire(w, w->path); // a node above has gone
  }
}

// ---- for dom0's services

void
store_init(void)
{
  store.root = new_node("", 0);
  store.root->perms[0] = (struct store_perm){ 'n', 0 };
  store.root->n_perms = 1;
  store_make(&store, "/local/domain/0");
}

void
store_printf(const char *path, const char *format, ...)
{
  char text[256];
  va_list args;

  va_start(args, format);
  int n = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if(n < 0 || (size_t)n >= sizeof text)
    panic("store: value for %s is too long", path);
  store_set(&store, store_make(&store, path), text, (size_t)n);
  store_changed(path);
}

void
store_grant(const char *path, uint16_t owner, uint16_t reader)
{
  store_set_owner(store_make(&store, path), owner, reader);
}

bool
store_text(const char *path, char *to, size_t size)
{
  struct store_node *node = store_find(&store, path);

  if(!node || !node->value)
    return false;
  string_copy(to, node->value, size);
  return true;
}

bool
store_number(const char *path, uint64_t *number)
{
  char text[32];
  const char *end;

  if(!store_text(path, text, sizeof text))
    return false;
  *number = string_to_number(text, &end);
  return end != text && *end == 0;
}
