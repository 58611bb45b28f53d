// Emulated PIIX3 IDE: the primary channel with one disk, in programmed and bus-master transfers, backed by dom0's disk.
//
// The whole of a command's data is read before, or written after, the guest moves it. ATA/ATAPI-6 chapter 7 "Interface register
// definitions", chapter 8 "Command descriptions"; 82371SB data sheet section 2.7 "PCI Master IDE I/O Registers".
#include "dom0/dm.h"

#include "lib/console.h"
#include "lib/memory.h"
#include "lib/string.h"
#include "lib/interrupts.h"

#pragma clang section text=".text.devmodel"

enum {
  DATA = 0x1f0, CONTROL = 0x3f6, MAX_SECTORS = 256, BUFFER_PAGES = MAX_SECTORS * SECTOR_SIZE / PAGE_SIZE,
  BSY = 0x80, DRDY = 0x40, DSC = 0x10, DRQ = 0x08, ERR = 0x01, ABRT = 0x04, UNC = 0x40,
  SRST = 4, NIEN = 2, LBA_BIT = 0x40, SECOND_DEVICE = 0x10,
  BM_COMMAND = 0, BM_STATUS = 2, BM_PRD = 4, BM_START = 1, BM_TO_MEMORY = 8, BM_ACTIVE = 1, BM_ERROR = 2, BM_INTERRUPT = 4,
  PRD_LAST = 0x8000,
};

enum transfer { NONE, PIO_IN, PIO_OUT, DMA_IN, DMA_OUT };

struct ide {
  struct device_model *model;
  struct block_device *disk;
  // Task file; each address register remembers the value written before, for 48-bit commands.
  uint8_t count[2], lba[3][2], features, device, status, error, control;
  unsigned multiple; // sectors between interrupts of READ/WRITE MULTIPLE
  char *buffer;
  unsigned at, end, block; // bytes of the buffer moved, to move, between interrupts
  enum transfer transfer;
  uint64_t sector;
  unsigned sectors;
  bool line;
  uint8_t bm_command, bm_status;
  uint32_t bm_prd;
  struct block_request request;
  struct block_segment segments[BUFFER_PAGES];
  struct work done;
};

static void
set_line(struct ide *d, bool level)
{
  level = level && !(d->control & NIEN);
  if(level != d->line)
    dm_isa_line(d->model, ISA_IDE, d->line = level);
}

static void
interrupt(struct ide *d)
{
  d->bm_status |= BM_INTERRUPT;
  set_line(d, true);
}

static void
abort_command(struct ide *d, uint8_t error)
{
  d->error = error;
  d->status = DRDY | DSC | ERR;
  d->transfer = NONE;
  d->bm_status &= ~BM_ACTIVE;
  interrupt(d);
}

static void
disk_done(struct block_request *request)
{
  work_queue(&((struct ide *)request->context)->done);
}

static void
start_disk(struct ide *d, bool write)
{
  unsigned bytes = d->sectors * SECTOR_SIZE, n = 0;

  for(unsigned at = 0; at < bytes; at += PAGE_SIZE, n++)
    d->segments[n] = (struct block_segment){ d->buffer + at, machine_address(d->buffer + at), (uint32_t)MIN(PAGE_SIZE, bytes - at) };
  d->status = BSY | DSC;
  d->request = (struct block_request){
    .write = write, .sector = d->sector, .segments = d->segments, .n_segments = n, .done = disk_done, .context = d,
  };
  d->disk->submit(d->disk, &d->request);
}

// Moves the data between the buffer and the memory that the descriptor table names. False when the table is too short.
static bool
move_by_descriptors(struct ide *d, bool to_guest)
{
  uint32_t table = d->bm_prd;

  for(unsigned at = 0; at < d->end;){
    struct { uint32_t address; uint16_t bytes, flags; } prd;
    if(!dm_read(d->model, table, &prd, sizeof prd))
      return false;
    unsigned n = prd.bytes ? prd.bytes : 0x10000;
    n = MIN(n, d->end - at);
    if(to_guest)
      dm_write(d->model, prd.address, d->buffer + at, n);
    else
      dm_read(d->model, prd.address, d->buffer + at, n);
    at += n;
    table += sizeof prd;
    if(prd.flags & PRD_LAST && at < d->end)
      return false;
  }
  return true;
}

