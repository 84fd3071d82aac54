// Play, pause, step, speed, seed and clock of a simulation; one animation loop for all of them.
//
// A player runs only while its part is in view. With "reduced motion" nothing starts by itself.
(function (player, ui) {
  'use strict';

  const { el, button, setText, clock } = ui;
  const kSpeeds = [0.25, 0.5, 1, 2, 4, 8];
  const kLongestFrame = 100; // ms; after a pause of the browser the simulation goes on where it was
  const players = [];

  const stillness = matchMedia('(prefers-reduced-motion: reduce)');

  class Player {
    // simulation: () => the present one, with now, advance and step; restart(seed); render(): called when something
    // changed; finished(): nothing more will happen
    constructor(section, { simulation, restart, render, finished = () => false, speed = 1, seed = 1 }) {
      Object.assign(this, { section, simulation, restart, render, finished, speed });
      this.playing = !stillness.matches;
      this.visible = false;
      this.changed = true;
      this.build(section.querySelector('[data-player]'), seed);
      players.push(this);
      new IntersectionObserver(([entry]) => {
        this.visible = entry.isIntersecting;
      }, { rootMargin: '-15% 0px' }).observe(section.querySelector('.panel'));
      new ResizeObserver(() => {
        this.changed = true;
      }).observe(section.querySelector('.panel'));
    }

    build(mount, seed) {
      this.playButton = button('', () => this.toggle(), { class: 'play', 'data-do': 'play' });
      this.speedButtons = kSpeeds.map((speed) => button(`${speed}×`.replace('0.25', '¼').replace('0.5', '½'), () => this.setSpeed(speed),
        { 'aria-pressed': String(speed === this.speed), 'aria-label': `speed ${speed}`, 'data-speed': speed }));
      this.seedInput = el('input', { type: 'number', min: 0, max: 99999, step: 1, value: seed, 'data-do': 'seed' });
      this.seedInput.addEventListener('change', () => this.reset());
      this.clockText = el('output', { class: 'clock', 'data-clock': true, 'aria-label': 'simulated time' }, '0:00.0');
      mount.append(
        this.playButton,
        button('Step', () => this.step(), { class: 'step', 'data-do': 'step', title: 'to the next event' }),
        button('Start over', () => this.reset(), { 'data-do': 'reset' }),
        el('div', { class: 'speeds', role: 'group', 'aria-label': 'Speed' }, ...this.speedButtons),
        el('label', { class: 'seed' }, 'Seed ', this.seedInput),
        this.clockText);
      this.showPlaying();
    }

    get seed() {
      return Math.max(0, Math.floor(Number(this.seedInput.value) || 0));
    }

    showPlaying() {
      setText(this.playButton, this.playing ? 'Pause' : 'Play');
      this.playButton.dataset.playing = this.playing;
    }

    toggle(playing = !this.playing) {
      if (playing && !this.playing && this.finished()) this.reset();
      this.playing = playing;
      this.showPlaying();
    }

    step() {
      this.toggle(false);
      this.simulation().step();
      this.changed = true;
    }

    reset() {
      this.restart(this.seed);
      this.changed = true;
    }

    setSpeed(speed) {
      this.speed = speed;
      for (const one of this.speedButtons) one.setAttribute('aria-pressed', String(Number(one.dataset.speed) === speed));
      this.section.style.setProperty('--move', speed > 2 ? '0.12s' : '0.35s');
    }

    frame(elapsed) {
      if (this.playing && this.visible) {
        const simulation = this.simulation();
        simulation.advance(simulation.now + elapsed * this.speed);
        this.changed = true;
        if (this.finished()) this.toggle(false);
      }
      if (!this.changed) return;
      this.changed = false;
      setText(this.clockText, clock(this.simulation().now));
      this.render();
    }
  }

  let last = performance.now();
  function frame(now) {
    const elapsed = Math.min(now - last, kLongestFrame);
    last = now;
    for (const one of players) one.frame(elapsed);
    requestAnimationFrame(frame);
  }

  // The part that reaches over the middle of the window.
  function present() {
    return players.find(({ section }) => {
      const box = section.getBoundingClientRect();
      return box.top < innerHeight / 2 && box.bottom > innerHeight / 2;
    });
  }

  const kKeys = { k: 'toggle', '.': 'step', r: 'reset' };
  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.('input:not([type=range], [type=checkbox]), textarea, select')) return;
    const call = kKeys[event.key.toLowerCase()];
    if (call !== undefined) present()?.[call]();
  }

  function start() {
    document.addEventListener('keydown', onKey);
    requestAnimationFrame(frame);
  }

  Object.assign(player, { Player, start });
})(globalThis.durablePlayer = {}, globalThis.durableUi);
