// Making elements. Text goes in as text nodes alone, so nothing that a model writes is read as markup.

export const $ = id => document.getElementById(id);

/** An element with properties (class, on…, aria-…, or any attribute) and children, which are nodes or texts. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) {
      continue;
    }
    if (name.startsWith('on')) {
      node.addEventListener(name.slice(2), value);
    } else if (name === 'class') {
      node.className = value;
    } else if (name in node && typeof value !== 'string') {
      node[name] = value;
    } else {
      node.setAttribute(name, value);
    }
  }
  node.append(...children.filter(child => child !== null && child !== undefined));
  return node;
}

const SVG = 'http://www.w3.org/2000/svg';

/** The same for the elements of a drawing. */
export function draw(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export function icon(name) {
  return draw('svg', { 'aria-hidden': 'true' }, draw('use', { href: '#i-' + name }));
}

export function iconButton(name, label, action, words) {
  const button = el('button', { type: 'button', class: words ? 'tool worded' : 'tool', onclick: action }, icon(name));
  if (words) {
    button.append(el('span', {}, label));
  } else {
    button.setAttribute('aria-label', label);
    button.title = label;
  }
  return button;
}

const SPOKEN_MILLIS = 20_000;

/** Says something to a screen reader, once; two answers that end together are both said. */
export function say(text) {
  const line = el('p', {}, text);
  $('spoken').append(line);
  setTimeout(() => line.remove(), SPOKEN_MILLIS);
}

const TOLD_MILLIS = 5000;
const OFFERED_MILLIS = 15_000;
let hiding;

/** Shows a line for some seconds, perhaps with one thing to do; it stays while the pointer or the focus is on it. */
export function toast(text, label, action) {
  const place = $('toast');
  const millis = label ? OFFERED_MILLIS : TOLD_MILLIS;
  const hide = () => { place.hidden = true; };
  const later = () => {
    clearTimeout(hiding);
    hiding = setTimeout(() => (place.matches(':hover, :focus-within') ? later() : hide()), millis);
  };
  place.replaceChildren(el('span', {}, text));
  if (label) {
    place.append(el('button', { type: 'button', class: 'link', onclick: () => { hide(); action(); } }, label));
  }
  place.hidden = false;
  later();
}

/** A file that the browser saves. */
export function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: 'application/jsonl' }));
  const link = el('a', { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