static void
dma_finish(struct ide *d, bool good)
{
  d->transfer = NONE;
  d->bm_status &= ~BM_ACTIVE;
  if(!good)
    d->bm_status |= BM_ERROR;
  d->status = DRDY | DSC;
  interrupt(d);
}

// A DMA transfer goes on once both the command and the bus master's start bit are there.
static void
dma_start(struct ide *d)
{
  if(!(d->bm_command & BM_START) || (d->transfer != DMA_IN && d->transfer != DMA_OUT))
    return;
  d->bm_status |= BM_ACTIVE;
  if(d->transfer == DMA_IN)
    start_disk(d, false);
  else if(move_by_descriptors(d, false))
    start_disk(d, true);
  else
    dma_finish(d, false);
}

// The disk has done its part.
static void
disk_finished(void *context)
{
  struct ide *d = context;

  if(d->request.status != BLOCK_OK){
    abort_command(d, UNC);
    return;
  }
  switch(d->transfer){
  case PIO_IN:
    d->status = DRDY | DSC | DRQ;
    interrupt(d);
    return;
  case DMA_IN:
    dma_finish(d, move_by_descriptors(d, true));
    return;
  case DMA_OUT:
    dma_finish(d, true);
    return;
  default: // programmed write
    d->status = DRDY | DSC;
    interrupt(d);
  }
}

// ---- commands

static void
transfer_command(struct ide *d, enum transfer transfer, bool extended, unsigned block)
{
  unsigned count = extended ? (unsigned)d->count[1] << 8 | d->count[0] : d->count[0];

  if(count == 0)
    count = extended ? 65536 : 256;
  d->sector = d->lba[0][0] | (uint64_t)d->lba[1][0] << 8 | (uint64_t)d->lba[2][0] << 16;
  if(extended)
    d->sector |= (uint64_t)d->lba[0][1] << 24 | (uint64_t)d->lba[1][1] << 32 | (uint64_t)d->lba[2][1] << 40;
  else
    d->sector |= (uint64_t)(d->device & 15) << 24;
  // Addressing by cylinder, head and sector is not offered by IDENTIFY; nor are transfers beyond the buffer.
  if(!(d->device & LBA_BIT) || count > MAX_SECTORS || d->sector + count > d->disk->sectors){
    abort_command(d, ABRT);
    return;
  }
  d->sectors = count;
  d->at = 0;
  d->end = count * SECTOR_SIZE;
  d->block = MIN(block * SECTOR_SIZE, d->end);
  d->transfer = transfer;
  d->error = 0;
  switch(transfer){
  case PIO_IN:
    start_disk(d, false);
    break;
  case PIO_OUT:
    d->status = DRDY | DSC | DRQ;
    break;
  default:
    d->status = DRDY | DSC | DRQ;
    dma_start(d);
  }
}

static void
put_string(uint16_t *words, const char *text, unsigned n_words)
{
  for(unsigned i = 0; i < n_words; i++){
    uint8_t high = *text ? (uint8_t)*text++ : ' ', low = *text ? (uint8_t)*text++ : ' ';
    words[i] = (uint16_t)(high << 8 | low);
  }
}

