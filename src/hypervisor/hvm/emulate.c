// The instruction behind a memory-mapped access: enough of them for drivers, which move registers to and from device memory.
//
// The exit says where the access went (guest-physical), so no address is computed here; only operand size, register, immediate
// and length are taken from the bytes. An instruction that is not known stops the domain with its bytes.
// SDM 2A §2.1 "Instruction Format for Protected Mode, Real-Address Mode, and Virtual-8086 Mode", §2.2 "IA-32e Mode".
#include "../defs.h"

struct decoded {
  uint8 code[16];
  int n;            // bytes that could be read
  int at;           // next byte to look at
  int size;         // operand size in bytes
  uint8 rex;
  bool is64, rep;
  int modrm_reg;
  int modrm_at;
};

static int
prefixes(struct vcpu *v, struct decoded *d)
{
  bool opsize = false;

  d->is64 = hvm_is_64bit(v);
  for(;; d->at++){
    uint8 c = d->code[d->at];
    if(c == 0x66)
      opsize = true;
    else if(c == 0xf2 || c == 0xf3)
      d->rep = true;
    else if(c != 0x2e && c != 0x36 && c != 0x3e && c != 0x26 && c != 0x64 && c != 0x65 && c != 0x67 && c != 0xf0)
      break;
  }
  if(d->is64 && (d->code[d->at] & 0xf0) == 0x40)
    d->rex = d->code[d->at++];
  d->size = d->is64 || (hvm_ops->get_attr(v, SEG_CS) & ATTR_D) ? 4 : 2;
  if(opsize)
    d->size = 6 - d->size;
  if(d->rex & 8)
    d->size = 8;
  return d->code[d->at++];
}

// Step over ModRM, SIB and displacement. False: register form, or address size 16.
static bool
modrm(struct decoded *d)
{
  uint8 m = d->code[d->at++];
  int mod = m >> 6, rm = m & 7;

  d->modrm_reg = (m >> 3 & 7) | (d->rex & 4) << 1;
  if(mod == 3)
    return false;
  if(rm == 4){
    uint8 sib = d->code[d->at++];
    if(mod == 0 && (sib & 7) == 5)
      d->at += 4;
  } else if(mod == 0 && rm == 5)
    d->at += 4;
  d->at += mod == 1 ? 1 : mod == 2 ? 4 : 0;
  return true;
}

static uint64
mask_of(int size)
{
  return size == 8 ? ~0ul : (1ul << (size * 8)) - 1;
}

// A register operand; AH to BH exist only without REX.
static uint64
get_reg(struct vcpu *v, struct decoded *d, int n, int size)
{
  if(size == 1 && !d->rex && n >= 4)
    return *reg_of(v->regs, n - 4) >> 8 & 0xff;
  return *reg_of(v->regs, n) & mask_of(size);
}

static void
put_reg(struct vcpu *v, struct decoded *d, int n, int size, uint64 val)
{
  uint64 *r = reg_of(v->regs, size == 1 && !d->rex && n >= 4 ? n - 4 : n);

  if(size == 1 && !d->rex && n >= 4)
    *r = (*r & ~0xff00ul) | (val & 0xff) << 8;
  else if(size >= 4)
    *r = val & mask_of(size); // 32-bit results clear the upper half
  else
    *r = (*r & ~mask_of(size)) | (val & mask_of(size));
}

static uint64
immediate(struct decoded *d, int size)
{
  int64 val = 0;

  if(size == 8)
    size = 4; // sign-extended below
  for(int i = 0; i < size; i++)
    val |= (int64)d->code[d->at + i] << (8 * i);
  d->at += size;
  return (uint64)(val << (64 - 8 * size) >> (64 - 8 * size));
}

static void
read_to(struct vcpu *v, struct decoded *d, uint64 gpa, int from, int to, bool sign)
{
  uint64 val = hvm_mmio_access(v, gpa, from, false, 0) & mask_of(from);

  if(sign)
    val = (uint64)((int64)(val << (64 - 8 * from)) >> (64 - 8 * from));
  put_reg(v, d, d->modrm_reg, to, val);
}

// --- arithmetic with device memory: what `*reg |= BIT` and `if(*reg & BIT)` become ---

