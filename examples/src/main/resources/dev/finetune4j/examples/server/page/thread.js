// How a conversation looks: its turns, each with the answers of one model or of two side by side.
import { words } from './api.js';
import { $, el, icon, iconButton } from './dom.js';
import { Markdown, copyText } from './markdown.js';
import { number, t } from './text.js';

const NEAR = 32;
const SECONDS_FOR_A_SPEED = 0.25;

/** Keeps the newest text in view, for as long as the reader is at the bottom. */
export class Follow {
  constructor(scroll, button) {
    this.scroll = scroll;
    this.button = button;
    this.on = true;
    scroll.addEventListener('scroll', () => {
      this.on = this.atBottom();
      this.button.hidden = this.on;
    }, { passive: true });
    button.addEventListener('click', () => this.toBottom());
  }

  atBottom() {
    return this.scroll.scrollHeight - this.scroll.scrollTop - this.scroll.clientHeight < NEAR;
  }

  toBottom() {
    this.on = true;
    this.grown();
  }

  grown() {
    if (this.on) {
      this.scroll.scrollTop = this.scroll.scrollHeight;
    }
    this.button.hidden = this.on || this.atBottom();
  }
}

/** One answer on the page; shows what the answer object holds whenever it is told to. */
class AnswerView {
  constructor(answer, label, actions) {
    this.answer = answer;
    this.actions = actions;
    this.thinking = el('div', { class: 'text' });
    this.summary = el('summary');
    this.details = el('details', { class: 'thinking', hidden: true }, this.summary, this.thinking);
    this.text = el('div', { class: 'text' });
    this.waiting = el('div', { class: 'waiting', 'aria-hidden': 'true' }, el('i'), el('i'), el('i'));
    this.problem = el('div', { class: 'problem', role: 'alert', hidden: true });
    this.foot = el('footer');
    this.node = el('article', { class: 'answer', 'aria-label': label.name }, this.head(label),
      this.details, this.text, this.waiting, this.problem, this.foot);
    this.markdown = new Markdown(this.text);
    this.thought = new Markdown(this.thinking);
    this.update();
  }

  head({ name, kind }) {
    return el('header', {}, el('span', { class: 'dot ' + kind, 'aria-hidden': 'true' }), el('span', { class: 'name' }, name),
      kind ? el('span', { class: 'kind' }, t(kind)) : null);
  }

  update() {
    const { answer } = this;
    const running = answer.state === 'running';
    this.details.hidden = !answer.thinking;
    if (answer.thinking) {
      this.summary.textContent = running && !answer.text ? t('thinkingNow') : t('thinkingTitle');
      this.thought.show(answer.thinking);
    }
    this.markdown.show(answer.text);
    this.node.setAttribute('aria-busy', String(running));
    this.waiting.hidden = !running || answer.text !== '';
    if (this.shown !== answer.state) {
      this.shown = answer.state;
      this.end();
    }
  }

  /** What stands below an answer that is at its end. */
  end() {
    const { answer } = this;
    clearInterval(this.counting);
    this.problem.hidden = answer.state !== 'failed';
    if (answer.state === 'failed') {
      this.tell(answer.error);
    }
    this.foot.replaceChildren();
    if (answer.state === 'running') {
      return;
    }
    if (answer.text) {
      const copy = iconButton('copy', t('copy'), () => copyText(answer.text, copy));
      this.foot.append(copy);
    }
    if (this.actions.again && answer.state !== 'failed') {
      this.foot.append(iconButton('again', t('again'), this.actions.again));
    }
    const note = this.note();
    if (note) {
      this.foot.append(el('span', { class: 'note' }, note));
    }
  }

