/**
 * VM-entry checks on the guest segment registers. A violation is a VM exit with reason 33.
 *
 * SDM 3C §27.3.1.2 "Checks on Guest Segment Registers": selector, base address, limit, access rights, in that order; the
 * virtual-8086 bullets of each part first. "Usable" means that access-rights bit 16 is 0.
 */

import { type CheckView, type EntryCheck } from './entry-checks.js';
import { type FieldName, GUEST_SEGMENT, SEGMENTS, type SegmentFields, type SegmentName } from './fields.js';

const UNUSABLE = 1 << 16, S_BIT = 1 << 4, P_BIT = 1 << 7, L_BIT = 1 << 13, DB_BIT = 1 << 14, G_BIT = 1 << 15;
const V86_RIGHTS = 0xf3;

/** Looked up at every VM entry: no name is put together then. */
const FIELDS_OF = Object.fromEntries(SEGMENTS.map((s, i) => [s, GUEST_SEGMENT[i]])) as Readonly<Record<SegmentName, SegmentFields>>;
const selector = (v: CheckView, s: SegmentName): number => v.x.get32(FIELDS_OF[s].selector);
const base = (v: CheckView, s: SegmentName): bigint => v.x.get(FIELDS_OF[s].base);
const limit = (v: CheckView, s: SegmentName): number => v.x.get32(FIELDS_OF[s].limit);
const rights = (v: CheckView, s: SegmentName): number => v.x.get32(FIELDS_OF[s].rights);
const type = (v: CheckView, s: SegmentName): number => rights(v, s) & 15;
const dpl = (v: CheckView, s: SegmentName): number => (rights(v, s) >> 5) & 3;
const usable = (v: CheckView, s: SegmentName): boolean => (rights(v, s) & UNUSABLE) === 0;
/** Is the register looked at by the protected-mode bullets on access rights? CS always. */
const checked = (v: CheckView, s: SegmentName): boolean => !v.guestV86 && (s === 'CS' || usable(v, s));

const CODE_AND_DATA = ['CS', 'SS', 'DS', 'ES', 'FS', 'GS'] as const;
const DATA = ['DS', 'ES', 'FS', 'GS'] as const;
const lower = (s: SegmentName): string => s.toLowerCase();

type Change = Partial<Record<FieldName, bigint | number>>;
const setRights = (s: SegmentName, f: (old: number) => number) => (v: CheckView): Change => ({ [`GUEST_${s}_ACCESS_RIGHTS`]: f(rights(v, s)) >>> 0 });

const selectors: readonly EntryCheck[] = [
  {
    id: 'tr-ti',
    field: 'GUEST_TR_SELECTOR',
    rule: 'TI must be 0',
    ok: (v) => (selector(v, 'TR') & 4) === 0,
    breaks: () => ({ GUEST_TR_SELECTOR: 0x1c }),
  },
  {
    id: 'ldtr-ti',
    field: 'GUEST_LDTR_SELECTOR',
    rule: 'if LDTR is usable, TI must be 0',
    ok: (v) => !usable(v, 'LDTR') || (selector(v, 'LDTR') & 4) === 0,
    breaks: () => ({ GUEST_LDTR_SELECTOR: 0x1c, GUEST_LDTR_ACCESS_RIGHTS: 0x82 }),
  },
  {
    id: 'ss-rpl',
    field: 'GUEST_SS_SELECTOR',
    rule: 'unless virtual-8086 or unrestricted, RPL must equal that of CS',
    ok: (v) => v.guestV86 || v.unrestricted || ((selector(v, 'SS') ^ selector(v, 'CS')) & 3) === 0,
    breaks: (v) => ({ GUEST_SS_SELECTOR: selector(v, 'SS') ^ 3 }),
  },
];