// ATA/ATAPI-6 section 8.15 "IDENTIFY DEVICE".
static void
identify(struct ide *d)
{
  uint16_t *w = (uint16_t *)d->buffer;
  uint64_t sectors = d->disk->sectors;
  uint32_t low = sectors < 0x0fffffff ? (uint32_t)sectors : 0x0fffffff;

  memset(w, 0, SECTOR_SIZE);
  w[0] = 0x0040;
  put_string(w + 10, "XL0001", 10);
  put_string(w + 23, "1.0", 4);
  put_string(w + 27, "Xenolith emulated disk", 20);
  w[47] = 0x8010;          // up to 16 sectors an interrupt
  w[49] = 0x0300;          // DMA, LBA
  w[53] = 0x0006;          // words 64-70 and 88 are valid
  w[59] = d->multiple ? (uint16_t)(0x0100 | d->multiple) : 0;
  w[60] = (uint16_t)low;
  w[61] = (uint16_t)(low >> 16);
  w[63] = 0x0407;          // multiword DMA 0-2, mode 2 selected
  w[64] = 0x0003;          // PIO modes 3 and 4
  w[65] = w[66] = w[67] = w[68] = 120;
  w[80] = 0x0070;          // ATA-4 to ATA-6
  w[82] = 0x4000;
  w[83] = 0x7400;          // 48-bit addresses, flush cache
  w[84] = 0x4000;
  w[85] = 0x4000;
  w[86] = 0x3400;
  w[87] = 0x4000;
  w[88] = 0x203f;          // Ultra DMA 0-5, mode 5 selected
  w[93] = 0x6001;
  for(unsigned i = 0; i < 4; i++)
    w[100 + i] = (uint16_t)(sectors >> (16 * i));
  d->at = 0;
  d->end = d->block = SECTOR_SIZE;
  d->transfer = PIO_IN;
  d->error = 0;
  d->status = DRDY | DSC | DRQ;
  interrupt(d);
}

static void
succeed(struct ide *d)
{
  d->error = 0;
  d->status = DRDY | DSC;
  interrupt(d);
}

static void
command(struct ide *d, uint8_t command)
{
  if(d->device & SECOND_DEVICE || d->status & BSY)
    return;
  set_line(d, false);
  switch(command){
  case 0x20: case 0x21: return transfer_command(d, PIO_IN, false, 1);
  case 0x24: return transfer_command(d, PIO_IN, true, 1);
  case 0x30: case 0x31: return transfer_command(d, PIO_OUT, false, 1);
  case 0x34: return transfer_command(d, PIO_OUT, true, 1);
  case 0xc4: return d->multiple ? transfer_command(d, PIO_IN, false, d->multiple) : abort_command(d, ABRT);
  case 0xc5: return d->multiple ? transfer_command(d, PIO_OUT, false, d->multiple) : abort_command(d, ABRT);
  case 0xc8: case 0xc9: return transfer_command(d, DMA_IN, false, 1);
  case 0x25: return transfer_command(d, DMA_IN, true, 1);
  case 0xca: case 0xcb: return transfer_command(d, DMA_OUT, false, 1);
  case 0x35: return transfer_command(d, DMA_OUT, true, 1);
  case 0xec: return identify(d);
  case 0xc6: // SET MULTIPLE MODE
    if(d->count[0] > 16 || d->count[0] & (d->count[0] - 1))
      return abort_command(d, ABRT);
    d->multiple = d->count[0];
    return succeed(d);
  case 0xe7: case 0xea: // FLUSH CACHE: every write has reached dom0's disk when it ends
  case 0xef:            // SET FEATURES: transfer modes make no difference here
    return succeed(d);
  default:
    return abort_command(d, ABRT);
  }
}

// The guest has moved one block.
static void
block_moved(struct ide *d)
{
  if(d->at < d->end){
    d->block = MIN(d->block, d->end - d->at);
    interrupt(d);
    return;
  }
  if(d->transfer == PIO_OUT){
    d->transfer = NONE;
    start_disk(d, true);
  } else {
    d->transfer = NONE;
    d->status = DRDY | DSC;
  }
}

static void
moved(struct ide *d, unsigned size)
{
  d->at += size;
  if(d->at >= d->end || d->at % d->block == 0)
    block_moved(d);
}

static uint32_t
data_read(struct ide *d, unsigned size)
{
  uint32_t value = 0;

  if(!(d->status & DRQ) || d->transfer != PIO_IN || d->at + size > d->end)
    return ~0u >> (32 - 8 * size);
  memcpy(&value, d->buffer + d->at, size);
  moved(d, size);
  return value;
}

static void
data_write(struct ide *d, unsigned size, uint32_t value)
{
  if(!(d->status & DRQ) || d->transfer != PIO_OUT || d->at + size > d->end)
    return;
  memcpy(d->buffer + d->at, &value, size);
  moved(d, size);
}

// ---- registers

