/* States that front end and back end of a device write to xenstore ("state") while they connect. */
#ifndef XEN_IO_XENBUS_H
#define XEN_IO_XENBUS_H
enum xenbus_state {
  XenbusStateUnknown = 0,
  XenbusStateInitialising = 1,
  XenbusStateInitWait = 2,
  XenbusStateInitialised = 3,
  XenbusStateConnected = 4,
  XenbusStateClosing = 5,
  XenbusStateClosed = 6,
  XenbusStateReconfiguring = 7,
  XenbusStateReconfigured = 8,
};
typedef enum xenbus_state XenbusState;
#endif
