/** The timeline: who had the processor, in cycles. Wheel and +/- zoom, drag and arrows pan, a click or Enter goes there. */

import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { count } from '../format.js';
import { Pane } from '../Pane.js';
import { busy, goTo, showTimeline, spec, timeline, view } from '../store.js';
import { dark } from '../theme.js';
import { draw, HEIGHT, LABELS } from './draw.js';
import { pan, type Range, reveal, SMALLEST, toCycle, within, zoom } from './layout.js';
import { LANES } from './window.js';

const range = signal<Range>({ from: 0, to: 1000 });
const mark = signal<number | undefined>(undefined);
/** Showing everything, until somebody zooms or pans. */
const all = signal(true);
const DRAG_PIXELS = 4;

const end = (): number => Math.max(timeline.value?.end ?? 0, view.value?.cycle ?? 0, SMALLEST);

function look(next: Range): void {
  range.value = next;
  all.value = next.from <= 0 && next.to >= end();
}

/** Shows a range; the same one again is no change. */
function show(next: Range): void {
  if (next.from !== range.value.from || next.to !== range.value.to) range.value = next;
}

/** Asks for the window in sight, one request at a time. */
let asking = false, again = false;
async function refresh(columns: number): Promise<void> {
  again = asking;
  if (asking || columns < 1) return;
  asking = true;
  do {
    again = false;
    await showTimeline(range.value.from, range.value.to, columns);
  } while (again);
  asking = false;
}

/** Cycles that `The last exit` shows before it. */
const BEFORE_EXIT = 2000;

/** What the keys do, for the mouse. */
function Tools() {
  const most = end() * 1.02, now = view.value?.cycle ?? 0, exit = view.value?.lastExit?.cycle;
  const toExit = (): void => void (exit !== undefined && look(within({ from: exit - BEFORE_EXIT, to: Math.max(now, exit) + BEFORE_EXIT }, most)));
  return (
    <>
      <button type="button" onClick={() => look({ from: 0, to: most })}>All</button>
      <button type="button" aria-disabled={exit === undefined} onClick={toExit}>The last exit</button>
      <button type="button" aria-label="Farther" onClick={() => look(zoom(range.value, 2, now, most))}>−</button>
      <button type="button" aria-label="Nearer" onClick={() => look(zoom(range.value, 0.5, now, most))}>+</button>
    </>
  );
}

export function Timeline() {
  const canvas = useRef<HTMLCanvasElement>(null), drag = useRef<{ x: number; from: Range; moved: boolean } | undefined>(undefined);
  const plot = (): number => Math.max(1, Math.floor(canvas.current!.clientWidth - LABELS));
  const cycleAt = (e: MouseEvent): number => Math.max(0, Math.min(end(), toCycle(range.value, plot(), e.offsetX - LABELS)));
  const paint = (): void => {
    if (canvas.current !== null) draw(canvas.current, range.value, timeline.value, view.value?.cycle, mark.value);
  };
  useEffect(() => {
    if (view.value === undefined || busy.value !== undefined) return;
    if (timeline.value === undefined) all.value = true; // another machine
    const last = end();
    // The whole run stays in sight without moving at every step: it is fitted anew when it no longer fits, or would fill half of it.
    if (!all.value) show(reveal(range.value, view.value.cycle, last * 1.02));
    else if (last > range.value.to || last < range.value.to / 2) show({ from: 0, to: Math.max(SMALLEST, last * 1.1) });
    void refresh(plot());
  }, [view.value, busy.value]);
  useEffect(() => void (view.value !== undefined && refresh(plot())), [range.value]);
  useEffect(paint, [range.value, timeline.value, view.value, mark.value, dark.value]);
  useEffect(() => {
    const observer = new ResizeObserver(() => {
      paint();
      if (view.value !== undefined) void refresh(plot());
    });
    observer.observe(canvas.current!);
    const wheel = (e: WheelEvent): void => {
      e.preventDefault();
      look(e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)
        ? pan(range.value, ((e.deltaX || e.deltaY) / plot()) * (range.value.to - range.value.from), end() * 1.02)
        : zoom(range.value, Math.exp(e.deltaY / 400), cycleAt(e), end() * 1.02));
    };
    canvas.current!.addEventListener('wheel', wheel, { passive: false });
    return () => observer.disconnect();
  }, []);

  const onKeyDown = (e: KeyboardEvent): void => {
    const width = range.value.to - range.value.from, at = mark.value ?? view.value?.cycle ?? 0;
    const acts: Readonly<Record<string, () => void>> = {
      ArrowRight: () => (mark.value = Math.min(end(), Math.round(at + width / 100))), ArrowLeft: () => (mark.value = Math.max(0, Math.round(at - width / 100))),
      '+': () => look(zoom(range.value, 0.5, at, end() * 1.02)), '=': () => look(zoom(range.value, 0.5, at, end() * 1.02)), '-': () => look(zoom(range.value, 2, at, end() * 1.02)),
      PageUp: () => look(pan(range.value, -width / 2, end() * 1.02)), PageDown: () => look(pan(range.value, width / 2, end() * 1.02)),
      '0': () => look({ from: 0, to: end() * 1.02 }), Enter: () => void goTo({ cycle: Math.round(at) }),
    };
    const act = acts[e.key];
    if (act === undefined) return;
    e.preventDefault();
    e.stopPropagation();
    act();
    if (mark.value !== undefined) show(reveal(range.value, mark.value, end() * 1.02));
  };
  const onPointerMove = (e: PointerEvent): void => {
    const d = drag.current;
    if (d === undefined) return void (mark.value = cycleAt(e));
    if (Math.abs(e.offsetX - d.x) > DRAG_PIXELS) d.moved = true;
    if (d.moved) look(pan(d.from, ((d.x - e.offsetX) / plot()) * (d.from.to - d.from.from), end() * 1.02));
  };
  const onPointerUp = (e: PointerEvent): void => {
    const d = drag.current;
    drag.current = undefined;
    if (d !== undefined && !d.moved && e.offsetX >= LABELS) void goTo({ cycle: Math.round(cycleAt(e)) });
  };
  const near = timeline.value?.moments.filter((m) => mark.value !== undefined && Math.abs(m.cycle - mark.value) < (range.value.to - range.value.from) / 150).at(-1);
  const note = mark.value === undefined ? `cycles ${count(range.value.from)} to ${count(range.value.to)}` : `cycle ${count(mark.value)}${near === undefined ? '' : `: ${near.text}`}`;
  return (
    <Pane id="timeline" title="Timeline" tools={<Tools />} note={<><span class="mono">{note}</span>{spec.value.mode === 'functional' ? ' · who ran is recorded in cycle mode only' : ''}</>}>
      <canvas
        ref={canvas} style={{ height: `${HEIGHT}px` }} tabIndex={0} data-focus="" role="slider" aria-label={`Timeline in cycles, lanes ${LANES.join(', ')}; Enter goes to the mark`}
        aria-valuemin={0} aria-valuemax={Math.round(end())} aria-valuenow={Math.round(mark.value ?? view.value?.cycle ?? 0)} aria-valuetext={note}
        onKeyDown={onKeyDown} onPointerMove={onPointerMove} onPointerUp={onPointerUp} onPointerLeave={() => (mark.value = undefined)}
        onPointerDown={(e) => {
          drag.current = { x: e.offsetX, from: range.value, moved: false };
          e.currentTarget.setPointerCapture(e.pointerId);
        }}
      />
    </Pane>
  );
}
