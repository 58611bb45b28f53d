#include "lib/console.h"
#include "lib/environment.h"
#include "lib/memory.h"
enum exit_status main(void) { printf("hello from %s, %lu pages, [%s]\n", environment_name(), pages_available(), boot.command_line); return EXIT_SUCCESS; }
