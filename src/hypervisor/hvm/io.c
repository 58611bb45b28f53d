// Port and memory-mapped I/O of a hardware-virtualised domain.
//
// The interrupt controllers are here; everything else is a request to the device model in dom0, by the shared page and event
// channel of include/xen/hvm/ioreq.h. The vCPU waits until it is answered; a request made before the device model has attached
// waits for that too. A domain without one reads ones.
#include "../defs.h"
#include "../memlayout.h"

static uint64
ones(int size)
{
  return size == 8 ? ~0ul : (1ul << (size * 8)) - 1;
}

// --- requests ---

static volatile struct ioreq *
slot(struct vcpu *v)
{
  return &((struct shared_iopage *)MFN2V(v->dom->hvm->ioreq_mfn[0]))->vcpu_ioreq[v->id];
}

// Fill the slot, ring, sleep until the answer is there. Returns the answer's data.
static uint64
request(struct vcpu *v, const struct ioreq *q)
{
  volatile struct ioreq *p = slot(v);
  uint32 port = p->vp_eport;

  *p = *q;
  p->vp_eport = port;
  asm volatile("" : : : "memory");
  p->state = STATE_IOREQ_READY;
  evtchn_send(v->dom, port);
  v->ioreq_wait = true;
  while(p->state != STATE_IORESP_READY)
    vcpu_block();
  v->ioreq_wait = false;
  p->state = STATE_IOREQ_NONE;
  return p->data;
}

// The device model rang.
void
hvm_ioreq_answered(struct vcpu *v)
{
  if(v->ioreq_wait)
    vcpu_wake(v);
}

// --- ports ---

static bool
is_here(uint16 port)
{
  return vpic_owns(port) || port == XEN_HVM_DEBUGCONS_IOPORT;
}

static uint32
port_access_here(struct vcpu *v, uint16 port, bool in, uint32 data)
{
  if(port == XEN_HVM_DEBUGCONS_IOPORT){
    if(!in)
      console_putc((char)data);
    return 0xe9; // as on machines that have such a port: how software finds it
  }
  if(in)
    return vpic_read(v->dom, port);
  vpic_write(v->dom, port, (uint8)data);
  return 0;
}

// One access of `size` bytes.
static uint32
port_access(struct vcpu *v, uint16 port, int size, bool in, uint32 data)
{
  struct ioreq q = { .addr = port, .data = data, .count = 1, .size = (uint32)size, .dir = in, .type = IOREQ_TYPE_PIO };

  if(is_here(port)){
    uint32 val = 0;
    for(int i = 0; i < size; i++)
      val |= (port_access_here(v, (uint16)(port + i), in, data >> (8 * i)) & 0xff) << (8 * i);
    return val;
  }
  if(v->dom->hvm->no_dm)
    return (uint32)ones(size);
  return (uint32)request(v, &q);
}

// The segment an OUTS reads from: a prefix says so, otherwise DS.
static int
source_segment(struct vcpu *v)
{
  uint8 code[15];
  int n = hvm_fetch(v, code, sizeof(code));

  for(int i = 0; i < n; i++)
    switch(code[i]){
    case 0x26: return SEG_ES;
    case 0x2e: return SEG_CS;
    case 0x36: return SEG_SS;
    case 0x3e: return SEG_DS;
    case 0x64: return SEG_FS;
    case 0x65: return SEG_GS;
    case 0x66: case 0x67: case 0xf2: case 0xf3: break;
    default: return SEG_DS;
    }
  return SEG_DS;
}

// What of a register takes part, by the code segment's address size (a 67 prefix is not looked at: no compiler makes one here).
static uint64
address_mask(struct vcpu *v)
{
  if(hvm_is_64bit(v))
    return ~0ul;
  return hvm_ops->get_attr(v, SEG_CS) & ATTR_D ? 0xffffffff : 0xffff;
}

// Elements of a string from gva on that lie in one page, in the direction of DF.
static uint64
in_page(uint64 gva, int size, bool down, uint64 count)
{
  uint64 off = gva % PAGE_SIZE, n;

  n = down ? off / (uint64)size + (off + (uint64)size <= PAGE_SIZE) : (PAGE_SIZE - off) / (uint64)size;
  return MIN(n, count);
}

