// Emulated 82540EM network card: registers, EEPROM, PHY as far as drivers look, transmit and receive rings, interrupts.
//
// No offloads: the driver is not offered checksums, and context descriptors are skipped. "PCI/PCI-X Family of Gigabit Ethernet
// Controllers Software Developer's Manual", chapter 3 "Receive and Transmit Description", section 13.4 "Main Register Descriptions".
#include "dom0/dm.h"

#include "lib/console.h"
#include "lib/memory.h"
#include "lib/string.h"

#pragma clang section text=".text.devmodel"

enum {
  DEVICE = 3, REGISTERS = 0x20000,
  CTRL = 0x0000, STATUS = 0x0008, EECD = 0x0010, EERD = 0x0014, MDIC = 0x0020, ICR = 0x00c0, ITR = 0x00c4, ICS = 0x00c8, IMS = 0x00d0,
  IMC = 0x00d8, RCTL = 0x0100, TCTL = 0x0400, RDBAL = 0x2800, RDBAH = 0x2804, RDLEN = 0x2808, RDH = 0x2810, RDT = 0x2818,
  TDBAL = 0x3800, TDBAH = 0x3804, TDLEN = 0x3808, TDH = 0x3810, TDT = 0x3818, RAL0 = 0x5400, RAH0 = 0x5404,
  CTRL_RST = 1 << 26, STATUS_FULL_LINK_1000 = 0x83,
  INT_TXDW = 1, INT_LSC = 4, INT_RXDMT0 = 1 << 4, INT_RXO = 1 << 6, INT_RXT0 = 1 << 7, INT_MDAC = 1 << 9,
  RCTL_EN = 2, RCTL_UPE = 8, RCTL_MPE = 16, RCTL_BAM = 1 << 15, RCTL_BSEX = 1 << 25, RCTL_SECRC = 1 << 26, TCTL_EN = 2,
  TX_EOP = 1, TX_RS = 8, TX_DEXT = 0x20, TX_DATA_TYPE = 1, DESC_DD = 1, RX_EOP = 2, FCS = 4,
  DESCRIPTOR = 16, FRAME = 2048,
};
#define MDIC_READY (1u << 28)

struct descriptor {
  uint64_t address;
  uint16_t length;
  uint8_t b10, command; // transmit: CSO or type and high length bits; receive: checksum
  uint8_t status, b13;
  uint16_t special;
};

struct nic {
  struct device_model *model;
  struct bridge_port bridge;
  uint32_t *registers; // those that only remember what was written, too
  uint16_t eeprom[64];
  uint32_t causes, mask;
  bool line;
  char frame[FRAME];
  unsigned frame_bytes;
};

static uint32_t *reg(struct nic *n, unsigned offset) { return &n->registers[offset / 4]; }

static void
update_line(struct nic *n)
{
  bool level = n->causes & n->mask;

  if(level != n->line)
    dm_pci_line(n->model, DEVICE, n->line = level);
}

static void
raise(struct nic *n, uint32_t causes)
{
  n->causes |= causes;
  update_line(n);
}

// ---- transmit

// Takes one descriptor's bytes; sends the frame at its end. Data beyond the largest frame is cut off.
static void
transmit_data(struct nic *n, const struct descriptor *d, unsigned bytes)
{
  unsigned room = FRAME - n->frame_bytes;

  dm_read(n->model, d->address, n->frame + n->frame_bytes, MIN(bytes, room));
  n->frame_bytes += MIN(bytes, room);
  if(!(d->command & TX_EOP))
    return;
  if(n->frame_bytes < FRAME_MIN){
    memset(n->frame + n->frame_bytes, 0, FRAME_MIN - n->frame_bytes);
    n->frame_bytes = FRAME_MIN;
  }
  if(n->frame_bytes <= FRAME_MAX)
    bridge_send(&n->bridge, n->frame, n->frame_bytes);
  n->frame_bytes = 0;
}

