/**
 * Whose code runs on a page: found by comparing the page's bytes with the pages of the images that were started.
 *
 * The same page may stand in two images (library code at the same address). Then the physical place decides: an image is
 * loaded in one piece, so its pages lie at one distance from their link addresses; the first page that only one image has
 * shows that distance.
 *
 * Invariant: a page that no image has (a hypercall page, code made at run time) is nobody's: it counts for whoever called it.
 */

import { account, type CodeClassifier } from '../machine/attribution.js';
import { Elf } from '../machine/loaders/elf.js';
import type { NamedBytes } from '../machine/config.js';

export const HYPERVISOR = 1, DOM0 = 2, GUEST = 3;
/** Parts of dom0's image, by section. */
export const BACK_END = 1, DEVICE_MODEL = 2;
const PARTS: Readonly<Record<string, number>> = { '.text.backend': BACK_END, '.text.devmodel': DEVICE_MODEL };

const PAGE = 4096;

/** A page of an image that a page of memory was recognised as. */
export interface OwnedPage {
  readonly account: number;
  /** Linear address that the image has the page at. */
  readonly link: bigint;
}

interface KnownPage extends OwnedPage {
  /** Page number that the image is linked at, low 32 bits. */
  readonly linkPage: number;
  readonly bytes: Uint8Array;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < PAGE; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** FNV-1a over the page. */
function hash(bytes: Uint8Array): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < PAGE; i++) h = Math.imul(h ^ bytes[i]!, 0x01000193);
  return h >>> 0;
}

export class CodeOwners {
  private readonly pages = new Map<number, KnownPage[]>();
  /** Owner -> distance of its physical pages from its link pages. */
  private readonly distance = new Map<number, number>();

  /** Adds an image: its executable sections. */
  add(owner: number, image: NamedBytes): void {
    const elf = new Elf(image.name, image.bytes);
    for (const section of elf.sections()) {
      if (!section.executable || section.size === 0) continue;
      const part = PARTS[section.name] ?? 0;
      const segment = elf.segments.find((s) => s.vaddr <= section.address && section.address < s.vaddr + BigInt(s.fileSize));
      if (segment === undefined) continue;
      const first = section.address & ~4095n, end = section.address + BigInt(section.size);
      for (let at = first; at < end; at += 4096n) this.addPage(elf, segment.offset, segment.vaddr, segment.fileSize, at, account(owner, part));
    }
  }

  private addPage(elf: Elf, offset: number, vaddr: bigint, fileSize: number, at: bigint, to: number): void {
    const bytes = new Uint8Array(PAGE);
    const from = Number(at - vaddr);
    const begin = Math.max(0, from), end = Math.min(fileSize, from + PAGE);
    bytes.set(elf.bytes.subarray(offset + begin, offset + end), begin - from);
    const key = hash(bytes);
    const list = this.pages.get(key) ?? [];
    // Two sections may share a page: the first one's part counts.
    if (list.some((p) => p.account >>> 8 === to >>> 8 && sameBytes(p.bytes, bytes))) return;
    list.push({ account: to, link: at, linkPage: Number((at >> 12n) & 0xffff_ffffn), bytes });
    this.pages.set(key, list);
  }

  readonly classify: CodeClassifier = ({ bytes, hpaPage }) => this.match(bytes, hpaPage)?.account ?? 0;

  /** The image's page that the 4096 bytes are; undefined when no image has them, or several do and the place does not decide. */
  match(bytes: Uint8Array, hpaPage: number): OwnedPage | undefined {
    const candidates = (this.pages.get(hash(bytes)) ?? []).filter((p) => sameBytes(p.bytes, bytes));
    const distanceTo = (p: KnownPage): number => (hpaPage - p.linkPage) | 0;
    if (candidates.length > 1) return candidates.find((p) => this.distance.get(p.account >>> 8) === distanceTo(p));
    const only = candidates[0];
    if (only !== undefined && !this.distance.has(only.account >>> 8)) this.distance.set(only.account >>> 8, distanceTo(only));
    return only;
  }
}
