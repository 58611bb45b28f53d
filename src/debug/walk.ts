/**
 * The page walk of an address as a picture: every entry on the way, under nested paging with the walk of each entry's own address.
 *
 * SDM 3A §4.3 "32-Bit Paging", §4.4 "PAE Paging", §4.5 "4-Level Paging and 5-Level Paging"; SDM 3C §29.3 "The Extended Page Table
 * Mechanism (EPT)"; APM 2 §5.3 "Long-Mode Page Translation", §15.25 "Nested Paging". The names are the manuals'.
 *
 * Invariant: nothing is changed: accessed and dirty flags stay as they are. Permissions are shown, not judged: a walk ends where an
 * entry is not present, not where an access would be refused.
 */

import { CR0_PG, CR4_PAE, CR4_PSE, type CpuState, S } from '../cpu/state.js';
import type { NestedContext } from '../mmu/context.js';
import type { PhysicalMemory } from '../mem/physical.js';
import type { WalkStepView, WalkView } from './api.js';

const PRESENT = 1n, PS = 1n << 7n, ADDRESS = 0x000f_ffff_ffff_f000n;
const LEVEL_NAMES = ['', 'PTE', 'PDE', 'PDPTE', 'PML4E'];
const FLAGS: readonly [number, string][] = [[0, 'P'], [1, 'R/W'], [2, 'U/S'], [3, 'PWT'], [4, 'PCD'], [5, 'A'], [6, 'D'], [8, 'G']];
const EPT_TYPES = ['UC', 'WC', '', '', 'WT', 'WP', 'WB', ''];

export const hex = (v: bigint | number): string => `0x${v.toString(16)}`;

/** One table walk: the entries met, and where it leads. */
interface Path {
  readonly steps: WalkStepView[];
  /** Address after translation, or -1n with `fault`. */
  readonly physical: bigint;
  readonly pageBytes: number;
  readonly fault?: string;
}

type ReadEntry = (address: bigint, bytes: 4 | 8) => { entry: bigint; nested?: readonly WalkStepView[] } | { fault: string; nested: readonly WalkStepView[] };

function readPhysical(phys: PhysicalMemory, address: bigint, bytes: 4 | 8): bigint {
  const b = phys.read(Number(address), bytes);
  let v = 0n;
  for (let i = bytes - 1; i >= 0; i--) v = (v << 8n) | BigInt(b[i]);
  return v;
}

function flagsOf(entry: bigint, leaf: boolean, level: number): string {
  const names = FLAGS.filter(([bit]) => (entry >> BigInt(bit)) & 1n && (leaf || bit < 6)).map(([, n]) => n);
  if (leaf && level > 1) names.push('PS');
  if (leaf && (entry >> (level === 1 ? 7n : 12n)) & 1n) names.push('PAT');
  if (entry >> 63n) names.push('XD');
  return names.join(' ');
}

function eptFlags(entry: bigint, leaf: boolean): string {
  const names = ['R', 'W', 'X'].filter((_, i) => (entry >> BigInt(i)) & 1n);
  if (leaf) names.push(EPT_TYPES[Number((entry >> 3n) & 7n)] || `type ${(entry >> 3n) & 7n}`);
  if (leaf && (entry >> 6n) & 1n) names.push('IPAT');
  if ((entry >> 8n) & 1n) names.push('A');
  if (leaf && (entry >> 9n) & 1n) names.push('D');
  return names.join(' ');
}

interface Format {
  readonly prefix: string;
  readonly ept: boolean;
  readonly top: number;
  /** Four-byte entries, 10 bits an index. */
  readonly legacy: boolean;
  readonly pse: boolean;
  /** PAE: the top level has four entries that have no rights of their own. */
  readonly pae: boolean;
}

