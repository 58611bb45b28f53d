/**
 * Code that machines of this process have compiled, as plain data: whoever runs machines may keep it, and give it to a later process of the
 * same program and the same host (docs/adr/0014). Results do not depend on it.
 */

import { type TemplateSet, Templates } from '../cpu/engine/regions/templates.js';

/** Regions of machines with the same timing model; can be serialized by structured cloning. */
export type CompiledCode = TemplateSet;

/** What machines have compiled since the last call. */
export const takeCompiledCode = (): readonly CompiledCode[] => Templates.made();

/**
 * Gives machines, those that run too, what an earlier process has compiled. It is checked against the guest's code before it runs, not against this
 * program: code of another program or release must not be given.
 */
export const keepCompiledCode = (code: readonly CompiledCode[]): void => Templates.keep(code);