const bases: readonly EntryCheck[] = [
  ...CODE_AND_DATA.map((s): EntryCheck => ({
    id: `${lower(s)}-base-v86`,
    field: `GUEST_${s}_BASE`,
    rule: 'in virtual-8086 mode, must be the selector shifted left by 4',
    ok: (v) => !v.guestV86 || base(v, s) === BigInt(selector(v, s) << 4),
    breaks: (v) => ({ [`GUEST_${s}_BASE`]: base(v, s) + 1n }),
    base: 'virtual-8086',
  })),
  ...(['TR', 'FS', 'GS'] as const).map((s): EntryCheck => ({
    id: `${lower(s)}-base-canonical`,
    field: `GUEST_${s}_BASE`,
    rule: 'must be canonical',
    ok: (v) => v.canonical(FIELDS_OF[s].base),
    breaks: () => ({ [`GUEST_${s}_BASE`]: 1n << 47n }),
  })),
  {
    id: 'ldtr-base-canonical',
    field: 'GUEST_LDTR_BASE',
    rule: 'if LDTR is usable, must be canonical',
    ok: (v) => !usable(v, 'LDTR') || v.canonical(FIELDS_OF.LDTR.base),
    breaks: () => ({ GUEST_LDTR_SELECTOR: 0x18, GUEST_LDTR_ACCESS_RIGHTS: 0x82, GUEST_LDTR_BASE: 1n << 47n }),
  },
  ...(['CS', 'SS', 'DS', 'ES'] as const).map((s): EntryCheck => ({
    id: `${lower(s)}-base-32`,
    field: `GUEST_${s}_BASE`,
    rule: s === 'CS' ? 'bits 63:32 must be 0' : 'if the register is usable, bits 63:32 must be 0',
    ok: (v) => (s !== 'CS' && !usable(v, s)) || base(v, s) >> 32n === 0n,
    breaks: () => ({ [`GUEST_${s}_BASE`]: 1n << 32n }),
  })),
];

const limits: readonly EntryCheck[] = CODE_AND_DATA.map((s) => ({
  id: `${lower(s)}-limit-v86`,
  field: `GUEST_${s}_LIMIT` as const,
  rule: 'in virtual-8086 mode, must be 0000FFFFH',
  ok: (v) => !v.guestV86 || limit(v, s) === 0xffff,
  breaks: () => ({ [`GUEST_${s}_LIMIT`]: 0xfffff }),
  base: 'virtual-8086',
}));

const CODE_TYPES = [9, 11, 13, 15];

const types: readonly EntryCheck[] = [
  {
    id: 'cs-type',
    field: 'GUEST_CS_ACCESS_RIGHTS',
    rule: 'type must be 9, 11, 13 or 15 (accessed code), or 3 in an unrestricted guest',
    ok: (v) => v.guestV86 || CODE_TYPES.includes(type(v, 'CS')) || (v.unrestricted && type(v, 'CS') === 3),
    breaks: setRights('CS', (r) => r & ~1),
  },
  {
    id: 'ss-type',
    field: 'GUEST_SS_ACCESS_RIGHTS',
    rule: 'if SS is usable, type must be 3 or 7 (read/write accessed data)',
    ok: (v) => !checked(v, 'SS') || [3, 7].includes(type(v, 'SS')),
    breaks: setRights('SS', (r) => r & ~2),
  },
  ...DATA.map((s): EntryCheck => ({
    id: `${lower(s)}-type`,
    field: `GUEST_${s}_ACCESS_RIGHTS`,
    rule: 'if the register is usable, type must have bit 0 (accessed) and, for code, bit 1 (readable)',
    ok: (v) => !checked(v, s) || ((type(v, s) & 1) !== 0 && ((type(v, s) & 8) === 0 || (type(v, s) & 2) !== 0)),
    breaks: setRights(s, (r) => r & ~1),
  })),
];

const systemBits: readonly EntryCheck[] = CODE_AND_DATA.map((s) => ({
  id: `${lower(s)}-s`,
  field: `GUEST_${s}_ACCESS_RIGHTS` as const,
  rule: 'S must be 1 (code or data)',
  ok: (v) => !checked(v, s) || (rights(v, s) & S_BIT) !== 0,
  breaks: setRights(s, (r) => r & ~S_BIT),
}));

