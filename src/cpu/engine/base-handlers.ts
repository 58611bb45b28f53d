/**
 * Handlers that are not instructions: entering and leaving the chain of records, branches that are not linked, page ends.
 *
 * Invariant: whoever leaves has stored `left` in S.left and the exact RIP in S.rip.
 */

import { TLB_ENTRIES, TLB_ENTRY } from '../../mmu/tlb.js';
import { RAM_BASE } from '../../mem/layout.js';
import { FunctionEmitter } from '../../wasm/function.js';
import { Wasm, type WasmModule } from '../../wasm/host.js';
import { ModuleBuilder } from '../../wasm/module.js';
import { I32, I64 } from '../../wasm/opcodes.js';
import { LEFT_BY, MODE, S } from '../state.js';
import { CODE_PAGE_TABLE } from './code-cache.js';
import { helperId } from './helpers.js';
import { JUMP, addJumpKey, jumpEntry } from './jump-cache.js';
import { flagsAuxFunction } from './regions/flag-kinds.js';
import { fetchLine, slowAccess } from './regions/slow-paths.js';
import { reportMarker } from './marker.js';
import { HANDLER_TYPE, IMPORTS, IMPORT_INDEX, FETCH_LINE_TYPE, TIMING_IMPORTS, type ImportName } from './host-imports.js';
import { JUMPED, P, PAGE_HEADER, R, RECORD_BYTES, RF_SAME_PAGE } from './record.js';

const REC = 0, LEFT = 1, HANDLER = 0;

const leave = (f: FunctionEmitter): FunctionEmitter => f.i32(0).get(LEFT).mem('i32.store', S.left).op('return');
/** Leaves where a block ends because the budget is used up: a chain that was cut short goes on from here. */
const leaveBlock = (f: FunctionEmitter): FunctionEmitter => leave(f.i32(0).i32(LEFT_BY.blockEnd).mem('i32.store', S.leftBy));
/** Cycle mode only: index of `fetchAt`; goes before every arrival at a record that did not follow in sequence. */
type FetchAt = number | undefined;
const chargeFetch = (f: FunctionEmitter, record: number, fetchAt: FetchAt): void => {
  if (fetchAt !== undefined) f.get(LEFT).get(record).call(fetchAt).op('i32.sub').set(LEFT);
};

/** Puts the linear-memory address and the linear address of a record of the current page in locals. */
function locate(f: FunctionEmitter, record: number, address: number, linear: number): void {
  f.i32(0).mem('i64.load', S.codeBase).i32(0).mem('i64.load', S.csBase).op('i64.add').get(record).mem('i64.load16_u', R.off).op('i64.add').set(linear);
  f.i32(0).mem('i32.load', S.mode).i32(MODE.bits64).op('i32.ne').if();
  f.get(linear).i64(0xffff_ffffn).op('i64.and').set(linear).end();
  f.i32(0).mem('i32.load', S.currentPage).mem('i32.load', P.bytes).get(record).mem('i32.load16_u', R.off).op('i32.add').set(address);
}
/** Cycles of fetching the instruction at a record of the current page. */
function fetchAtRecord(fetch: number): FunctionEmitter {
  const f = new FunctionEmitter([I32]);
  const address = f.local(I32), linear = f.local(I64);
  locate(f, REC, address, linear);
  f.get(address).get(linear).call(fetch);
  return f;
}

const go = (f: FunctionEmitter, record: number): FunctionEmitter =>
  f.get(record).get(LEFT).get(record).mem('i32.load', R.handler).returnCallIndirect(HANDLER);

/** S.rip = (S.codeBase + the i64 on the stack), cut to 32 bits outside 64-bit mode. */
function setRipFromPage(f: FunctionEmitter): void {
  const rip = f.local(I64);
  f.i32(0).mem('i64.load', S.codeBase).op('i64.add').set(rip);
  f.i32(0);
  f.get(rip).get(rip).i64(0xffff_ffffn).op('i64.and').i32(0).mem('i32.load', S.mode).i32(MODE.bits64).op('i32.eq').op('select');
  f.mem('i64.store', S.rip);
}

/** Cycle mode: tells when the page's account is another than the one that runs (0: unknown, stays). */
function arriveOn(f: FunctionEmitter, page: number): void {
  const account = f.local(I32);
  f.get(page).mem('i32.load', P.account).tee(account).i32(0).mem('i32.load', S.account).op('i32.ne').if();
  f.get(account).if();
  f.get(account).get(LEFT).call(IMPORT_INDEX.arrive).op('drop').end().end();
}

