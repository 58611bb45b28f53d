// ATA disk on the primary channel of a PIIX IDE controller: bus-master DMA, or PIO with option ata=pio.
//
// One command at a time; the rest wait in a list. Interrupt-driven: the handler finishes a command and starts the next.
// With DMA, requests that wait in a row for neighbouring sectors, in the same direction, become one command.
// ATA/ATAPI-6 sections 8.15 "IDENTIFY DEVICE", 8.27 "READ DMA", 8.34 "READ SECTOR(S)"; 82371SB (PIIX3) data sheet
// section 2.7 "PCI Master IDE I/O Registers"; "Programming Interface for Bus Master IDE Controller", revision 1.0.

#include "drivers/block.h"
#include "lib/console.h"
#include "lib/environment.h"
#include "lib/interrupts.h"
#include "lib/memory.h"
#include "lib/pci.h"
#include "lib/string.h"
#include "lib/x86.h"

enum {
  PCI_CLASS_IDE = 0x0101,
  ATA_LINE = 14,
  ATA_DATA = 0x1f0, ATA_ERROR = 0x1f1, ATA_COUNT = 0x1f2, ATA_LBA_LOW = 0x1f3, ATA_LBA_MID = 0x1f4, ATA_LBA_HIGH = 0x1f5,
  ATA_DEVICE = 0x1f6, ATA_COMMAND = 0x1f7, ATA_STATUS = 0x1f7, ATA_CONTROL = 0x3f6,
  STATUS_ERR = 0x01, STATUS_DRQ = 0x08, STATUS_DF = 0x20, STATUS_BSY = 0x80,
  DEVICE_LBA = 0xe0,
  COMMAND_READ = 0x20, COMMAND_READ_EXT = 0x24, COMMAND_WRITE = 0x30, COMMAND_WRITE_EXT = 0x34, COMMAND_READ_DMA = 0xc8,
  COMMAND_READ_DMA_EXT = 0x25, COMMAND_WRITE_DMA = 0xca, COMMAND_WRITE_DMA_EXT = 0x35, COMMAND_IDENTIFY = 0xec,
  BM_COMMAND = 0, BM_STATUS = 2, BM_PRD = 4,
  BM_START = 1, BM_TO_MEMORY = 8, BM_STATUS_ERROR = 2, BM_STATUS_INTERRUPT = 4,
  PRDS = PAGE_SIZE / 8, MAX_BYTES = 256 * SECTOR_SIZE, // a 28-bit command counts to 256
};
#define PRD_LAST 0x80000000u
#define LBA28_END (1ul << 28)

struct prd {
  uint32_t address;
  uint32_t bytes_and_flags; // bytes 0-15 (0: 64 KiB), last 31
};

struct ata {
  struct block_device device;
  struct block_request *first, *last; // in the order of submission
  unsigned running;                   // so many of them, from the first on, are the command in progress
  bool plugged;
  struct prd *prds;
  uint16_t bm;       // bus-master registers; 0: PIO
  bool lba48;
  unsigned segment, at; // PIO: where in the current request
};
static struct ata ata;

static uint8_t
wait_not_busy(void)
{
  uint8_t status;

  while((status = inb(ATA_STATUS)) & STATUS_BSY)
    pause();
  return status;
}

static unsigned
request_sectors(const struct block_request *r)
{
  unsigned bytes = 0;

  for(unsigned i = 0; i < r->n_segments; i++)
    bytes += r->segments[i].bytes;
  return bytes / SECTOR_SIZE;
}

// Neighbouring pieces share a descriptor as long as it does not cross 64 KiB.
static void
fill_prds(struct ata *a)
{
  const struct block_request *r = a->first;
  unsigned n = 0;
  uint32_t bytes = 0;

  for(unsigned k = 0; k < a->running; k++, r = r->next)
    for(unsigned i = 0; i < r->n_segments; i++){
      uint32_t address = (uint32_t)r->segments[i].machine;
      if(n && address == a->prds[n - 1].address + bytes && address & 0xffff){
        bytes += r->segments[i].bytes;
      } else {
        bytes = r->segments[i].bytes;
        a->prds[n++].address = address;
      }
      a->prds[n - 1].bytes_and_flags = bytes & 0xffff;
    }
  a->prds[n - 1].bytes_and_flags |= PRD_LAST;
}

