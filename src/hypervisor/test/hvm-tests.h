// What only a hardware-virtualised guest has: MSRs, local APIC, ports and device memory. Part of guest.c.

#define LAPIC ((volatile uint32_t *)0xfee00000)

struct idt_gate {
  uint16_t low, sel;
  uint8_t ist, type;
  uint16_t mid;
  uint32_t high, zero;
};
static struct idt_gate idt[256] __attribute__((aligned(16)));
static volatile int lapic_ticks, isa_interrupts;

static void
outb(uint16_t port, uint8_t v)
{
  __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static uint8_t
inb(uint16_t port)
{
  uint8_t v;
  __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
  return v;
}

void
guest_lapic_timer(void)
{
  lapic_ticks++;
  LAPIC[0xb0 / 4] = 0;
}

void
guest_isa(void)
{
  isa_interrupts++;
  outb(0xf5, 0); // the device model lowers the line
  outb(0x20, 0x20);
}

static void
gate(int vector, char *handler)
{
  unsigned long a = (unsigned long)handler;

  idt[vector] = (struct idt_gate){ (uint16_t)a, 8, 0, 0x8e, (uint16_t)(a >> 16), (uint32_t)(a >> 32), 0 };
}

static void
hvm_setup(void)
{
  struct {
    uint16_t limit;
    unsigned long base;
  } __attribute__((packed)) idtr = { sizeof(idt) - 1, (unsigned long)idt };
  uint32_t a, b, c, d;

  __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0x40000002), "c"(0));
  __asm__ volatile("wrmsr" : : "c"(b), "a"((uint32_t)(unsigned long)hypercall_page), "d"(0) : "memory");
  gate(0x30, hvm_event);
  gate(0x31, hvm_lapic_timer);
  gate(0x25, hvm_isa);
  __asm__ volatile("lidt %0" : : "m"(idtr) : "memory");
  struct xen_add_to_physmap m = { .domid = DOMID_SELF, .space = XENMAPSPACE_shared_info, .gpfn = (unsigned long)&shared_page >> 12 };
  check("shared_info in place", H2(memory_op, XENMEM_add_to_physmap, &m), 0);
  struct xen_hvm_param p = { .domid = DOMID_SELF, .index = HVM_PARAM_CALLBACK_IRQ, .value = 2ul << 56 | 0x30 };
  check("callback vector", H2(hvm_op, HVMOP_set_param, &p), 0);
  __asm__ volatile("sti" ::: "memory");
}

static void
test_lapic(void)
{
  check("LAPIC version", LAPIC[0x30 / 4] & 0xff, 0x14);
  LAPIC[0xf0 / 4] = 0x1ff;
  LAPIC[0x320 / 4] = 0x31;
  LAPIC[0x3e0 / 4] = 0xb;
  LAPIC[0x380 / 4] = 10000;
  while(!lapic_ticks)
    __asm__ volatile("hlt");
  check("LAPIC timer", lapic_ticks, 1);
  LAPIC[0x300 / 4] = 0x40031;
  check("IPI to self", lapic_ticks, 2);
}

// With a device model (guest.c, test_dm): ports 0x500-0x503 answer port + 1, 0x504 adds up what is written, memory at 0xe0000000.
static void
test_device_model(void)
{
  uint32_t v;
  static const char text[] = "string!";
  const char *p = text;
  unsigned long n = 7;

  check("port read", inb(0x500), 1);
  __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"((uint16_t)0x500));
  check("wide port read", v, 0x501);
  outb(0x504, 5);
  __asm__ volatile("rep outsb" : "+S"(p), "+c"(n) : "d"((uint16_t)0x504) : "memory");
  check("string written", inb(0x504), (uint8_t)(5 + 's' + 't' + 'r' + 'i' + 'n' + 'g' + '!'));
  check("its count used up", (long)n, 0);
  uint8_t *in = scratch + 4090;
  n = 4;
  __asm__ volatile("rep insb" : "+D"(in), "+c"(n) : "d"((uint16_t)0x501) : "memory");
  check("string read", scratch[4090] + scratch[4093], 4);
  *(volatile uint32_t *)0xe0000010 = 0x12345678;
  check("device memory", *(volatile uint32_t *)0xe0000010, 0x12345678 + 1);
  check("a byte of it", *(volatile uint8_t *)0xe0000011, 0x79);
  outb(0x20, 0x11); // both 8259s: vectors 0x20 and 0x28, only line 5 open
  outb(0x21, 0x20);
  outb(0x21, 4);
  outb(0x21, 1);
  outb(0x21, 0xdf);
  LAPIC[0x350 / 4] = 0x700;
  outb(0xf4, 0); // the device model raises line 5
  check("ISA interrupt", isa_interrupts, 1);
  outb(0xf6, 0); // done
}

static void
test_hvm(void)
{
  uint32_t a, b, c, d;

  __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0x40000000), "c"(0));
  check("Xen signature", b, 0x566e6558);
  test_lapic();
}
