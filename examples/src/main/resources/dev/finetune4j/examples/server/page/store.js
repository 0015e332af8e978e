// What the browser keeps: conversations, settings, choices. A conversation is
//   {id, title, system, models: [name, name?], updated, turns: [{question, answers: [answer of each side]}]}
// and an answer {model, text, thinking, state, error?, usage?, …} with a state of running, done, length, stopped, interrupted, filtered or failed.
import { t } from './text.js';
import { toast } from './dom.js';

const CONVERSATION = 'finetune4j.chat.';
const PREFERENCES = 'finetune4j.preferences';
const TITLE_LENGTH = 60;

function read(key, fallback) {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? fallback;
  } catch {
    return fallback;
  }
}

function write(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
  } catch (e) {
    toast(e.name === 'QuotaExceededError' ? t('full') : t('noStorage'));
  }
}

export const preferences = read(PREFERENCES, {});

/** Changes some preferences: language, theme, models, system, settings, smoothing. */
export function prefer(changes) {
  Object.assign(preferences, changes);
  write(PREFERENCES, preferences);
}

/** Whether an entry of the browser's storage is a conversation. */
export const isConversation = key => key === null || key.startsWith(CONVERSATION);

export function load(id) {
  const conversation = read(CONVERSATION + id, null);
  for (const answer of conversation?.turns.flatMap(turn => turn.answers) ?? []) {
    if (answer.state === 'running') {
      answer.state = 'interrupted';
    }
  }
  return conversation;
}

export function save(conversation) {
  if (!conversation.removed) {
    write(CONVERSATION + conversation.id, conversation);
  }
}

export function remove(id) {
  localStorage.removeItem(CONVERSATION + id);
}

/** All conversations, the latest first. */
export function all() {
  const found = [];
  for (let i = 0; i < localStorage.length; i++) {
    const key = localStorage.key(i);
    if (key.startsWith(CONVERSATION)) {
      const conversation = read(key, null);
      if (conversation?.turns) {
        found.push(conversation);
      }
    }
  }
  return found.sort((a, b) => b.updated - a.updated);
}

export function create(models) {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  const id = Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
  return { id, title: '', system: preferences.system ?? '', models, updated: Date.now(), turns: [] };
}

export function titleOf(question) {
  const line = question.trim().split('\n')[0];
  return line.length > TITLE_LENGTH ? line.slice(0, TITLE_LENGTH - 1).trimEnd() + '…' : line;
}

/** The messages of one side up to a turn, without questions that it has not answered. */
export function messages(conversation, side, turns = conversation.turns) {
  const list = conversation.system.trim() ? [{ role: 'system', content: conversation.system }] : [];
  for (const turn of turns) {
    const answer = turn.answers[side]?.text ? turn.answers[side] : turn.answers.find(other => other.text);
    if (answer) {
      list.push({ role: 'user', content: turn.question }, { role: 'assistant', content: answer.text });
    }
  }
  return list;
}

/** Lines of JSON in OpenAI's format: one for each side of each conversation that has an answer. */
export function exported(conversations) {
  const lines = [];
  for (const conversation of conversations) {
    const sides = Math.max(0, ...conversation.turns.map(turn => turn.answers.length));
    const written = new Set();
    for (let side = 0; side < sides; side++) {
      const list = messages(conversation, side);
      if (list.some(message => message.role === 'assistant')) {
        written.add(JSON.stringify({ messages: list }));
      }
    }
    lines.push(...written);
  }
  return lines.map(line => line + '\n').join('');
}

/** Conversations of such a file. Throws an error with all its mistakes. */
export function imported(text, models) {
  const conversations = [];
  const problems = [];
  text.replace(/^\ufeff/, '').split(/\r?\n/).forEach((line, i) => {
    if (line.trim() === '') {
      return;
    }
    try {
      conversations.push(conversationOf(parse(line, i + 1), i + 1, models));
    } catch (e) {
      problems.push(e.message);
    }
  });
  if (problems.length === 0 && conversations.length === 0) {
    problems.push(t('emptyFile'));
  }
  if (problems.length > 0) {
    throw new Error(problems.slice(0, 5).join('\n') + (problems.length > 5 ? '\n…' : ''));
  }
  return conversations;
}

function parse(line, row) {
  try {
    return JSON.parse(line);
  } catch {
    throw new Error(t('notJson', row));
  }
}

function conversationOf(value, row, models) {
  const list = value?.messages;
  if (!Array.isArray(list) || list.length === 0 || list.some(message => contentOf(message) === null)) {
    throw new Error(t('noMessages', row));
  }
  const conversation = create(models);
  conversation.system = '';
  for (const message of list) {
    add(conversation, message, row);
  }
  conversation.title = titleOf(conversation.turns[0]?.question ?? '');
  return conversation;
}

function add(conversation, message, row) {
  const { turns } = conversation;
  const open = turns.at(-1)?.answers.length === 0;
  const content = contentOf(message);
  if ((message.role === 'system' || message.role === 'developer') && turns.length === 0 && !conversation.system) {
    conversation.system = content;
  } else if (message.role === 'user' && !open) {
    turns.push({ question: content, answers: [] });
  } else if (message.role === 'assistant' && open) {
    turns.at(-1).answers.push({ model: '', text: content, thinking: '', state: 'done' });
  } else {
    throw new Error(t('badOrder', row, message.role));
  }
}

/** The text of a message, or null if it has none. */
function contentOf(message) {
  const content = message?.content;
  if (typeof content === 'string') {
    return content;
  }
  const parts = Array.isArray(content) ? content.map(part => part?.text) : [null];
  return parts.every(part => typeof part === 'string') ? parts.join('') : null;
}
