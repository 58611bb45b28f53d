// Memory of the running guest, by the addresses it uses in hypercalls: virtual ones.
#include "defs.h"

extern uint64 copy_user(void *dst, const void *src, uint64 n);

// Bytes that could not be copied; 0 is success.
uint64
copy_from_guest(void *dst, uint64 gva, uint64 n)
{
  if(n == 0)
    return 0;
  if(is_hvm(current->dom))
    return hvm_copy(current, gva, dst, n, false);
  return pv_bad_address(gva, n) ? n : copy_user(dst, (void *)gva, n);
}

uint64
copy_to_guest(uint64 gva, const void *src, uint64 n)
{
  if(n == 0)
    return 0;
  if(is_hvm(current->dom))
    return hvm_copy(current, gva, (void *)src, n, true);
  return pv_bad_address(gva, n) ? n : copy_user((void *)gva, src, n);
}
