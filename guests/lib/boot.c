// What each kind of loader hands over, turned into `boot`. Entry code in guests/images calls these.
//
// Multiboot Specification version 0.6.96 section 3.3 "Boot information format"; Xen public header hvm/start_info.h;
// Xen public header xen.h, "start-of-day memory layout".

#include "lib/environment.h"
#include "lib/console.h"
#include "lib/string.h"
#include "lib/traps.h"
#include "xen/xen-guest.h"
#include <xen/hvm/start_info.h>

enum { MULTIBOOT_LOADER_MAGIC = 0x2badb002, MULTIBOOT_INFO_MEMORY = 1, MULTIBOOT_INFO_CMDLINE = 4 };

struct multiboot_info {
  uint32_t flags, mem_lower, mem_upper, boot_device, cmdline;
};

void boot_from_multiboot(uint32_t magic, const struct multiboot_info *info) NORETURN;
void boot_from_pvh(const struct hvm_start_info *info) NORETURN;
void boot_from_pv(const struct start_info *info) NORETURN;

void
boot_from_multiboot(uint32_t magic, const struct multiboot_info *info)
{
  boot.environment = xen_detect() ? ENVIRONMENT_HVM : ENVIRONMENT_NATIVE;
  if(magic == MULTIBOOT_LOADER_MAGIC && info->flags & MULTIBOOT_INFO_MEMORY)
    boot.memory_end = 0x100000 + info->mem_upper * 1024ul;
  if(magic == MULTIBOOT_LOADER_MAGIC && info->flags & MULTIBOOT_INFO_CMDLINE)
    string_copy(boot.command_line, (const char *)(uint64_t)info->cmdline, sizeof boot.command_line);
  environment_start();
}

void
boot_from_pvh(const struct hvm_start_info *info)
{
  const struct hvm_memmap_table_entry *map = (const void *)info->memmap_paddr;

  boot.environment = xen_detect() ? ENVIRONMENT_HVM : ENVIRONMENT_NATIVE;
  if(info->cmdline_paddr)
    string_copy(boot.command_line, (const char *)info->cmdline_paddr, sizeof boot.command_line);
  // The range of RAM that holds this image.
  for(uint32_t i = 0; info->version >= 1 && i < info->memmap_entries; i++)
    if(map[i].type == XEN_HVM_MEMMAP_TYPE_RAM && map[i].addr <= 0x100000 && map[i].addr + map[i].size > 0x200000)
      boot.memory_end = map[i].addr + map[i].size;
  environment_start();
}

void
boot_from_pv(const struct start_info *info)
{
  boot.environment = ENVIRONMENT_PV;
  boot.memory_end = info->nr_pages * 4096;
  string_copy(boot.command_line, (const char *)info->cmd_line, MAX_GUEST_CMDLINE);
  xen_set_start_info(info);
  environment_start();
}
