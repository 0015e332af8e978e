// Puts the page together: the models, the place in the page's address, the question and its keys.
import { ApiError, models as listModels, setApiKey, words } from './api.js';
import { Chat } from './chat.js';
import { $, el, icon } from './dom.js';
import { Settings, applyTheme, parameters } from './settings.js';
import { Sidebar, exportAs } from './sidebar.js';
import { create, isConversation, load, preferences, prefer, save } from './store.js';
import { choose, language, t } from './text.js';
import { Thread } from './thread.js';
import { Training } from './training.js';

const LOOK_AGAIN = 1500;
const TOUCH = matchMedia('(pointer: coarse)').matches;

let models = [];
let conversation = create([]);

const thread = new Thread({ again, edit, kindOf, ask: text => send(text) });
const chat = new Chat({ changed, grown, settled, parameters, keyRefused: askKey });
const sidebar = new Sidebar({ current: () => ($('chat').hidden ? null : conversation.id), removed, models: defaults });
const training = new Training({ keyRefused: askKey });
new Settings({ system: () => conversation.system, setSystem, keyChanged: connect });
const question = $('question');

// ---- models

/** Asks for the models, and again for as long as the server loads or cannot be reached. */
async function connect() {
  clearTimeout(connect.timer);
  try {
    const found = await listModels();
    if (JSON.stringify(found) === JSON.stringify(models)) {
      notice(models.length === 0 ? t('noModels') : '');
      return;
    }
    models = found;
    notice(models.length === 0 ? t('noModels') : '');
  } catch (e) {
    if (!(e instanceof ApiError)) {
      throw e;
    }
    if (e.kind === 'key') {
      askKey();
      return;
    }
    notice(e.kind === 'unavailable' ? t('waiting') : words(e));
    connect.timer = setTimeout(connect, LOOK_AGAIN);
    return;
  }
  if (conversation.models.length === 0) {
    conversation.models = defaults();
  }
  offer();
  thread.show(conversation);
}

/** Adapters come and go while the page is open. */
function refresh() {
  if (models.length > 0) {
    connect();
  }
}

function notice(text) {
  const place = $('notice');
  place.hidden = !text;
  if (place.textContent !== text) {
    place.textContent = text;
  }
}

function kindOf(name) {
  const model = models.find(one => one.id === name);
  return !model || models.every(one => !one.parent) ? '' : model.parent ? 'adapter' : 'base';
}

/** The models of a new conversation: the last that were used, else the first adapter, else the base. */
function defaults() {
  const known = (preferences.models ?? []).filter(name => models.some(model => model.id === name));
  const first = models.find(model => model.parent) ?? models[0];
  return known.length > 0 ? known : first ? [first.id] : [];
}

/** Fills both pickers. A model of an older conversation that is not there any more is shown as such. */
function offer() {
  const two = conversation.models.length > 1;
  [0, 1].forEach(side => {
    const select = $('model-' + side);
    const chosen = conversation.models[side] ?? '';
    const group = (name, list) => (list.length > 0 ? [el('optgroup', { label: t(name) }, ...list.map(model => el('option', { value: model.id }, model.id)))] : []);
    select.replaceChildren(...group('bases', models.filter(model => !model.parent)), ...group('adapters', models.filter(model => model.parent)));
    if (chosen && !models.some(model => model.id === chosen)) {
      select.append(el('option', { value: chosen }, models.length > 0 ? t('gone', chosen) : chosen));
    }
    select.value = chosen;
    select.hidden = side === 1 ? !two : models.length === 0 && !chosen;
  });
  document.querySelector('.versus').hidden = !two;
  $('compare').setAttribute('aria-pressed', String(two));
  $('compare').disabled = models.length < 2 && !two;
  document.body.classList.toggle('two', two || conversation.turns.some(turn => turn.answers.length > 1));
}

function chooseModels(names) {
  conversation.models = names;
  prefer({ models: names });
  if (conversation.turns.length > 0) {
    save(conversation);
  }
  offer();
}

/** The base and its adapter next to each other, in this order. */
function compare() {
  const [one, two] = conversation.models;
  if (two !== undefined) {
    chooseModels([kindOf(one) === 'base' && kindOf(two) === 'adapter' ? two : one]);
    return;
  }
  const parent = models.find(model => model.id === one)?.parent;
  const child = models.find(model => model.parent === one);
  const other = models.find(model => model.id !== one);
  chooseModels(parent ? [parent, one] : [one, (child ?? other)?.id ?? one]);
}

// ---- the conversation

function changed(of) {
  if (of === conversation) {
    thread.changed();
    offer();
    showSend();
    name();
    location.replace('#/chat/' + conversation.id);
  }
  sidebar.show();
}

function grown(of, answer) {
  if (of === conversation) {
    thread.update(answer);
  }
}

function settled(of) {
  if (of === conversation) {
    showSend();
  }
}

