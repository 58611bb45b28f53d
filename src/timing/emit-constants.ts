/** Numbers that whoever calls the timing core's functions gives them; cpu/engine/host-imports.ts has the same. */

/** Flags of `data`: a store; a load whose address comes from a recent load, so that nothing hides its latency; used by `fetch` itself. */
export const ACCESS_WRITE = 1, ACCESS_DEPENDENT = 2, ACCESS_FETCH = 4;
/** Of what compiled code knows (`dataLine`): lines of code. Bits above are pages of data; bit 31: some lines are known by the large-page TLB. */
export const KNOWN_LINES = 0xff_ffff;
/** Kinds of direct branches. */
export const BRANCH_NOT_TAKEN = 0, BRANCH_TAKEN = 1, BRANCH_ALWAYS = 2;
/** Hints about an instruction, found when it is decoded (block-cost.ts). DEPENDENT is ACCESS_DEPENDENT's place. */
export const HINT_CALL = 1, HINT_DEPENDENT = 2, HINT_RETURN = 4;
