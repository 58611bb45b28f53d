/**
 * Packets of the remote protocol: `$text#checksum`, acknowledgements, and the interrupt byte, out of a stream that may be cut anywhere.
 *
 * gdb manual, E.1 "Overview", E.11 "Interrupts", E.7 "Packet Acknowledgment". Text is one character a byte. Escapes (`}` and the next byte xor
 * 20h) are taken off here and put on here.
 *
 * Invariants: nothing that arrives throws; memory is bounded by PACKET_BYTES, whatever a client sends.
 */

/** Longest packet that is accepted: what qSupported announces. */
export const PACKET_BYTES = 0x4000;

export type Received =
  | { readonly kind: 'packet'; readonly text: string }
  | { readonly kind: 'ack' }
  | { readonly kind: 'resend' }
  | { readonly kind: 'interrupt' }
  /** A packet whose checksum does not fit it. */
  | { readonly kind: 'damaged'; readonly what: string }
  /** Not this protocol: nothing that follows can be trusted. */
  | { readonly kind: 'garbage'; readonly what: string };

const DOLLAR = 0x24, HASH = 0x23, PLUS = 0x2b, MINUS = 0x2d, STAR = 0x2a, ESCAPE = 0x7d, CTRL_C = 0x03;

const digit = (b: number): number => {
  const d = parseInt(String.fromCharCode(b), 16);
  return Number.isNaN(d) ? -1 : d;
};

function unescape(bytes: readonly number[]): string {
  let out = '';
  for (let i = 0; i < bytes.length; i++) out += String.fromCharCode(bytes[i] === ESCAPE && i + 1 < bytes.length ? bytes[++i]! ^ 0x20 : bytes[i]!);
  return out;
}

/** Takes a client's bytes apart. */
export class PacketReader {
  private body: number[] = [];
  private state: 'between' | 'body' | 'first' | 'second' = 'between';
  private sum = 0;
  private given = 0;
  private broken = false;

  /** What `bytes` complete, in order. After `garbage` nothing comes any more. */
  *read(bytes: Uint8Array): IterableIterator<Received> {
    for (const b of bytes) {
      if (this.broken) return;
      const got = this.byte(b);
      if (got === undefined) continue;
      this.broken = got.kind === 'garbage';
      yield got;
    }
  }

  /** In the middle of a packet? */
  get incomplete(): boolean {
    return this.state !== 'between';
  }

  private byte(b: number): Received | undefined {
    switch (this.state) {
      case 'between': return this.between(b);
      case 'body':
        if (b === HASH) this.state = 'first';
        else if (b === DOLLAR) this.begin(); // the sender gave up and began again
        else {
          this.sum = (this.sum + b) & 0xff;
          if (this.body.push(b) > PACKET_BYTES) return { kind: 'garbage', what: `a packet of more than ${PACKET_BYTES} bytes` };
        }
        return undefined;
      case 'first':
        this.given = digit(b);
        this.state = 'second';
        return undefined;
      case 'second': return this.end(digit(b));
    }
  }

  private between(b: number): Received | undefined {
    switch (b) {
      case PLUS: return { kind: 'ack' };
      case MINUS: return { kind: 'resend' };
      case CTRL_C: return { kind: 'interrupt' };
      case DOLLAR:
        this.begin();
        return undefined;
      default: return { kind: 'garbage', what: `a byte 0x${b.toString(16).padStart(2, '0')} between packets` };
    }
  }

  private begin(): void {
    this.state = 'body';
    this.body = [];
    this.sum = 0;
  }

  private end(low: number): Received {
    const { body, sum, given } = this;
    this.state = 'between';
    this.body = [];
    if (given >= 0 && low >= 0 && given * 16 + low === sum) return { kind: 'packet', text: unescape(body) };
    const shown = given >= 0 && low >= 0 ? (given * 16 + low).toString(16).padStart(2, '0') : 'no checksum';
    return { kind: 'damaged', what: `a packet with ${shown} where the checksum is ${sum.toString(16).padStart(2, '0')}` };
  }
}

/** A packet ready to be sent. */
export function frame(text: string): string {
  let body = '', sum = 0;
  const put = (b: number): void => {
    body += String.fromCharCode(b);
    sum = (sum + b) & 0xff;
  };
  for (let i = 0; i < text.length; i++) {
    const b = text.charCodeAt(i);
    if (b === DOLLAR || b === HASH || b === ESCAPE || b === STAR) {
      put(ESCAPE);
      put(b ^ 0x20);
    } else put(b);
  }
  return `$${body}#${sum.toString(16).padStart(2, '0')}`;
}
