/**
 * The programs of a run: who owns a page of code, and what a reader calls him. The comparison knows three; a run of its own has its
 * image and the modules that are executables.
 */

import { BACK_END, CodeOwners, DEVICE_MODEL, DOM0, GUEST, HYPERVISOR, type OwnedPage } from '../../experiments/code-owners.js';
import { type CodeClassifier, IDLE, ownerOf, partOf, TRANSITION } from '../../machine/attribution.js';
import type { NamedBytes } from '../../machine/config.js';
import { isElf } from '../../machine/loaders/elf.js';

/** Levels that are no program's account: where no image tells more, code runs inside a guest or outside of all. */
export const OUTSIDE = 3, INSIDE = 4;
const FIXED_NAMES: Readonly<Record<number, string>> = { 0: 'unknown', [TRANSITION]: 'transition', [IDLE]: 'idle', [OUTSIDE]: 'host', [INSIDE]: 'guest' };

export interface Program {
  readonly name: string;
  readonly image: NamedBytes;
  /** Names of parts by their number in `partOf`; others have none. */
  readonly parts?: Readonly<Record<number, string>>;
}

export class ProgramAccounts {
  private readonly owners = new CodeOwners();
  private readonly byOwner = new Map<number, Program>();

  add(owner: number, program: Program): void {
    this.byOwner.set(owner, program);
    this.owners.add(owner, program.image);
  }
  get empty(): boolean {
    return this.byOwner.size === 0;
  }
  readonly classify: CodeClassifier = (page) => this.owners.classify(page);

  /** The account of a page of code, and the address that it is linked at. */
  match(bytes: Uint8Array, hpaPage: number): OwnedPage | undefined {
    return this.owners.match(bytes, hpaPage);
  }
  program(level: number): Program | undefined {
    return this.byOwner.get(ownerOf(level));
  }
  /** Number of the domain that a program is: of several programs the first is the hypervisor, and none. */
  domainOf(owner: number): number | undefined {
    const at = [...this.byOwner.keys()].indexOf(owner);
    return this.byOwner.size === 1 && at === 0 ? 0 : at > 0 ? at - 1 : undefined;
  }
  /** A level as frames of a stack: the program, then its part. */
  frames(level: number): string[] {
    const program = this.program(level), part = program?.parts?.[partOf(level)];
    return program === undefined ? [this.nameOf(level)] : [program.name, ...(part === undefined ? [] : [part])];
  }
  /** What a level is called: `hypervisor`, `dom0 device model`, `idle`, ... */
  nameOf(level: number): string {
    return FIXED_NAMES[level] ?? (this.program(level) === undefined ? 'unknown' : this.frames(level).join(' '));
  }
}

/** The comparison's programs, by the owners that its accounts have. */
export function comparedPrograms(images: { guest: NamedBytes; hypervisor?: NamedBytes; dom0?: NamedBytes }): ProgramAccounts {
  const out = new ProgramAccounts();
  if (images.hypervisor !== undefined) out.add(HYPERVISOR, { name: 'hypervisor', image: images.hypervisor });
  if (images.dom0 !== undefined) out.add(DOM0, { name: 'dom0', image: images.dom0, parts: { [BACK_END]: 'back end', [DEVICE_MODEL]: 'device model' } });
  out.add(GUEST, { name: 'guest', image: images.guest });
  return out;
}

/** An image and its modules, named by their files; what is no ELF executable with sections has no level of its own. */
export function startedPrograms(images: readonly NamedBytes[]): ProgramAccounts {
  const out = new ProgramAccounts(), used = new Set<string>();
  let owner = 0;
  for (const image of images) {
    if (!isElf(image.bytes) || owner >= 255) continue;
    const plain = image.name.replace(/\.elf$/, '');
    let name = plain;
    for (let n = 2; used.has(name); n++) name = `${plain} ${n}`;
    used.add(name);
    out.add(++owner, { name, image });
  }
  return out;
}