static void
transmit(struct nic *n)
{
  uint32_t ring = *reg(n, TDLEN) / DESCRIPTOR, causes = 0;
  uint64_t base = (uint64_t)*reg(n, TDBAH) << 32 | (*reg(n, TDBAL) & ~15u);

  if(!(*reg(n, TCTL) & TCTL_EN) || !ring || *reg(n, TDT) >= ring)
    return;
  while(*reg(n, TDH) != *reg(n, TDT) && bridge_has_room(&n->bridge, 1)){
    uint64_t at = base + *reg(n, TDH) * DESCRIPTOR;
    struct descriptor d;
    if(!dm_read(n->model, at, &d, sizeof d))
      return;
    if(!(d.command & TX_DEXT))
      transmit_data(n, &d, d.length);
    else if(d.b10 >> 4 == TX_DATA_TYPE)
      transmit_data(n, &d, d.length | (d.b10 & 15u) << 16);
    if(d.command & TX_RS){
      d.status |= DESC_DD;
      dm_write(n->model, at + offsetof(struct descriptor, status), &d.status, 1);
      causes |= INT_TXDW;
    }
    *reg(n, TDH) = (*reg(n, TDH) + 1) % ring;
  }
  if(causes)
    raise(n, causes);
}

static void
resume(struct bridge_port *port)
{
  transmit((struct nic *)((char *)port - offsetof(struct nic, bridge)));
}

// ---- receive

static bool
wanted(struct nic *n, const uint8_t *frame)
{
  static const uint8_t broadcast[MAC_BYTES] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
  uint32_t rctl = *reg(n, RCTL);
  uint32_t low = *reg(n, RAL0), high = *reg(n, RAH0);
  uint8_t own[MAC_BYTES];

  if(!memcmp(frame, broadcast, MAC_BYTES))
    return rctl & RCTL_BAM;
  if(frame[0] & 1)
    return rctl & RCTL_MPE;
  memcpy(own, &low, 4);
  memcpy(own + 4, &high, 2);
  return rctl & RCTL_UPE || (high >> 31 && !memcmp(frame, own, MAC_BYTES));
}

// RCTL.BSIZE and BSEX. Section 13.4.22 "Receive Control Register".
static unsigned
buffer_size(uint32_t rctl)
{
  static const unsigned plain[4] = { 2048, 1024, 512, 256 }, extended[4] = { 0, 16384, 8192, 4096 };
  unsigned size = rctl >> 16 & 3;

  return rctl & RCTL_BSEX ? extended[size] : plain[size];
}

static void
deliver(struct bridge_port *port, const void *frame, size_t bytes)
{
  struct nic *n = (struct nic *)((char *)port - offsetof(struct nic, bridge));
  uint32_t rctl = *reg(n, RCTL), ring = *reg(n, RDLEN) / DESCRIPTOR;
  uint64_t base = (uint64_t)*reg(n, RDBAH) << 32 | (*reg(n, RDBAL) & ~15u);
  unsigned size = buffer_size(rctl), total = (unsigned)bytes + (rctl & RCTL_SECRC ? 0 : FCS);
  uint32_t head = *reg(n, RDH);

  if(!(rctl & RCTL_EN) || !ring || !size || !wanted(n, frame))
    return;
  unsigned free = (*reg(n, RDT) + ring - head) % ring;
  if(free * size < total){
    raise(n, INT_RXO);
    return;
  }
  for(unsigned at = 0; at < total; head = (head + 1) % ring){
    uint64_t where = base + head * DESCRIPTOR;
    unsigned piece = MIN(size, total - at);
    struct descriptor d;
    if(!dm_read(n->model, where, &d, sizeof d))
      return;
    if(at < bytes)
      dm_write(n->model, d.address, (const char *)frame + at, MIN(piece, bytes - at));
    at += piece;
    d.length = (uint16_t)piece;
    d.b10 = d.command = d.b13 = 0;
    d.special = 0;
    d.status = DESC_DD | (at == total ? RX_EOP : 0);
    dm_write(n->model, where, &d, sizeof d);
  }
  *reg(n, RDH) = head;
  // The driver is told of every frame, and when half, a quarter or an eighth of the ring is left (RCTL.RDMTS).
  unsigned left = (*reg(n, RDT) + ring - head) % ring;
  raise(n, INT_RXT0 | (left <= ring >> (1 + (rctl >> 8 & 3)) ? INT_RXDMT0 : 0));
}