enum alu { ALU_ADD, ALU_OR, ALU_ADC, ALU_SBB, ALU_AND, ALU_SUB, ALU_XOR, ALU_CMP };

#define STATUS_FLAGS 0x8d5ul // OF SF ZF AF PF CF

// The processor computes result and flags itself, with the operands at the top of a register so that carry and sign are there;
// parity and auxiliary carry, which look at the low bits, are then put right. ADC and SBB are not done: false.
static bool
alu(struct vcpu *v, int op, int size, uint64 x, uint64 y, uint64 *result)
{
  int up = 64 - 8 * size;
  uint64 a = x << up, b = y << up, flags;

  switch(op){
  case ALU_ADD: asm("add %2, %0; pushfq; popq %1" : "+r"(a), "=r"(flags) : "r"(b) : "cc"); break;
  case ALU_OR: asm("or %2, %0; pushfq; popq %1" : "+r"(a), "=r"(flags) : "r"(b) : "cc"); break;
  case ALU_AND: asm("and %2, %0; pushfq; popq %1" : "+r"(a), "=r"(flags) : "r"(b) : "cc"); break;
  case ALU_XOR: asm("xor %2, %0; pushfq; popq %1" : "+r"(a), "=r"(flags) : "r"(b) : "cc"); break;
  case ALU_SUB: case ALU_CMP: asm("sub %2, %0; pushfq; popq %1" : "+r"(a), "=r"(flags) : "r"(b) : "cc"); break;
  default: return false;
  }
  *result = a >> up;
  flags &= STATUS_FLAGS & ~0x14ul;
  if(!(__builtin_popcountll(*result & 0xff) & 1))
    flags |= 4;
  if((op == ALU_ADD || op == ALU_SUB || op == ALU_CMP) && ((x ^ y ^ *result) & 0x10))
    flags |= 0x10;
  v->regs->rflags = (v->regs->rflags & ~STATUS_FLAGS) | flags;
  return true;
}

// Memory is the destination: read, compute, write back unless only the flags are wanted.
static bool
alu_memory(struct vcpu *v, uint64 gpa, int op, bool write_back, int size, uint64 operand)
{
  uint64 val = hvm_mmio_access(v, gpa, size, false, 0) & mask_of(size);

  if(!alu(v, op, size, val, operand & mask_of(size), &val))
    return false;
  if(write_back)
    hvm_mmio_access(v, gpa, size, true, val);
  return true;
}

// Opcodes 00-3B in groups of eight: r/m with register and back.
static bool
alu_register(struct vcpu *v, struct decoded *d, uint64 gpa, int opcode)
{
  int op = opcode >> 3, size = opcode & 1 ? d->size : 1;
  uint64 val;

  if((opcode & 7) > 3 || !modrm(d))
    return false;
  if(!(opcode & 2))
    return alu_memory(v, gpa, op, op != ALU_CMP, size, get_reg(v, d, d->modrm_reg, size));
  val = hvm_mmio_access(v, gpa, size, false, 0) & mask_of(size);
  if(!alu(v, op, size, get_reg(v, d, d->modrm_reg, size), val, &val))
    return false;
  if(op != ALU_CMP)
    put_reg(v, d, d->modrm_reg, size, val);
  return true;
}

// STOS to device memory, and MOVS between it and memory: one element; a repetition comes back here by itself.
static bool
string_move(struct vcpu *v, struct decoded *d, int opcode, uint64 gpa, bool write)
{
  struct regs *r = v->regs;
  int size = opcode & 1 ? d->size : 1;
  uint64 step = r->rflags & RFLAGS_DF ? -(uint64)size : (uint64)size, val = 0;

  if(!d->is64 || (d->rep && r->rcx == 0))
    return false;
  if(opcode >= 0xaa)
    hvm_mmio_access(v, gpa, size, true, r->rax & mask_of(size));
  else if(write){
    if(hvm_copy(v, r->rsi, &val, (uint64)size, false))
      return false;
    hvm_mmio_access(v, gpa, size, true, val);
  } else {
    val = hvm_mmio_access(v, gpa, size, false, 0);
    if(hvm_copy(v, r->rdi, &val, (uint64)size, true))
      return false;
  }
  r->rdi += step;
  if(opcode < 0xaa)
    r->rsi += step;
  if(d->rep && --r->rcx != 0)
    d->at = 0; // again
  return true;
}

