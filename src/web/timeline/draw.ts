/** Draws a window of the timeline on a canvas. Lanes have a place and a name beside their colour; exits are ticks above the guest's lane. */

import { colour } from '../theme.js';
import { marks, markText, type Range, toPixel } from './layout.js';
import { LANES, type TimelineWindow } from './window.js';

/** CSS pixels: width of the lanes' names, height of a lane, of the axis, and of all. */
export const LABELS = 84;
const LANE = 17, GAP = 3, AXIS = 18;
export const HEIGHT = LANES.length * (LANE + GAP) + AXIS;

export function draw(canvas: HTMLCanvasElement, range: Range, window: TimelineWindow | undefined, now: number | undefined, mark: number | undefined): void {
  const width = canvas.clientWidth, ratio = devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(HEIGHT * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(HEIGHT * ratio);
  }
  const g = canvas.getContext('2d')!;
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, width, HEIGHT);
  g.font = '11px system-ui, sans-serif';
  g.textBaseline = 'middle';
  const plot = Math.max(1, width - LABELS);
  drawAxis(g, range, plot);
  LANES.forEach((lane, i) => {
    const y = i * (LANE + GAP);
    g.fillStyle = colour('muted');
    g.fillText(lane, 8, y + LANE / 2);
    g.fillStyle = colour('lane');
    g.fillRect(LABELS, y, plot, LANE);
    if (window !== undefined) drawLane(g, window, lane, y, range, plot);
  });
  if (window !== undefined) drawExits(g, window, range, plot);
  if (mark !== undefined) drawLine(g, LABELS + toPixel(range, plot, mark), colour('muted'), [3, 3]);
  if (now !== undefined) drawNow(g, LABELS + toPixel(range, plot, now));
}

/** A window that was asked for another range is drawn where it belongs, until the right one is here. */
function drawLane(g: CanvasRenderingContext2D, w: TimelineWindow, lane: (typeof LANES)[number], y: number, range: Range, plot: number): void {
  const share = w.shares[lane], step = (w.to - w.from) / share.length;
  g.fillStyle = colour(`lane-${lane}`);
  for (let i = 0, after = 1; i < share.length; i = after, after = i + 1) {
    while (share[after] === share[i]) after++; // columns that look the same are one rectangle
    if (share[i] === 0) continue;
    const x = toPixel(range, plot, w.from + i * step), next = toPixel(range, plot, w.from + after * step), height = Math.max(2, share[i]! * LANE);
    if (next >= 0 && x <= plot) g.fillRect(LABELS + Math.max(0, x), y + LANE - height, Math.max(1, next - Math.max(0, x)), height);
  }
}

function drawExits(g: CanvasRenderingContext2D, w: TimelineWindow, range: Range, plot: number): void {
  const step = (w.to - w.from) / w.exits.length;
  g.fillStyle = colour('lane-exit');
  for (let i = 0; i < w.exits.length; i++) {
    const x = toPixel(range, plot, w.from + (i + 0.5) * step);
    if (w.exits[i]! > 0 && x >= 0 && x <= plot) g.fillRect(LABELS + x, 0, 1, 5);
  }
}

function drawAxis(g: CanvasRenderingContext2D, range: Range, plot: number): void {
  const y = HEIGHT - AXIS;
  const at = marks(range, Math.max(2, plot / 110)), step = (at[1] ?? 1) - (at[0] ?? 0);
  for (const cycle of at) {
    const x = Math.round(LABELS + toPixel(range, plot, cycle)) + 0.5;
    g.fillStyle = colour('line');
    g.fillRect(x - 0.5, 0, 1, y + 3);
    g.fillStyle = colour('muted');
    const text = markText(cycle, step);
    g.fillText(text, Math.min(x + 3, LABELS + plot - g.measureText(text).width - 2), y + AXIS / 2 + 1);
  }
}

function drawLine(g: CanvasRenderingContext2D, x: number, style: string, dash: number[]): void {
  g.strokeStyle = style;
  g.setLineDash(dash);
  g.beginPath();
  g.moveTo(Math.round(x) + 0.5, 0);
  g.lineTo(Math.round(x) + 0.5, HEIGHT - AXIS + 3);
  g.stroke();
  g.setLineDash([]);
}

function drawNow(g: CanvasRenderingContext2D, x: number): void {
  if (x < LABELS - 1 || x > g.canvas.clientWidth + 1) return;
  drawLine(g, x, colour('ink'), []);
  g.fillStyle = colour('ink');
  g.beginPath();
  g.moveTo(x - 4, HEIGHT - AXIS + 8);
  g.lineTo(x + 5, HEIGHT - AXIS + 8);
  g.lineTo(x + 0.5, HEIGHT - AXIS + 2);
  g.fill();
}
