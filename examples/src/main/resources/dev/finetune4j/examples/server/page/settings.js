// The drawer with the settings, and what of them goes into a request.
import { apiKey, setApiKey } from './api.js';
import { $ } from './dom.js';
import { preferences, prefer } from './store.js';
import { t } from './text.js';

const NUMBERS = ['temperature', 'top_p', 'max_tokens', 'seed'];
/** Without chance two answers side by side differ by what was learned alone. */
const DEFAULTS = { temperature: 0 };

/** The settings as fields of a request; what is empty is left to the server. */
export function parameters() {
  const chosen = preferences.settings ?? DEFAULTS;
  const fields = {};
  for (const name of NUMBERS) {
    if (chosen[name] !== undefined && chosen[name] !== null) {
      fields[name] = chosen[name];
    }
  }
  if (chosen.thinking) {
    fields.chat_template_kwargs = { enable_thinking: chosen.thinking === 'on' };
  }
  return fields;
}

export function applyTheme() {
  document.documentElement.style.colorScheme = preferences.theme || 'light dark';
}

export class Settings {
  /** @param hooks {system(): string, setSystem(text), keyChanged()} */
  constructor(hooks) {
    this.hooks = hooks;
    this.form = $('settings-form');
    this.form.addEventListener('input', event => this.changed(event.target));
    this.form.addEventListener('submit', event => event.preventDefault());
    this.form.elements.key.addEventListener('change', () => {
      setApiKey(this.form.elements.key.value);
      hooks.keyChanged();
    });
    $('open-settings').addEventListener('click', () => this.open());
    $('reset').addEventListener('click', () => {
      prefer({ settings: DEFAULTS });
      this.fill();
    });
  }

  open() {
    this.fill();
    $('settings').showModal();
  }

  fill() {
    const chosen = preferences.settings ?? DEFAULTS;
    const { elements } = this.form;
    elements.system.value = this.hooks.system();
    elements.theme.value = preferences.theme ?? '';
    elements.thinking.value = chosen.thinking ?? '';
    elements.key.value = apiKey();
    for (const name of NUMBERS) {
      elements[name].value = chosen[name] ?? '';
      this.check(elements[name]);
      this.slide(name, chosen[name]);
    }
  }

  /** A slider without a value stands at 1, which is what most servers do by default. */
  slide(name, value) {
    const slider = this.form.querySelector(`[data-for=${name}]`);
    if (slider) {
      slider.value = value ?? 1;
      slider.classList.toggle('unset', value === undefined || value === null);
    }
  }

  changed(field) {
    if (field.dataset.for) {
      const number = this.form.elements[field.dataset.for];
      number.value = field.value;
      this.changed(number);
    } else if (field.name === 'system') {
      this.hooks.setSystem(field.value);
    } else if (field.name === 'theme') {
      prefer({ theme: field.value });
      applyTheme();
    } else if (field.name === 'thinking') {
      prefer({ settings: { ...DEFAULTS, ...preferences.settings, thinking: field.value } });
    } else if (NUMBERS.includes(field.name) && this.check(field)) {
      const value = field.value === '' ? null : Number(field.value);
      prefer({ settings: { ...DEFAULTS, ...preferences.settings, [field.name]: value } });
      this.slide(field.name, value);
    }
  }

  /** Whether a number may be sent; says below the field if not. */
  check(field) {
    const good = field.validity.valid;
    let told = field.closest('.field').querySelector('.mistake');
    if (!told && !good) {
      told = document.createElement('small');
      told.className = 'mistake';
      told.id = field.name + '-mistake';
      field.closest('.field').append(told);
    }
    field.setAttribute('aria-invalid', String(!good));
    if (told) {
      told.textContent = good ? '' : rule(field);
      field.setAttribute('aria-describedby', told.id);
    }
    return good;
  }
}

function rule(field) {
  if (field.max) {
    return t('between', field.min, field.max);
  }
  return field.min ? t('atLeast', field.min) : t('whole');
}