function showSend() {
  const running = chat.isRunning(conversation);
  const button = $('send');
  button.dataset.label = running ? 'stop' : 'send';
  button.setAttribute('aria-label', t(button.dataset.label));
  button.title = t(button.dataset.label);
  button.replaceChildren(icon(running ? 'stop' : 'send'));
  button.classList.toggle('running', running);
  button.disabled = !running && question.value.trim() === '';
}

function send(text) {
  if (text.trim() === '' || chat.isRunning(conversation) || conversation.models.length === 0) {
    return;
  }
  question.value = '';
  fit();
  chat.send(conversation, text.trim());
  if (TOUCH) {
    question.blur(); // the keyboard of the screen would cover the answer
  } else {
    question.focus();
  }
}

/** The button that was pressed is gone with the old answer; the focus goes to the one that stops the new. */
function again(turn, side) {
  chat.again(conversation, turn, side);
  $('send').focus();
}

/** Takes the last question back into the field. */
function edit(turn) {
  chat.stop(conversation);
  conversation.turns.splice(conversation.turns.indexOf(turn), 1);
  save(conversation);
  thread.changed();
  question.value = turn.question;
  fit();
  showSend();
  question.focus();
}

function setSystem(text) {
  conversation.system = text;
  prefer({ system: text });
  if (conversation.turns.length > 0) {
    save(conversation);
  }
}

function removed(id) {
  chat.forget(id);
  if (id === conversation.id) {
    fresh();
  }
}

function fresh() {
  location.hash = '#/chat';
}

// ---- the question

/** As high as its text, up to what the style allows. */
function fit() {
  question.style.height = 'auto';
  question.style.height = question.scrollHeight + 'px';
}

$('composer').addEventListener('submit', event => {
  event.preventDefault();
  if (chat.isRunning(conversation)) {
    chat.stop(conversation);
  } else {
    send(question.value);
  }
});

question.addEventListener('input', () => {
  fit();
  showSend();
});

question.addEventListener('keydown', event => {
  const composing = event.isComposing || event.keyCode === 229; // an input method takes this key
  if (event.key === 'Enter' && !event.shiftKey && !composing && !TOUCH) { // a screen's keyboard has no other key for a new line
    event.preventDefault();
    send(question.value);
  }
});

document.addEventListener('keydown', event => {
  if (event.key === 'Escape' && !event.isComposing && !document.querySelector('dialog[open]') && !document.body.classList.contains('side-open')) {
    chat.stop(conversation);
  }
});

// ---- dialogs

function askKey() {
  if (!$('key-dialog').open) {
    const known = sessionStorage.getItem('finetune4j.key');
    $('key-words').textContent = known ? t('keyWrong') : t('keyWords');
    $('key-form').elements.key.value = '';
    $('settings').close();
    $('key-dialog').showModal();
  }
}

$('key-form').addEventListener('submit', event => {
  event.preventDefault();
  setApiKey($('key-form').elements.key.value);
  $('key-dialog').close();
  connect();
  route();
});

document.querySelectorAll('dialog').forEach(dialog => dialog.addEventListener('click', event => {
  if (event.target === dialog || event.target.closest('[data-close]')) {
    dialog.close();
  }
}));

// ---- the place in the page

function route() {
  const [, place, id] = location.hash.split('/');
  const atTraining = place === 'training';
  $('training').hidden = !atTraining;
  $('chat').hidden = atTraining;
  $('to-training').setAttribute('aria-current', atTraining ? 'page' : 'false');
  sidebar.slide(false);
  if (atTraining) {
    training.open();
    name();
    sidebar.show();
    return;
  }
  training.close();
  refresh();
  if (id !== conversation.id || place !== 'chat') {
    conversation = (id && (chat.live(id) ?? load(id))) || create(defaults());
    if (conversation.models.length === 0) {
      conversation.models = defaults();
    }
    thread.show(conversation);
  }
  offer();
  showSend();
  name();
  sidebar.show();
}

/** The window has the name of what it shows. */
function name() {
  const shown = $('chat').hidden ? t('training') : conversation.title;
  document.title = (shown ? shown + ' – ' : '') + 'finetune4j';
}

function speak(chosen) {
  choose(chosen);
  offer();
  showSend();
  thread.show(conversation);
  sidebar.show();
  training.translate();
}

$('new').addEventListener('click', () => {
  fresh();
  route();
  question.focus();
});
$('compare').addEventListener('click', compare);
$('model-0').addEventListener('change', event => chooseModels([event.target.value, ...conversation.models.slice(1)]));
$('model-1').addEventListener('change', event => chooseModels([conversation.models[0], event.target.value]));
$('export-one').addEventListener('click', () => exportAs('conversation.jsonl', [conversation]));
$('language').addEventListener('click', () => {
  prefer({ language: language() === 'zh' ? 'en' : 'zh' });
  speak(preferences.language);
});
window.addEventListener('hashchange', route);
window.addEventListener('focus', refresh);
window.addEventListener('storage', event => isConversation(event.key) && sidebar.show());

applyTheme();
choose(preferences.language);
route();
connect();
if (!TOUCH) {
  question.focus();
}
