// The list of conversations, import and export, and the way the list slides in on a narrow screen.
import { $, download, el, iconButton, toast } from './dom.js';
import { all, exported, imported, remove, save } from './store.js';
import { t } from './text.js';

export class Sidebar {
  /** @param hooks {current(): id, removed(id), models(): names for imported conversations} */
  constructor(hooks) {
    this.hooks = hooks;
    $('export-all').addEventListener('click', () => exportAs('conversations.jsonl', all()));
    $('import').addEventListener('click', () => $('file').click());
    $('file').addEventListener('change', () => this.take());
    document.querySelectorAll('[data-menu]').forEach(button => button.addEventListener('click', () => this.slide(true, button)));
    $('side-close').addEventListener('click', () => this.slide(false));
    $('shade').addEventListener('click', () => this.slide(false));
    $('side').addEventListener('keydown', event => {
      if (event.key === 'Escape') {
        this.slide(false);
      }
    });
  }

  /** Slides in or out; what lies below cannot be reached meanwhile. */
  slide(open, opener) {
    this.opener = opener ?? this.opener;
    const was = document.body.classList.contains('side-open');
    document.body.classList.toggle('side-open', open);
    $('shade').hidden = !open;
    $('stage').inert = open;
    if (open) {
      $('side-close').focus();
    } else if (was) {
      this.opener?.focus();
    }
  }

  show() {
    const conversations = all();
    $('export-all').disabled = conversations.length === 0;
    $('list').replaceChildren(...conversations.map(conversation => this.entry(conversation)));
    if (conversations.length === 0) {
      $('list').append(el('li', { class: 'quiet' }, t('noHistory')));
    }
  }

  entry(conversation) {
    const here = conversation.id === this.hooks.current();
    const title = conversation.title || t('newChat');
    return el('li', { class: here ? 'here' : '' },
      el('a', { href: '#/chat/' + conversation.id, title, 'aria-current': here ? 'page' : null }, title),
      iconButton('trash', t('remove', title), () => this.remove(conversation)));
  }

  remove(conversation) {
    remove(conversation.id);
    this.hooks.removed(conversation.id);
    this.show();
    toast(t('removed'), t('undo'), () => {
      save(conversation);
      this.show();
    });
  }

  async take() {
    const file = $('file').files[0];
    $('file').value = '';
    if (!file) {
      return;
    }
    try {
      const conversations = imported(await file.text(), this.hooks.models());
      conversations.forEach(save);
      this.show();
      toast(t('imported', conversations.length));
    } catch (e) {
      toast(t('notImported') + '\n' + e.message);
    }
  }
}

export function exportAs(name, conversations) {
  const text = exported(conversations);
  if (text) {
    download(name, text);
  } else {
    toast(t('nothingToExport'));
  }
}
