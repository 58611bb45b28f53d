/**
 * What is kept of a VM exit: the control block as the processor left it, the general registers, the instruction's bytes, and the byte
 * of a bitmap and the nested paging entry that decided. Everything else that a sentence says is computed from these.
 *
 * One record is RECORD_WORDS 32-bit words in a flat array, so that keeping it allocates nothing:
 *
 *     0  kind    1  vCPU    2  reason or exit code    3  bytes of the instruction    4-7  those bytes
 *     8, 9  address of the deciding bitmap byte    10  that byte and the next    11  1 if there is one
 *    12  vector of the pending interrupt + 1, or 0    13  nested walk: level of the last entry read, or 0
 *    14, 15  that entry's address    16, 17  the entry    18, 19  address of the control block    20  what ended the nested walk
 *    32-63  general registers    64...  the first BLOCK_BYTES bytes of the VMCS region or VMCB
 *
 * Invariant: a record does not change after it was made, and nothing in it depends on what ran later. SDM 3C §28.2 "Recording VM-Exit
 * Information and Updating VM-Entry Control Fields", §28.3 "Saving Guest State"; APM 2 §15.6 "#VMEXIT".
 */

import { CR0_PE, CR0_PG, CR4_PAE, EFER_LMA, RAX, RSP, VM } from '../../cpu/state.js';
import { VMCB, VMCB_SEG } from '../../svm/fields.js';
import { ENTRY, PROC, PROC2 } from '../../vtx/controls.js';
import { F, type FieldName } from '../../vtx/fields.js';
import { BLOCK_BYTES } from '../control-block/block.js';

export const GPR_WORD = 32, BLOCK_WORD = 64;
export const RECORD_WORDS = BLOCK_WORD + BLOCK_BYTES / 4;

/** What a record is of. */
export const KIND = {
  vmxExit: 1,
  svmExit: 2,
  /** A VM entry that ended with VMfail: there was no exit. */
  vmxEntryRefused: 3,
} as const;

/** Words of a record. */
export const W = {
  kind: 0, vcpu: 1, code: 2, count: 3, bytes: 4, mapAt: 8, mapByte: 10, mapKnown: 11, vector: 12, level: 13, entryAt: 14, entry: 16, blockAt: 18,
  outcome: 20,
} as const;

const pair = (lo: number, hi: number): bigint => (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);

/** A record, read by the manual's names. */
export class ExitFacts {
  readonly svm: boolean;
  constructor(readonly words: Uint32Array) {
    this.svm = words[W.kind] === KIND.svmExit;
  }

  get kind(): number {
    return this.words[W.kind]!;
  }
  get vcpu(): number {
    return this.words[W.vcpu]!;
  }
  /** Basic exit reason, SVM exit code (-1: VMEXIT_INVALID), or VM-instruction error. */
  get code(): number {
    return this.words[W.code]! | 0;
  }
  /** Physical address of the VMCS or VMCB. */
  get blockAt(): number {
    return this.words[W.blockAt]! + this.words[W.blockAt + 1]! * 0x1_0000_0000;
  }

  // --- fields

  /** A field of the VMCS. */
  vmcs(name: FieldName): bigint {
    return this.block64(F[name]);
  }
  vmcs32(name: FieldName): number {
    return this.block32(F[name]);
  }
  /** A field of the VMCB by its offset. */
  block64(offset: number): bigint {
    const i = BLOCK_WORD + (offset >>> 2);
    return pair(this.words[i]!, this.words[i + 1]!);
  }
  /** 32 bits at a multiple of 4. */
  block32(offset: number): number {
    return this.words[BLOCK_WORD + (offset >>> 2)]!;
  }
  block16(offset: number): number {
    return (this.words[BLOCK_WORD + (offset >>> 2)]! >>> (8 * (offset & 2))) & 0xffff;
  }
  block8(offset: number): number {
    return (this.words[BLOCK_WORD + (offset >>> 2)]! >>> (8 * (offset & 3))) & 0xff;
  }

  // --- the guest

