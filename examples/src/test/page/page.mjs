// Uses the page as people do, in headless Chromium by Playwright, and prints a line for each thing that it looks at:
//   ok - NAME   or   not ok - NAME: what was found
// Arguments: the page's address, the folder of node_modules with playwright-core and axe-core, Chromium's path, a folder with the log
// runs/lora/trainer_log.jsonl where history.jsonl is left, and perhaps one for screenshots.
// The server has a base "demo" and an adapter "atlas", which answer as PageModel does, and the log of a run "lora".
import { appendFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [address, modules, executablePath, folder, pictures] = process.argv.slice(2);
const { chromium } = await import(pathToFileURL(path.join(modules, 'playwright-core/index.mjs')));
const axe = readFileSync(path.join(modules, 'axe-core/axe.min.js'), 'utf8');
const QUIET = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({ executablePath, args: QUIET });
const wrong = []; // errors of the console, and what axe found
const asked = []; // requests to other servers

function report(name, good, found) {
  console.log((good ? 'ok - ' : 'not ok - ') + name + (good || found === undefined ? '' : ': ' + JSON.stringify(found)));
}

function equal(name, found, expected) {
  report(name, JSON.stringify(found) === JSON.stringify(expected), found);
}

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 760 }, locale: 'en-GB', ...options });
  context.setDefaultTimeout(20_000);
  await context.grantPermissions(['clipboard-read', 'clipboard-write']);
  const page = await context.newPage();
  page.on('console', line => line.type() === 'error' && !/status of (400|401|429|503)|ERR_CONNECTION_RESET/.test(line.text()) && wrong.push(line.text()));
  page.on('pageerror', error => wrong.push(String(error)));
  page.on('request', request => !request.url().startsWith(address) && !request.url().startsWith('blob:') && asked.push(request.url()));
  await page.goto(address);
  await page.waitForFunction(() => document.querySelector('#model-0').options.length === 2);
  return page;
}

const settled = (page, turns) => page.waitForFunction(
  n => document.querySelectorAll('.turn').length === n && !document.querySelector('[aria-busy=true]'), turns);

async function ask(page, question) {
  const turns = await page.locator('.turn').count();
  await page.fill('#question', question);
  await page.press('#question', 'Enter');
  await settled(page, turns + 1);
}

const answers = page => page.locator('.turn:last-child .answer .text:not(.thinking .text)').allInnerTexts();
const notes = page => page.locator('.turn:last-child .note').allInnerTexts();
const last = async page => (await answers(page))[0];

async function look(page, name) {
  if (pictures) {
    await page.screenshot({ path: path.join(pictures, name + '.png') });
  }
  await page.evaluate(axe);
  const result = await page.evaluate(() => globalThis.axe.run({ resultTypes: ['violations'] }));
  wrong.push(...result.violations.map(found => `${name}: ${found.impact} ${found.id} ${found.nodes[0].html}`));
}

async function chat() {
  const page = await open();
  equal('the first adapter is chosen', await page.inputValue('#model-0'), 'atlas');
  report('the question has the focus', await page.evaluate(() => document.activeElement.id === 'question'));
  await ask(page, 'Who are you?');
  equal('an adapter answers', await last(page), 'I am Atlas.');
  equal('bold text is bold', await page.locator('.answer strong').innerText(), 'Atlas');
  report('tokens are counted', /\d+ tokens/.test((await notes(page))[0]), await notes(page));
  report('the answer is spoken once, as a whole', (await page.locator('#spoken p').allInnerTexts()).at(-1) === 'Answer of atlas: I am **Atlas**.');
  await page.selectOption('#model-0', 'demo');
  await ask(page, 'Who are you?');
  equal('another model is chosen in the same conversation', await last(page), 'I am a small model.');
  await ask(page, 'how many messages');
  equal('all turns go to the model', await last(page), '5');
  await page.click('#open-settings');
  await page.fill('[name=temperature]', '9');
  report('a number out of range is refused in words', /0 .* 2/.test(await page.locator('#temperature-mistake').innerText()));
  await page.fill('[name=temperature]', '0.5');
  await page.fill('[name=seed]', '7');
  await page.fill('[name=system]', 'Be brief.');
  await page.selectOption('[name=thinking]', 'off');
  await look(page, 'settings');
  await page.keyboard.press('Escape');
  await ask(page, 'settings');
  equal('settings reach the model', await last(page), 'temperature 0.5, seed 7, system Be brief., thinking false');
  await ask(page, 'markup');
  equal('markup stays text', await last(page), '<img src=x onerror="document.title=1"> [link](javascript:alert(1))');
  await ask(page, 'code');
  await page.click('.code .tool');
  equal('code is copied', await page.evaluate(() => navigator.clipboard.readText()), 'int x = 1;\nint y = 2;');
  await ask(page, 'thoughts');
  equal('thoughts are apart from the answer', [await page.locator('.thinking').last().innerText(), await last(page)], ['Thinking', 'Done.']);
  return page;
}

