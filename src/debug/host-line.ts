/** The source line of the hypervisor that did something, as a person would point at it. */

import type { Programs } from './programs.js';

/** Functions of a C library that store for whoever calls them. */
const MEMORY_FUNCTION = /^mem(set|cpy|move)$/;

/**
 * The line of an address of the program that started first: the hypervisor, where there is one. An accessor that a header has, such as one
 * for VMWRITE, stands for whoever called it, and so do the functions that fill and copy memory.
 * @param stack words on top of the stack there, top first
 */
export function hostLine(programs: Programs, linear: bigint, stack: readonly bigint[] = []): { file: string; line: number } | undefined {
  const host = programs.all[0];
  if (host === undefined) return undefined;
  const link = (at: bigint): bigint => BigInt.asUintN(64, at - programs.biasOf(host));
  if (MEMORY_FUNCTION.test(host.symbols.at(link(linear))?.name ?? '')) {
    const caller = stack.find((at) => host.symbols.line(link(at)) !== undefined);
    if (caller !== undefined) return hostLine(programs, caller - 1n);
  }
  const chain = host.symbols.lineChain(link(linear));
  return chain.find((l) => !l.file.endsWith('.h')) ?? chain[0];
}
