/**
 * A full-duplex Ethernet cable between a card and a peer: rate, latency, and whoever listens in.
 *
 * IEEE 802.3: a frame takes its bytes, four of check sequence, eight of preamble and twelve of gap, and at least 64 with the check
 * sequence. Invariant: frames of one direction neither overlap nor overtake each other.
 */

import type { DeviceClock, FrameTap } from '../ports.js';

/** One end of the wire. */
export interface Station {
  /** A whole frame has arrived, without its check sequence. */
  receive(frame: Uint8Array): void;
}

export const MINIMUM_FRAME = 60;
const OVERHEAD_BYTES = 4 + 8 + 12;

export class Wire {
  private card: Station | undefined;
  private peer: Station | undefined;
  /** Per direction, the cycle at which the sender may begin its next frame: card, peer. */
  private readonly free = [0, 0];
  private observer: ((length: number, fromCard: boolean) => void) | undefined;

  /** @param latency seconds from the last bit sent to the frame's arrival */
  constructor(
    private readonly clock: DeviceClock,
    private readonly bitsPerSecond: number,
    private readonly latency: number,
    private readonly taps: FrameTap[],
  ) {}

  connect(card: Station, peer: Station): void {
    this.card = card;
    this.peer = peer;
  }

  /** Adds a listener that sees every frame. */
  tap(listener: FrameTap): void {
    this.taps.push(listener);
  }

  /** Told when a frame leaves the card, and when one arrives at it. */
  observe(observer: (length: number, fromCard: boolean) => void): void {
    this.observer = observer;
  }

  /**
   * Sends a frame, after those before it in the same direction. It is padded to the minimum.
   * @returns the cycle at which its last bit leaves
   */
  send(from: 'card' | 'peer', frame: Uint8Array): number {
    const { clock } = this, side = from === 'card' ? 0 : 1;
    let bytes = frame;
    if (frame.length < MINIMUM_FRAME) {
      bytes = new Uint8Array(MINIMUM_FRAME);
      bytes.set(frame);
    }
    const cycles = (((bytes.length + OVERHEAD_BYTES) * 8) / this.bitsPerSecond) * clock.frequencyHz;
    const end = Math.max(clock.now(), this.free[side]) + cycles;
    this.free[side] = end;
    clock.schedule(Math.round(end), () => {
      for (const tap of this.taps) tap(bytes, clock.now(), side === 0 ? 'to-peer' : 'from-peer');
      if (side === 0) this.observer?.(bytes.length, true);
    });
    clock.schedule(Math.round(end + this.latency * clock.frequencyHz), () => {
      if (side === 1) this.observer?.(bytes.length, false);
      (side === 0 ? this.peer : this.card)?.receive(bytes);
    });
    return Math.round(end);
  }
}