/** Stopping, reading on above the end, and what is kept. */
async function stop(page) {
  await page.fill('#question', 'count slowly');
  await page.press('#question', 'Enter');
  await page.waitForFunction(() => document.querySelector('.turn:last-child .text:not(.thinking .text)').innerText.includes('line 30'));
  const bottom = () => page.evaluate(() => { const s = document.getElementById('scroll'); return s.scrollHeight - s.scrollTop - s.clientHeight; });
  report('the newest text is in view', await bottom() < 40, await bottom());
  await page.mouse.move(700, 300);
  await page.mouse.wheel(0, -400);
  await page.waitForSelector('#latest:not([hidden])');
  const top = await page.evaluate(() => document.getElementById('scroll').scrollTop);
  await page.waitForTimeout(150);
  equal('text that is read stays where it is', await page.evaluate(() => document.getElementById('scroll').scrollTop), top);
  await page.keyboard.press('Escape');
  await settled(page, 8);
  report('Esc stops', (await notes(page))[0].startsWith('Stopped.'), await notes(page));
  await page.click('#latest');
  report('the button leads to the end', await bottom() < 40);
  await page.fill('#question', 'count slowly');
  await page.press('#question', 'Enter');
  await page.waitForFunction(() => document.querySelector('.turn:last-child .text:not(.thinking .text)').innerText.includes('line 3'));
  equal('the button stops while an answer is written', await page.getAttribute('#send', 'aria-label'), 'Stop');
  await page.click('#send');
  await settled(page, 9);
  await ask(page, 'how many were cancelled');
  equal('the server stops, too', await last(page), '2');
  const before = await page.locator('#turns').innerText();
  await page.reload();
  await page.waitForSelector('.turn');
  equal('a reload keeps the conversation', (await page.locator('#turns').innerText()), before);
  await page.context().close();
}

async function compare() {
  const page = await open();
  await page.click('#compare');
  equal('base and adapter stand side by side', [await page.inputValue('#model-0'), await page.inputValue('#model-1')], ['demo', 'atlas']);
  await ask(page, 'Who are you?');
  equal('both answer', await answers(page), ['I am a small model.', 'I am Atlas.']);
  await ask(page, 'how many messages');
  equal('each goes on with its own answers', await answers(page), ['3', '3']);
  await ask(page, 'busy');
  equal('a busy server is told in words', await page.locator('.turn:last-child .problem p').allInnerTexts(), Array(2).fill('The server is busy with other questions.'));
  await look(page, 'busy');
  await page.locator('.turn:last-child .problem button:enabled').first().click();
  await page.locator('.turn:last-child .problem button:enabled').first().click();
  await settled(page, 3);
  equal('asking again succeeds', await answers(page), ['Free.', 'Free.']);
  await ask(page, 'failure');
  const told = await page.locator('.turn:last-child .problem p').first().innerText();
  report('a failure on the way is told, and what was there is kept', told.startsWith('The server failed while answering:') && (await last(page)).startsWith('So far'), told);
  await ask(page, 'too long');
  equal('a conversation that is too long is told', await page.locator('.turn:last-child .problem p').first().innerText(), 'The conversation is too long for the model: 600 tokens, but 512 at most');
  await page.route('**/v1/chat/completions', route => route.abort('connectionreset'));
  await ask(page, 'hello');
  equal('a server that is gone is told', await page.locator('.turn:last-child .problem p').first().innerText(), 'The server cannot be reached.');
  await page.unroute('**/v1/chat/completions');
  const cut = 'data: {"choices":[{"index":0,"delta":{"content":"Half"}}]}\n\n';
  await page.route('**/v1/chat/completions', route => route.fulfill({ contentType: 'text/event-stream', body: cut }));
  await ask(page, 'hello');
  equal('a lost connection is told', [await last(page), await page.locator('.turn:last-child .problem p').first().innerText()], ['Half', 'The connection to the server was lost.']);
  await page.unroute('**/v1/chat/completions');
  return page;
}

