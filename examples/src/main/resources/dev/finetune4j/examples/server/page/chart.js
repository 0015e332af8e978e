// The curve of a run as a drawing: loss as it was logged and smoothed, evaluation loss, and the learning rate below.
import { draw, el } from './dom.js';
import { number, t } from './text.js';

const LEFT = 56;
const RIGHT = 16;
const TOP = 12;
const MAIN = 300;
const MAIN_NARROW = 220;
const GAP = 34;
const RATE = 76;
const AXIS = 26;
const NARROW = 500;
const DOTS = 60;

/** Moving average that weighs the past, without the bias of its beginning. */
export function smooth(values, weight) {
  let sum = 0;
  let norm = 0;
  return values.map(value => {
    sum = sum * weight + value * (1 - weight);
    norm = norm * weight + (1 - weight);
    return sum / norm;
  });
}

/** About count round numbers between two. */
export function ticks(from, to, count) {
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map(factor => factor * power).find(size => size >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++) {
    found.push(Number((i * step).toPrecision(12)));
  }
  return found;
}

/** At most two points for each column of pixels, the lowest and the highest, so that a long run costs no more than a short one. */
function thin(points, columns) {
  if (points.length <= columns * 2) {
    return points;
  }
  const kept = [];
  for (let column = 0; column < columns; column++) {
    const part = points.slice(Math.floor(column * points.length / columns), Math.floor((column + 1) * points.length / columns));
    const low = part.reduce((a, b) => (b[1] < a[1] ? b : a));
    const high = part.reduce((a, b) => (b[1] > a[1] ? b : a));
    kept.push(...(low === high ? [low] : low[0] < high[0] ? [low, high] : [high, low]));
  }
  return kept;
}

const line = points => points.map(([x, y], i) => (i ? 'L' : 'M') + x.toFixed(1) + ' ' + y.toFixed(1)).join('');

export class LossChart {
  constructor(place) {
    this.place = place;
    this.data = null;
    this.tip = el('div', { class: 'tip', hidden: true });
    new ResizeObserver(() => this.draw()).observe(place);
    this.at = null; // where the pointer is
    place.addEventListener('pointermove', event => this.point(event.clientX - place.getBoundingClientRect().left));
    place.addEventListener('pointerleave', () => this.point(null));
  }

  /** @param data {steps: [{step, loss, lr}], evaluations: [{step, loss}], total, weight} */
  show(data) {
    this.data = data;
    this.smoothed = smooth(data.steps.map(step => step.loss), data.weight);
    this.draw();
  }

  draw() {
    this.width = this.place.clientWidth;
    if (!this.data || this.data.steps.length === 0 || this.width < 80) {
      return;
    }
    this.main = this.width < NARROW ? MAIN_NARROW : MAIN;
    this.height = TOP + this.main + GAP + RATE + AXIS;
    this.scale();
    const { steps, evaluations } = this.data;
    const raw = steps.map(step => [this.x(step.step), this.y(step.loss)]);
    const soft = steps.map((step, i) => [this.x(step.step), this.y(this.smoothed[i])]);
    const checks = evaluations.map(check => [this.x(check.step), this.y(check.loss)]);
    const rates = steps.filter(step => step.lr !== undefined).map(step => [this.x(step.step), this.rate(step.lr)]);
    const dotted = checks.length <= DOTS;
    const columns = Math.max(50, Math.floor(this.width - LEFT - RIGHT));
    this.cross = draw('g', { class: 'cross' });
    this.svg = draw('svg', { width: this.width, height: this.height, role: 'img', 'aria-label': this.label() }, ...this.axes(),
      draw('path', { class: 'raw', d: line(thin(raw, columns)) }), draw('path', { class: 'soft', d: line(thin(soft, columns)) }),
      draw('path', { class: dotted ? 'check dotted' : 'check', d: line(thin(checks, columns)) }),
      ...(dotted ? checks : []).map(([x, y]) => draw('circle', { class: 'check', cx: x, cy: y, r: 3.5 })),
      draw('path', { class: 'rate', d: line(thin(rates, columns)) }), this.cross);
    this.place.replaceChildren(this.svg, this.tip);
    this.point(this.at);
  }

  label() {
    const { steps, evaluations } = this.data;
    const last = evaluations.at(-1);
    return t('chartLabel', steps.at(-1).step, number(steps.at(-1).loss, 4), last && number(last.loss, 4));
  }