// How many requests, from the first on, one command can do; *sectors: their size.
static unsigned
choose(const struct ata *a, unsigned *sectors)
{
  const struct block_request *r = a->first;
  unsigned n = 1, prds = r->n_segments;

  *sectors = request_sectors(r);
  for(const struct block_request *next; a->bm && (next = r->next); r = next, n++){
    unsigned more = request_sectors(next);
    if(next->write != r->write || next->sector != a->first->sector + *sectors || (*sectors + more) * SECTOR_SIZE > MAX_BYTES ||
       prds + next->n_segments > PRDS)
      break;
    *sectors += more;
    prds += next->n_segments;
  }
  return n;
}

static void
set_address(uint64_t sector, unsigned count, bool extended)
{
  outb(ATA_DEVICE, DEVICE_LBA | (extended ? 0 : sector >> 24 & 15));
  if(extended){
    outb(ATA_COUNT, (uint8_t)(count >> 8));
    outb(ATA_LBA_LOW, (uint8_t)(sector >> 24));
    outb(ATA_LBA_MID, (uint8_t)(sector >> 32));
    outb(ATA_LBA_HIGH, (uint8_t)(sector >> 40));
  }
  outb(ATA_COUNT, (uint8_t)count);
  outb(ATA_LBA_LOW, (uint8_t)sector);
  outb(ATA_LBA_MID, (uint8_t)(sector >> 8));
  outb(ATA_LBA_HIGH, (uint8_t)(sector >> 16));
}

// Moves one sector between the data register and the request's memory. True when it was the last.
static bool
pio_sector(struct ata *a, const struct block_request *r)
{
  const struct block_segment *s = &r->segments[a->segment];

  if(r->write)
    outsw(ATA_DATA, (char *)s->va + a->at, SECTOR_SIZE / 2);
  else
    insw(ATA_DATA, (char *)s->va + a->at, SECTOR_SIZE / 2);
  a->at += SECTOR_SIZE;
  if(a->at == s->bytes){
    a->at = 0;
    a->segment++;
  }
  return a->segment == r->n_segments;
}

static void
start(struct ata *a)
{
  const struct block_request *r = a->first;
  unsigned count;

  a->running = choose(a, &count);
  bool extended = a->lba48 && r->sector + count > LBA28_END;

  set_address(r->sector, count, extended);
  if(!a->bm){
    a->segment = a->at = 0;
    outb(ATA_COMMAND, r->write ? extended ? COMMAND_WRITE_EXT : COMMAND_WRITE : extended ? COMMAND_READ_EXT : COMMAND_READ);
    if(r->write && wait_not_busy() & STATUS_DRQ)
      pio_sector(a, r); // the first sector of a write is asked for without an interrupt
    return;
  }
  fill_prds(a);
  outl(a->bm + BM_PRD, (uint32_t)machine_address(a->prds));
  outb(a->bm + BM_STATUS, inb(a->bm + BM_STATUS) | BM_STATUS_ERROR | BM_STATUS_INTERRUPT); // write 1 to clear
  outb(a->bm + BM_COMMAND, r->write ? 0 : BM_TO_MEMORY);
  outb(ATA_COMMAND, r->write ? extended ? COMMAND_WRITE_DMA_EXT : COMMAND_WRITE_DMA : extended ? COMMAND_READ_DMA_EXT : COMMAND_READ_DMA);
  outb(a->bm + BM_COMMAND, (r->write ? 0 : BM_TO_MEMORY) | BM_START);
}