/** Notes in its record where an indirect jump goes: the places that it went to before move on, into the room of this one if it was there. */
function noteJump(f: FunctionEmitter, [to, moved, old]: readonly [number, number, number]): void {
  const place = (i: number): void => {
    if (i === JUMPED.length) return;
    f.get(REC).mem('i32.load', JUMPED[i]!).set(old).get(REC).get(moved).mem('i32.store', JUMPED[i]!);
    f.get(old).get(to).op('i32.ne').if().get(old).set(moved);
    place(i + 1);
    f.end();
  };
  f.get(REC).if();
  f.i32(0).mem('i32.load', S.rip).i32(0).mem('i32.load', S.codeBase).op('i32.sub').tee(to).set(moved);
  place(0);
  f.end();
}

/** Notes where an indirect jump goes, and continues at S.rip when its page is in the software TLB as executable and the instruction is decoded; else leave. */
function dispatch(fetchAt: FetchAt): FunctionEmitter {
  const f = new FunctionEmitter(HANDLER_TYPE.params);
  const linear = f.local(I64), entry = f.local(I32), page = f.local(I32), record = f.local(I32), mode = f.local(I32), hpaPage = f.local(I32), jump = f.local(I32), key = f.local(I64);
  noteJump(f, [page, record, jump]);
  f.i32(0).mem('i64.load', S.rip).i32(0).mem('i64.load', S.csBase).op('i64.add').set(linear);
  f.i32(0).mem('i32.load', S.mode).tee(mode).i32(MODE.bits64).op('i32.ne').if();
  f.get(linear).i64(0xffff_ffffn).op('i64.and').set(linear).end();
  f.i32(0).mem('i32.load', S.tlb).get(linear).i64(12n).op('i64.shr_u').op('i32.wrap_i64').i32(TLB_ENTRIES - 1).op('i32.and').i32(5).op('i32.shl').op('i32.add').set(entry);
  f.get(entry).mem('i64.load', TLB_ENTRY.tagExec).get(linear).i64(-4096n).op('i64.and').op('i64.ne').if();
  leave(f).end();
  f.get(entry).mem('i32.load', TLB_ENTRY.hpaPage).set(hpaPage);
  jumpEntry(f, linear);
  f.set(jump).get(linear);
  addJumpKey(f, mode);
  f.tee(key).get(jump).mem('i64.load', JUMP.key).op('i64.eq').get(jump).mem('i32.load', JUMP.hpaPage).get(hpaPage).op('i32.eq').op('i32.and').if();
  f.get(jump).mem('i32.load', JUMP.page).set(page).get(jump).mem('i32.load', JUMP.record).set(record).op('else');
  f.get(hpaPage).i32(2).op('i32.shl').mem('i32.load', CODE_PAGE_TABLE).tee(page).op('i32.eqz').if();
  leave(f).end();
  // The page's structure for this code size; there are three sizes, so the third of the chain needs no look.
  for (let i = 0; i < 2; i++) {
    f.get(page).mem('i32.load', P.mode).get(mode).op('i32.ne').if();
    f.get(page).mem('i32.load', P.next).tee(page).op('i32.eqz').if();
    leave(f).end();
  }
  f.end().end();
  f.get(page).get(linear).op('i32.wrap_i64').i32(4095).op('i32.and').i32(2).op('i32.shl').op('i32.add').mem('i32.load', PAGE_HEADER).tee(record).op('i32.eqz').if();
  leave(f).end();
  f.get(jump).get(key).mem('i64.store', JUMP.key).get(jump).get(hpaPage).mem('i32.store', JUMP.hpaPage);
  f.get(jump).get(page).mem('i32.store', JUMP.page).get(jump).get(record).mem('i32.store', JUMP.record).end();
  if (fetchAt !== undefined) arriveOn(f, page);
  f.i32(0).get(page).mem('i32.store', S.currentPage);
  f.i32(0).i32(0).mem('i64.load', S.rip).get(linear).i64(4095n).op('i64.and').op('i64.sub').mem('i64.store', S.codeBase);
  chargeFetch(f, record, fetchAt);
  go(f, record).op('unreachable');
  return f;
}

