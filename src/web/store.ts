/**
 * What the page shows, as signals, and what a person can do, as actions. Panes read signals and call actions; only this file talks to
 * the engine.
 *
 * Invariant: while `busy` is set no other move is begun. A failed action leaves a message in `complaint` and the machine where it was.
 */

import { batch, computed, signal } from '@preact/signals';
import type { Direction, ExitView, Position, StateView, StepKind, StopCondition, StopPoint, WalkView } from '../debug/api.js';
import type { NoScreen, Screen } from '../machine/screen.js';
import { parseSession } from '../debug/session-file.js';
import { type Catalogue, loadAssets, loadCatalogue, loadSources, sha256 } from './assets.js';
import { EngineClient, EngineError } from './client.js';
import { decodeLink, DEFAULT_SPEC, encodeLink, LinkError } from './link.js';
import type { FileBytes, FileText, MachineSpec, MemoryView, Requests, RequestName, Statistics } from './protocol.js';
import { specOf } from './session-spec.js';
import type { TimelineWindow } from './timeline/window.js';

export const catalogue = signal<Catalogue | undefined>(undefined);
export const spec = signal<MachineSpec>(DEFAULT_SPEC);
export const view = signal<StateView | undefined>(undefined);
/** What is under way, and how far it is. */
export const busy = signal<{ readonly what: string; readonly cycle?: number; readonly position?: Position } | undefined>(undefined);
/** As `busy`, but only once it takes so long that a person would wonder: short steps do not make the page flicker. */
export const slow = signal(false);
export const complaint = signal<string | undefined>(undefined);
/** Something to know that is no error: a link of another version, a state that was copied. */
export const remark = signal<string | undefined>(undefined);
export const stops = signal<readonly StopPoint[]>([]);
export const exits = signal<readonly ExitView[]>([]);
export const statistics = signal<Statistics | undefined>(undefined);
export const walk = signal<WalkView | undefined>(undefined);
export const memory = signal<MemoryView | undefined>(undefined);
export const timeline = signal<TimelineWindow | undefined>(undefined);
/** COM1 from the beginning, as far as the machine has come. */
export const consoleBytes = signal<Uint8Array>(new Uint8Array(0));
/** The text screen; undefined before anything runs. */
export const screen = signal<Screen | NoScreen | undefined>(undefined);
/** C sources by path, once somebody needed them. */
export const sources = signal<Readonly<Record<string, string>>>({});
/** Files the user gave. */
export const files = signal<readonly FileBytes[]>([]);
/** Milliseconds: opening to first stop; last step, from the key to the painted panes. */
export const timings = signal<{ readonly firstStop?: number; readonly lastStep?: number }>({});

export const version = computed(() => (catalogue.value === undefined ? '' : `${catalogue.value.version}-${catalogue.value.build}`));
export const link = computed(() => (view.value === undefined ? '' : encodeLink({ version: version.value, spec: spec.value, position: view.value.position })));

let engine: EngineClient | undefined;

function connect(): EngineClient {
  engine ??= new EngineClient(
    (notice) => {
      if (notice.kind === 'progress') {
        if (busy.value !== undefined) busy.value = { ...busy.value, cycle: notice.cycle, position: notice.position };
        return;
      }
      if (notice.kind === 'screen') {
        screen.value = notice.screen;
        return;
      }
      const next = new Uint8Array(notice.keep + notice.bytes.length);
      next.set(consoleBytes.value.subarray(0, notice.keep));
      next.set(notice.bytes, notice.keep);
      consoleBytes.value = next;
    },
    (message) => {
      complaint.value = `The engine stopped: ${message}`;
      busy.value = undefined;
    },
  );
  return engine;
}

export const ask = <N extends RequestName>(name: N, args: Requests[N]['args']): Promise<Requests[N]['result']> => connect().ask(name, args);

const messageOf = (e: unknown): string => (e instanceof EngineError || e instanceof LinkError ? e.message : e instanceof Error ? e.message : String(e));

const SLOW_MS = 150;

/** Runs a move: one at a time, with its message when it fails. */
async function move(what: string, act: () => Promise<StateView>): Promise<void> {
  if (busy.value !== undefined) return;
  const began = performance.now();
  busy.value = { what };
  const waiting = setTimeout(() => (slow.value = true), SLOW_MS);
  complaint.value = undefined;
  try {
    show(await act());
  } catch (e) {
    complaint.value = messageOf(e);
  } finally {
    clearTimeout(waiting);
    batch(() => {
      slow.value = false;
      busy.value = undefined;
    });
  }
  requestAnimationFrame(() => setTimeout(() => {
    const { duration } = performance.measure('xenolith-move', { start: began, end: performance.now() });
    timings.value = { ...timings.value, lastStep: duration };
  }));
}

/** Browsers take only so many changes of the address: it follows when nothing has moved for a while. */
const ADDRESS_MS = 200;
let addressing: ReturnType<typeof setTimeout> | undefined;

function show(state: StateView): void {
  view.value = state;
  clearTimeout(addressing);
  addressing = setTimeout(() => location.hash === link.value || history.replaceState(null, '', link.value), ADDRESS_MS);
  const file = state.source?.file;
  if (file !== undefined && state.source?.text === undefined && sources.value[file] === undefined) void needSources();
}

let sourcesAsked = false;
async function needSources(): Promise<void> {
  if (sourcesAsked) return;
  sourcesAsked = true;
  try {
    sources.value = await loadSources();
  } catch (e) {
    complaint.value = messageOf(e);
  }
}