/** The CS bullets on DPL, by type. */
function csDplOk(v: CheckView): boolean {
  switch (type(v, 'CS')) {
    case 3:
      return dpl(v, 'CS') === 0;
    case 9:
    case 11:
      return dpl(v, 'CS') === dpl(v, 'SS');
    default:
      return dpl(v, 'CS') <= dpl(v, 'SS');
  }
}

const privileges: readonly EntryCheck[] = [
  {
    id: 'cs-dpl',
    field: 'GUEST_CS_ACCESS_RIGHTS',
    rule: 'DPL must be 0 for type 3, equal that of SS for non-conforming code, and not exceed it for conforming code',
    ok: (v) => v.guestV86 || csDplOk(v),
    breaks: setRights('CS', (r) => r ^ (3 << 5)),
  },
  {
    id: 'ss-dpl-rpl',
    field: 'GUEST_SS_ACCESS_RIGHTS',
    rule: 'unless the guest is unrestricted, DPL must equal the RPL of the selector',
    ok: (v) => v.guestV86 || v.unrestricted || dpl(v, 'SS') === (selector(v, 'SS') & 3),
    breaks: (v) => ({ ...setRights('CS', (r) => r ^ (3 << 5))(v), ...setRights('SS', (r) => r ^ (3 << 5))(v) }),
  },
  {
    id: 'ss-dpl-zero',
    field: 'GUEST_SS_ACCESS_RIGHTS',
    rule: 'DPL must be 0 if CR0.PE is 0 or CS has type 3',
    ok: (v) => v.guestV86 || (type(v, 'CS') !== 3 && v.guestPe) || dpl(v, 'SS') === 0,
    breaks: (v) => ({ ...setRights('CS', (r) => r | (3 << 5))(v), ...setRights('SS', (r) => r | (3 << 5))(v) }),
    base: 'real',
    needs: ['unrestricted-guest'],
  },
  ...DATA.map((s): EntryCheck => ({
    id: `${lower(s)}-dpl`,
    field: `GUEST_${s}_ACCESS_RIGHTS`,
    rule: 'unless the guest is unrestricted, DPL of a usable data or non-conforming code segment must not be below RPL',
    ok: (v) => !checked(v, s) || v.unrestricted || type(v, s) > 11 || dpl(v, s) >= (selector(v, s) & 3),
    breaks: () => ({ [`GUEST_${s}_SELECTOR`]: 0x13 }),
  })),
];

const perSegment = (
  suffix: string,
  rule: string,
  list: readonly SegmentName[],
  applies: (v: CheckView, s: SegmentName) => boolean,
  ok: (v: CheckView, s: SegmentName) => boolean,
  breaks: (s: SegmentName) => (v: CheckView) => Change,
): readonly EntryCheck[] =>
  list.map((s) => ({
    id: `${lower(s)}-${suffix}`,
    field: `GUEST_${s}_ACCESS_RIGHTS` as const,
    rule,
    ok: (v) => !applies(v, s) || ok(v, s),
    breaks: breaks(s),
  }));

/** G agrees with the limit: it can be 0 only below 1 MByte, and 1 only when the low 12 bits are all ones. */
function granularityOk(v: CheckView, s: SegmentName): boolean {
  const l = limit(v, s), g = (rights(v, s) & G_BIT) !== 0;
  return g ? (l & 0xfff) === 0xfff : l >>> 20 === 0;
}
const BAD_LIMIT = 0xffff_fffe; // neither granularity fits

