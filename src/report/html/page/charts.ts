/*!
 * Charts: uPlot 1.6, https://github.com/leeoniya/uPlot
 *
 * The MIT License (MIT)
 *
 * Copyright (c) 2022 Leon Sorokin
 *
 * Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
 * documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
 * rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
 * persons to whom the Software is furnished to do so, subject to the following conditions:
 *
 * The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
 * Software.
 *
 * THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
 * WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
 * COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
 * OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
 */
import uPlot from 'uplot';
import type { PageUnitUse } from '../page-data.ts';
import { count } from './decode.ts';

const WIDTH = 560;
const HEIGHT = 220;
/** Past so many times the peak a limit is named at the edge: drawn to scale, use would be a line at zero. */
const FAR = 4;

interface Colors {
  readonly text: string;
  readonly grid: string;
  readonly use: string;
  readonly fill: string;
  readonly limit: string;
}

/** What a canvas paints with is no style sheet's business: the colours are read from it. */
function colors(): Colors {
  const style = getComputedStyle(document.documentElement);
  const of = (name: string): string => style.getPropertyValue(`--${name}`).trim();
  return { text: of('text'), grid: of('line'), use: of('use'), fill: of('use-fill'), limit: of('limit') };
}

function axes({ text, grid }: Colors, labels: readonly [string, string]): [uPlot.Axis, uPlot.Axis] {
  const lines = { stroke: grid, width: 1 };
  const of = (label: string): uPlot.Axis => ({
    label,
    stroke: text,
    grid: lines,
    ticks: lines,
    labelSize: 22,
  });
  return [of(labels[0]), of(labels[1])];
}

/** As everywhere on the page, and not as it is where the browser is. */
function utc(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(5, 16).replace('T', ' ');
}

function size(into: HTMLElement): { width: number; height: number } {
  return { width: Math.max(240, Math.min(WIDTH, into.clientWidth || WIDTH)), height: HEIGHT };
}

/** Tasks over time, with the limit drawn across; false where only a histogram is known. */
export function drawSeries(into: HTMLElement, use: PageUnitUse): boolean {
  const { start, series } = use;
  if (start === null || series.length === 0) return false;
  const paint = colors();
  const limit = drawnLimit(use);
  const times: number[] = [];
  const tasks: number[] = [];
  for (let i = 0; i < series.length; i += 2) {
    times.push(start / 1000 + (series[i] ?? 0));
    tasks.push(series[i + 1] ?? 0);
  }
  const [time, tasksAxis] = axes(paint, ['time (UTC)', 'tasks']);
  const options: uPlot.Options = {
    ...size(into),
    legend: { show: false },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'Etc/UTC'),
    scales: { y: { range: [0, top(use, limit)] } },
    axes: [{ ...time, space: 90, values: (_plot, splits) => splits.map(utc) }, tasksAxis],
    series: [
      {},
      {
        label: 'tasks',
        stroke: paint.use,
        fill: paint.fill,
        width: 2,
        points: { show: times.length < 3 },
        // A count holds until the next one.
        ...steps(),
      },
    ],
    hooks: { draw: [(plot) => drawLimit(plot, 'y', limit, paint)] },
  };
  new uPlot(options, [times, tasks], into);
  return true;
}

function steps(): Partial<uPlot.Series> {
  const paths = uPlot.paths.stepped?.({ align: 1 });
  return paths === undefined ? {} : { paths };
}

/** Share of the time by number of tasks, with the limit drawn up. */
export function drawHistogram(into: HTMLElement, use: PageUnitUse): void {
  const paint = colors();
  const limit = drawnLimit(use);
  const { histogram, barWidth } = use;
  const shares = new Map<number, number>();
  for (let i = 0; i < histogram.length; i += 2) shares.set(histogram[i] ?? 0, (histogram[i + 1] ?? 0) / 100);
  const most = Math.max(0, ...shares.keys());
  const from: number[] = [];
  for (let at = 0; at <= most; at += barWidth) from.push(at);
  // Without a neighbour a bar has no width.
  from.push(most + barWidth);
  const paths = uPlot.paths.bars?.({ size: [0.9], align: 1 });
  const options: uPlot.Options = {
    ...size(into),
    legend: { show: false },
    scales: {
      x: { time: false, range: [0, Math.max(top(use, limit), most + barWidth)] },
      y: { range: [0, 100] },
    },
    axes: axes(paint, ['tasks', '% of the time']),
    series: [
      {},
      {
        label: 'share',
        stroke: paint.use,
        fill: paint.fill,
        points: { show: false },
        ...(paths === undefined ? {} : { paths }),
      },
    ],
    hooks: { draw: [(plot) => drawLimit(plot, 'x', limit, paint)] },
  };
  new uPlot(options, [from, from.map((at) => shares.get(at) ?? 0)], into);
}

interface DrawnLimit {
  readonly at: number;
  /** It is further away than what is drawn. */
  readonly beyond: boolean;
}

function drawnLimit({ limit, peak }: PageUnitUse): DrawnLimit | null {
  const at = count(limit);
  if (at === null || at === Number.POSITIVE_INFINITY) return null;
  return { at, beyond: at > FAR * Math.max(1, peak) };
}

function top({ peak }: PageUnitUse, limit: DrawnLimit | null): number {
  const highest = limit === null || limit.beyond ? peak : Math.max(peak, limit.at);
  return Math.max(2, highest * 1.15);
}

function drawLimit(plot: uPlot, scale: 'x' | 'y', limit: DrawnLimit | null, paint: Colors): void {
  if (limit === null) return;
  const { ctx, bbox } = plot;
  const { devicePixelRatio } = window;
  ctx.save();
  ctx.strokeStyle = paint.limit;
  ctx.fillStyle = paint.limit;
  ctx.lineWidth = 2 * devicePixelRatio;
  ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
  const gap = 4 * devicePixelRatio;
  const text = limit.beyond ? `limit ${limit.at}, far above` : `limit ${limit.at}`;
  if (!limit.beyond) {
    const at = plot.valToPos(limit.at, scale, true);
    ctx.setLineDash([6 * devicePixelRatio, gap]);
    ctx.beginPath();
    if (scale === 'y') {
      ctx.moveTo(bbox.left, at);
      ctx.lineTo(bbox.left + bbox.width, at);
    } else {
      ctx.moveTo(at, bbox.top);
      ctx.lineTo(at, bbox.top + bbox.height);
    }
    ctx.stroke();
    ctx.textAlign = 'right';
    if (scale === 'y') ctx.fillText(text, bbox.left + bbox.width - gap, at - gap);
    else ctx.fillText(text, at - gap, bbox.top + 4 * gap);
  } else {
    ctx.textAlign = 'right';
    ctx.fillText(text, bbox.left + bbox.width - gap, bbox.top + 4 * gap);
  }
  ctx.restore();
}