/** A taken relative branch whose record has no target yet, or at the end of the slice. The branch has been charged. */
function branchSlow(dispatchIndex: number, fetchAt: FetchAt): FunctionEmitter {
  const f = new FunctionEmitter(HANDLER_TYPE.params);
  const record = f.local(I32);
  f.get(REC).mem('i64.load', R.disp);
  setRipFromPage(f);
  // 16-bit operand size cuts the target to 16 bits.
  f.get(REC).mem('i32.load8_u', R.operandWidth).i32(16).op('i32.eq').if();
  f.i32(0).i32(0).mem('i64.load', S.rip).i64(0xffffn).op('i64.and').mem('i64.store', S.rip).end();
  f.get(LEFT).i32(0).op('i32.le_s').if();
  f.i32(0).get(REC).mem('i32.load8_u', R.flags).i32(LEFT_BY.samePage).op('i32.and').i32(LEFT_BY.blockEnd).op('i32.or').mem('i32.store', S.leftBy);
  leave(f).end();
  f.get(REC).mem('i32.load8_u', R.flags).i32(RF_SAME_PAGE).op('i32.and').if();
  f.i32(0).mem('i32.load', S.currentPage).get(REC).mem('i32.load', R.disp).i32(2).op('i32.shl').op('i32.add').mem('i32.load', PAGE_HEADER).tee(record).if();
  f.get(REC).get(record).mem('i32.store', R.target);
  chargeFetch(f, record, fetchAt);
  go(f, record).end().end();
  f.i32(0).get(LEFT).returnCall(dispatchIndex).op('unreachable');
  return f;
}

/** S.rip = this record's own address; then `tail`. */
function atRecord(tail: (f: FunctionEmitter) => void): FunctionEmitter {
  const f = new FunctionEmitter(HANDLER_TYPE.params);
  f.get(REC).mem('i64.load16_u', R.off);
  setRipFromPage(f);
  tail(f);
  f.op('unreachable');
  return f;
}

/**
 * An instruction that crosses into the next page: go to its decoded form (R.target) if the next linear page is still the
 * physical page (R.disp) that it was decoded with; else leave, and the run loop decodes it.
 */
function straddle(): FunctionEmitter {
  return atRecord((f) => {
    const linear = f.local(I64), entry = f.local(I32), target = f.local(I32);
    f.i32(0).mem('i64.load', S.rip).i32(0).mem('i64.load', S.csBase).op('i64.add').i64(4096n).op('i64.add').i64(-4096n).op('i64.and').set(linear);
    f.i32(0).mem('i32.load', S.mode).i32(MODE.bits64).op('i32.ne').if();
    f.get(linear).i64(0xffff_ffffn).op('i64.and').set(linear).end();
    f.i32(0).mem('i32.load', S.tlb).get(linear).i64(12n).op('i64.shr_u').op('i32.wrap_i64').i32(TLB_ENTRIES - 1).op('i32.and').i32(5).op('i32.shl').op('i32.add').set(entry);
    f.get(REC).mem('i32.load', R.target).tee(target).op('i32.eqz');
    f.get(entry).mem('i64.load', TLB_ENTRY.tagExec).get(linear).op('i64.ne').op('i32.or');
    f.get(entry).mem('i32.load', TLB_ENTRY.hpaPage).get(REC).mem('i32.load', R.disp).op('i32.ne').op('i32.or').if();
    leave(f).end();
    go(f, target);
  });
}

const compiled: (WasmModule | undefined)[] = [];
/** Name under which the base module exports a function of shared-functions.ts. */
export const shared = (name: string): string => `shared.${name}`;

/**
 * The module of base handlers: exports enter, resume, one function per name in `Handlers.base`, and the functions that other modules call
 * (`shared`), those of the host among them.
 */
