// A small part of Markdown as elements: paragraphs, headings, lists, quotes, tables, code, bold, italics. Everything else stays text.
import { el, icon, toast } from './dom.js';
import { t } from './text.js';

const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const FENCE = /^\s{0,3}(```+|~~~+)\s*([\w+#.-]*)\s*$/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^\s{0,3}([-*_])(\s*\1){2,}\s*$/;
const TABLE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/**
 * Shows a text that grows: the blocks whose source has not changed keep their elements, so that a selection in them survives
 * and a long answer costs no more than its last block.
 */
export class Markdown {
  constructor(place) {
    this.place = place;
    this.sources = [];
  }

  show(text) {
    const next = blocks(text);
    let same = 0;
    while (same < next.length && next[same] === this.sources[same]) {
      same++;
    }
    while (this.place.childNodes.length > same) {
      this.place.lastChild.remove();
    }
    for (const source of next.slice(same)) {
      this.place.append(block(source.split('\n')));
    }
    this.sources = next;
  }
}

/** The sources of the blocks of a text. */
export function blocks(text) {
  const found = [];
  let lines = [];
  let fence = null;
  const end = () => {
    if (lines.length > 0) {
      found.push(lines.join('\n'));
      lines = [];
    }
  };
  for (const line of text.replace(/\r\n?/g, '\n').split('\n')) {
    const mark = FENCE.exec(line);
    if (fence !== null) {
      lines.push(line);
      if (mark && mark[1].startsWith(fence) && !mark[2]) {
        fence = null;
        end();
      }
    } else if (mark) {
      end();
      fence = mark[1];
      lines.push(line);
    } else if (line.trim() === '') {
      if (!inList(lines)) {
        end();
      } else if (lines.at(-1) !== '') {
        lines.push('');
      }
    } else {
      if (starts(line, lines)) {
        end();
      }
      lines.push(line);
      if (HEADING.test(line) || RULE.test(line)) {
        end();
      }
    }
  }
  while (lines.at(-1) === '') {
    lines.pop();
  }
  end();
  return found;
}

const inList = lines => lines.length > 0 && ITEM.test(lines[0]) && !RULE.test(lines[0]);

/** Whether a line begins a block of its own, though no empty line is before it. */
function starts(line, lines) {
  if (lines.length === 0) {
    return false;
  }
  if (HEADING.test(line) || RULE.test(line)) {
    return true;
  }
  if (inList(lines)) {
    return lines.at(-1) === '' && !ITEM.test(line) && !/^\s{2,}/.test(line);
  }
  return ITEM.test(line) || (line.startsWith('>') !== lines[0].startsWith('>') && line.startsWith('>'));
}

function block(lines) {
  const heading = HEADING.exec(lines[0]);
  if (FENCE.test(lines[0])) {
    return code(lines);
  }
  if (heading) {
    return el('p', { class: 'heading h' + Math.min(heading[1].length, 4), role: 'heading', 'aria-level': String(Math.min(heading[1].length + 2, 6)) }, ...inline(heading[2]));
  }
  if (RULE.test(lines[0])) {
    return el('hr');
  }
  if (lines[0].startsWith('>')) {
    return el('blockquote', {}, ...blocks(lines.map(line => line.replace(/^(>\s?)+/, '')).join('\n')).map(source => block(source.split('\n'))));
  }
  if (ITEM.test(lines[0])) {
    return list(lines);
  }
  if (lines.length > 1 && lines[0].includes('|') && TABLE.test(lines[1])) {
    return table(lines);
  }
  return el('p', {}, ...broken(lines));
}

function broken(lines) {
  return lines.flatMap((line, i) => (i === 0 ? inline(line) : [el('br'), ...inline(line)]));
}

function list(lines) {
  const first = ITEM.exec(lines[0]);
  const ordered = /\d/.test(first[2]);
  const depth = first[1].length;
  const items = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && item[1].length <= depth) {
      items.push([item[3]]);
    } else {
      items.at(-1).push(line);
    }
  }
  const node = el(ordered ? 'ol' : 'ul', ordered && parseInt(first[2]) !== 1 ? { start: parseInt(first[2]) } : {});
  for (const item of items) {
    node.append(el('li', {}, ...content(item)));
  }
  return node;
}

/** An item: its text, then what is indented below it. */
function content(lines) {
  const below = lines.findIndex((line, i) => i > 0 && (line === '' || ITEM.test(line) || FENCE.test(line)));
  const text = below < 0 ? lines : lines.slice(0, below);
  const nested = below < 0 ? [] : lines.slice(below);
  const margin = Math.min(...nested.filter(line => line.trim()).map(line => line.search(/\S/)), 8);
  const inner = blocks(nested.map(line => line.slice(margin)).join('\n'));
  return [...broken(text.map(line => line.trim())), ...inner.map(source => block(source.split('\n')))];
}

function table(lines) {
  const cells = line => line.trim().replace(/^\||\|$/g, '').split('|').map(cell => cell.trim());
  const head = cells(lines[0]);
  const row = (line, tag) => {
    const found = cells(line);
    return el('tr', {}, ...head.map((_, i) => el(tag, {}, ...inline(found[i] ?? ''))));
  };
  return el('div', { class: 'wide', tabindex: '0' },
    el('table', {}, el('thead', {}, row(lines[0], 'th')), el('tbody', {}, ...lines.slice(2).map(line => row(line, 'td')))));
}

function code(lines) {
  const mark = FENCE.exec(lines[0]);
  const closed = lines.length > 1 && FENCE.test(lines.at(-1));
  const text = lines.slice(1, closed ? -1 : undefined).join('\n');
  const copy = el('button', { type: 'button', class: 'tool', 'aria-label': t('copyCode'), title: t('copyCode'), onclick: () => copyText(text, copy) }, icon('copy'));
  return el('div', { class: 'code' },
    el('div', { class: 'code-head' }, el('span', {}, mark[2] || ''), copy),
    el('pre', { tabindex: '0' }, el('code', {}, text)));
}

/** A page that came by plain HTTP from another machine has no clipboard but that of a selection. */
async function copied(text) {
  if (navigator.clipboard) {
    return navigator.clipboard.writeText(text).then(() => true, () => false);
  }
  const field = el('textarea', { class: 'unseen', readonly: '' });
  field.value = text;
  document.body.append(field);
  field.select();
  const done = document.execCommand('copy');
  field.remove();
  return done;
}

/** Puts a text on the clipboard and shows on the button that it is there. */
export async function copyText(text, button) {
  if (!(await copied(text))) {
    toast(t('copyFailed'));
    return;
  }
  const before = button.querySelector('svg');
  before.replaceWith(icon('check'));
  toast(t('copied'));
  setTimeout(() => button.querySelector('svg').replaceWith(icon('copy')), 1500);
}

const INLINE = /(`+)([\s\S]*?[^`])\1(?!`)|\*\*(?=\S)([\s\S]*?\S)\*\*|\*(?=[^\s*])([^*\n]*[^\s*])\*/;

/** The nodes of a line. */
function inline(text) {
  const nodes = [];
  let rest = text;
  for (let found = INLINE.exec(rest); found; found = INLINE.exec(rest)) {
    const [all, ticks, codeText, bold, italic] = found;
    nodes.push(rest.slice(0, found.index));
    if (ticks) {
      nodes.push(el('code', {}, codeText.trim() || codeText));
    } else {
      nodes.push(bold !== undefined ? el('strong', {}, ...inline(bold)) : el('em', {}, ...inline(italic)));
    }
    rest = rest.slice(found.index + all.length);
  }
  nodes.push(rest);
  return nodes.filter(node => node !== '');
}
