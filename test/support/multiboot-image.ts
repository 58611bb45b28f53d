/** The smallest Multiboot image: a header with load addresses, and 32-bit code behind it. Multiboot Specification 0.6.96, 3.1 "OS image format". */

const BASE = 0x10_0000, MAGIC = 0x1bad_b002, WITH_ADDRESSES = 0x0001_0000, HEADER = 32;

/** An image that is loaded at 1 MiB and starts with the first byte of `code`. */
export function multibootImage(code: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(HEADER + code.length), view = new DataView(bytes.buffer);
  const header = [MAGIC, WITH_ADDRESSES, -(MAGIC + WITH_ADDRESSES), BASE, BASE, 0, 0, BASE + HEADER];
  header.forEach((word, i) => view.setInt32(4 * i, word | 0, true));
  bytes.set(code, HEADER);
  return bytes;
}
