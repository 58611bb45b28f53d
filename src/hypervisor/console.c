// What the hypervisor says: COM1, and printf for it. Also the console of dom0 (hypercall console_io).
//
// 16550 data sheet: line status bit 5, transmitter holding register empty.
#include "defs.h"
#include "memlayout.h"

#define COM1 0x3f8

static bool present;
static bool line_start = true;

void
console_init(void)
{
  outb(COM1 + 1, 0);    // no interrupts: we poll
  outb(COM1 + 3, 0x80); // divisor latch
  outb(COM1 + 0, 1);    // 115200 baud
  outb(COM1 + 1, 0);
  outb(COM1 + 3, 3);    // 8 bits, no parity
  outb(COM1 + 2, 7);    // FIFO on, cleared
  outb(COM1 + 4, 3);    // DTR, RTS
  present = inb(COM1 + 5) != 0xff;
}

static void
putraw(char c)
{
  if(!present)
    return;
  while((inb(COM1 + 5) & 0x20) == 0)
    pause();
  outb(COM1, (uint8)c);
}

void
console_putc(char c)
{
  if(c == '\n')
    putraw('\r');
  putraw(c);
  line_start = c == '\n';
}

// A guest's text. Nothing is added: whoever reads the line sees what the guest wrote.
void
console_write(const char *s, size_t n)
{
  while(n-- > 0)
    console_putc(*s++);
}

static void
putnum(uint64 v, int base, int width, char pad, bool neg)
{
  char buf[24];
  int n = 0;

  do
    buf[n++] = "0123456789abcdef"[v % (uint64)base];
  while((v /= (uint64)base) != 0);
  if(neg)
    buf[n++] = '-';
  for(; width > n; width--)
    console_putc(pad);
  while(n > 0)
    console_putc(buf[--n]);
}

// %c %s %d %u %x %p with optional zero flag, width and l.
void
vprintk(const char *fmt, va_list ap)
{
  for(; *fmt; fmt++){
    if(*fmt != '%'){
      console_putc(*fmt);
      continue;
    }
    char pad = ' ';
    int width = 0;
    bool wide = false;
    fmt++;
    if(*fmt == '0')
      pad = '0';
    for(; *fmt >= '0' && *fmt <= '9'; fmt++)
      width = width * 10 + *fmt - '0';
    for(; *fmt == 'l'; fmt++)
      wide = true;
    switch(*fmt){
    case 'd': {
      int64 v = wide ? va_arg(ap, int64) : va_arg(ap, int);
      putnum(v < 0 ? -(uint64)v : (uint64)v, 10, width, pad, v < 0);
      break;
    }
    case 'u': putnum(wide ? va_arg(ap, uint64) : va_arg(ap, uint32), 10, width, pad, false); break;
    case 'x': putnum(wide ? va_arg(ap, uint64) : va_arg(ap, uint32), 16, width, pad, false); break;
    case 'p': putnum(va_arg(ap, uint64), 16, 16, '0', false); break;
    case 'c': console_putc((char)va_arg(ap, int)); break;
    case 's': {
      const char *s = va_arg(ap, const char *);
      for(s = s ? s : "(null)"; *s; s++)
        console_putc(*s);
      break;
    }
    default: console_putc('%'); console_putc(*fmt); break;
    }
  }
}

void
printk(const char *fmt, ...)
{
  va_list ap;

  if(!line_start)
    console_putc('\n'); // do not run into a guest's half line
  console_write("(XEN) ", 6);
  va_start(ap, fmt);
  vprintk(fmt, ap);
  va_end(ap);
}

void
panic(const char *fmt, ...)
{
  va_list ap;

  cli();
  if(!line_start)
    console_putc('\n');
  console_write("(XEN) panic: ", 13);
  va_start(ap, fmt);
  vprintk(fmt, ap);
  va_end(ap);
  console_putc('\n');
  machine_stop(1);
}

// CONSOLEIO_write: text of a guest. Kept in pieces so that a long one needs no large buffer.
static int64
console_guest_write(uint64 gva, uint64 n)
{
  char buf[128];

  for(uint64 done = 0; done < n;){
    uint64 m = MIN(n - done, sizeof(buf));
    if(copy_from_guest(buf, gva + done, m))
      return -XEN_EFAULT;
    console_write(buf, m);
    done += m;
  }
  return 0;
}

int64
do_console_io(uint64 cmd, uint64 count, uint64 gva)
{
  switch(cmd){
  case CONSOLEIO_write: return console_guest_write(gva, count);
  case CONSOLEIO_read:  return 0; // nobody types to the hypervisor
  default:              return -XEN_ENOSYS;
  }
}
