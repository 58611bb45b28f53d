/** Vectors, event types, and the sentinel that ends a helper early. SDM 3A §6.3 "Sources of Interrupts", §6.15; 3C §25.8.3. */

export const DE = 0, DB = 1, NMI = 2, BP = 3, OFV = 4, BR = 5, UD = 6, NM = 7, DFV = 8, TS = 10, NP = 11, SSV = 12, GP = 13, PFV = 14, MF = 16, AC_ = 17, MC = 18, XM = 19;

/** Event types as VMX and SVM encode them in event-injection fields (AMD uses 0, 2, 3, 4 only). */
export const EVENT_TYPE = { external: 0, nmi: 2, hardware: 3, softwareInterrupt: 4, privilegedSoftware: 5, software: 6 } as const;

/**
 * Thrown by `cpu.raise` and by failed memory accesses inside a helper, after the event has been recorded in the state (or the
 * VM exit has been performed). The helper dispatcher catches it; it never crosses a wasm frame. It carries nothing.
 */
export const GUEST_EVENT: unique symbol = Symbol('guest event');