// ---- registers

static void
reset(struct nic *n)
{
  memset(n->registers, 0, REGISTERS);
  n->causes = n->mask = 0;
  n->frame_bytes = 0;
  *reg(n, CTRL) = 0x00000a09;
  *reg(n, STATUS) = STATUS_FULL_LINK_1000;
  memcpy(reg(n, RAL0), n->bridge.mac, 4);
  *reg(n, RAH0) = (uint32_t)(n->bridge.mac[4] | n->bridge.mac[5] << 8) | 1u << 31;
  update_line(n);
}

bool
nic_claims(struct device_model *m, uint64_t gpa)
{
  uint32_t bar = dm_pci_bar(dm_pci_function(m, DEVICE, 0), 0);

  return m->nic && bar && gpa >= bar && gpa < bar + REGISTERS;
}

// The PHY: identity of an M88E1000 and a link that is up at 1000 Mbit/s, full duplex.
static uint16_t
phy_read(unsigned r)
{
  switch(r){
  case 0: return 0x1140;
  case 1: return 0x796d;
  case 2: return 0x0141;
  case 3: return 0x0c20;
  case 4: return 0x0de1;
  case 5: return 0xcde1;
  case 9: return 0x0e00;
  case 10: return 0x3c00;
  case 17: return 0xac08;
  default: return 0;
  }
}

uint32_t
nic_read(struct nic *n, uint64_t gpa)
{
  unsigned offset = gpa & (REGISTERS - 4);

  switch(offset){
  case ICR: {
    uint32_t causes = n->causes;
    n->causes = 0;
    update_line(n);
    return causes;
  }
  case IMS: return n->mask;
  case ICS: case IMC: return 0;
  case EECD: return 0x00000300; // an EEPROM is there, and access is granted
  default: return *reg(n, offset);
  }
}

void
nic_write(struct nic *n, uint64_t gpa, uint32_t value)
{
  unsigned offset = gpa & (REGISTERS - 4);

  switch(offset){
  case CTRL:
    if(value & CTRL_RST)
      reset(n);
    else
      *reg(n, CTRL) = value;
    break;
  case STATUS: break;
  case EERD: // start: address in 15:8, data comes in 31:16 with done
    *reg(n, EERD) = value & 1 ? (uint32_t)n->eeprom[value >> 8 & 63] << 16 | (value & 0xff00) | 0x10 : value;
    break;
  case MDIC:
    if((value >> 26 & 3) == 2)
      value = (value & 0xffff0000) | phy_read(value >> 16 & 31);
    *reg(n, MDIC) = value | MDIC_READY;
    if(value & 1u << 29)
      raise(n, INT_MDAC);
    break;
  case ICR: n->causes &= ~value; update_line(n); break;
  case ICS: raise(n, value); break;
  case IMS: n->mask |= value; update_line(n); break;
  case IMC: n->mask &= ~value; update_line(n); break;
  case TDT: *reg(n, TDT) = value & 0xffff; transmit(n); break;
  default: *reg(n, offset) = value;
  }
}

struct nic *
nic_init(struct device_model *m)
{
  struct nic *n = pages_alloc((sizeof *n + PAGE_SIZE - 1) / PAGE_SIZE);
  uint16_t sum = 0;

  n->model = m;
  n->registers = pages_alloc(REGISTERS / PAGE_SIZE);
  bridge_guest_mac(m->guest, n->bridge.mac);
  n->bridge.mac[3] = 1; // the emulated card's address differs from the PV interface's
  for(unsigned i = 0; i < 3; i++)
    n->eeprom[i] = (uint16_t)(n->bridge.mac[2 * i] | n->bridge.mac[2 * i + 1] << 8);
  // Section 5.6.35 "Checksum Word Calculation": words 0 to 3Fh sum to BABAh.
  for(unsigned i = 0; i < 63; i++)
    sum = (uint16_t)(sum + n->eeprom[i]);
  n->eeprom[63] = (uint16_t)(0xbaba - sum);
  n->bridge.deliver = deliver;
  n->bridge.resume = resume;
  reset(n);
  bridge_add(&n->bridge);
  return n;
}
