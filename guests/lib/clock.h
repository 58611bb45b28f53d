// Time: the TSC's frequency, and one deadline that wakes the processor.
#pragma once

#include "lib/types.h"

// TSC ticks a second: from the hypervisor's time page in a domain, measured against the 8254 on a bare machine.
uint64_t tsc_hz(void);

// From now on, an interrupt (or event) will come after this time, so that a wait_until whose condition includes
// deadline_passed() ends. Only one deadline at a time.
void deadline_start(uint64_t microseconds);
bool deadline_passed(void);
void deadline_stop(void);
void delay(uint64_t microseconds);