export const step = (kind: StepKind, direction: Direction): Promise<void> =>
  move(direction === 'forward' ? `Stepping: ${kind}` : `Stepping back: ${kind}`, () => ask('step', { step: kind, direction, count: 1 }));
export const run = (direction: Direction): Promise<void> => move(direction === 'forward' ? 'Running' : 'Running back', () => ask('continue', { direction }));
export const goTo = (target: { position: Position } | { cycle: number }): Promise<void> => move('Going there', () => ask('goTo', target));
export const interrupt = (): void => engine?.interrupt();

/** Starts a machine anew. @param from where to stop first: at a position, or where a session was saved */
export async function start(next: MachineSpec, from: { readonly position?: Position; readonly session?: FileText } = {}): Promise<void> {
  await move('Starting the machine', async () => {
    const assets = await loadAssets(next);
    const state = await ask('start', { spec: next, assets, files: files.value, ...from });
    timeline.value = walk.value = memory.value = undefined;
    spec.value = next;
    stops.value = await ask('stops', {});
    return state;
  });
  if (view.value === undefined || timings.value.firstStop !== undefined) return;
  requestAnimationFrame(() => setTimeout(() => (timings.value = { ...timings.value, firstStop: performance.measure('xenolith-first-stop', { start: 0, end: performance.now() }).duration })));
}

/** The first thing after opening: what the link says, or the default experiment. */
export async function open(): Promise<void> {
  connect(); // the worker loads while the files do
  try {
    catalogue.value = await loadCatalogue();
    const wanted = decodeLink(location.hash);
    if (wanted === undefined) return void (await start(DEFAULT_SPEC));
    if (wanted.spec.kind === 'image' && !hasFiles(wanted.spec.sha256)) {
      remark.value = `This link needs the file ${wanted.spec.name}: drop it onto the page.`;
      return;
    }
    if (wanted.version !== version.value) {
      remark.value = `This link was made by version ${wanted.version}; this page is ${version.value}. Runs may differ between versions, so the machine was started at its beginning instead of position ${wanted.position.instructions}.`;
      return void (await start(wanted.spec));
    }
    await start(wanted.spec, { position: wanted.position });
  } catch (e) {
    complaint.value = messageOf(e);
    if (e instanceof LinkError) await start(DEFAULT_SPEC);
  }
}
const hasFiles = (hash: string): boolean => files.value.some((f) => f.sha256 === hash);

/** Takes files that the user dropped or chose. */
export async function takeFiles(list: readonly File[]): Promise<readonly FileBytes[]> {
  const taken = await Promise.all(list.map(async (f) => {
    const bytes = new Uint8Array(await f.arrayBuffer());
    return { name: f.name, bytes, sha256: await sha256(bytes) };
  }));
  files.value = [...files.value.filter((f) => !taken.some((t) => t.name === f.name)), ...taken];
  return taken;
}

/** Opens a session file: the same machine, run to where it was saved. */
export async function openSession(session: FileText): Promise<void> {
  try {
    const known = (await loadCatalogue()).images, record = parseSession(session.text, session.name), wanted = specOf(record, known);
    if (wanted.kind === 'image' && !hasFiles(wanted.sha256)) {
      waitingSession = session;
      remark.value = `${session.name} needs the file ${[wanted, ...wanted.modules].map((m) => m.name).join(' and ')}: drop it onto the page.`;
      return;
    }
    await start(wanted, { session });
  } catch (e) {
    complaint.value = messageOf(e);
  }
}
/** A session file that waits for the image it was made with. */
let waitingSession: FileText | undefined;
export function takeWaitingSession(): FileText | undefined {
  const session = waitingSession;
  waitingSession = undefined;
  return session;
}

/** The session as a file. */
export async function save(): Promise<string | undefined> {
  let text: string | undefined;
  await question(async () => void (text = await ask('save', {})));
  return text;
}

/** Questions about a stopped machine; a failure is said, and what was shown before stays. */
async function question(act: () => Promise<void>): Promise<boolean> {
  if (view.value === undefined || busy.value !== undefined) return false;
  try {
    await act();
    return true;
  } catch (e) {
    complaint.value = messageOf(e);
    return false;
  }
}
export const showWalk = (text: string): Promise<boolean> => question(async () => void (walk.value = await ask('walk', { text })));
export const showMemory = (text: string, bytes: number): Promise<boolean> => question(async () => void (memory.value = await ask('memory', { text, bytes })));
export const showStatistics = (): Promise<boolean> => question(async () => void (statistics.value = await ask('statistics', {})));
export const showExits = (count: number): Promise<boolean> => question(async () => void (exits.value = await ask('exits', { count })));
export const showTimeline = (from: number, to: number, columns: number): Promise<boolean> => question(async () => void (timeline.value = await ask('timeline', { from, to, columns })));
export const addStop = (condition: StopCondition): Promise<boolean> => question(async () => void (stops.value = await ask('addStop', { condition })));
export const removeStop = (id: number): Promise<boolean> => question(async () => void (stops.value = await ask('removeStop', { id })));
export const addStopAt = (text: string, watch?: { bytes: number; read: boolean; write: boolean }): Promise<boolean> =>
  question(async () => void (stops.value = await ask('addStopAt', { text, ...(watch === undefined ? {} : { watch }) })));
/** Toggles the breakpoint at an address. */
export function toggleBreakpoint(linear: string): Promise<boolean> {
  const there = stops.value.find((s) => s.kind === 'breakpoint' && s.linear === linear);
  return there === undefined ? addStop({ kind: 'breakpoint', linear }) : removeStop(there.id);
}
export const type = (bytes: Uint8Array): Promise<void> => move('Input', () => ask('input', { bytes }));