static bool
two_byte(struct vcpu *v, struct decoded *d, uint64 gpa)
{
  int opcode = d->code[d->at++];

  if((opcode & 0xf6) != 0xb6 || !modrm(d)) // MOVZX, MOVSX
    return false;
  read_to(v, d, gpa, opcode & 1 ? 2 : 1, d->size, opcode & 8);
  return true;
}

static bool
execute(struct vcpu *v, struct decoded *d, uint64 gpa, bool write)
{
  int opcode = prefixes(v, d);
  int size = opcode & 1 ? d->size : 1;
  uint64 val;

  switch(opcode){
  case 0x0f:
    return two_byte(v, d, gpa);
  case 0x88: case 0x89: // MOV r/m, r
    if(!modrm(d))
      return false;
    hvm_mmio_access(v, gpa, size, true, get_reg(v, d, d->modrm_reg, size));
    return true;
  case 0x8a: case 0x8b: // MOV r, r/m
    if(!modrm(d))
      return false;
    read_to(v, d, gpa, size, size, false);
    return true;
  case 0x63: // MOVSXD
    if(!d->is64 || !modrm(d))
      return false;
    read_to(v, d, gpa, 4, d->size, true);
    return true;
  case 0xc6: case 0xc7: // MOV r/m, imm
    if(!modrm(d))
      return false;
    val = immediate(d, size);
    hvm_mmio_access(v, gpa, size, true, val & mask_of(size));
    return true;
  case 0xa0: case 0xa1: case 0xa2: case 0xa3: // MOV AL/eAX, moffs and back
    d->at += d->is64 ? 8 : 4;
    d->modrm_reg = 0;
    if(opcode & 2)
      hvm_mmio_access(v, gpa, size, true, get_reg(v, d, 0, size));
    else
      read_to(v, d, gpa, size, size, false);
    return true;
  case 0x80: case 0x81: case 0x83: // group 1: r/m with immediate
    if(!modrm(d))
      return false;
    val = immediate(d, opcode == 0x81 ? size : 1);
    return alu_memory(v, gpa, d->modrm_reg & 7, (d->modrm_reg & 7) != ALU_CMP, size, val);
  case 0x84: case 0x85: // TEST r/m, r
    if(!modrm(d))
      return false;
    return alu_memory(v, gpa, ALU_AND, false, size, get_reg(v, d, d->modrm_reg, size));
  case 0xf6: case 0xf7: // TEST r/m, imm
    if(!modrm(d) || (d->modrm_reg & 7) > 1)
      return false;
    return alu_memory(v, gpa, ALU_AND, false, size, immediate(d, size));
  case 0x86: case 0x87: // XCHG
    if(!modrm(d))
      return false;
    val = hvm_mmio_access(v, gpa, size, false, 0);
    hvm_mmio_access(v, gpa, size, true, get_reg(v, d, d->modrm_reg, size));
    put_reg(v, d, d->modrm_reg, size, val);
    return true;
  case 0x00 ... 0x0e: case 0x10 ... 0x3b:
    return alu_register(v, d, gpa, opcode);
  case 0xa4: case 0xa5: case 0xaa: case 0xab:
    return string_move(v, d, opcode, gpa, write);
  default:
    return false;
  }
}

void
hvm_mmio(struct vcpu *v, uint64 gpa, bool write)
{
  struct decoded d = { 0 };

  d.n = hvm_fetch(v, d.code, 15);
  if(d.n > 0 && execute(v, &d, gpa, write) && d.at <= d.n){
    hvm_advance(v, (uint64)d.at);
    return;
  }
  domain_crash(v->dom, "cannot do the instruction at %lx that accesses %lx: %02x %02x %02x %02x %02x %02x %02x %02x", v->regs->rip, gpa,
               d.code[0], d.code[1], d.code[2], d.code[3], d.code[4], d.code[5], d.code[6], d.code[7]);
}
