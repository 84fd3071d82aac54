// What belongs to no part: colours, the ring at the top, and the start of the clock.
(function (ui, ring, picture, player) {
  'use strict';

  const kThemes = [['', 'Auto', 'as the system has them'], ['light', 'Light', 'light'], ['dark', 'Dark', 'dark']];
  const button = document.getElementById('theme');
  let theme = 0;

  function show() {
    const [name, text, meaning] = kThemes[theme];
    if (name) document.documentElement.dataset.theme = name;
    else delete document.documentElement.dataset.theme;
    ui.setText(button, text);
    button.setAttribute('aria-label', `Colours: ${meaning}`);
  }

  button.addEventListener('click', () => {
    theme = (theme + 1) % kThemes.length;
    show();
  });

  const names = ['worker-A', 'worker-B', 'worker-C', 'worker-D', 'worker-E'];
  const owners = ring.owners(names);
  const colour = (worker) => ui.workerColour(names.indexOf(worker));
  const label = (y, text) => ui.svg('text', { y, 'text-anchor': 'middle' }, text);
  document.getElementById('hero-ring').append(...picture.band(owners, 70, 96, colour, () => true, 0.0005),
    label(1, '360'), label(12, 'buckets on a ring'), label(21, 'of five workers'));
  show();
  player.start();
})(globalThis.durableUi, globalThis.durableRing, globalThis.durablePicture, globalThis.durablePlayer);
