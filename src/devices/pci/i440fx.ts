/**
 * The i440FX host bridge as a PCI device, and the PIIX3 ISA bridge with its interrupt router.
 *
 * Intel 82441FX data sheet, "PAM, Programmable Attribute Map Registers"; 82371SB (PIIX3) data sheet, "PIRQRC[A:D]".
 * Interrupt pin X of the device in slot s reaches PIRQ (X + s - 1) mod 4, as on QEMU's pc machine, so that routing tables agree.
 */

import { PciFunction } from './function.js';

const PAM0 = 0x59;
/** The firmware window that PAM registers steer: 16-KiB pieces from 0xc0000, one nibble each, then 0xf0000-0xfffff as a whole. */
const PAM_SEGMENTS: readonly { readonly register: number; readonly high: boolean; readonly base: number; readonly size: number }[] = [
  { register: PAM0, high: true, base: 0xf0000, size: 0x10000 },
  ...Array.from({ length: 12 }, (_, i) => ({ register: PAM0 + 1 + (i >> 1), high: (i & 1) === 1, base: 0xc0000 + i * 0x4000, size: 0x4000 })),
];

/** What a piece of the firmware window shows: reads from RAM or ROM, writes to RAM or nowhere. */
export type ShadowControl = (base: number, size: number, readRam: boolean, writeRam: boolean) => void;

export class HostBridge extends PciFunction {
  private readonly shown: number[] = PAM_SEGMENTS.map(() => 0);

  constructor(private readonly shadow: ShadowControl) {
    super({ vendor: 0x8086, device: 0x1237, classCode: 0x060000, revision: 2, subsystemVendor: 0x1af4, subsystem: 0x1100 });
    this.allowWrites(PAM0, [0x33, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33]);
    this.allowWrites(0x72, [0x7f]); // SMRAM control
    this.config[0x72] = 2;
    this.onConfigWrite = () => this.applyShadow();
  }

  override resetConfig(): void {
    super.resetConfig();
    this.config.fill(0, PAM0, PAM0 + 7);
    this.config[0x72] = 2;
    this.applyShadow();
  }

  private applyShadow(): void {
    PAM_SEGMENTS.forEach(({ register, high, base, size }, i) => {
      const attributes = (this.config[register] >> (high ? 4 : 0)) & 3;
      if (attributes === this.shown[i]) return;
      this.shown[i] = attributes;
      this.shadow(base, size, (attributes & 1) !== 0, (attributes & 2) !== 0);
    });
  }
}

const PIRQ_ROUTE = 0x60, ROUTE_DISABLED = 0x80;

export class IsaBridge extends PciFunction {
  /** Per PIRQ, one bit for each slot that asserts it. */
  private readonly requests = [0, 0, 0, 0];

  /** @param setIrq drives one of the 16 ISA interrupts */
  constructor(private readonly setIrq: (irq: number, asserted: boolean) => void) {
    super({ vendor: 0x8086, device: 0x7000, classCode: 0x060100, revision: 0, subsystemVendor: 0x1af4, subsystem: 0x1100, multifunction: true });
    this.allowWrites(PIRQ_ROUTE, [0x8f, 0x8f, 0x8f, 0x8f]);
    this.allowWrites(0x4c, [0xff, 0, 0xff, 0xff]); // I/O recovery, XBCS: kept, without effect
    this.config.fill(ROUTE_DISABLED, PIRQ_ROUTE, PIRQ_ROUTE + 4);
    this.onConfigWrite = (offset) => {
      if (offset + 4 > PIRQ_ROUTE && offset < PIRQ_ROUTE + 4) this.routeAll();
    };
  }

  private driven = 0;

  override resetConfig(): void {
    super.resetConfig();
    this.config.fill(ROUTE_DISABLED, PIRQ_ROUTE, PIRQ_ROUTE + 4);
    this.routeAll();
  }

  /** @param pin INTA-INTD as 0-3 */
  setIntx(slot: number, pin: number, asserted: boolean): void {
    const pirq = (pin + slot - 1) & 3, bit = 1 << slot;
    this.requests[pirq] = asserted ? this.requests[pirq] | bit : this.requests[pirq] & ~bit;
    this.routeAll();
  }

  private routeAll(): void {
    let wanted = 0;
    for (let pirq = 0; pirq < 4; pirq++) {
      const route = this.config[PIRQ_ROUTE + pirq];
      if (this.requests[pirq] !== 0 && !(route & ROUTE_DISABLED)) wanted |= 1 << (route & 15);
    }
    const changed = wanted ^ this.driven;
    this.driven = wanted;
    for (let irq = 0; irq < 16; irq++) if (changed & (1 << irq)) this.setIrq(irq, (wanted & (1 << irq)) !== 0);
  }
}
