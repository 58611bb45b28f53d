// 16550 on COM1, output only and polled: what a guest prints is not part of what is measured.
// National Semiconductor PC16550D data sheet, "Register descriptions".

#include "lib/console.h"
#include "lib/x86.h"

enum {
  COM1 = 0x3f8,
  COM_DATA = 0, COM_IER = 1, COM_FCR = 2, COM_LCR = 3, COM_MCR = 4, COM_LSR = 5,
  LCR_DLAB = 0x80, LCR_8N1 = 0x03,
  FCR_ENABLE_AND_CLEAR = 0x07,
  MCR_DTR_RTS = 0x03,
  LSR_THRE = 0x20,
};

void
serial_init(void)
{
  outb(COM1 + COM_IER, 0);
  outb(COM1 + COM_LCR, LCR_DLAB);
  outb(COM1 + COM_DATA, 1); // divisor 1: 115200 baud
  outb(COM1 + COM_IER, 0);
  outb(COM1 + COM_LCR, LCR_8N1);
  outb(COM1 + COM_FCR, FCR_ENABLE_AND_CLEAR);
  outb(COM1 + COM_MCR, MCR_DTR_RTS);
}

static void
serial_put(char c)
{
  // Bounded, so that a machine without a serial port still runs.
  for(int tries = 0; tries < 100000 && !(inb(COM1 + COM_LSR) & LSR_THRE); tries++)
    pause();
  outb(COM1 + COM_DATA, (uint8_t)c);
}

void
serial_write(const char *text, size_t n)
{
  for(size_t i = 0; i < n; i++){
    if(text[i] == '\n')
      serial_put('\r');
    serial_put(text[i]);
  }
}
