/** Names of the bits of RFLAGS, CR0, CR4 and IA32_EFER as types of a target description: gdb prints the names of the bits that are set. SDM 3A §2.3, §2.5, §2.2.1. */

type Bits = Readonly<Record<string, number>>;

const EFLAGS: Bits = { '': 1, CF: 0, PF: 2, AF: 4, ZF: 6, SF: 7, TF: 8, IF: 9, DF: 10, OF: 11, NT: 14, RF: 16, VM: 17, AC: 18, VIF: 19, VIP: 20, ID: 21 };
const CR0: Bits = { PE: 0, MP: 1, EM: 2, TS: 3, ET: 4, NE: 5, WP: 16, AM: 18, NW: 29, CD: 30, PG: 31 };
const CR4: Bits = {
  VME: 0, PVI: 1, TSD: 2, DE: 3, PSE: 4, PAE: 5, MCE: 6, PGE: 7, PCE: 8, OSFXSR: 9, OSXMMEXCPT: 10, UMIP: 11, VMXE: 13, SMXE: 14, FSGSBASE: 16, PCIDE: 17,
  OSXSAVE: 18, SMEP: 20, SMAP: 21,
};
const EFER: Bits = { SCE: 0, LME: 8, LMA: 10, NXE: 11, SVME: 12 };

function flags(id: string, bytes: number, bits: Bits): string {
  const fields = Object.entries(bits).sort(([, a], [, b]) => a - b).map(([name, bit]) => `<field name="${name}" start="${bit}" end="${bit}"/>`);
  return `<flags id="${id}" size="${bytes}">${fields.join('')}</flags>\n`;
}

export const EFLAGS_FLAGS = flags('eflags_bits', 4, EFLAGS);
export const CONTROL_FLAGS = flags('cr0_bits', 8, CR0) + flags('cr4_bits', 8, CR4) + flags('efer_bits', 8, EFER);
