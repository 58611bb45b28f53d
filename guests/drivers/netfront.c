#include "drivers/net.h"
struct net_device *netfront_init(void) { return NULL; }
