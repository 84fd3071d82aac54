// The fourth part: sliders, and what the model says of them.
(function (ui, model, chart) {
  'use strict';

  const { el, setText, figure, duration, bytes, percent, slider, toggle } = ui;
  const section = document.getElementById('tuner');
  const at = (selector) => section.querySelector(selector);
  const input = { ...model.kDefaults };
  const controls = {};

  const steps = (low, high, perDecade = [1, 2, 5]) => {
    const values = [];
    for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++) {
      for (const digit of perDecade) {
        const value = Number((digit * 10 ** power).toPrecision(3));
        if (value >= low * 0.9999 && value <= high * 1.0001) values.push(value);
      }
    }
    return values;
  };
  const kFine = [1, 1.5, 2, 3, 4, 5, 6, 8];

  const kKnobs = [
    { name: 'arrival', label: 'Jobs that arrive', values: steps(0.1, 200_000, kFine), format: (n) => `${figure(n)} a second` },
    { name: 'handler', label: 'A handler takes', values: [0, ...steps(0.0001, 600, kFine)], format: duration },
    { name: 'workers', label: 'Workers, one job at a time each', values: [...new Set(steps(1, 1000, kFine).map(Math.round))], format: (n) => figure(n) },
    { name: 'batch', label: 'Jobs a claim, at most', values: [1, 2, 3, 5, 7, 10, 15, 25, 50, 75, 100, 150, 250, 500, 1000], format: String },
    { name: 'enqueueBatch', label: 'Jobs an enqueue', values: [1, 2, 5, 10, 25, 50, 100, 250, 1000], format: String },
    { name: 'lease', label: 'Lease', values: [5, 10, 15, 30, 45, 60, 90, 120, 300, 600, 1800, 3600], format: duration },
    { name: 'roundTrip', label: 'Round trip to the server', values: [0, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1], format: duration },
    { name: 'flush', label: 'Flush at commit', values: [0, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02], format: (s) => (s === 0 ? 'synchronous_commit off' : duration(s)) },
    { name: 'processors', label: 'Processors of the server', values: [1, 2, 4, 8, 16, 32, 64], format: String },
  ];

  const kExamples = [
    { name: 'mails', text: 'Mails', input: { arrival: 50, handler: 0.2, workers: 15, batch: 1 } },
    { name: 'webhooks', text: 'Webhooks', input: { arrival: 400, handler: 0.3, workers: 100, batch: 1 } },
    { name: 'events', text: 'Tiny events', input: { arrival: 20_000, handler: 0.0001, workers: 20, batch: 50, enqueueBatch: 25 } },
    { name: 'events-single', text: 'The same, one by one', input: { arrival: 20_000, handler: 0.0001, workers: 20, batch: 1, enqueueBatch: 1 } },
    { name: 'flood', text: 'A flood', input: { arrival: 200_000, handler: 0, workers: 200, batch: 10, enqueueBatch: 10 } },
    { name: 'video', text: 'Videos', input: { arrival: 0.1, handler: 300, workers: 40, batch: 1, lease: 60 } },
    { name: 'greedy', text: 'Greedy batches, no heartbeats', input: { arrival: 50, handler: 4, workers: 100, batch: 50, lease: 90, heartbeats: false } },
  ];

  // --- what the model says, in words ----------------------------------------------------------------------------------

  const kLimits = {
    arrivals: ['Nothing: it keeps up', (r) => `Everything that arrives is done, and there is room for ${figure(r.capacity / r.throughput)} times as much.`],
    handlers: ['The handlers', (r) => `Workers are busy with the work itself. ${moreWorkers(r)}`],
    'round trips': ['The round trips', (r) => `Workers spend ${percent(1 - r.round.handler / r.round.total, 0)} of their time on the way to the server and back. Claim more jobs at a time, or bring the workers nearer; more workers help too.`],
    server: ['The server', (r) => (r.input.batch < 25
      ? `Its processors are used up: ${figure(r.serverTime.total * 1e6)} µs a job. More workers do not help. Larger batches make each job cheaper.`
      : `Its processors are used up: ${figure(r.serverTime.total * 1e6)} µs a job. More workers do not help; enqueue in batches, or give it more processors.`)],
    lease: ['The lease', (r) => `A batch takes ${duration(r.inHand)}, longer than its lease, and nobody extends it: ${percent(r.lost, 0)} of the jobs run out in a worker’s hand and are done again. Send heartbeats, claim fewer, or take a longer lease.`],
  };

  function moreWorkers(r) {
    const needed = Math.ceil((r.input.arrival * r.round.total) / r.input.batch / 0.8);
    const serverAllows = r.limits.server > r.input.arrival;
    return serverAllows
      ? `With ${figure(needed)} of them, busy to four fifths, it would keep up.`
      : `More of them help up to ${figure(r.limits.server)} a second, which is what the server can do.`;
  }

  function figuresOf(r) {
    return [
      ['throughput', 'done', `${figure(r.throughput)} /s`],
      ['backlog', 'backlog grows by', r.backlogGrowth > 0 ? `${figure(r.backlogGrowth)} /s` : '0'],
      ['wait', 'a job waits about', r.saturated ? 'ever longer' : duration(r.wait)],
      ['perClaim', 'jobs a claim finds', figure(r.jobsPerClaim)],
      ['calls', 'calls to claim and complete', `${figure(r.calls.work)} /s`],
      ['saved', 'round trips saved by batches', `${figure(r.calls.saved)} /s`],
      ['cpu', 'server time a job', `${figure(r.serverTime.total * 1e6)} µs`],
      ['wal', 'WAL a job', bytes(r.wal.total)],
      ['walDay', 'WAL a day', bytes(r.walPerSecond * 86_400)],
      ['death', 'a worker dies: its jobs are back in', `≤ ${duration(r.input.lease)}`],
    ];
  }

  // --- page -----------------------------------------------------------------------------------------------------------

  function showFigures(r) {
    const list = at('[data-figures]');
    const figures = figuresOf(r);
    if (list.children.length === 0) for (const [name, text] of figures) list.append(el('div', {}, el('dt', {}, text), el('dd', { 'data-figure': name })));
    for (const [name, , text] of figures) setText(list.querySelector(`[data-figure="${name}"]`), text);
  }

  const kGauges = [
    ['workers', 'Workers', (r) => [[r.used.workers * (r.round.handler / r.round.total), 'handler'], [r.used.workers * (r.round.trips / r.round.total), 'trips'], [r.used.workers * (r.round.server / r.round.total), 'server']],
      (r) => `${percent(r.used.workers, 0)} used`],
    ['server', 'Server processors', (r) => [[r.used.server, 'server']], (r) => `${percent(r.used.server, 0)} used`],
  ];

  function showGauges(r) {
    const mount = at('[data-gauges]');
    if (mount.children.length === 0) {
      for (const [name, text] of kGauges) {
        mount.append(el('div', { class: 'gauge', 'data-gauge': name }, el('span', {}, text), el('span', { class: 'bar-ground' }, el('i', { class: 'bar' }), el('i', { class: 'bar' }), el('i', { class: 'bar' })), el('b')));
      }
      mount.append(el('ul', { class: 'legend' }, ...[['handler', 'handling'], ['trips', 'round trips and flush'], ['server', 'server']].map(([kind, text]) => el('li', {}, el('span', { class: `swatch use-${kind}` }), text))));
    }
    for (const [name, , parts, text] of kGauges) {
      const gauge = mount.querySelector(`[data-gauge="${name}"]`);
      const bars = gauge.querySelectorAll('.bar');
      const values = parts(r);
      bars.forEach((bar, i) => {
        bar.className = `bar use-${values[i]?.[1] ?? 'server'}`;
        bar.style.width = `${(values[i]?.[0] ?? 0) * 100}%`;
      });
      setText(gauge.querySelector('b'), text(r));
    }
  }

  const spread = (low, high, count = 60) => Array.from({ length: count + 1 }, (_, i) => low * (high / low) ** (i / count));

  function showWorkersChart(r) {
    const xs = spread(1, 1000);
    const limit = (which) => xs.map((workers) => [workers, model.limits({ ...input, workers })[which]]);
    const done = xs.map((workers) => [workers, Math.max(1e-9, model.evaluate({ ...input, workers }).throughput)]);
    const highest = Math.max(r.input.arrival, r.limits.server, r.throughput) * 2;
    const top = 10 ** Math.ceil(Math.log10(highest));
    const low = Math.max(top / 1e6, Math.min(10 ** Math.floor(Math.log10(Math.max(1e-3, Math.min(done[0][1], r.input.arrival)))), top / 1e3));
    chart.draw(at('[data-chart="workers"]'), {
      xRange: [1, 1000], yRange: [low, top], xName: 'workers',
      areas: [{ points: done, kind: 'done' }],
      lines: [
        { points: limit('workers'), kind: 'workers', label: 'workers', labelAt: 0.25 },
        { points: limit('server'), kind: 'server', label: 'server', labelAt: 0.03 },
        { points: xs.map((workers) => [workers, r.input.arrival]), kind: 'arrival', label: 'arriving', labelAt: 0.82 },
      ],
      marks: [{ x: r.input.workers, y: r.throughput, kind: 'here', label: `${figure(r.throughput)} /s` }],
    });
  }

  function showBatchChart(r) {
    const { measured } = model;
    const kind = r.input.flush > 0 ? 'flushed' : 'async';
    const curve = spread(1, 1000).map((n) => [n, model.perCall(measured.claimAndComplete[kind], n) / n]);
    const here = r.serverTime.work * 1e6;
    const points = (list, look) => list.map(([x, y]) => ({ x, y, kind: look }));
    chart.draw(at('[data-chart="batch"]'), {
      xRange: [1, 1000], yRange: [1, 1000], xName: 'jobs a claim', yFormat: (n) => `${n} µs`,
      lines: [
        { points: curve, kind: 'server', label: 'durable_work', labelAt: 0.72 },
        { points: measured.textbook[kind], kind: 'textbook', label: 'textbook table', labelAt: 0.4 },
      ],
      marks: [...points(measured.claimAndComplete[kind], 'measured'), ...points(measured.textbook[kind], 'measured-textbook'),
        { x: r.jobsPerClaim, y: here, kind: 'here', label: `${figure(here)} µs` }],
    });
  }

  function render() {
    const r = model.evaluate(input);
    const [what, advice] = kLimits[r.bottleneck];
    section.querySelector('.limit').dataset.bottleneck = r.bottleneck;
    setText(at('[data-limit]'), what);
    setText(at('[data-advice]'), advice(r));
    showFigures(r);
    showGauges(r);
    showWorkersChart(r);
    showBatchChart(r);
  }

  function take(example) {
    Object.assign(input, model.kDefaults, example);
    for (const [name, control] of Object.entries(controls)) control.set(input[name]);
    render();
  }

  for (const knob of kKnobs) {
    controls[knob.name] = slider(at('[data-knobs]'), { ...knob, value: input[knob.name], change: (value) => { input[knob.name] = value; render(); } });
  }
  controls.heartbeats = toggle(at('[data-knobs]'), { label: 'Workers send heartbeats', name: 'heartbeats', value: input.heartbeats, change: (on) => { input.heartbeats = on; render(); } });
  ui.tries(at('[data-try]'), null, kExamples.map((example) => ({ ...example, press: () => take(example.input) })));
  at('[data-try="webhooks"]').click();
  new ResizeObserver(render).observe(section.querySelector('.panel'));
})(globalThis.durableUi, globalThis.durableModel, globalThis.durableChart);