function walkTables(f: Format, root: bigint, address: bigint, read: ReadEntry): Path {
  const steps: WalkStepView[] = [], indexBits = f.legacy ? 10n : 9n, bytes = f.legacy ? 4 : 8;
  let table = root;
  for (let level = f.top; ; level--) {
    const shift = 12n + indexBits * BigInt(level - 1);
    const index = Number((address >> shift) & (f.pae && level === 3 ? 3n : (1n << indexBits) - 1n));
    const at = table + BigInt(index * bytes), got = read(at, bytes);
    const structure = `${f.prefix}${LEVEL_NAMES[level]}`;
    if ('fault' in got) {
      steps.push({ structure, address: hex(at), entry: '0x0', index, flags: '', nested: got.nested });
      return { steps, physical: -1n, pageBytes: 0, fault: got.fault };
    }
    const { entry, nested } = got, present = f.ept ? (entry & 7n) !== 0n : (entry & PRESENT) !== 0n;
    const large = level > 1 && level < 4 && (entry & PS) !== 0n && !(f.pae && level === 3) && (!f.legacy || f.pse);
    const leaf = level === 1 || large;
    steps.push({ structure, address: hex(at), entry: hex(entry), index, flags: f.ept ? eptFlags(entry, leaf) : flagsOf(entry, leaf, level), ...(nested === undefined ? {} : { nested }) });
    if (!present) return { steps, physical: -1n, pageBytes: 0, fault: `${structure} ${index} at ${hex(at)} is not present` };
    if (leaf) {
      const size = 1n << shift;
      // PSE-36: bits 39:32 of the address stand in bits 20:13 of the entry.
      const frame = f.legacy ? (large ? (entry & 0xffc0_0000n) | (((entry >> 13n) & 0xffn) << 32n) : entry & 0xffff_f000n) : entry & ADDRESS & ~(size - 1n);
      return { steps, physical: frame | (address & (size - 1n)), pageBytes: Number(size) };
    }
    table = f.legacy ? entry & 0xffff_f000n : entry & ADDRESS;
  }
}

/** The walk of a guest-physical address. */
function walkNested(phys: PhysicalMemory, c: NestedContext, address: bigint): Path {
  const format: Format = {
    prefix: c.format === 'ept' ? 'EPT ' : 'NPT ', ept: c.format === 'ept', top: c.levels, legacy: c.levels === 2, pse: c.pse, pae: c.levels === 3,
  };
  return walkTables(format, BigInt(c.root), address, (at, bytes) => ({ entry: readPhysical(phys, at, bytes) }));
}

function guestFormat(s: CpuState): Format | undefined {
  if ((s.cr0 & CR0_PG) === 0) return undefined;
  const pae = (s.cr4 & CR4_PAE) !== 0, base = { prefix: '', ept: false, pse: (s.cr4 & CR4_PSE) !== 0 };
  if (s.longMode) return { ...base, top: 4, legacy: false, pae: false };
  return pae ? { ...base, top: 3, legacy: false, pae: true } : { ...base, top: 2, legacy: true, pae: false };
}

function walkGuest(phys: PhysicalMemory, s: CpuState, nested: NestedContext | null, linear: bigint): Path {
  const format = guestFormat(s);
  if (format === undefined) return { steps: [], physical: linear, pageBytes: 4096 };
  const root = s.get64(S.cr3) & (format.pae ? 0xffff_ffe0n : format.legacy ? 0xffff_f000n : ADDRESS);
  // Outside NPT guests the four PDPTEs are registers, loaded with CR3.
  const registers = format.pae && nested?.format !== 'npt';
  return walkTables(format, root, linear, (at, bytes) => {
    if (registers && at - root < 32n) return { entry: s.get64(S.pdpte + Number(at - root)) };
    if (nested === null) return { entry: readPhysical(phys, at, bytes) };
    const own = walkNested(phys, nested, at);
    if (own.fault !== undefined) return { fault: `guest-physical ${hex(at)}: ${own.fault}`, nested: own.steps };
    return { entry: readPhysical(phys, own.physical, bytes), nested: own.steps };
  });
}

/** Host-physical address of a linear address, or -1. */
export function translate(phys: PhysicalMemory, s: CpuState, nested: NestedContext | null, linear: bigint): number {
  const guest = walkGuest(phys, s, nested, linear);
  if (guest.fault !== undefined) return -1;
  if (nested === null) return Number(guest.physical);
  const host = walkNested(phys, nested, guest.physical);
  return host.fault === undefined ? Number(host.physical) : -1;
}

const canonical = (linear: bigint): boolean => BigInt.asUintN(64, BigInt.asIntN(48, linear)) === linear;

/** The walk of a linear address with the processor in this state. */
export function walkView(phys: PhysicalMemory, s: CpuState, nested: NestedContext | null, linear: bigint): WalkView {
  if (s.longMode && !canonical(linear)) return { linear: hex(linear), steps: [], fault: `${hex(linear)} is not canonical: bits 63:47 differ` };
  const guest = walkGuest(phys, s, nested, linear);
  if (guest.fault !== undefined) return { linear: hex(linear), steps: guest.steps, fault: guest.fault };
  if (nested === null) return { linear: hex(linear), steps: guest.steps, hostPhysical: hex(guest.physical), pageBytes: guest.pageBytes };
  const host = walkNested(phys, nested, guest.physical);
  return {
    linear: hex(linear), steps: guest.steps, final: host.steps, guestPhysical: hex(guest.physical), pageBytes: guest.pageBytes,
    ...(host.fault === undefined ? { hostPhysical: hex(host.physical) } : { fault: `guest-physical ${hex(guest.physical)}: ${host.fault}` }),
  };
}
