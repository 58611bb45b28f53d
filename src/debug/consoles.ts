/**
 * COM1's output, split by who wrote it.
 *
 * The hypervisor begins its lines with `(XEN) `; dom0 prints the lines of domain N with `(dN) ` before them and its own without anything
 * (src/hypervisor/console.c, guests/dom0/console-reader.c). A machine without a hypervisor has one console.
 *
 * Bytes are kept with the position of the instruction that wrote them, so that going back before it takes them away again.
 */

import type { Position } from './api.js';
import { comparePositions } from './history.js';

/** The text of one console so far. */
export interface ConsoleView {
  /** `hypervisor`, `dom0`, `d1` ..., or `serial` where nobody marks lines. */
  readonly name: string;
  readonly text: string;
}

const HYPERVISOR = '(XEN) ', DOMAIN = /^\(d(\d+)\) /;

export class Consoles {
  private readonly bytes: number[] = [];
  private readonly positions: Position[] = [];
  /** While the run is replayed for a search, what it writes is known already. */
  private replaying = false;

  /** @param marked lines are marked with who wrote them @param now where the run is */
  constructor(private readonly marked: boolean, private readonly now: () => Position) {}

  readonly sink = (byte: number): void => {
    if (this.replaying) return;
    this.bytes.push(byte);
    this.positions.push(this.now());
  };

  /** Goes back (or looks for something in the past) by `action`; what is written after that point is gone afterwards. */
  async during<T>(action: () => Promise<T>): Promise<T> {
    this.replaying = true;
    try {
      return await action();
    } finally {
      this.replaying = false;
      const now = this.now();
      while (this.positions.length > 0 && comparePositions(this.positions[this.positions.length - 1], now) >= 0) {
        this.positions.pop();
        this.bytes.pop();
      }
    }
  }

  /** Everything as it came over the wire. */
  get raw(): string {
    let text = '';
    for (let at = 0; at < this.bytes.length; at += 4096) text += String.fromCharCode(...this.bytes.slice(at, at + 4096));
    return text;
  }

  views(): ConsoleView[] {
    const text = this.raw.replaceAll('\r', '');
    if (!this.marked) return [{ name: 'serial', text }];
    const parts = new Map<string, string>([['hypervisor', ''], ['dom0', '']]);
    const lines = text.split('\n');
    for (const [i, line] of lines.entries()) {
      const domain = DOMAIN.exec(line), name = line.startsWith(HYPERVISOR) ? 'hypervisor' : domain !== null ? `d${domain[1]}` : 'dom0';
      const own = name === 'hypervisor' ? line.slice(HYPERVISOR.length) : domain !== null ? line.slice(domain[0].length) : line;
      const end = i < lines.length - 1 ? '\n' : '';
      if (own !== '' || end !== '') parts.set(name, (parts.get(name) ?? '') + own + end);
    }
    return [...parts].map(([name, t]) => ({ name, text: t }));
  }
}
