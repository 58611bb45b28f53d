/** Names of bits of CR0, CR4 and page-fault error codes. SDM 3A §2.5 "Control Registers", §4.7 "Page-Fault Exceptions". */

const CR0: Readonly<Record<number, string>> = { 0: 'PE', 1: 'MP', 2: 'EM', 3: 'TS', 4: 'ET', 5: 'NE', 16: 'WP', 18: 'AM', 29: 'NW', 30: 'CD', 31: 'PG' };
const CR4: Readonly<Record<number, string>> = {
  0: 'VME', 1: 'PVI', 2: 'TSD', 3: 'DE', 4: 'PSE', 5: 'PAE', 6: 'MCE', 7: 'PGE', 8: 'PCE', 9: 'OSFXSR', 10: 'OSXMMEXCPT', 11: 'UMIP', 12: 'LA57', 13: 'VMXE',
  14: 'SMXE', 16: 'FSGSBASE', 17: 'PCIDE', 18: 'OSXSAVE', 20: 'SMEP', 21: 'SMAP', 22: 'PKE', 23: 'CET',
};
const PAGE_FAULT: Readonly<Record<number, string>> = { 0: 'P', 1: 'W/R', 2: 'U/S', 3: 'RSVD', 4: 'I/D' };

const named = (names: Readonly<Record<number, string>>) => (value: bigint): string[] => {
  const out: string[] = [];
  for (let bit = 0; bit < 64; bit++) if (((value >> BigInt(bit)) & 1n) !== 0n) out.push(names[bit] ?? `bit ${bit}`);
  return out;
};
export const cr0Bits = named(CR0);
export const cr4Bits = named(CR4);
export const pageFaultBits = named(PAGE_FAULT);

/** `a`, `a and b`, `a, b and c`. */
export const list = (words: readonly string[]): string =>
  words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} and ${words[words.length - 1]!}`;
