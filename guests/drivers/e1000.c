// Intel 82540EM gigabit Ethernet controller: legacy descriptors, interrupt-driven.
//
// Every 16th transmit descriptor, and the last of a burst, asks for a status report; transmit interrupts are unmasked only
// while somebody waits. "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual", chapter 3 "Receive and
// Transmit Description", section 13.4 "Main Register Descriptions", chapter 14 "General Initialization and Reset Operation".

#include "drivers/net.h"
#include "lib/clock.h"
#include "lib/console.h"
#include "lib/interrupts.h"
#include "lib/memory.h"
#include "lib/pci.h"
#include "lib/string.h"
#include "lib/x86.h"

enum {
  VENDOR_INTEL = 0x8086, DEVICE_82540EM = 0x100e, BAR_BYTES = 0x20000,
  CTRL = 0x0000, EERD = 0x0014, ICR = 0x00c0, IMS = 0x00d0, IMC = 0x00d8, RCTL = 0x0100, TCTL = 0x0400, TIPG = 0x0410,
  RDBAL = 0x2800, RDBAH = 0x2804, RDLEN = 0x2808, RDH = 0x2810, RDT = 0x2818,
  TDBAL = 0x3800, TDBAH = 0x3804, TDLEN = 0x3808, TDH = 0x3810, TDT = 0x3818,
  MTA = 0x5200, RAL0 = 0x5400, RAH0 = 0x5404,
  CTRL_ASDE = 1 << 5, CTRL_SLU = 1 << 6, CTRL_RST = 1 << 26,
  INT_TXDW = 1 << 0, INT_LSC = 1 << 2, INT_RXDMT0 = 1 << 4, INT_RXO = 1 << 6, INT_RXT0 = 1 << 7,
  RCTL_EN = 1 << 1, RCTL_UPE = 1 << 3, RCTL_MPE = 1 << 4, RCTL_BAM = 1 << 15, RCTL_SECRC = 1 << 26, // 2048-byte buffers; frame check sequence stripped
  TCTL_EN = 1 << 1, TCTL_PSP = 1 << 3, TCTL_CT = 15 << 4, TCTL_COLD = 0x40 << 12,
  TIPG_COPPER = 10 | 10 << 10 | 10 << 20,
  TX_CMD_EOP = 1, TX_CMD_IFCS = 2, TX_CMD_RS = 8, DESC_DD = 1, RX_STATUS_EOP = 2,
  EERD_START = 1, EERD_DONE = 1 << 4,
  TX_RING = 64, RX_RING = 256, BUFFER = 2048, REPORT_EVERY = 16,
};
#define RAH_AV 0x80000000u

struct rx_descriptor {
  uint64_t address;
  uint16_t length, checksum;
  uint8_t status, errors;
  uint16_t special;
};

struct tx_descriptor {
  uint64_t address;
  uint16_t length;
  uint8_t cso, cmd, status, css;
  uint16_t special;
};

struct e1000 {
  struct net_device device;
  volatile uint8_t *registers;
  volatile struct rx_descriptor *rx;
  volatile struct tx_descriptor *tx;
  char *rx_buffers, *tx_buffers; // half a page each
  unsigned rx_next;
  unsigned tx_next, tx_done; // free-running; tx_done: reported as sent
};
static struct e1000 e1000;

static uint32_t rd(struct e1000 *e, unsigned reg) { return mmio_read(e->registers + reg); }
static void wr(struct e1000 *e, unsigned reg, uint32_t v) { mmio_write(e->registers + reg, v); }

// Advances tx_done over what has been reported. Only some descriptors report; one that did vouches for all before it.
static unsigned
e1000_in_flight(struct net_device *device)
{
  struct e1000 *e = device->driver;

  for(unsigned i = e->tx_done; i != e->tx_next; i++)
    if(e->tx[i % TX_RING].cmd & TX_CMD_RS){
      if(!(e->tx[i % TX_RING].status & DESC_DD))
        break;
      e->tx_done = i + 1;
    }
  return e->tx_next - e->tx_done;
}

static bool
e1000_transmit(struct net_device *device, const void *frame, size_t bytes, bool more)
{
  struct e1000 *e = device->driver;

  // One descriptor stays unused: head equal to tail means empty.
  if(e->tx_next - e->tx_done == TX_RING - 1 && e1000_in_flight(device) == TX_RING - 1)
    return false;
  unsigned i = e->tx_next++ % TX_RING;
  bool report = !more || i % REPORT_EVERY == REPORT_EVERY - 1;
  memcpy(e->tx_buffers + i * BUFFER, frame, bytes);
  if(bytes < FRAME_MIN)
    memset(e->tx_buffers + i * BUFFER + bytes, 0, FRAME_MIN - bytes);
  e->tx[i].length = (uint16_t)MAX(bytes, FRAME_MIN);
  e->tx[i].status = 0;
  e->tx[i].cmd = TX_CMD_EOP | TX_CMD_IFCS | (report ? TX_CMD_RS : 0);
  wmb();
  wr(e, TDT, e->tx_next % TX_RING);
  return true;
}

static void
e1000_notify_at(struct net_device *device, unsigned remaining)
{
  wr(device->driver, remaining == (unsigned)NOTIFY_NEVER ? IMC : IMS, INT_TXDW);
}

