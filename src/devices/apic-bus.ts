/**
 * How interrupt messages find local APICs: the bus between I/O APIC, message-signalled interrupts and processors.
 *
 * SDM 3A §10.6.2 "Determining IPI Destination" and §10.11 "Message Signalled Interrupts". Arbitration for lowest priority is by
 * processor priority, ties going to the lowest APIC ID, so runs are reproducible.
 */

import type { LocalApic } from './lapic.js';

/** Delivery modes of ICR, LVT, redirection entries and MSI data. */
export const DELIVERY = { fixed: 0, lowestPriority: 1, smi: 2, nmi: 4, init: 5, startUp: 6, extInt: 7 } as const;

export interface ApicMessage {
  readonly vector: number;
  readonly delivery: number;
  readonly level: boolean;
  /** Logical destination (else physical). */
  readonly logical: boolean;
  /** Destination field: 8 bits in xAPIC form, 32 bits when `wide`. */
  readonly destination: number;
  /** The destination is in x2APIC form. */
  readonly wide: boolean;
}

/** Something that wants to know of EOIs of level-triggered interrupts. */
export interface EoiListener {
  endOfInterrupt(vector: number): void;
}

export class ApicBus {
  private readonly apics: LocalApic[] = [];
  private readonly listeners: EoiListener[] = [];

  attach(apic: LocalApic): void {
    this.apics.push(apic);
  }

  onEoi(listener: EoiListener): void {
    this.listeners.push(listener);
  }

  broadcastEoi(vector: number): void {
    for (const listener of this.listeners) listener.endOfInterrupt(vector);
  }

  /** Delivers to every APIC that the destination names; lowest priority picks one. */
  send(message: ApicMessage): void {
    this.deliver(this.apics.filter((a) => a.matches(message.destination, message.logical, message.wide)), message);
  }

  /** Shorthand destinations of the ICR. */
  sendShorthand(from: LocalApic, includeSelf: boolean, message: ApicMessage): void {
    this.deliver(this.apics.filter((a) => includeSelf || a !== from), message);
  }

  private deliver(targets: readonly LocalApic[], message: ApicMessage): void {
    if (message.delivery !== DELIVERY.lowestPriority) {
      for (const apic of targets) apic.receive(message);
      return;
    }
    let best: LocalApic | undefined;
    for (const apic of targets)
      if (apic.acceptsFixed && (best === undefined || apic.processorPriority < best.processorPriority)) best = apic;
    best?.receive({ ...message, delivery: DELIVERY.fixed });
  }

  /** A write of `data` to the MSI address range 0xfeexxxxx. */
  messageSignalled(address: number, data: number): void {
    this.send({
      vector: data & 0xff,
      delivery: (data >> 8) & 7,
      level: (data & 0x8000) !== 0,
      logical: (address & 4) !== 0,
      destination: (address >>> 12) & 0xff,
      wide: false,
    });
  }
}