static void
finish(struct ata *a, bool failed)
{
  struct block_request *r = a->first;
  unsigned n = a->running;

  for(unsigned i = 0; i < n; i++)
    a->first = a->first->next;
  a->running = 0;
  if(a->first)
    start(a);
  while(n--){
    struct block_request *next = r->next; // r is the submitter's once it is done
    r->status = failed ? BLOCK_ERROR : BLOCK_OK;
    r->done(r);
    r = next;
  }
}

static void
dma_interrupt(struct ata *a)
{
  uint8_t bm_status = inb(a->bm + BM_STATUS);

  if(!(bm_status & BM_STATUS_INTERRUPT))
    return;
  outb(a->bm + BM_COMMAND, 0);
  uint8_t status = inb(ATA_STATUS); // takes the interrupt line down
  outb(a->bm + BM_STATUS, bm_status | BM_STATUS_ERROR | BM_STATUS_INTERRUPT);
  if(a->running)
    finish(a, bm_status & BM_STATUS_ERROR || status & (STATUS_ERR | STATUS_DF));
}

static void
pio_interrupt(struct ata *a)
{
  uint8_t status = inb(ATA_STATUS);
  struct block_request *r = a->first;

  if(!a->running || status & STATUS_BSY)
    return;
  if(status & (STATUS_ERR | STATUS_DF))
    finish(a, true);
  else if(status & STATUS_DRQ){
    bool last = pio_sector(a, r);
    if(last && !r->write)
      finish(a, false);
  } else if(r->write)
    finish(a, false);
}

static void
ata_interrupt(void *context)
{
  struct ata *a = context;

  if(a->bm)
    dma_interrupt(a);
  else
    pio_interrupt(a);
}

static void
ata_submit(struct block_device *device, struct block_request *request)
{
  struct ata *a = device->driver;
  bool enabled = interrupts_disable();

  request->next = NULL;
  if(a->first)
    a->last->next = request;
  else
    a->first = request;
  a->last = request;
  if(!a->running && !a->plugged)
    start(a);
  interrupts_restore(enabled);
}

static void
ata_plug(struct block_device *device, bool on)
{
  struct ata *a = device->driver;
  bool enabled = interrupts_disable();

  a->plugged = on;
  if(!on && !a->running && a->first)
    start(a);
  interrupts_restore(enabled);
}

// True when a disk answers; fills in its size.
static bool
identify(struct ata *a)
{
  uint16_t words[256];

  outb(ATA_DEVICE, DEVICE_LBA);
  outb(ATA_CONTROL, 0); // interrupts on
  uint8_t status = inb(ATA_STATUS);
  if(status == 0 || status == 0xff)
    return false;
  wait_not_busy();
  outb(ATA_COMMAND, COMMAND_IDENTIFY);
  status = wait_not_busy();
  if(status & STATUS_ERR || !(status & STATUS_DRQ))
    return false;
  insw(ATA_DATA, words, 256);
  inb(ATA_STATUS);
  a->lba48 = words[83] >> 10 & 1;
  a->device.sectors = words[60] | (uint64_t)words[61] << 16;
  if(a->lba48)
    a->device.sectors = words[100] | (uint64_t)words[101] << 16 | (uint64_t)words[102] << 32 | (uint64_t)words[103] << 48;
  return true;
}

struct block_device *
ata_init(void)
{
  struct pci_device controller;

  if(!pci_find_class(PCI_CLASS_IDE, 0, &controller))
    return NULL;
  if(!identify(&ata))
    return NULL;
  if(!option_is("ata", "pio")){
    ata.bm = (uint16_t)pci_bar(&controller, 4);
    pci_enable(&controller, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    ata.prds = pages_alloc(1);
  }
  ata.device.name = ata.bm ? "ata (bus-master DMA)" : "ata (PIO)";
  ata.device.max_bytes = MAX_BYTES;
  ata.device.max_segments = PRDS;
  ata.device.submit = ata_submit;
  ata.device.plug = ata_plug;
  ata.device.driver = &ata;
  interrupt_bind(ATA_LINE, TRIGGER_EDGE, ata_interrupt, &ata);
  return &ata.device;
}