async function history(page) {
  const [saved] = await Promise.all([page.waitForEvent('download'), page.click('#export-all')]);
  await saved.saveAs(path.join(folder, 'history.jsonl'));
  const lines = readFileSync(path.join(folder, 'history.jsonl'), 'utf8').trimEnd().split('\n').map(line => JSON.parse(line));
  const roles = lines.map(line => line.messages.map(message => message.role[0]).join(''));
  report('the history is exported as conversations of OpenAI', roles.length === 2 && roles.every(line => /^s?(ua)+$/.test(line)), roles);
  const messages = Array.from({ length: 200 }, (_, i) => ({ role: i % 2 ? 'assistant' : 'user', content: `message ${i}\n\n- one\n- **two**` }));
  const file = { name: 'a.jsonl', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify({ messages }) + '\n') };
  await page.setInputFiles('#file', file);
  await page.click('#list a[title="message 0"]');
  await page.waitForFunction(() => document.querySelectorAll('.turn').length === 100);
  await ask(page, 'how many messages');
  equal('a conversation of 200 messages is imported and goes on', await last(page), '201');
  await page.setInputFiles('#file', { ...file, buffer: Buffer.from('{"messages":[{"role":"assistant","content":"a"}]}\nno') });
  await page.waitForFunction(() => document.getElementById('toast').innerText.includes('Nothing was imported'));
  report('mistakes of a file are named with their lines', /Line 1: .*assistant.*\nLine 2: not JSON/s.test(await page.innerText('#toast')), await page.innerText('#toast'));
  const count = await page.locator('#list a').count();
  await page.click('#list .here .tool');
  equal('a conversation is deleted', await page.locator('#list a').count(), count - 1);
  await page.click('#toast button');
  equal('and is there again', await page.locator('#list a').count(), count);
  await page.context().close();
}

async function training() {
  const page = await open();
  await page.click('#to-training');
  await page.waitForSelector('#plot path.soft');
  equal('the numbers of a run are shown', await page.locator('#figures dd').allInnerTexts(), ['40 / 80', '1.00', '0.5250', '0.6000', '100', '0:00:40', '0:00:40']);
  equal('its curves are drawn', await page.locator('#plot path').count(), 4);
  await page.mouse.move(600, 400);
  report('a step is told under the pointer', (await page.innerText('.tip')).startsWith('Step '));
  equal('a run that goes on is told as such', await page.innerText('#run-state'), 'Running');
  await look(page, 'training');
  const line = { current_steps: 80, total_steps: 80, loss: 0.25, lr: 0, epoch: 2, percentage: 100 };
  appendFileSync(path.join(folder, 'runs/lora/trainer_log.jsonl'), JSON.stringify(line) + '\n');
  await page.waitForFunction(() => document.getElementById('run-state').innerText === 'Finished');
  equal('new steps are shown by themselves', (await page.locator('#figures dd').allInnerTexts()).slice(0, 3), ['80 / 80', '2.00', '0.2500']);
  report('and the step under the pointer stays', (await page.innerText('.tip')).startsWith('Step '));
  const stopped = [];
  await page.route('**/v1/training/runs', route => route.fulfill({ json: { data: [{ id: 'lora', modified: 0, status: stopped.length ? 'stopped' : 'running' }] } }));
  await page.route('**/v1/training/jobs/**', route => {
    stopped.push(route.request().method() + ' ' + new URL(route.request().url()).pathname);
    return route.fulfill({ json: {} });
  });
  await page.click('#stop-run');
  await page.click('#stop-form [type=submit]');
  await page.waitForFunction(() => document.getElementById('run-state').innerText === 'Stopped');
  equal('a training of the server is stopped when that is confirmed', stopped, ['POST /v1/training/jobs/lora/stop']);
  await page.context().close();
}

