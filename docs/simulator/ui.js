// Small helpers of the page: elements, numbers as text, sliders, buttons with a description, the list of calls.
(function (ui) {
  'use strict';

  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, '');
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const svg = (tag, attributes = {}, ...children) =>
    fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);

  function setText(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  // 0:07.4
  function clock(ms) {
    const tenths = Math.floor(ms / 100 + 1e-6);
    const minutes = Math.floor(tenths / 600);
    return `${minutes}:${String(Math.floor(tenths / 10) % 60).padStart(2, '0')}.${tenths % 10}`;
  }

  const seconds = (ms) => `${(Math.max(0, ms) / 1000).toFixed(1)} s`;

  // Three significant figures, thousands apart: 1,234,000; 12.3; 0.045.
  function figure(value, digits = 3) {
    if (value === Infinity) return '∞';
    if (value === 0) return '0';
    const rounded = Number(value.toPrecision(digits));
    return rounded.toLocaleString('en-US', { maximumFractionDigits: 6 });
  }

  function duration(s) {
    if (s === Infinity) return 'for ever';
    if (s === 0) return '0';
    if (s < 0.9995e-3) return `${figure(s * 1e6)} µs`;
    if (s < 0.9995) return `${figure(s * 1e3)} ms`;
    if (s < 119.5) return `${figure(s)} s`;
    if (s < 7170) return `${figure(s / 60)} min`;
    if (s < 172_000) return `${figure(s / 3600)} h`;
    return `${figure(s / 86_400)} days`;
  }

  function bytes(count) {
    const unit = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
    let step = 0;
    let value = count;
    while (value >= 999.5 && step < unit.length - 1) {
      value /= 1000;
      step++;
    }
    return `${figure(value)} ${unit[step]}`;
  }

  const percent = (part, digits = 1) => `${(part * 100).toFixed(digits)} %`;

  // --- controls -------------------------------------------------------------------------------------------------------

  let lastId = 0;

  // A slider with its name and value. `values` is a list to choose from, or min, max, step are given.
  // Returns {set(value)}, which changes it without a call of onchange.
  function slider(mount, { label, name, values, min = 0, max, step = 1, value, format = String, change }) {
    const id = `slider-${++lastId}`;
    const place = (wanted) => (values ? Math.max(0, nearest(values, wanted)) : wanted);
    const input = el('input', {
      type: 'range', id, 'data-knob': name, min: values ? 0 : min, max: values ? values.length - 1 : max, step: values ? 1 : step,
    });
    const output = el('output', { for: id });
    const current = () => (values ? values[Number(input.value)] : Number(input.value));
    function show() {
      const text = format(current());
      setText(output, text);
      input.setAttribute('aria-valuetext', text);
      input.style.setProperty('--part', (input.value - input.min) / (input.max - input.min || 1));
    }
    function set(wanted) {
      input.value = place(wanted);
      show();
    }
    input.addEventListener('input', () => {
      show();
      change(current());
    });
    mount.append(el('div', { class: 'knob' }, el('label', { for: id }, label), output, input));
    set(value);
    return { set };
  }

  function nearest(values, wanted) {
    let best = 0;
    values.forEach((value, i) => {
      if (Math.abs(value - wanted) < Math.abs(values[best] - wanted)) best = i;
    });
    return best;
  }

  function toggle(mount, { label, name, value, change }) {
    const input = el('input', { type: 'checkbox', role: 'switch', 'data-knob': name });
    input.checked = value;
    input.addEventListener('change', () => change(input.checked));
    mount.append(el('label', { class: 'knob switch' }, input, el('span', {}, label)));
    return { set(wanted) { input.checked = wanted; } };
  }

  function button(text, press, attributes = {}) {
    return el('button', { type: 'button', onclick: press, ...attributes }, text);
  }

  // Buttons of which each says below what to watch. tries: [{text, watch, press}]
  function tries(mount, watch, list) {
    for (const { text, name, watch: tell, press } of list) {
      mount.append(button(text, () => {
        for (const other of mount.children) other.removeAttribute('data-current');
        mount.querySelector(`[data-try="${name}"]`).setAttribute('data-current', '');
        if (watch) setText(watch, tell);
        press();
      }, { 'data-try': name }));
    }
  }

  // --- the list of calls ----------------------------------------------------------------------------------------------

  // Shows the newest entries of a log on top; makes elements only for new ones.
  class LogView {
    constructor(mount, line, keep = 60) {
      Object.assign(this, { mount, line, keep });
      this.clear();
    }

    clear() {
      this.shown = 0;
      this.mount.replaceChildren();
    }

    render(log) {
      const last = log.at(-1)?.number ?? 0;
      if (last === this.shown) return;
      if (last < this.shown) this.clear();
      for (const entry of log.slice(-this.keep)) {
        if (entry.number > this.shown) this.mount.prepend(this.line(entry));
      }
      while (this.mount.children.length > this.keep) this.mount.lastElementChild.remove();
      this.shown = last;
    }
  }

  const workerColour = (index) => `var(--worker-${index % 8})`;

  Object.assign(ui, {
    el, svg, setText, clock, seconds, figure, duration, bytes, percent, slider, toggle, button, tries, LogView, workerColour,
  });
})(globalThis.durableUi = {});