  /** Where numbers lie: the loss leaves the highest hundredth of single steps out, which would flatten all others. */
  scale() {
    const { steps, evaluations, total } = this.data;
    const losses = steps.map(step => step.loss).sort((a, b) => a - b);
    const shown = [...this.smoothed, ...evaluations.map(check => check.loss), losses[Math.floor((losses.length - 1) * 0.99)], losses[0]];
    let low = Math.min(...shown.slice(-2), ...spread(shown));
    let high = Math.max(...spread(shown));
    const room = (high - low || Math.abs(high) || 1) * 0.05;
    low = low >= 0 ? Math.max(0, low - room) : low - room;
    high += room;
    const last = Math.max(total ?? 0, steps.at(-1).step, 1);
    const first = Math.min(steps[0].step, last - 1);
    const width = this.width - LEFT - RIGHT;
    const top = Math.max(...spread(steps.map(step => step.lr ?? 0))) || 1;
    this.bounds = { low, high, first, last, top };
    this.x = step => LEFT + (step - first) / (last - first) * width;
    this.y = loss => TOP + this.main - Math.min(1.02, Math.max(0, (loss - low) / (high - low))) * this.main;
    this.rate = lr => TOP + this.main + GAP + RATE - lr / top * RATE;
  }

  axes() {
    const { low, high, first, last, top } = this.bounds;
    const right = this.width - RIGHT;
    const nodes = [];
    const text = (x, y, anchor, words, kind = '') => draw('text', { class: kind, x, y, 'text-anchor': anchor }, words);
    for (const value of ticks(low, high, 5)) {
      nodes.push(draw('line', { class: 'grid', x1: LEFT, x2: right, y1: this.y(value), y2: this.y(value) }), text(LEFT - 8, this.y(value) + 4, 'end', short(value)));
    }
    for (const value of [0, top]) {
      nodes.push(draw('line', { class: 'grid', x1: LEFT, x2: right, y1: this.rate(value), y2: this.rate(value) }), text(LEFT - 8, this.rate(value) + 4, 'end', value === 0 ? '0' : small(value)));
    }
    for (const value of ticks(first, last, this.width < NARROW ? 4 : 8).filter(Number.isInteger)) {
      nodes.push(text(this.x(value), this.height - 6, value >= last ? 'end' : 'middle', number(value, 0)));
    }
    nodes.push(text(LEFT, TOP + this.main + GAP - 10, 'start', t('lr'), 'title'));
    return nodes;
  }

  /** Shows the numbers of the step nearest to a place. */
  point(at) {
    this.at = at;
    if (!this.cross) {
      return;
    }
    this.tip.hidden = at === null;
    if (at === null) {
      this.cross.replaceChildren();
      return;
    }
    const { steps, evaluations } = this.data;
    const { first, last } = this.bounds;
    const wanted = first + (at - LEFT) / (this.width - LEFT - RIGHT) * (last - first);
    const i = nearest(steps, wanted);
    const step = steps[i];
    const check = evaluations.find(one => one.step === step.step);
    const x = this.x(step.step);
    this.cross.replaceChildren(draw('line', { x1: x, x2: x, y1: TOP, y2: TOP + this.main + GAP + RATE }),
      draw('circle', { cx: x, cy: this.y(this.smoothed[i]), r: 4 }));
    const rows = [[t('loss'), number(step.loss, 4)], [t('smoothed'), number(this.smoothed[i], 4)]];
    if (check) {
      rows.push([t('evalLoss'), number(check.loss, 4)]);
    }
    if (step.lr !== undefined) {
      rows.push([t('lr'), small(step.lr)]);
    }
    this.tip.replaceChildren(el('b', {}, t('step') + ' ' + number(step.step, 0)), ...rows.map(([name, value]) => el('span', {}, name, el('i', {}, value))));
    const left = x > this.width / 2 ? x - this.tip.offsetWidth - 14 : x + 14;
    this.tip.style.transform = `translate(${Math.max(0, left)}px, ${TOP + 8}px)`;
  }
}

/** Extremes of a list that may be too long for the arguments of one call. */
function spread(values) {
  return values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
}

function nearest(steps, wanted) {
  let low = 0;
  let high = steps.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle].step < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low > 0 && wanted - steps[low - 1].step < steps[low].step - wanted ? low - 1 : low;
}

const short = value => Number(value.toPrecision(4)).toString();

export const small = value => (value === 0 ? '0' : value.toExponential(2).replace(/\.?0+e/, 'e').replace('e+', 'e'));