export function baseModule(timing: boolean): WasmModule {
  const known = compiled[Number(timing)];
  if (known !== undefined) return known;
  const m = new ModuleBuilder(RAM_BASE / 65536, 65536);
  m.type(HANDLER_TYPE);
  const wasmNames = new Set<ImportName>(['branchSlow', 'dispatch']);
  for (const [n, t] of Object.entries(IMPORTS)) if (!wasmNames.has(n as ImportName)) m.export(m.importFunction(n, t), shared(n));
  let fetchAt: FetchAt;
  if (timing) {
    const indices: Record<string, number> = {};
    for (const [n, t] of Object.entries(TIMING_IMPORTS)) {
      indices[n] = m.importFunction(n, t);
      m.export(indices[n], shared(n));
    }
    const { fetch, settled } = indices;
    fetchAt = m.add(fetchAtRecord(fetch!), [I32], shared('fetchAt'));
    m.add(fetchLine(fetch!, settled!, locate), FETCH_LINE_TYPE.results, shared('fetchLine'));
  }
  const dispatchIndex = m.add(dispatch(fetchAt), [], shared('dispatch'));
  m.add(branchSlow(dispatchIndex, fetchAt), [], shared('branchSlow'));
  const aux = m.add(flagsAuxFunction(), [I64], shared('flagsAux'));
  m.add(slowAccess(aux), [I32], shared('slowAccess'));
  const chain = new FunctionEmitter([I32, I32, I32]);
  chain.get(REC).get(LEFT).get(2).returnCallIndirect(HANDLER).op('unreachable');
  m.add(chain, [], shared('chain'));
  const enter = new FunctionEmitter(HANDLER_TYPE.params);
  chargeFetch(enter, REC, fetchAt);
  go(enter, REC).op('unreachable');
  m.add(enter, [], 'enter');
  const resume = new FunctionEmitter(HANDLER_TYPE.params);
  go(resume, REC).op('unreachable');
  m.add(resume, [], 'resume');
  const stopNow = (f: FunctionEmitter): void => void leave(f);
  // marker: XCHG BX,BX. It does nothing, and the probe hears of it.
  const marker = new FunctionEmitter(HANDLER_TYPE.params);
  marker.i32(0).get(LEFT).mem('i32.store', S.left).get(REC).i32(helperId(reportMarker)).call(IMPORT_INDEX.helper).op('drop');
  marker.i32(0).mem('i32.load', S.left);
  if (timing) marker.get(REC).mem('i32.load16_u', R.cost).op('i32.sub').set(LEFT).i32(0).i32(0).mem('i32.load', S.retired).i32(1).op('i32.add').mem('i32.store', S.retired);
  else marker.i32(1).op('i32.sub').set(LEFT);
  marker.get(REC).i32(RECORD_BYTES).op('i32.add').set(REC);
  go(marker, REC).op('unreachable');
  m.add(marker, [], 'marker');
  // stop: after a single step. refetch: the record's page has been written to. Both leave before the instruction.
  m.add(atRecord((f) => stopNow(f.i32(0).i32(LEFT_BY.stopRecord).mem('i32.store', S.leftBy))), [], 'stop');
  m.add(atRecord(stopNow), [], 'refetch');
  m.add(straddle(), [], 'straddle');
  m.add(
    atRecord((f) => {
      f.get(LEFT).i32(0).op('i32.le_s').if();
      leaveBlock(f).end();
      f.i32(0).get(LEFT).returnCall(dispatchIndex);
    }),
    [],
    'pageEnd',
  );
  const goto = new FunctionEmitter(HANDLER_TYPE.params);
  const target = goto.local(I32);
  goto.get(REC).mem('i32.load', R.target).set(target);
  chargeFetch(goto, target, fetchAt);
  go(goto, target).op('unreachable');
  m.add(goto, [], 'goto');
  // line: the next record begins a new cache line (cycle mode).
  const line = new FunctionEmitter(HANDLER_TYPE.params);
  line.get(REC).i32(RECORD_BYTES).op('i32.add').set(REC);
  chargeFetch(line, REC, fetchAt);
  go(line, REC).op('unreachable');
  m.add(line, [], 'line');
  const raising = (vector: number): FunctionEmitter => {
    const f = new FunctionEmitter(HANDLER_TYPE.params);
    f.i32(0).get(LEFT).mem('i32.store', S.left).get(REC).i32(vector).i32(-1).call(IMPORT_INDEX.raise).op('drop');
    return f;
  };
  m.add(raising(6), [], 'invalid');
  // breakpoint: breakpoints.ts. It has the place of a record's own handler.
  m.add(
    atRecord((f) => {
      const own = f.local(I32);
      f.i32(0).get(LEFT).mem('i32.store', S.left).get(REC).call(IMPORT_INDEX.breakpoint).tee(own).i32(0).op('i32.lt_s').if();
      leave(f.i32(0).i32(LEFT_BY.breakpoint).mem('i32.store', S.leftBy)).end();
      f.get(REC).get(LEFT).get(own).returnCallIndirect(HANDLER);
    }),
    [],
    'breakpoint',
  );
  // Known to the decoder, unknown to the machine: vector -1 tells `raise` to stop with the instruction's name.
  m.add(raising(-1), [], 'unknown');
  return (compiled[Number(timing)] = new Wasm.Module(m.finish()));
}