static uint16_t
bus_master(const struct ide *d)
{
  return (uint16_t)dm_pci_bar(dm_pci_function(d->model, 1, 1), 4);
}

bool
ide_claims(struct device_model *m, uint16_t port)
{
  if(!m->ide)
    return false;
  uint16_t bm = bus_master(m->ide);
  return (port >= DATA && port < DATA + 8) || port == CONTROL || (bm && port >= bm && port < bm + 8);
}

static uint32_t
bus_master_read(struct ide *d, unsigned reg, unsigned size)
{
  if(reg == BM_PRD && size == 4)
    return d->bm_prd;
  return reg == BM_COMMAND ? d->bm_command : reg == BM_STATUS ? d->bm_status : 0;
}

static void
bus_master_write(struct ide *d, unsigned reg, unsigned size, uint32_t value)
{
  switch(reg){
  case BM_COMMAND: {
    bool starts = value & BM_START && !(d->bm_command & BM_START);
    d->bm_command = value & (BM_START | BM_TO_MEMORY);
    if(starts)
      dma_start(d);
    break;
  }
  case BM_STATUS: // error and interrupt are cleared by writing one; 5 and 6 are the driver's own
    d->bm_status = (uint8_t)((d->bm_status & ~(value & (BM_ERROR | BM_INTERRUPT)) & ~0x60) | (value & 0x60));
    break;
  case BM_PRD:
    if(size == 4)
      d->bm_prd = value & ~3u;
  }
}

uint32_t
ide_read(struct ide *d, uint16_t port, unsigned size)
{
  if(port != CONTROL && (port < DATA || port >= DATA + 8))
    return bus_master_read(d, port - bus_master(d), size);
  if(port == DATA)
    return data_read(d, size);
  if(d->device & SECOND_DEVICE)
    return 0; // there is none
  unsigned old = d->control >> 7; // HOB
  switch(port){
  case DATA + 1: return d->error;
  case DATA + 2: return d->count[old];
  case DATA + 3: case DATA + 4: case DATA + 5: return d->lba[port - DATA - 3][old];
  case DATA + 6: return d->device;
  case DATA + 7: set_line(d, false); return d->status;
  default: return d->status; // alternate status
  }
}

static void
reset(struct ide *d)
{
  d->status = DRDY | DSC;
  d->error = 1; // diagnostic passed
  d->transfer = NONE;
  d->multiple = 0;
  d->count[0] = d->lba[0][0] = 1;
  d->lba[1][0] = d->lba[2][0] = 0;
  d->device = 0;
}

void
ide_write(struct ide *d, uint16_t port, unsigned size, uint32_t value)
{
  uint8_t byte = (uint8_t)value;

  if(port != CONTROL && (port < DATA || port >= DATA + 8)){
    bus_master_write(d, port - bus_master(d), size, value);
    return;
  }
  if(port != DATA && port != CONTROL)
    d->control &= 0x7f; // any write to the task file shows the newest values again
  switch(port){
  case DATA: data_write(d, size, value); break;
  case DATA + 1: d->features = byte; break;
  case DATA + 2: d->count[1] = d->count[0]; d->count[0] = byte; break;
  case DATA + 3: case DATA + 4: case DATA + 5:
    d->lba[port - DATA - 3][1] = d->lba[port - DATA - 3][0];
    d->lba[port - DATA - 3][0] = byte;
    break;
  case DATA + 6: d->device = byte | 0xa0; break;
  case DATA + 7: command(d, byte); break;
  case CONTROL:
    if(d->control & SRST && !(byte & SRST))
      reset(d);
    d->control = byte;
    if(byte & NIEN)
      set_line(d, false);
  }
}

struct ide *
ide_init(struct device_model *m, struct block_device *disk)
{
  struct ide *d = pages_alloc((sizeof *d + PAGE_SIZE - 1) / PAGE_SIZE);

  d->model = m;
  d->disk = disk;
  d->buffer = pages_alloc(BUFFER_PAGES);
  d->bm_status = 0x60; // both devices can do DMA
  d->done = (struct work){ .function = disk_finished, .context = d };
  reset(d);
  return d;
}
