// The page of a training run: reads its trainer_log.jsonl piece by piece, so closing it stops nothing. A run of the server itself can be stopped.
import { ApiError, log, runs, stopTraining, words } from './api.js';
import { LossChart, small } from './chart.js';
import { $, el, toast } from './dom.js';
import { preferences, prefer } from './store.js';
import { ago, number, t } from './text.js';

const EVERY = 2000;
const ROWS = 20;
const SMOOTHING = 0.6; // that of the library's own pictures
const WINDOWS = 150; // in a longer run each smoothed point stands for a larger part of it
const LONG_PIECE = 500_000; // bytes; a longer log comes in several
const QUIET_SECONDS = 180;
const STATES = { running: 'running', succeeded: 'finished', stopped: 'stoppedRun', failed: 'failedRun' };

/** The lines of one log, as far as they have been read. */
export class RunLog {
  constructor() {
    this.offset = 0;
    this.steps = [];
    this.evaluations = [];
    this.last = {};
  }

  take({ lines, next }) {
    this.offset = next;
    lines.forEach(line => this.line(line));
  }

  /** A run that was resumed writes steps anew. */
  line(entry) {
    const step = entry.current_steps;
    this.last = { ...this.last, ...entry };
    if (Number.isFinite(entry.loss)) {
      while (this.steps.length > 0 && this.steps.at(-1).step >= step) {
        this.steps.pop();
      }
      if (this.evaluations.at(-1)?.step > step) {
        this.evaluations = this.evaluations.filter(check => check.step <= step);
      }
      this.steps.push({ step, loss: entry.loss, lr: entry.lr ?? entry.learning_rate, epoch: entry.epoch });
    }
    if (Number.isFinite(entry.eval_loss)) {
      this.evaluations = [...this.evaluations.filter(check => check.step < step), { step, loss: entry.eval_loss }];
    }
  }
}

export class Training {
  /** @param hooks {keyRefused()} */
  constructor(hooks) {
    this.hooks = hooks;
    this.chart = new LossChart($('plot'));
    this.log = new RunLog();
    $('run').addEventListener('change', () => this.choose($('run').value));
    $('stop-run').addEventListener('click', () => {
      $('stop-title').textContent = t('stopTitle', this.run);
      $('stop-dialog').showModal();
    });
    $('stop-form').addEventListener('submit', event => {
      event.preventDefault();
      $('stop-dialog').close();
      this.stop(this.run);
    });
    $('smoothing').addEventListener('input', () => {
      prefer({ smoothing: Number($('smoothing').value) });
      this.show();
    });
  }

  /** Begins to look. */
  open() {
    this.close();
    $('run-state').hidden = true;
    $('stop-run').hidden = true;
    $('stop-run').disabled = false;
    this.translate();
    this.look();
  }

  close() {
    clearTimeout(this.timer);
    this.turn = (this.turn ?? 0) + 1;
  }

  choose(id) {
    this.run = id;
    this.log = new RunLog();
    this.open();
  }

  async look() {
    const { turn } = this;
    try {
      const list = await runs();
      if (turn !== this.turn) {
        return;
      }
      await this.read(list, turn);
    } catch (e) {
      if (!(e instanceof ApiError)) {
        throw e;
      }
      if (turn === this.turn) {
        this.failed(e);
      }
    }
    if (turn === this.turn) {
      this.timer = setTimeout(() => this.look(), EVERY);
    }
  }

  async read(list, turn) {
    this.offer(list);
    if (list.length === 0) {
      this.empty(t('noRun'), t('noRunMore'));
      return;
    }
    let news = false;
    for (let more = true; more;) {
      const piece = await log(this.run, this.log.offset);
      if (turn !== this.turn) {
        return;
      }
      if (piece.next < this.log.offset) { // the file was begun anew
        this.log = new RunLog();
        continue;
      }
      more = piece.next - this.log.offset > LONG_PIECE;
      news ||= piece.lines.length > 0;
      this.log.take(piece);
    }
    this.state(list.find(run => run.id === this.run));
    if (this.log.steps.length === 0) {
      this.empty(this.run, t('firstStep'));
    } else if (news || $('run-view').hidden) {
      this.show();
    }
  }

  offer(list) {
    if (!list.some(run => run.id === this.run)) {
      this.run = list[0]?.id;
      this.log = new RunLog();
    }
    const select = $('run');
    const there = Array.from(select.options, option => option.value);
    if (there.length !== list.length || list.some(run => !there.includes(run.id))) {
      select.replaceChildren(...list.map(run => el('option', { value: run.id }, run.id)));
    }
    select.value = this.run ?? '';
    select.hidden = list.length === 0;
  }