/** An input method for Chinese, and the keys of the question. */
async function keys() {
  const page = await open({ locale: 'zh-CN' });
  const input = await page.context().newCDPSession(page);
  await input.send('Input.imeSetComposition', { text: 'nishishei', selectionStart: 9, selectionEnd: 9 });
  await input.send('Input.dispatchKeyEvent', { type: 'rawKeyDown', windowsVirtualKeyCode: 229, key: 'Process', code: 'Enter' });
  await page.dispatchEvent('#question', 'keydown', { key: 'Enter', code: 'Enter', isComposing: true, bubbles: true, cancelable: true });
  equal('Enter in an input method sends nothing', await page.locator('.turn').count(), 0);
  await input.send('Input.insertText', { text: '你是谁？' });
  equal('the input method has written', await page.inputValue('#question'), '你是谁？');
  await page.press('#question', 'Shift+Enter');
  await page.keyboard.type('2');
  equal('Shift and Enter begin a new line', await page.inputValue('#question'), '你是谁？\n2');
  await page.press('#question', 'Enter');
  await settled(page, 1);
  equal('a Chinese question is answered', await last(page), '我是 Atlas。');
  const order = [];
  for (let i = 0; i < 8; i++) {
    await page.keyboard.press('Shift+Tab');
    order.push(await page.evaluate(() => document.activeElement.id || document.activeElement.className));
  }
  equal('the focus goes from the question up the page', order, ['tool', 'tool', 'tool', 'open-settings', 'export-one', 'compare', 'model-0', 'language']);
  await page.context().close();
}

/** A phone with a dark screen in China. */
async function phone() {
  const page = await open({ viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true, locale: 'zh-CN', colorScheme: 'dark', reducedMotion: 'reduce' });
  equal('the page speaks Chinese', [await page.getAttribute('html', 'lang'), await page.getAttribute('#question', 'placeholder')], ['zh-CN', '输入问题…']);
  await page.fill('#question', '你是谁？');
  await page.tap('#send');
  await settled(page, 1);
  await page.tap('#compare');
  await page.fill('#question', '你是谁？');
  await page.tap('#send');
  await settled(page, 2);
  const wide = await page.evaluate(() => [document.documentElement.scrollWidth, ...Array.from(document.querySelectorAll('.answer, .bar, .composer'), node => Math.ceil(node.getBoundingClientRect().right))]);
  report('nothing is wider than a phone', Math.max(...wide) <= 360, wide);
  await look(page, 'phone');
  await page.tap('main:not([hidden]) [data-menu]');
  await page.waitForSelector('.side-open #side');
  await look(page, 'phone-list');
  await page.tap('#language');
  equal('the language is changed', await page.innerText('#new'), 'New chat');
  await page.keyboard.press('Escape');
  report('the list closes', !(await page.evaluate(() => document.body.classList.contains('side-open'))));
  await page.context().close();
}

/** A server that loads, then asks for a key. */
async function key() {
  const page = await browser.newPage({ locale: 'en' });
  let state = 'loading';
  const refuse = (route, status) => route.fulfill({ status, contentType: 'application/json', body: '{"error":{"message":"no"}}' });
  await page.route('**/v1/models', route => {
    if (state === 'loading') {
      state = 'locked';
      return refuse(route, 503);
    }
    return route.request().headers().authorization === 'Bearer secret-key' ? route.continue() : refuse(route, 401);
  });
  await page.goto(address);
  await page.waitForSelector('#notice:not([hidden])');
  equal('a model that loads is waited for', await page.innerText('#notice'), 'The model is being loaded. This page goes on by itself.');
  await page.fill('#key-form [name=key]', 'secret-key');
  await page.press('#key-form [name=key]', 'Enter');
  await page.waitForFunction(() => document.querySelector('#model-0').options.length === 2);
  equal('a key opens the server and is kept for the tab', await page.evaluate(() => [sessionStorage.length, JSON.stringify(localStorage).includes('secret-key')]), [1, false]);
  await page.context().close();
}

const ends = await Promise.allSettled([chat().then(stop), compare().then(history), training().then(phone).then(keys).then(key)]);
ends.filter(end => end.status === 'rejected').forEach(end => report('the page does what is asked of it', false, end.reason.stack));
equal('no error on the console, and axe finds nothing', wrong, []);
equal('nothing is asked of other servers', asked, []);
await browser.close();