  /** A general register of the guest, by the manual's number. */
  gpr(n: number): bigint {
    if (n === RSP) return this.svm ? this.block64(VMCB.RSP) : this.vmcs('GUEST_RSP');
    if (n === RAX && this.svm) return this.block64(VMCB.RAX);
    return pair(this.words[GPR_WORD + 2 * n]!, this.words[GPR_WORD + 2 * n + 1]!);
  }
  gpr32(n: number): number {
    return Number(this.gpr(n) & 0xffff_ffffn);
  }
  get rip(): bigint {
    return this.svm ? this.block64(VMCB.RIP) : this.vmcs('GUEST_RIP');
  }
  get rflags(): number {
    return this.svm ? this.block32(VMCB.RFLAGS) : this.vmcs32('GUEST_RFLAGS');
  }
  get cr0(): number {
    return this.svm ? this.block32(VMCB.CR0) : this.vmcs32('GUEST_CR0');
  }
  get cr3(): bigint {
    return this.svm ? this.block64(VMCB.CR3) : this.vmcs('GUEST_CR3');
  }
  get cr4(): number {
    return this.svm ? this.block32(VMCB.CR4) : this.vmcs32('GUEST_CR4');
  }
  get cpl(): number {
    return this.svm ? this.block8(VMCB.CPL) & 3 : (this.vmcs32('GUEST_SS_ACCESS_RIGHTS') >>> 5) & 3;
  }
  /** IA-32e mode (long mode) is active. */
  get longMode(): boolean {
    return this.svm ? (this.block32(VMCB.EFER) & EFER_LMA) !== 0 : (this.vmcs32('VM_ENTRY_CONTROLS') & ENTRY.ia32eModeGuest) !== 0;
  }
  get csBase(): bigint {
    return this.bitness === 64 ? 0n : this.svm ? this.block64(VMCB.CS + VMCB_SEG.base) : this.vmcs('GUEST_CS_BASE');
  }
  /** Code size: 16, 32 or 64. */
  get bitness(): 16 | 32 | 64 {
    // L and D: bits 9 and 10 of the VMCB's attributes, 13 and 14 of the VMCS's access rights.
    const rights = this.svm ? this.block16(VMCB.CS + VMCB_SEG.attrib) >>> 9 : this.vmcs32('GUEST_CS_ACCESS_RIGHTS') >>> 13;
    if (this.longMode && (rights & 1) !== 0) return 64;
    return (rights & 2) !== 0 ? 32 : 16;
  }
  /** CS.base + RIP. */
  get linearRip(): bigint {
    return this.bitness === 64 ? this.rip : BigInt.asUintN(32, this.csBase + this.rip);
  }
  get paging(): 'none' | '32-bit' | 'PAE' | '4-level' {
    if ((this.cr0 & CR0_PG) === 0) return 'none';
    return this.longMode ? '4-level' : (this.cr4 & CR4_PAE) !== 0 ? 'PAE' : '32-bit';
  }
  /** Where it ran, in the words of a sentence: `in ring 0`, `in real mode`, `in virtual-8086 mode`. */
  get where(): string {
    if ((this.cr0 & CR0_PE) === 0) return 'in real mode';
    return (this.rflags & VM) !== 0 && !this.longMode ? 'in virtual-8086 mode' : `in ring ${this.cpl}`;
  }

  // --- controls

  get proc(): number {
    return this.vmcs32('PRIMARY_PROCESSOR_BASED_CONTROLS');
  }
  /** 0 when the secondary controls are not activated. */
  get proc2(): number {
    return (this.proc & PROC.activateSecondaryControls) !== 0 ? this.vmcs32('SECONDARY_PROCESSOR_BASED_CONTROLS') : 0;
  }
  /** EPT or NPT is on. */
  get nestedPaging(): boolean {
    return this.svm ? (this.block32(VMCB.NP_ENABLE) & 1) !== 0 : (this.proc2 & PROC2.enableEpt) !== 0;
  }

  // --- what decided

  get instructionBytes(): Uint8Array {
    const bytes = new Uint8Array(this.words[W.count]!);
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.words[W.bytes + (i >>> 2)]! >>> (8 * (i & 3));
    return bytes;
  }
  /** The bitmap byte that was looked at, and the one after it. Undefined where no memory has it (it then reads as ones). */
  get map(): { readonly address: number; readonly bytes: number } | undefined {
    const w = this.words;
    return w[W.mapKnown] === 0 ? undefined : { address: w[W.mapAt]! + w[W.mapAt + 1]! * 0x1_0000_0000, bytes: w[W.mapByte]! & 0xffff };
  }
  /** Vector of the external interrupt that was pending, where it is known. */
  get pendingVector(): number | undefined {
    return this.words[W.vector] === 0 ? undefined : this.words[W.vector]! - 1;
  }
  /** The nested paging-structure entry that did not allow the access. */
  get nestedEntry(): { readonly level: number; readonly address: number; readonly entry: bigint } | undefined {
    const w = this.words;
    if (w[W.level] === 0) return undefined;
    return { level: w[W.level]!, address: w[W.entryAt]! + w[W.entryAt + 1]! * 0x1_0000_0000, entry: pair(w[W.entry]!, w[W.entry + 1]!) };
  }
}
