// The first part: jobs as chips that move between lanes.
//
// Lanes and workers are grids of slots in the page's flow; a chip is laid over the slot it belongs to. So nothing on the
// page moves but the chips.
(function (ui, queue, players) {
  'use strict';

  const { QueueSimulation } = queue;
  const { Player } = players;
  const { el, button, setText, clock, seconds, slider, tries, LogView, workerColour } = ui;
  const kNames = ['worker-A', 'worker-B', 'worker-C'];
  const kSlots = 18;
  const kSlotsOfWorker = 6;

  const section = document.getElementById('loop');
  const at = (selector) => section.querySelector(selector);
  const stage = at('[data-stage]');
  const settings = { batch: 1, failure: 0.15, maxAttempts: 3, perMinute: 50, workers: 3 };
  const chips = new Map();
  const cards = new Map();
  let run = null;
  let chosen = null;
  let controls = null;

  // --- the simulation -------------------------------------------------------------------------------------------------

  function restart(seed = player.seed) {
    run = new QueueSimulation({
      seed, workers: kNames.slice(0, settings.workers), batch: settings.batch, failure: settings.failure,
      maxAttempts: settings.maxAttempts, arrivalEvery: every(settings.perMinute), heartbeats: true, restartAfter: 4000, keep: 200,
    });
    for (let i = 0; i < 5; i++) run.enqueue();
    chosen = null;
    for (const chip of chips.values()) chip.element.remove();
    chips.clear();
    calls.clear();
  }

  const every = (perMinute) => (perMinute > 0 ? 60_000 / perMinute : 0);

  function change(name, value) {
    settings[name] = value;
    if (name === 'perMinute') run.setArrival(every(value));
    else if (name === 'workers') changeWorkers(value);
    else run.options[name] = value;
    player.changed = true;
  }

  function changeWorkers(count) {
    kNames.forEach((name, i) => {
      if (i < count && !run.workers.has(name)) run.addWorker(name);
      if (i >= count && run.workers.has(name)) run.removeWorker(name);
    });
  }

  function set(name, value) {
    controls[name].set(value);
    change(name, value);
  }

  function enqueue(count, nature = 'good') {
    for (let i = 0; i < count; i++) {
      const id = run.enqueue(nature);
      if (nature !== 'good') chosen = id;
    }
    player.changed = true;
    player.toggle(true);
  }

  // --- the stage ------------------------------------------------------------------------------------------------------

  function buildStage() {
    for (const lane of stage.querySelectorAll('.lane')) fillSlots(lane.querySelector('.slots'), kSlots);
    kNames.forEach((name, i) => {
      const press = button('Kill', () => {
        const worker = run.workers.get(name);
        if (worker?.process === 'gone') run.restart(name);
        else if (worker) run.crash(name);
        player.changed = true;
      }, { class: 'small', 'data-kill': name });
      const state = el('span', { class: 'card-state' });
      const slots = el('div', { class: 'slots' });
      fillSlots(slots, kSlotsOfWorker);
      const card = el('div', { class: 'card', style: `--w: ${workerColour(i)}`, 'data-worker': name },
        el('div', { class: 'card-head' }, el('h3', {}, name), state, press), slots);
      at('[data-workers]').append(card);
      cards.set(name, { card, state, press, slots });
    });
  }

  function fillSlots(slots, count) {
    for (let i = 0; i < count; i++) slots.append(el('i', { class: 'slot' }));
  }

  // Where the visible slots of a lane or worker are. Measured anew when the stage has another size.
  function placesOf(slots, origin) {
    return [...slots.children].map((slot) => slot.getBoundingClientRect()).filter((box) => box.width > 0)
      .map((box) => ({ x: box.left - origin.left, y: box.top - origin.top }));
  }

  let places = null;
  function measure() {
    const origin = stage.getBoundingClientRect();
    places = { lanes: new Map(), workers: new Map() };
    for (const lane of stage.querySelectorAll('.lane')) places.lanes.set(lane.dataset.lane, placesOf(lane.querySelector('.slots'), origin));
    for (const [name, { slots }] of cards) places.workers.set(name, placesOf(slots, origin));
  }

  function chipOf(job) {
    let chip = chips.get(job.id);
    if (chip === undefined) {
      const parts = { id: el('b', {}, String(job.id)), token: el('span', { class: 'chip-token' }), pips: el('span', { class: 'pips' }) };
      const element = el('button', { type: 'button', class: 'chip', onclick: () => choose(job.id), 'data-chip': job.id }, parts.id, parts.token, parts.pips);
      at('[data-chips]').append(element);
      chip = { element, ...parts, shown: '' };
      chips.set(job.id, chip);
    }
    return chip;
  }

  // Puts a job on a place; without one (its lane is full) it is hidden.
  function lay(job, place, seen) {
    if (place === undefined) return;
    const chip = chipOf(job);
    const held = job.status === 'held';
    const looks = [job.status, job.attempts, job.token, job.worker, run.options.maxAttempts, chosen === job.id].join();
    if (chip.shown !== looks) {
      chip.shown = looks;
      chip.element.dataset.status = job.status;
      chip.element.style.setProperty('--w', held ? workerColour(kNames.indexOf(job.worker)) : 'var(--ink)');
      chip.element.setAttribute('aria-pressed', String(chosen === job.id));
      chip.element.setAttribute('aria-label', `job ${job.id}, ${job.status.replace('_', ' ')}, attempts ${job.attempts}`);
      setText(chip.token, held ? `t${job.token}` : { completed: '✓', dead_letter: '✕' }[job.status] ?? '');
      chip.pips.replaceChildren(...Array.from({ length: run.options.maxAttempts }, (_, i) => el('i', i < job.attempts ? { class: 'used' } : {})));
    }
    const handling = held && run.workers.get(job.worker)?.handling;
    const done = handling && handling.token === job.token ? Math.min(1, (run.now - handling.from) / handling.takes) : 0;
    const left = held ? Math.max(0, (job.deadline - run.now) / run.options.lease) : delayedLeft(job);
    chip.element.style.transform = `translate(${place.x}px, ${place.y}px)`;
    chip.element.style.setProperty('--done', done.toFixed(3));
    chip.element.style.setProperty('--left', left.toFixed(3));
    seen.add(job.id);
  }

  function delayedLeft(job) {
    return job.status === 'delayed' ? Math.max(0, (job.dueAt - run.now) / run.backoff(job.attempts)) : 0;
  }

  new ResizeObserver(() => {
    places = null;
    player.changed = true;
  }).observe(stage);

  function layAll() {
    if (places === null) measure();
    const seen = new Set();
    const jobs = [...run.jobs.values()];
    const of = (status) => jobs.filter((job) => job.status === status);
    const spread = (list, lane) => list.forEach((job, i) => lay(job, lane[i], seen));
    spread(run.ready.map((id) => run.jobs.get(id)), places.lanes.get('ready'));
    spread(of('delayed').sort((a, b) => a.dueAt - b.dueAt), places.lanes.get('delayed'));
    const ended = run.ended.map((id) => run.jobs.get(id)).reverse();
    for (const status of ['completed', 'dead_letter']) spread(ended.filter((job) => job.status === status), places.lanes.get(status));
    for (const name of kNames) {
      spread(of('held').filter((job) => job.worker === name).sort((a, b) => a.token - b.token), places.workers.get(name));
    }
    for (const [id, chip] of chips) {
      if (!seen.has(id)) {
        chip.element.remove();
        chips.delete(id);
      }
    }
    for (const output of stage.querySelectorAll('[data-count]')) setText(output, String(countOf(output.dataset.count)));
  }

  function countOf(status) {
    if (status === 'completed') return run.stats.completed;
    return status === 'dead_letter' ? run.stats.deadLetters : run.count(status);
  }

  function showWorkers() {
    for (const [name, { card, state, press }] of cards) {
      const worker = run.workers.get(name);
      card.dataset.process = worker?.process ?? 'none';
      press.disabled = worker === undefined;
      setText(press, worker?.process === 'gone' ? 'Start' : 'Kill');
      setText(state, worker === undefined ? 'not running' : doingOf(worker));
    }
  }

  function doingOf(worker) {
    if (worker.process === 'gone') return 'killed';
    return worker.handling ? `works on ${worker.handling.job}` : 'waits for work';
  }

  // --- one job --------------------------------------------------------------------------------------------------------

  function choose(id) {
    chosen = id;
    player.changed = true;
  }

  const kStatusText = { ready: 'ready', delayed: 'waits for its retry', held: 'held', completed: 'completed', dead_letter: 'dead letter' };
  let storyShown = '';

  function showJob() {
    const job = run.jobs.get(chosen ?? 1);
    setText(at('[data-chosen]'), job ? `${job.id}` : '');
    if (!job) return;
    const facts = [
      ['status', kStatusText[job.status]], ['attempts', `${job.attempts} of ${run.options.maxAttempts}`], ['lease_token', job.token ?? '–'],
      ['worker', job.worker ?? '–'], [job.status === 'delayed' ? 'due in' : 'lease left', remaining(job)],
    ];
    const story = at('[data-job]');
    const looks = `${run.options.seed}/${job.id}/${job.spans.length}/${run.options.maxAttempts}`;
    if (storyShown !== looks) {
      storyShown = looks;
      story.replaceChildren(el('dl', { class: 'facts' }, ...facts.flatMap(([name]) => [el('dt', {}, name), el('dd', {})])),
        el('ol', { class: 'story' }, ...job.spans.map((span) => el('li', {}, el('time', {}, clock(span.from)), el('span', {}, tell(span, job))))));
      story.scrollTop = story.scrollHeight;
    }
    story.querySelectorAll('dd').forEach((cell, i) => setText(cell, String(facts[i][1])));
  }

  function remaining(job) {
    if (job.status === 'held') return seconds(job.deadline - run.now);
    return job.status === 'delayed' ? seconds(job.dueAt - run.now) : '–';
  }

  function tell(span, job) {
    if (span.status === 'held') return `held by ${span.worker}: attempt ${span.attempt}, token ${span.token}`;
    if (span.status === 'dead_letter') return `dead letter: ${job.reason}`;
    if (span.status === 'ready' && span.attempt > 0 && span.token !== null) return 'ready again';
    return kStatusText[span.status];
  }

  // --- page -----------------------------------------------------------------------------------------------------------

  function callLine(entry) {
    return el('li', { 'data-kind': entry.kind }, el('time', {}, clock(entry.at)), el('b', {}, entry.who),
      el('code', {}, entry.call), el('span', {}, `→ ${entry.answer}`));
  }

  function render() {
    layAll();
    showWorkers();
    showJob();
    calls.render(run.log);
  }

  const kTries = [
    { name: 'burst', text: 'Enqueue 12 jobs', watch: 'Twelve jobs in one transaction: they become ready together at its commit, and workers that sleep are woken, one for each job.',
      press: () => enqueue(12) },
    { name: 'batch', text: 'Claim three at a time', watch: 'One claim brings three jobs, each with a token of its own: one round trip instead of three. complete_many would save two more at the end.',
      press: () => { set('batch', 3); enqueue(9); } },
    { name: 'poison', text: 'A job that always fails', watch: 'It fails, waits 4 s, fails, waits 8 s, fails: no attempt is left, and it is a dead letter. The others go on meanwhile.',
      press: () => enqueue(1, 'poison') },
    { name: 'killer', text: 'A job that kills its worker', watch: 'Such a payload never reports a failure. But its attempt was counted when it was claimed, so it too ends as a dead letter.',
      press: () => enqueue(1, 'killer') },
    { name: 'bad-day', text: 'A bad day', watch: 'Half of all attempts fail. Each waits for its own retry; nothing stands in the way of the jobs behind it.',
      press: () => { set('failure', 0.5); set('perMinute', 40); enqueue(6); } },
  ];

  buildStage();
  const calls = new LogView(at('[data-log]'), callLine);
  const player = new Player(section, { simulation: () => run, restart, render, seed: 7 });
  controls = {
    perMinute: slider(at('[data-knobs]'), { label: 'Arriving', name: 'perMinute', max: 90, step: 5, value: settings.perMinute, format: (n) => `${n} a minute`, change: (n) => change('perMinute', n) }),
    failure: slider(at('[data-knobs]'), { label: 'Attempts that fail', name: 'failure', max: 1, step: 0.05, value: settings.failure, format: (n) => ui.percent(n, 0), change: (n) => change('failure', n) }),
    workers: slider(at('[data-knobs]'), { label: 'Workers', name: 'workers', min: 1, max: 3, value: settings.workers, change: (n) => change('workers', n) }),
    batch: slider(at('[data-knobs]'), { label: 'Jobs a claim', name: 'batch', min: 1, max: 3, value: settings.batch, change: (n) => change('batch', n) }),
    maxAttempts: slider(at('[data-knobs]'), { label: 'Attempts a job has', name: 'maxAttempts', min: 1, max: 5, value: settings.maxAttempts, change: (n) => change('maxAttempts', n) }),
  };
  tries(at('[data-try]'), at('[data-watch]'), kTries);
  setText(at('[data-watch]'), 'Three workers claim one job at a time; about one attempt in seven fails. Choose a job to follow it, or try one of these.');
  restart();
})(globalThis.durableUi, globalThis.durableQueue, globalThis.durablePlayer);