  async stop(id) {
    $('stop-run').disabled = true;
    try {
      await stopTraining(id);
    } catch (e) {
      toast(words(e));
    }
    this.open();
  }

  /** A run of another process has no status, and whether one that has written nothing for minutes goes on cannot be told from its log. */
  state(run) {
    $('stop-run').hidden = run.status !== 'running';
    if (run.status in STATES) {
      this.tell(run.status, t(STATES[run.status]) + (run.error ? ': ' + run.error : ''));
      return;
    }
    const quiet = Date.now() / 1000 - run.modified;
    const { current_steps: done, total_steps: total } = this.log.last;
    if (done >= total) {
      this.tell('finished', t('finished'));
    } else if (quiet < QUIET_SECONDS) {
      this.tell('running', t('running'));
    } else {
      this.tell('quiet', t('quiet', ago(quiet)));
    }
  }

  tell(state, words) {
    $('run-state').hidden = false;
    $('run-state').className = 'state ' + state;
    $('run-state').textContent = words;
  }

  failed(error) {
    if (error.kind === 'key') {
      this.hooks.keyRefused();
    }
    if (this.log.steps.length > 0 && error.kind !== 'request') {
      this.tell('failed', words(error));
      return;
    }
    $('run').hidden = true;
    $('run-state').hidden = true;
    const absent = error.kind === 'request' || error.kind === 'forbidden';
    this.empty(absent ? t('noTraining') : words(error), absent ? t('noTrainingMore') : '');
  }

  empty(title, more) {
    $('run-view').hidden = true;
    $('no-run').hidden = false;
    $('no-run').replaceChildren(el('h2', {}, title), el('p', {}, more));
  }

  translate() {
    const names = [['raw', 'loss'], ['soft', 'smoothed'], ['check', 'evalLoss']];
    $('legend').replaceChildren(...names.map(([kind, name]) => el('span', { class: kind }, t(name))));
    if (this.log.steps.length > 0) {
      this.show();
    }
  }

  show() {
    const { last, steps, evaluations } = this.log;
    const weight = preferences.smoothing ?? Math.max(SMOOTHING, 1 - WINDOWS / steps.length);
    $('no-run').hidden = true;
    $('run-view').hidden = false;
    $('run-progress').value = last.percentage ?? 0;
    $('smoothing').value = weight;
    $('smoothing-value').textContent = number(weight, 3);
    this.chart.show({ steps, evaluations, total: last.total_steps, weight });
    this.figures(last);
    if ($('steps').closest('details').open) {
      this.table();
    } else {
      $('steps').closest('details').addEventListener('toggle', () => this.table(), { once: true });
    }
  }

  figures(last) {
    const step = number(last.current_steps, 0) + (last.total_steps ? ' / ' + number(last.total_steps, 0) : '');
    const best = this.log.evaluations.at(-1);
    const rows = [['step', step], ['epoch', last.epoch === undefined ? null : number(last.epoch, 2)], ['loss', number(this.log.steps.at(-1).loss, 4)],
      ['evalLoss', best ? number(best.loss, 4) : null], ['throughput', last.throughput === undefined ? null : number(last.throughput, 0)],
      ['elapsed', last.elapsed_time], ['remaining', last.remaining_time]];
    $('figures').replaceChildren(...rows.filter(([, value]) => value).map(([name, value]) => el('div', {}, el('dt', {}, t(name)), el('dd', {}, value))));
  }

  table() {
    const checks = new Map(this.log.evaluations.map(check => [check.step, check.loss]));
    const head = ['step', 'epoch', 'loss', 'evalLoss', 'lr'].map(name => el('th', { scope: 'col' }, t(name)));
    const rows = this.log.steps.slice(-ROWS).reverse().map(step => {
      const check = checks.get(step.step);
      const cells = [number(step.step, 0), step.epoch === undefined ? '' : number(step.epoch, 2), number(step.loss, 4),
        check === undefined ? '' : number(check, 4), step.lr === undefined ? '' : small(step.lr)];
      return el('tr', {}, ...cells.map(cell => el('td', {}, cell)));
    });
    $('steps').replaceChildren(el('thead', {}, el('tr', {}, ...head)), el('tbody', {}, ...rows));
  }
}
