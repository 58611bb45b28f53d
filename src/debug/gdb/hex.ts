/**
 * Numbers and bytes as the remote protocol writes them: two hexadecimal digits a byte, values in the target's (little-endian) order.
 *
 * gdb manual, appendix E "gdb Remote Serial Protocol", E.1 "Overview". Text of packets is one character a byte (code units 0 to 255).
 */

const byteHex = (b: number): string => b.toString(16).padStart(2, '0');

export const bytesToHex = (bytes: ArrayLike<number>): string => Array.from(bytes, byteHex).join('');

/** Bytes of pairs of digits; undefined when it is something else. */
export function hexToBytes(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  return Uint8Array.from({ length: text.length / 2 }, (_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16));
}

/** A value of `bytes` bytes, lowest byte first. */
export function valueToHex(value: bigint, bytes: number): string {
  const digits = BigInt.asUintN(8 * bytes, value).toString(16).padStart(2 * bytes, '0');
  let out = '';
  for (let i = digits.length - 2; i >= 0; i -= 2) out += digits.slice(i, i + 2);
  return out;
}

/** A value written lowest byte first; undefined when it is not pairs of digits. */
export function hexToValue(text: string): bigint | undefined {
  const bytes = hexToBytes(text);
  if (bytes === undefined || bytes.length === 0) return undefined;
  return BigInt(`0x${bytesToHex(bytes.reverse())}`);
}

/** A number in the protocol's own notation: digits, highest first. undefined when it is none, or has more than 64 bits. */
export function parseNumber(text: string): bigint | undefined {
  return /^[0-9a-fA-F]{1,16}$/.test(text) ? BigInt(`0x${text}`) : undefined;
}

/** UTF-8 text as pairs of digits. */
export const textToHex = (text: string): string => bytesToHex(utf8(text));

/** Bytes of a text. TextEncoder is not part of the core's library. */
function utf8(text: string): number[] {
  const encoded = encodeURIComponent(text), out: number[] = [];
  for (let i = 0; i < encoded.length; i++) {
    if (encoded[i] === '%') {
      out.push(parseInt(encoded.slice(i + 1, i + 3), 16));
      i += 2;
    } else out.push(encoded.charCodeAt(i));
  }
  return out;
}
