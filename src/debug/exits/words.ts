/** How sentences write numbers and name things: ports, registers, MSRs, vectors of devices. */

/** `0x1F7`. */
export const hex = (v: number | bigint): string => `0x${(typeof v === 'bigint' ? v : v < 0 ? BigInt.asUintN(32, BigInt(v)) : v).toString(16).toUpperCase()}`;
/** As values in details and fields are written: lower case. */
export const plainHex = (v: number | bigint): string => hex(v).toLowerCase();

const REGISTERS = ['RAX', 'RCX', 'RDX', 'RBX', 'RSP', 'RBP', 'RSI', 'RDI', 'R8', 'R9', 'R10', 'R11', 'R12', 'R13', 'R14', 'R15'] as const;
export const registerName = (n: number): string => REGISTERS[n & 15]!;

export const count = (n: number, one: string): string => `${n} ${one}${n === 1 ? '' : 's'}`;
export const article = (word: string): string => (/^[aeiou]/i.test(word) ? `an ${word}` : `a ${word}`);

/** Port ranges of a PC, first and last. Data sheets: docs/references.md, "Platform". */
const PORTS: readonly (readonly [first: number, last: number, name: string])[] = [
  [0x20, 0x21, 'interrupt controller, master'],
  [0x40, 0x43, 'interval timer'],
  [0x60, 0x60, 'keyboard controller, data'],
  [0x61, 0x61, 'system control port B'],
  [0x64, 0x64, 'keyboard controller, command and status'],
  [0x70, 0x71, 'CMOS and real-time clock'],
  [0x80, 0x80, 'diagnostic port'],
  [0x92, 0x92, 'system control port A'],
  [0xa0, 0xa1, 'interrupt controller, slave'],
  [0xe9, 0xe9, 'debug console'],
  [0x170, 0x177, 'secondary ATA channel'],
  [0x1f0, 0x1f0, 'primary ATA channel, data'],
  [0x1f1, 0x1f1, 'primary ATA channel, features and error'],
  [0x1f2, 0x1f2, 'primary ATA channel, sector count'],
  [0x1f3, 0x1f5, 'primary ATA channel, sector address'],
  [0x1f6, 0x1f6, 'primary ATA channel, device'],
  [0x1f7, 0x1f7, 'primary ATA channel, command and status'],
  [0x2f8, 0x2ff, 'second serial port'],
  [0x376, 0x376, 'secondary ATA channel, control'],
  [0x3f6, 0x3f6, 'primary ATA channel, control'],
  [0x3f8, 0x3ff, 'first serial port'],
  [0x402, 0x402, 'firmware debug console'],
  [0x4d0, 0x4d1, 'interrupt controllers, edge and level'],
  [0xcf8, 0xcfb, 'PCI configuration address'],
  [0xcfc, 0xcff, 'PCI configuration data'],
];

/** What a PC has at a port, or undefined. */
export const portName = (port: number): string | undefined => PORTS.find(([first, last]) => port >= first && port <= last)?.[2];
