// Client of xenstore, the small database by which domains find each other's devices. One request at a time; the caller sleeps.
#pragma once

#include "lib/types.h"
#include <xen/io/xenbus.h>

enum { XENSTORE_TEXT_MAX = 256 };

// False when the domain has no xenstore ring.
bool xenstore_init(void);

// All return 0, or a positive Xen error (XEN_ENOENT ...). transaction 0: none.
int xenstore_read(uint32_t transaction, const char *path, char *value, size_t size);
int xenstore_write(uint32_t transaction, const char *path, const char *value);
int xenstore_mkdir(uint32_t transaction, const char *path);
int xenstore_remove(uint32_t transaction, const char *path);
// Names of the entries below path, each NUL-terminated, one after another; *bytes: how much was filled.
int xenstore_directory(uint32_t transaction, const char *path, char *names, size_t size, size_t *bytes);
// permissions: "n0", "r3", ... as in the protocol, NUL-separated; bytes includes the last NUL.
int xenstore_set_permissions(uint32_t transaction, const char *path, const char *permissions, size_t bytes);
int xenstore_transaction_start(uint32_t *transaction);
// XEN_EAGAIN: another client came between; do it all again.
int xenstore_transaction_end(uint32_t transaction, bool commit);

// Watches: every event is counted; xenstore_wait_event sleeps until there was one since the last call, and gives its path.
int xenstore_watch(const char *path, const char *token);
int xenstore_unwatch(const char *path, const char *token);
void xenstore_wait_event(char *path, size_t size);

// "directory/name", for one number or text.
int xenstore_read_number(const char *directory, const char *name, uint64_t *value);
int xenstore_write_number(uint32_t transaction, const char *directory, const char *name, uint64_t value);
int xenstore_read_entry(const char *directory, const char *name, char *value, size_t size);
int xenstore_write_entry(uint32_t transaction, const char *directory, const char *name, const char *value);

// Device connection: the state entry in a front end's or back end's directory.
enum xenbus_state xenbus_read_state(const char *directory);
int xenbus_switch_state(const char *directory, enum xenbus_state state);
// Sleeps until the other side's state is at least `state` (by a watch). False when it is Closing or Closed.
bool xenbus_wait_state(const char *directory, enum xenbus_state state);
