/** What to type into gdb: which files have the symbols of what runs, and where the machine listens. */

import { resolve } from 'node:path';
import { Elf, isElf } from '../machine/loaders/elf.js';

/** An image that runs, and the file that it was read from. */
export interface SymbolFile {
  /** `hypervisor`, `guest`, or the image's name. */
  readonly name: string;
  readonly path: string;
  readonly bytes: Uint8Array;
}

interface Range {
  readonly file: SymbolFile;
  readonly from: bigint;
  readonly to: bigint;
}

/** Link addresses of an image's code; undefined when it is no ELF, or one without sections. */
function codeRange(file: SymbolFile): Range | undefined {
  if (!isElf(file.bytes)) return undefined;
  const code = new Elf(file.path, file.bytes).sections().filter((s) => s.executable && s.size > 0);
  if (code.length === 0) return undefined;
  const ends = code.map((s) => s.address + BigInt(s.size)), starts = code.map((s) => s.address);
  return { file, from: starts.reduce((a, b) => (a < b ? a : b)), to: ends.reduce((a, b) => (a > b ? a : b)) };
}

interface Shown extends Range {
  /** An image before it that is linked at the same addresses. */
  readonly clash: SymbolFile | undefined;
}

function ranges(files: readonly SymbolFile[]): Shown[] {
  const shown: Shown[] = [];
  for (const range of files.map(codeRange)) {
    if (range === undefined) continue;
    shown.push({ ...range, clash: shown.find((s) => s.clash === undefined && s.from < range.to && range.from < s.to)?.file });
  }
  return shown;
}

/** Programs whose symbols gdb has not, after `gdbCommands`, because another one is linked at the same addresses: that one's name by theirs. */
export const hiddenPrograms = (files: readonly SymbolFile[]): Map<string, string> =>
  new Map(ranges(files).flatMap((r) => (r.clash === undefined ? [] : [[r.file.name, r.clash.name] as const])));

const quoted = (path: string): string => (/\s/.test(path) ? `"${path}"` : path);

/**
 * Commands for gdb, a line each. Images run at their link addresses. Two that are linked at the same addresses (each domain has its own address space)
 * would hide each other's names: the later one's line is there as a comment.
 * @param files the first is what starts; later ones in the order of their importance
 */
export function gdbCommands(files: readonly SymbolFile[], port: number): string[] {
  const lines = ranges(files).map(({ file, clash }, i) => {
    const path = quoted(resolve(file.path));
    if (clash !== undefined) return `# add-symbol-file ${path}   (${file.name}: at the same addresses as ${clash.name}; give one of them)`;
    return `${i === 0 ? 'file' : 'add-symbol-file'} ${path}`;
  });
  return [...lines, `target remote 127.0.0.1:${port}`];
}
