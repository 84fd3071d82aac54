// The second part: one job, two workers, and what goes wrong between them. Stories play by themselves; the buttons of the
// workers interfere.
(function (ui, queue, timeline, players) {
  'use strict';

  const { QueueSimulation } = queue;
  const { Player } = players;
  const { el, button, setText, clock, seconds, slider, toggle, tries, LogView, workerColour } = ui;
  const kNames = ['worker-A', 'worker-B'];
  const section = document.getElementById('crash');
  const at = (selector) => section.querySelector(selector);
  const kPlain = { lease: 12, handler: 8, heartbeats: false, fence: 'token', nature: 'good' };
  const settings = { ...kPlain };
  const cards = new Map();
  let run = null;
  let script = [];
  let controls = null;
  let verdictShown = null; // numbers of the entries

  const kStories = [
    { name: 'dies', text: 'It dies', watch: 'worker-A is killed in the middle of its work. Nothing happens until its lease runs out. Then worker-B gets the job: attempt 2, a higher token.',
      press: () => tell({}, [[4000, 'crash', 'worker-A'], [24_000, 'restart', 'worker-A']]) },
    { name: 'stalls', text: 'It stalls and comes back', watch: 'worker-A stands still, say on a suspended machine, longer than its lease. When it goes on it does not know that worker-B has the job. The token does.',
      press: () => tell({}, [[4000, 'freeze', 'worker-A'], [15_000, 'wake', 'worker-A']]) },
    { name: 'by-id', text: 'The same, finished by id alone', watch: 'The textbook queue finishes by id. worker-A comes back and its UPDATE succeeds, although the job is worker-B’s. The work is done twice, and nobody is told.',
      press: () => tell({ fence: 'id' }, [[4000, 'freeze', 'worker-A'], [14_500, 'wake', 'worker-A']]) },
    { name: 'slow', text: 'It is slow, with heartbeats', watch: 'The handler takes three leases. A heartbeat each third of a lease extends it, so nobody else gets the job; the lease length says how soon a death is noticed, not how long work may take.',
      press: () => tell({ handler: 32, heartbeats: true }, []) },
    { name: 'late-beat', text: 'It stalls, with heartbeats', watch: 'The first thing that worker-A does when it goes on is the heartbeat that is overdue. It learns that the job is lost and drops it, before it does more harm.',
      press: () => tell({ heartbeats: true }, [[6000, 'freeze', 'worker-A'], [24_000, 'wake', 'worker-A']]) },
    { name: 'poison', text: 'The job kills whoever takes it', watch: 'Each worker that takes it dies. The attempt was counted at the claim, so after the third one it is a dead letter instead of killing for ever.',
      press: () => tell({ handler: 4, nature: 'killer' }, []) },
  ];

  // --- the simulation -------------------------------------------------------------------------------------------------

  function restart(seed = player.seed) {
    run = new QueueSimulation({
      seed, workers: kNames, lease: settings.lease * 1000, handlerMin: settings.handler * 1000, handlerMax: settings.handler * 1000,
      heartbeats: settings.heartbeats, fence: settings.fence, restartAfter: settings.nature === 'killer' ? 3000 : 0, backoffBase: 2000,
    });
    run.enqueue(settings.nature);
    for (const [time, call, who] of script) run.at(time, call, who);
    calls.clear();
    verdictShown = null;
  }

  function tell(changes, events) {
    Object.assign(settings, kPlain, changes);
    script = events;
    for (const name of ['lease', 'handler', 'heartbeats']) controls[name].set(settings[name]);
    controls.byId.set(settings.fence === 'id');
    player.reset();
    player.toggle(true);
  }

  // Settings count for what comes; a story under way is not played anew.
  function change(name, value) {
    settings[name] = value;
    if (name === 'handler') Object.assign(run.options, { handlerMin: value * 1000, handlerMax: value * 1000 });
    else run.options[name] = name === 'lease' ? value * 1000 : value;
    player.changed = true;
  }

  function act(call, name) {
    run[call](name);
    player.changed = true;
  }

  function another() {
    run.enqueue(settings.nature);
    player.changed = true;
    player.toggle(true);
  }

  // --- the picture ----------------------------------------------------------------------------------------------------

  const kDoing = { running: 'waits for work', frozen: 'stands still', gone: 'dead' };

  function buildWorkers() {
    kNames.forEach((name, i) => {
      const state = el('span', { class: 'card-state' });
      const stall = button('Stall', () => act(run.workers.get(name).process === 'frozen' ? 'wake' : 'freeze', name), { class: 'small', 'data-stall': name });
      const kill = button('Kill', () => act(run.workers.get(name).process === 'gone' ? 'restart' : 'crash', name), { class: 'small', 'data-kill': name });
      at('[data-workers]').append(el('div', { class: 'card', style: `--w: ${workerColour(i)}`, 'data-worker': name },
        el('div', { class: 'card-head' }, el('h3', {}, name), state, stall, kill)));
      cards.set(name, { state, stall, kill });
    });
    at('[data-workers]').append(button('Enqueue another job', another, { 'data-do': 'another' }));
  }

  function showWorkers() {
    for (const [name, { state, stall, kill }] of cards) {
      const worker = run.workers.get(name);
      const { process, handling } = worker;
      const busy = handling ? `, has job ${handling.job} under token ${handling.token}` : '';
      setText(state, process === 'running' && handling ? `works${busy}` : `${kDoing[process]}${process === 'frozen' ? busy : ''}`);
      setText(stall, process === 'frozen' ? 'Wake' : 'Stall');
      stall.disabled = process === 'gone';
      setText(kill, process === 'gone' ? 'Start' : 'Kill');
      state.closest('.card').dataset.process = process;
    }
  }

  function showRow(job) {
    const status = job.status === 'held' ? 'processing' : job.status === 'ready' || job.status === 'delayed' ? 'pending' : job.status;
    const cells = [job.id, status, job.worker ?? '–', job.token ?? '–', job.attempts, job.status === 'held' ? seconds(job.deadline - run.now) : '–', job.effects];
    const row = at('[data-row]');
    if (row.children.length === 0) row.append(...[...at('thead').querySelectorAll('th')].map((head) => el('td', { 'data-label': head.textContent })));
    cells.forEach((cell, i) => setText(row.children[i], String(cell)));
    row.lastElementChild.classList.toggle('bad', job.effects > 1);
  }

  const kVerdicts = {
    refused: (entry) => ['bad-for-one', `${entry.who}: ${entry.call} is refused. ${entry.answer}. ${entry.detail} Its transaction is rolled back.`],
    usurped: (entry) => ['bad', `${entry.who}: ${entry.call} ${entry.answer}.`],
    twice: (entry) => ['bad', `${entry.who}: ${entry.call} ${entry.answer}.`],
    lost: (entry) => ['plain', `${entry.who} beats and is told: ${entry.answer}. It drops the job.`],
    complete: (entry) => ['good', `${entry.who}: ${entry.call} is accepted. The job is completed, once and for all.`],
    expired: (entry) => ['plain', `The ${entry.call}: ${entry.answer}.`],
    dead: (entry) => ['plain', `Job ${entry.job} is a dead letter (${entry.answer.replace('dead_letter: ', '')}), with its history.`],
    crash: (entry) => ['plain', `${entry.who} is killed. The server does not know: ${entry.answer}.`],
    freeze: (entry) => ['plain', `${entry.who} stands still. The server does not know.`],
    wake: (entry) => ['plain', `${entry.who} goes on where it was. It does not know that time has passed.`],
    claim: (entry) => ['plain', `${entry.who} claims ${entry.answer}.`],
  };

  // The last three things worth a sentence, the newest first.
  function showVerdict() {
    const entries = run.log.filter((one) => kVerdicts[one.kind]).slice(-3).reverse();
    const looks = entries.map((entry) => entry.number).join();
    if (looks === verdictShown) return;
    verdictShown = looks;
    at('[data-verdict]').replaceChildren(...entries.map((entry) => {
      const [kind, text] = kVerdicts[entry.kind](entry);
      return el('li', { 'data-kind': kind }, el('time', {}, clock(entry.at)), el('span', {}, text));
    }));
  }

  function callLine(entry) {
    return el('li', { 'data-kind': entry.kind }, el('time', {}, clock(entry.at)), el('b', {}, entry.who), el('code', {}, entry.call),
      el('span', {}, `→ ${entry.answer}`), entry.detail ? el('em', {}, entry.detail) : null);
  }

  function render() {
    const job = run.jobs.get(run.lastId);
    timeline.draw(at('[data-timeline]'), run, job, kNames);
    showRow(job);
    showWorkers();
    showVerdict();
    calls.render(run.log);
  }

  buildWorkers();
  const calls = new LogView(at('[data-log]'), callLine);
  // A story ends a little after its last event; playing on begins it anew.
  const finished = () => run.schedule.size === 0 && run.now > run.log.at(-1).at + 3000;
  const player = new Player(section, { simulation: () => run, restart, render, finished, seed: 1 });
  controls = {
    lease: slider(at('[data-knobs]'), { label: 'Lease', name: 'lease', min: 4, max: 30, value: settings.lease, format: (n) => `${n} s`, change: (n) => change('lease', n) }),
    handler: slider(at('[data-knobs]'), { label: 'The handler takes', name: 'handler', min: 2, max: 40, value: settings.handler, format: (n) => `${n} s`, change: (n) => change('handler', n) }),
    heartbeats: toggle(at('[data-knobs]'), { label: 'Workers send heartbeats', name: 'heartbeats', value: false, change: (on) => change('heartbeats', on) }),
    byId: toggle(at('[data-knobs]'), { label: 'Finish by id alone (textbook)', name: 'byId', value: false, change: (on) => change('fence', on ? 'id' : 'token') }),
  };
  tries(at('[data-try]'), at('[data-watch]'), kStories);
  at('[data-try="stalls"]').setAttribute('data-current', '');
  setText(at('[data-watch]'), kStories[1].watch);
  script = [[4000, 'freeze', 'worker-A'], [15_000, 'wake', 'worker-A']];
  restart();
})(globalThis.durableUi, globalThis.durableQueue, globalThis.durableTimeline, globalThis.durablePlayer);
