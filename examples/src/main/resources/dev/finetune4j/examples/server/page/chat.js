// Asking: sends questions, takes the answers in as they come, stops, asks again.
import { ApiError, answer as ask, words } from './api.js';
import { say } from './dom.js';
import { messages, save, titleOf } from './store.js';
import { t } from './text.js';

const SAVE_EVERY = 1000;
const ENDS = { stop: 'done', length: 'length', content_filter: 'filtered' };

export class Chat {
  /** @param hooks {changed(conversation), grown(conversation, answer), settled(conversation), parameters(), keyRefused()} */
  constructor(hooks) {
    this.hooks = hooks;
    this.running = new Map(); // the answers that are being written, with what stops them
    this.conversations = new Map(); // those with such answers, by id
  }

  isRunning(conversation) {
    return conversation.turns.at(-1)?.answers.some(answer => this.running.has(answer)) ?? false;
  }

  send(conversation, question) {
    const turn = { question, answers: [] };
    conversation.turns.push(turn);
    conversation.title ||= titleOf(question);
    conversation.updated = Date.now();
    this.answers(conversation, turn);
  }

  /** Asks the question of the last turn again: one side, or all if side is null. */
  again(conversation, turn, side) {
    if (side === null || turn.answers.length !== conversation.models.length) {
      turn.answers.forEach(answer => this.running.get(answer)?.abort());
      this.answers(conversation, turn);
      return;
    }
    this.running.get(turn.answers[side])?.abort();
    turn.answers[side] = started(conversation.models[side]);
    this.begin(conversation, turn, [side]);
  }

  answers(conversation, turn) {
    turn.answers = conversation.models.map(started);
    this.begin(conversation, turn, turn.answers.map((_, side) => side));
  }

  /** The conversation of an id, if an answer of it is being written: what the browser keeps is older. */
  live(id) {
    return this.conversations.get(id);
  }

  begin(conversation, turn, sides) {
    save(conversation);
    this.conversations.set(conversation.id, conversation);
    const runs = sides.map(side => this.run(conversation, turn, side));
    this.hooks.changed(conversation);
    say(t('writing'));
    Promise.all(runs).then(() => {
      if (!this.isRunning(conversation)) {
        this.conversations.delete(conversation.id);
      }
      this.hooks.settled(conversation);
    });
  }

  stop(conversation) {
    conversation.turns.at(-1)?.answers.forEach(answer => this.running.get(answer)?.abort());
  }

  /** Stops what belongs to a conversation that was deleted, and keeps nothing more of it. */
  forget(id) {
    const conversation = this.live(id);
    if (conversation) {
      conversation.removed = true;
      this.stop(conversation);
    }
  }

  async run(conversation, turn, side) {
    const answer = turn.answers[side];
    const control = new AbortController();
    this.running.set(answer, control);
    const before = conversation.turns.slice(0, conversation.turns.indexOf(turn));
    const body = { ...this.hooks.parameters(), model: answer.model,
      messages: [...messages(conversation, side, before), { role: 'user', content: turn.question }] };
    const intake = new Intake(answer, () => this.hooks.grown(conversation, answer), () => save(conversation));
    try {
      const { finish, usage } = await ask(body, control.signal, piece => intake.take(piece));
      intake.end(ENDS[finish] ?? 'done', usage);
    } catch (e) {
      fail(answer, e);
      if (e.kind === 'key') {
        this.hooks.keyRefused();
      }
    }
    this.running.delete(answer);
    intake.close();
    save(conversation);
    this.hooks.grown(conversation, answer);
    say(answer.state === 'failed' ? words(answer.error) : t('answerOf', answer.model) + ' ' + answer.text);
  }
}

function started(model) {
  return { model, text: '', thinking: '', state: 'running' };
}

function fail(answer, error) {
  if (error.name === 'AbortError') {
    answer.state = 'stopped';
    return;
  }
  if (!(error instanceof ApiError)) {
    throw error;
  }
  answer.state = 'failed';
  answer.error = { kind: error.kind, said: error.said, until: error.seconds ? Date.now() + error.seconds * 1000 : 0 };
}

/** Takes the pieces of one answer; the page is told once for each frame. */
class Intake {
  constructor(answer, grown, save) {
    this.answer = answer;
    this.grown = grown;
    this.save = save;
    this.raw = '';
    this.reasoning = '';
    this.begun = performance.now();
    this.saved = this.begun;
  }

  take(delta) {
    this.raw += delta.content ?? '';
    this.reasoning += delta.reasoning_content ?? delta.reasoning ?? '';
    if (!this.raw && !this.reasoning) {
      return;
    }
    const now = performance.now();
    this.answer.first ??= (now - this.begun) / 1000;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.part();
      this.grown();
    });
    if (now - this.saved > SAVE_EVERY) {
      this.saved = now;
      this.part();
      this.save();
    }
  }

  /** Parts what was thought from what was said: models without a field for it write it between tags at the beginning. */
  part() {
    const found = /^\s*<think>([\s\S]*?)(?:<\/think>\s*|$)/.exec(this.raw);
    this.answer.thinking = (this.reasoning + (found ? found[1] : '')).trim();
    this.answer.text = found ? this.raw.slice(found[0].length) : this.raw;
  }

  end(state, usage) {
    this.answer.state = state;
    this.answer.usage = usage;
    this.answer.seconds = (performance.now() - this.begun) / 1000;
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.part();
  }
}