  note() {
    const { state, text, usage, seconds, first } = this.answer;
    const parts = [];
    if (['stopped', 'length', 'interrupted', 'filtered'].includes(state)) {
      parts.push(t(state));
    } else if (state === 'done' && !text) {
      parts.push(t('empty'));
    }
    if (usage?.completion_tokens) {
      parts.push(t('tokens', usage.completion_tokens));
      const speed = (usage.completion_tokens - 1) / (seconds - first);
      if (seconds - first >= SECONDS_FOR_A_SPEED) {
        parts.push(t('speed', number(speed, speed < 10 ? 1 : 0)));
      }
      parts.push(t('first', number(first, 2)));
    }
    return parts.join(' · ');
  }

  /** The mistake in words; a server that is busy is asked again after the time that it named. */
  tell(error) {
    this.problem.replaceChildren(el('p', {}, words(error)));
    if (!this.actions.again) {
      return;
    }
    const label = el('span', {}, t('retry'));
    const button = el('button', { type: 'button', class: 'plain', onclick: this.actions.again }, icon('again'), label);
    this.problem.append(button);
    let left = Math.ceil(Math.max(0, ((error.until ?? 0) - Date.now()) / 1000));
    const show = () => {
      button.disabled = left > 0;
      label.textContent = left > 0 ? t('retryIn', left) : t('retry');
    };
    show();
    if (left > 0) {
      this.counting = setInterval(() => {
        left--;
        show();
        if (left <= 0) {
          clearInterval(this.counting);
        }
      }, 1000);
    }
  }
}

/** The turns of the conversation that is shown. */
export class Thread {
  /** @param actions {again(turn, side), edit(turn), kindOf(model): 'base', 'adapter' or '', ask(text)} */
  constructor(actions) {
    this.actions = actions;
    this.views = new Map();
    this.follow = new Follow($('scroll'), $('latest'));
  }

  /** Shows a conversation from its beginning, at its end. */
  show(conversation) {
    this.conversation = conversation;
    this.views.clear();
    $('turns').replaceChildren(...conversation.turns.map((turn, i) => this.turn(turn, i)));
    this.welcome();
    this.follow.toBottom();
  }

  welcome() {
    const empty = this.conversation.turns.length === 0;
    $('welcome').hidden = !empty;
    $('export-one').hidden = empty;
    $('tries').replaceChildren(...t('tries').map(text =>
      el('button', { type: 'button', class: 'pill', onclick: () => this.actions.ask(text) }, text)));
  }

  turn(turn, index) {
    const last = index === this.conversation.turns.length - 1;
    const question = el('div', { class: 'question' }, el('span', { class: 'unseen' }, t('you') + ': '), el('p', {}, turn.question));
    const tools = el('div', { class: 'question-tools' });
    if (last) {
      tools.append(iconButton('edit', t('edit'), () => this.actions.edit(turn)));
      if (turn.answers.length === 0) {
        tools.append(iconButton('again', t('again'), () => this.actions.again(turn, null)));
      }
    }
    const answers = el('div', { class: turn.answers.length > 1 ? 'answers two' : 'answers' },
      ...turn.answers.map((answer, side) => this.answer(turn, answer, side, last)));
    return el('section', { class: 'turn' }, el('div', { class: 'asked' }, question, tools), answers);
  }

  answer(turn, answer, side, last) {
    const label = { name: answer.model || t('model'), kind: this.actions.kindOf(answer.model) };
    const view = new AnswerView(answer, label, last ? { again: () => this.actions.again(turn, side) } : {});
    this.views.set(answer, view);
    return view.node;
  }

  /** The last turn is new or has other answers: what was last before loses its tools. */
  changed() {
    const { turns } = this.conversation;
    const nodes = $('turns').children;
    for (let i = Math.max(0, turns.length - 2); i < turns.length; i++) {
      const node = this.turn(turns[i], i);
      if (nodes[i]) {
        nodes[i].replaceWith(node);
      } else {
        $('turns').append(node);
      }
    }
    while (nodes.length > turns.length) {
      nodes[nodes.length - 1].remove();
    }
    this.welcome();
    this.follow.toBottom();
  }

  /** An answer has grown or ended. */
  update(answer) {
    this.views.get(answer)?.update();
    this.follow.grown();
  }
}