static void
e1000_promiscuous(struct net_device *device, bool on)
{
  struct e1000 *e = device->driver;

  wr(e, RCTL, (rd(e, RCTL) & ~(RCTL_UPE | RCTL_MPE)) | (on ? RCTL_UPE | RCTL_MPE : 0));
}

static void
receive_all(struct e1000 *e)
{
  unsigned given_back = RX_RING;

  for(;;){
    volatile struct rx_descriptor *d = &e->rx[e->rx_next];
    if(!(d->status & DESC_DD))
      break;
    if(d->status & RX_STATUS_EOP && !d->errors && e->device.receive)
      e->device.receive(e->device.receive_context, e->rx_buffers + e->rx_next * BUFFER, d->length);
    d->status = 0;
    given_back = e->rx_next;
    e->rx_next = (e->rx_next + 1) % RX_RING;
  }
  if(given_back != RX_RING)
    wr(e, RDT, given_back);
}

static void
e1000_interrupt(void *context)
{
  struct e1000 *e = context;
  uint32_t cause = rd(e, ICR); // reading clears

  if(cause & INT_TXDW){
    wr(e, IMC, INT_TXDW); // who still waits asks again
    if(e->device.sent)
      e->device.sent(e->device.receive_context);
  }
  if(cause & (INT_RXT0 | INT_RXDMT0 | INT_RXO))
    receive_all(e);
}

static uint16_t
eeprom_word(struct e1000 *e, unsigned word)
{
  uint32_t v;

  wr(e, EERD, word << 8 | EERD_START);
  while(!((v = rd(e, EERD)) & EERD_DONE))
    ;
  return (uint16_t)(v >> 16);
}

static void
read_mac(struct e1000 *e)
{
  for(unsigned i = 0; i < MAC_BYTES / 2; i++){
    uint16_t w = eeprom_word(e, i);
    e->device.mac[2 * i] = (uint8_t)w;
    e->device.mac[2 * i + 1] = (uint8_t)(w >> 8);
  }
}

static void
init_rings(struct e1000 *e)
{
  const uint8_t *mac = e->device.mac;

  e->rx = pages_alloc(1);
  e->tx = pages_alloc(1);
  e->rx_buffers = pages_alloc(RX_RING * BUFFER / PAGE_SIZE);
  e->tx_buffers = pages_alloc(TX_RING * BUFFER / PAGE_SIZE);
  for(unsigned i = 0; i < RX_RING; i++)
    e->rx[i].address = machine_address(e->rx_buffers + i * BUFFER);
  for(unsigned i = 0; i < TX_RING; i++)
    e->tx[i].address = machine_address(e->tx_buffers + i * BUFFER);

  wr(e, RAL0, mac[0] | mac[1] << 8 | mac[2] << 16 | (uint32_t)mac[3] << 24);
  wr(e, RAH0, mac[4] | mac[5] << 8 | RAH_AV);
  for(unsigned i = 0; i < 128; i++)
    wr(e, MTA + 4 * i, 0);
  uint64_t rx = machine_address((void *)e->rx), tx = machine_address((void *)e->tx);
  wr(e, RDBAL, (uint32_t)rx);
  wr(e, RDBAH, (uint32_t)(rx >> 32));
  wr(e, RDLEN, RX_RING * sizeof(struct rx_descriptor));
  wr(e, RDH, 0);
  wr(e, RDT, RX_RING - 1);
  wr(e, RCTL, RCTL_EN | RCTL_BAM | RCTL_SECRC);
  wr(e, TDBAL, (uint32_t)tx);
  wr(e, TDBAH, (uint32_t)(tx >> 32));
  wr(e, TDLEN, TX_RING * sizeof(struct tx_descriptor));
  wr(e, TDH, 0);
  wr(e, TDT, 0);
  wr(e, TIPG, TIPG_COPPER);
  wr(e, TCTL, TCTL_EN | TCTL_PSP | TCTL_CT | TCTL_COLD);
}

struct net_device *
e1000_init(void)
{
  struct e1000 *e = &e1000;
  struct pci_device pci;

  if(!pci_find_device(VENDOR_INTEL, DEVICE_82540EM, 0, &pci))
    return NULL;
  e->registers = device_map(pci_bar(&pci, 0), BAR_BYTES);
  pci_enable(&pci, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
  wr(e, IMC, 0xffffffff);
  wr(e, CTRL, rd(e, CTRL) | CTRL_RST);
  while(rd(e, CTRL) & CTRL_RST)
    ;
  wr(e, IMC, 0xffffffff);
  rd(e, ICR);
  wr(e, CTRL, rd(e, CTRL) | CTRL_SLU | CTRL_ASDE);
  read_mac(e);
  init_rings(e);
  e->device.name = "e1000";
  e->device.transmit = e1000_transmit;
  e->device.in_flight = e1000_in_flight;
  e->device.notify_at = e1000_notify_at;
  e->device.promiscuous = e1000_promiscuous;
  e->device.queue_size = TX_RING - 1;
  e->device.driver = e;
  interrupt_bind(pci_interrupt_line(&pci), TRIGGER_LEVEL, e1000_interrupt, e);
  wr(e, IMS, INT_RXT0 | INT_RXDMT0 | INT_RXO);
  return &e->device;
}