const rightsRows: readonly EntryCheck[] = [
  ...CODE_AND_DATA.map((s): EntryCheck => ({
    id: `${lower(s)}-rights-v86`,
    field: `GUEST_${s}_ACCESS_RIGHTS`,
    rule: 'in virtual-8086 mode, must be 000000F3H',
    ok: (v) => !v.guestV86 || rights(v, s) === V86_RIGHTS,
    breaks: () => ({ [`GUEST_${s}_ACCESS_RIGHTS`]: 0x93 }),
    base: 'virtual-8086',
  })),
  ...types,
  ...systemBits,
  ...privileges,
  ...perSegment('p', 'P must be 1', CODE_AND_DATA, checked, (v, s) => (rights(v, s) & P_BIT) !== 0, (s) => setRights(s, (r) => r & ~P_BIT)),
  ...perSegment('reserved-11-8', 'bits 11:8 must be 0', CODE_AND_DATA, checked, (v, s) => (rights(v, s) & 0xf00) === 0, (s) => setRights(s, (r) => r | 0x100)),
  {
    id: 'cs-db',
    field: 'GUEST_CS_ACCESS_RIGHTS',
    rule: 'in IA-32e mode with L = 1, D/B must be 0',
    ok: (v) => v.guestV86 || !v.ia32eGuest || (rights(v, 'CS') & L_BIT) === 0 || (rights(v, 'CS') & DB_BIT) === 0,
    breaks: setRights('CS', (r) => r | L_BIT | DB_BIT),
  },
  ...perSegment('g', 'G must agree with the limit', CODE_AND_DATA, checked, granularityOk, (s) => () => ({ [`GUEST_${s}_LIMIT`]: BAD_LIMIT })),
  ...perSegment('reserved-31-17', 'bits 31:17 must be 0', CODE_AND_DATA, checked, (v, s) => rights(v, s) >>> 17 === 0, (s) => setRights(s, (r) => r | (1 << 17))),
];

const always = (): boolean => true;
const system = (s: 'TR' | 'LDTR', applies: (v: CheckView, s: SegmentName) => boolean, typeOk: (v: CheckView) => boolean, typeRule: string): readonly EntryCheck[] => {
  const one = (
    suffix: string,
    rule: string,
    ok: (v: CheckView) => boolean,
    breaks: (v: CheckView) => Change,
  ): readonly EntryCheck[] =>
    perSegment(suffix, rule, [s], applies, ok, () => (v) => (s === 'LDTR' ? { GUEST_LDTR_SELECTOR: 0x18, GUEST_LDTR_LIMIT: 0xfff, ...breaks(v) } : breaks(v)));
  const good = s === 'TR' ? 0x8b : 0x82;
  const set = (n: number) => (): Change => ({ [`GUEST_${s}_ACCESS_RIGHTS`]: n >>> 0 });
  return [
    ...one('type', typeRule, typeOk, set((good & ~15) | 1)),
    ...one('s', 'S must be 0 (system)', (v) => (rights(v, s) & S_BIT) === 0, set(good | S_BIT)),
    ...one('p', 'P must be 1', (v) => (rights(v, s) & P_BIT) !== 0, set(good & ~P_BIT)),
    ...one('reserved-11-8', 'bits 11:8 must be 0', (v) => (rights(v, s) & 0xf00) === 0, set(good | 0x100)),
    ...one('g', 'G must agree with the limit', (v) => granularityOk(v, s), () => ({ [`GUEST_${s}_ACCESS_RIGHTS`]: good, [`GUEST_${s}_LIMIT`]: BAD_LIMIT })),
    ...(s === 'TR' ? one('usable', 'bit 16 (unusable) must be 0', (v) => usable(v, 'TR'), set(good | UNUSABLE)) : []),
    ...one('reserved-31-17', 'bits 31:17 must be 0', (v) => rights(v, s) >>> 17 === 0, set(good | (1 << 17))),
  ];
};

export const segmentChecks: readonly EntryCheck[] = [
  ...selectors,
  ...bases,
  ...limits,
  ...rightsRows,
  ...system('TR', always, (v) => type(v, 'TR') === 11 || (!v.ia32eGuest && type(v, 'TR') === 3), 'type must be 11 (busy TSS), or 3 (busy 16-bit TSS) outside IA-32e mode'),
  ...system('LDTR', usable, (v) => type(v, 'LDTR') === 2, 'if LDTR is usable, type must be 2 (LDT)'),
];
