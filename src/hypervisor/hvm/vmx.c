// VT-x is not driven yet: the processor is used as if it had none.
#include "../defs.h"
const struct hvm_ops vmx_ops;
bool vmx_available(void){return false;}
void vmx_init(void){}
