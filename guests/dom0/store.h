// The store: a tree of named values that domains find each other by. docs/misc/xenstore.txt of Xen is the specification.
//
// A transaction works on a copy of the tree; it becomes the tree if nothing has changed in between, else the client is told
// to try again. Watches fire when a change becomes visible.
#pragma once

#include "lib/types.h"

enum { STORE_PERMS_MAX = 4, STORE_DEPTH_MAX = 24 };

// First: the owner, and what everybody not named may do. Letters of the protocol: n r w b.
struct store_perm {
  char access;
  uint16_t domid;
};

struct store_node {
  char *name, *value;
  size_t value_bytes;
  struct store_perm perms[STORE_PERMS_MAX];
  unsigned n_perms;
  struct store_node *children, *next;
};

struct store_tree {
  struct store_node *root;
  uint64_t generation; // counts changes
  uint64_t start;      // of a copy: the generation it was made at
};
extern struct store_tree store;

void store_init(void);
struct store_tree *store_copy(void);     // for a transaction
bool store_replace(struct store_tree *); // its end: false when the store has changed since; the copy is freed either way
void store_discard(struct store_tree *);

// Absolute paths. NULL when there is no such node.
struct store_node *store_find(struct store_tree *tree, const char *path);
// Makes the node and its parents where needed; new nodes belong to the owner of their parent.
struct store_node *store_make(struct store_tree *tree, const char *path);
void store_set(struct store_tree *tree, struct store_node *node, const void *value, size_t bytes);
bool store_remove(struct store_tree *tree, const char *path);

enum store_access { STORE_READ = 1, STORE_WRITE = 2 };
bool store_allowed(const struct store_node *node, uint16_t domid, enum store_access access);
// For a path that may not exist: the permissions of the nearest node above count.
bool store_path_allowed(struct store_tree *tree, const char *path, uint16_t domid, enum store_access access);
void store_set_owner(struct store_node *node, uint16_t owner, uint16_t reader);

// ---- watches

struct store_watch {
  char *path, *token;
  void (*fire)(struct store_watch *watch, const char *path);
  void *context;
  struct store_watch *next;
};
// The watch belongs to the store until store_unwatch. Fires once at once.
void store_watch(struct store_watch *watch);
void store_unwatch(struct store_watch *watch);
// Says that a node (and, for removals, all below it) has changed.
void store_changed(const char *path);

// ---- for dom0's own services: no transactions, failure ends dom0

void store_printf(const char *path, const char *format, ...) PRINTF_LIKE(2, 3);
// Gives a node made by store_printf to a domain that may write it; `reader` may read it.
void store_grant(const char *path, uint16_t owner, uint16_t reader);
// Value as text; false when there is none.
bool store_text(const char *path, char *to, size_t size);
bool store_number(const char *path, uint64_t *number);