// One piece of a string: by request when the device model can reach the memory itself, otherwise an element by way of here.
// False: the guest's memory faults, and the fault has been injected.
static bool
string_piece(struct vcpu *v, uint16 port, int size, bool in, uint64 gva, bool down, uint64 *count)
{
  uint64 gpa;
  uint32 error, data = 0;
  uint64 n = in_page(gva, size, down, *count);

  if(!hvm_translate(v, gva, in, &gpa, &error)){
    hvm_inject_page_fault(v, gva, error);
    return false;
  }
  if(n > 0 && !is_here(port) && !v->dom->hvm->no_dm){
    struct ioreq q = { .addr = port, .data = gpa, .count = (uint32)n, .size = (uint32)size, .dir = in, .df = down,
                       .data_is_ptr = 1, .type = IOREQ_TYPE_PIO };
    request(v, &q);
    *count = n;
    return true;
  }
  *count = 1;
  if(!in && hvm_copy(v, gva, &data, (uint64)size, false))
    return false;
  data = port_access(v, port, size, in, data);
  return !in || hvm_copy(v, gva, &data, (uint64)size, true) == 0;
}

static void
string_io(struct vcpu *v, uint16 port, int size, bool in, bool rep, uint64 next_rip)
{
  struct regs *r = v->regs;
  uint64 mask = address_mask(v), *index = in ? &r->rdi : &r->rsi;
  bool down = r->rflags & RFLAGS_DF;
  struct segment s;

  hvm_ops->get_segment(v, in ? SEG_ES : source_segment(v), &s);
  for(uint64 left = rep ? r->rcx & mask : 1; left > 0;){
    uint64 n = left, gva = (hvm_is_64bit(v) ? 0 : s.base) + (*index & mask);
    if(!string_piece(v, port, size, in, gva, down, &n))
      return; // registers say how far it came
    uint64 moved = down ? -(n * (uint64)size) : n * (uint64)size;
    *index = mask == ~0ul ? *index + moved : (*index & ~mask) | ((*index + moved) & mask);
    left -= n;
    if(rep)
      r->rcx = mask == ~0ul ? left : (r->rcx & ~mask) | left;
  }
  hvm_advance(v, next_rip - r->rip);
}

// IN, OUT, INS, OUTS. Not for ports the permission map lets through.
void
hvm_io(struct vcpu *v, uint16 port, int size, bool in, bool string, bool rep, uint64 next_rip)
{
  struct regs *r = v->regs;
  uint32 val;

  if(string){
    string_io(v, port, size, in, rep, next_rip);
    return;
  }
  val = port_access(v, port, size, in, (uint32)r->rax & (uint32)ones(size));
  if(in)
    r->rax = size == 4 ? val : (r->rax & ~ones(size)) | (val & ones(size));
  hvm_advance(v, next_rip - r->rip);
}

// --- memory-mapped ---

// One access at a guest-physical address that is no memory. data: what is written. Returns what is read.
uint64
hvm_mmio_access(struct vcpu *v, uint64 gpa, int size, bool write, uint64 data)
{
  struct ioreq q = { .addr = gpa, .data = data, .count = 1, .size = (uint32)size, .dir = !write, .type = IOREQ_TYPE_COPY };

  if((gpa & PAGE_MASK) == LAPIC_PHYS){
    if(!write)
      return vlapic_read(v, gpa & 0xff0) >> (8 * (gpa & 3));
    vlapic_write(v, gpa & 0xff0, (uint32)data);
    return 0;
  }
  if((gpa & PAGE_MASK) == IOAPIC_PHYS){
    if(!write)
      return vioapic_read(v->dom, gpa & 0xff);
    vioapic_write(v->dom, gpa & 0xff, (uint32)data);
    return 0;
  }
  if(v->dom->hvm->no_dm)
    return ones(size);
  return request(v, &q) & ones(size);
}
