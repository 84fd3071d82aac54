// The third part: members of the ring, who owns what, what moves, and the way from a key to its worker.
(function (ui, members, ring, picture, players) {
  'use strict';

  const { Members } = members;
  const { Player } = players;
  const { el, button, setText, clock, seconds, percent, slider, toggle, LogView, workerColour } = ui;
  const kNames = Array.from({ length: 8 }, (_, i) => `worker-${String.fromCharCode(65 + i)}`);
  const section = document.getElementById('ring');
  const at = (selector) => section.querySelector(selector);
  const ringSvg = at('[data-ring]');
  const keyInput = at('#ring-key');
  const colour = (worker) => (worker === null ? 'var(--nobody)' : workerColour(kNames.indexOf(worker)));
  const settings = { vnodes: 150, finalise: true };
  const rows = new Map();
  let run = null;
  let bucket = ring.bucket(keyInput.value);
  let byKey = true; // the bucket is the one of the typed key
  let drawn = null;

  // --- the simulation -------------------------------------------------------------------------------------------------

  function restart(seed = player.seed) {
    run = new Members({ seed, workers: kNames.slice(0, 3), ...settings });
    run.advance(8000); // with jobs in hand
    drawn = null;
    log.clear();
  }

  function act(call, name) {
    run[call](name);
    player.changed = true;
  }

  const absent = () => kNames.find((name) => !run.workers.has(name));
  const alive = () => run.ringMembers().filter((name) => run.workers.get(name).process === 'running');

  const kActions = [
    { name: 'join', text: 'A worker joins', press: () => { if (absent()) act('join', absent()); } },
    { name: 'deploy', text: 'Deploy: replace one by draining', press: deploy },
    { name: 'kill', text: 'One is killed', press: () => { const last = alive().at(-1); if (last) act('crash', last); } },
  ];

  // The new one joins, the oldest drains: the usual step of a rolling deploy.
  function deploy() {
    const oldest = alive()[0];
    if (absent()) act('join', absent());
    if (oldest) act('drain', oldest);
  }

  function setOption(name, value) {
    settings[name] = value;
    run.setOption(name, value);
    player.changed = true;
  }

  // --- members --------------------------------------------------------------------------------------------------------

  function buildMembers() {
    kNames.forEach((name, i) => {
      const cells = { state: el('td', {}), buckets: el('td', { class: 'with-bar' }), hand: el('td', { class: 'figure-cell', 'data-label': 'in hand ' }), beat: el('td', { class: 'with-bar' }), act: el('td', { class: 'acts' }) };
      cells.count = el('span', { class: 'number' });
      cells.bar = el('i', { class: 'bar' });
      cells.buckets.append(cells.count, el('span', { class: 'bar-ground' }, cells.bar, el('i', { class: 'bar-mean' })));
      cells.age = el('span', { class: 'number' });
      cells.ageBar = el('i', { class: 'bar bar-age' });
      cells.beat.append(cells.age, el('span', { class: 'bar-ground' }, cells.ageBar));
      cells.first = button('', () => first(name), { class: 'small', 'data-first': name });
      cells.second = button('', () => second(name), { class: 'small', 'data-second': name });
      cells.act.append(cells.first, cells.second);
      const row = el('tr', { style: `--w: ${workerColour(i)}`, 'data-member': name }, el('th', { scope: 'row' }, name), cells.state, cells.buckets, cells.hand, cells.beat, cells.act);
      at('[data-members]').append(row);
      rows.set(name, { row, ...cells });
    });
  }

  const stateOf = (name) => {
    const worker = run.workers.get(name);
    if (!worker) return 'absent';
    return worker.process === 'gone' && worker.state !== 'dead' ? 'silent' : worker.state;
  };

  const kState = {
    absent: { text: '–', second: ['Join', 'join'] },
    alive: { text: 'alive', first: ['Drain', 'drain'], second: ['Kill', 'crash'] },
    draining: { text: 'draining', second: ['Kill', 'crash'] },
    silent: { text: 'silent', second: ['Start', 'join'] },
    dead: { text: 'dead', first: ['Forget', 'remove'], second: ['Start', 'join'] },
  };

  function first(name) {
    const action = kState[stateOf(name)].first;
    if (action) act(action[1], name);
  }

  function second(name) {
    const action = kState[stateOf(name)].second;
    if (action) act(action[1], name);
  }

  function showMembers() {
    const counts = ring.load(run.ringMembers(), run.owners);
    const mean = run.owners.length / Math.max(1, counts.size);
    const most = Math.max(mean * 1.25, ...counts.values());
    for (const [name, cells] of rows) {
      const state = stateOf(name);
      const worker = run.workers.get(name);
      cells.row.dataset.state = state;
      setText(cells.state, kState[state].text);
      setText(cells.count, counts.has(name) ? String(counts.get(name)) : '');
      cells.bar.style.width = `${((counts.get(name) ?? 0) / most) * 100}%`;
      cells.row.style.setProperty('--mean', `${(mean / most) * 100}%`);
      setText(cells.hand, worker ? String([...run.jobs.values()].filter((job) => job.worker === name).length) : '');
      setText(cells.age, worker ? seconds(run.now - worker.lastSeen) : '');
      cells.ageBar.style.width = worker ? `${Math.min(1, (run.now - worker.lastSeen) / run.options.deadAfter) * 100}%` : '0';
      for (const which of ['first', 'second']) {
        const action = kState[state][which];
        setText(cells[which], action ? action[0] : '–');
        cells[which].classList.toggle('away', !action);
      }
    }
    at('[data-try="join"]').disabled = absent() === undefined;
  }

  // --- figures --------------------------------------------------------------------------------------------------------

  function showMoved() {
    const { why, moved, ideal, modulo } = run.change;
    const part = moved.length / run.owners.length;
    const bars = [
      ['on the ring', part, `${moved.length} of ${run.owners.length}, ${percent(part)}`, 'bar-ours'],
      ['ideal: 1/N', ideal, ideal > 0 ? percent(ideal) : '–', 'bar-ideal'],
      ['with hash mod N', modulo, percent(modulo), 'bar-modulo'],
    ];
    at('[data-moved]').replaceChildren(el('h3', {}, 'Buckets moved ', el('span', { class: 'quiet-text' }, why)),
      ...bars.map(([name, value, text, kind]) => el('div', { class: 'moved-row' }, el('span', {}, name),
        el('span', { class: 'bar-ground' }, el('i', { class: `bar ${kind}`, style: `width: ${value * 100}%` })), el('b', {}, text))));
  }

  const kFigures = [
    ['completed', 'completed', () => run.stats.completed],
    ['waiting', 'wait in buckets nobody serves', () => run.waitingJobs()],
    ['unserved', 'buckets nobody serves', () => run.unserved()],
    ['expired', 'leases that ran out', () => run.stats.expired],
    ['released', 'released at a drain’s deadline', () => run.stats.released],
  ];

  function showFigures() {
    const list = at('[data-figures]');
    if (list.children.length === 0) for (const [name, text] of kFigures) list.append(el('div', {}, el('dt', {}, text), el('dd', { 'data-figure': name })));
    for (const [name, , value] of kFigures) setText(list.querySelector(`[data-figure="${name}"]`), String(value()));
  }

  // --- from a key to its worker ---------------------------------------------------------------------------------------

  function showChain() {
    const position = ring.bucketPosition(bucket, run.owners.length);
    const node = ring.nodeAt(run.nodes, position);
    const hash = ring.fnv1a32(keyInput.value);
    const steps = byKey
      ? [['fnv1a32', `${hash}`], ['mod 360', `bucket ${bucket}`]]
      : [['chosen on the ring', `bucket ${bucket}`]];
    steps.push([`⌊${bucket} · 2³² / 360⌋`, `position ${position}`]);
    if (node) steps.push(['clockwise to', `${node.worker}#${node.index} at ${node.position}`]);
    const owner = el('strong', { style: `--w: ${colour(node?.worker ?? null)}`, 'data-owner': true }, node?.worker ?? 'nobody');
    at('[data-chain]').replaceChildren(...steps.map(([name, text]) => el('li', {}, el('span', {}, name), el('code', {}, text))), el('li', {}, el('span', {}, 'owner'), owner));
    picture.drawZoom(at('[data-zoom]'), run, bucket, colour);
    ringSvg.setAttribute('aria-valuenow', bucket);
    ringSvg.setAttribute('aria-valuetext', `bucket ${bucket}, ${node?.worker ?? 'nobody'}`);
    picture.drawCentre(ringSvg, [
      { text: byKey ? shorten(keyInput.value) : `bucket ${bucket}`, className: 'centre-key' },
      { text: byKey ? `bucket ${bucket}` : 'belongs to', className: 'centre-small' },
      { text: node?.worker ?? 'nobody', className: 'centre-owner', style: `--w: ${colour(node?.worker ?? null)}` },
    ]);
  }

  const shorten = (text) => ([...text].length > 16 ? `${[...text].slice(0, 15).join('')}…` : text || '(empty)');

  function choose(index, fromKey) {
    bucket = index;
    byKey = fromKey;
    drawn = null;
    player.changed = true;
  }

  // --- page -----------------------------------------------------------------------------------------------------------

  function orphan(job) {
    const worker = run.workers.get(job.worker);
    return worker?.process !== 'running' || worker.run !== job.run;
  }

  function render() {
    const looks = `${bucket}/${byKey}/${keyInput.value}/${run.change.at}/${run.change.why}/${at('[data-zoom]').parentElement.clientWidth}`;
    if (drawn !== looks) {
      drawn = looks;
      picture.draw(ringSvg, run, colour, bucket);
      showMoved();
      showChain();
    }
    picture.drawJobs(ringSvg, run, colour, orphan);
    showMembers();
    showFigures();
    log.render(run.log);
  }

  buildMembers();
  const log = new LogView(at('[data-log]'), (entry) => el('li', { 'data-kind': entry.kind }, el('time', {}, clock(entry.at)), el('b', {}, entry.worker), el('span', {}, entry.text)));
  ui.tries(at('[data-try]'), null, kActions);
  const player = new Player(section, { simulation: () => run, restart, render, seed: 3, speed: 2 });
  slider(at('[data-knobs]'), { label: 'Virtual nodes a worker', name: 'vnodes', values: [1, 2, 5, 10, 20, 50, 100, 150, 200], value: 150, change: (n) => setOption('vnodes', n) });
  toggle(at('[data-knobs]'), { label: 'Finalise positions (off: raw FNV-1a)', name: 'finalise', value: true, change: (on) => setOption('finalise', on) });
  const kKeys = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
  ringSvg.addEventListener('keydown', (event) => {
    const by = kKeys[event.key];
    if (by === undefined) return;
    event.preventDefault();
    choose((bucket + by + run.owners.length) % run.owners.length, false);
  });
  keyInput.addEventListener('input', () => choose(ring.bucket(keyInput.value), true));
  ringSvg.addEventListener('click', (event) => choose(picture.bucketAt(ringSvg, event, run.owners.length), false));
  restart();
})(globalThis.durableUi, globalThis.durableMembers, globalThis.durableRing, globalThis.durablePicture, globalThis.durablePlayer);
