// Draws one job and two workers over time: who holds the job under which token, what each worker does, and each call
// between them. The window of time moves on when the story is longer than it.
(function (timeline, ui) {
  'use strict';

  const { svg, clock, workerColour } = ui;
  const kLane = 70;
  const kTop = 10;
  const kBar = 26;
  const kGutter = 66; // for the names of the lanes

  const kLook = {
    claim: { sign: '▲', text: (entry) => `claim, token ${entry.token}`, brief: (entry) => `t${entry.token}` },
    complete: { sign: '✓', text: () => 'complete', brief: () => '', good: true },
    retry: { sign: '↺', text: () => 'fail', brief: () => '' },
    refused: { sign: '✕', text: () => 'DW001', bad: true },
    usurped: { sign: '!', text: () => 'accepted!', bad: true },
    twice: { sign: '!!', text: () => 'twice!', bad: true },
    lost: { sign: '✕', text: () => 'told: lost', bad: true },
    beat: { sign: '·', text: () => '' },
  };

  function draw(mount, run, job, names) {
    const width = Math.max(kGutter * 2, Math.floor(mount.parentElement.clientWidth));
    const height = kTop + kLane * 2 + 62;
    const narrow = width < 640;
    const span = narrow ? 32_000 : 48_000;
    const from = Math.max(0, run.now - span * 0.8);
    const x = (time) => kGutter + ((time - from) / span) * (width - kGutter);
    const lane = (index) => kTop + index * kLane + 6; // top of its bar
    const order = [names[0], null, names[1]]; // worker, job, worker
    const parts = [grid(width, height, from, x)];
    order.forEach((name, i) => {
      const text = name ?? 'job';
      parts.push(svg('text', { x: 8, y: lane(i) + 17, class: 'lane-name' }, text));
      parts.push(svg('rect', { x: kGutter, y: lane(i), width: width - kGutter, height: kBar, class: 'lane-ground' }));
      if (name !== null) for (const doing of run.workers.get(name).spans) parts.push(...workerSpan(doing, run, x, width, lane(i), names.indexOf(name)));
    });
    if (job) for (const state of job.spans) parts.push(...jobSpan(state, run, x, width, lane(1), names));
    for (const entry of run.log) if (kLook[entry.kind] && names.includes(entry.who)) parts.push(...call(entry, x, lane, names.indexOf(entry.who), width, narrow));
    const here = x(run.now);
    parts.push(svg('line', { x1: here, x2: here, y1: kTop, y2: height - 20, class: 'time-now' }));
    mount.setAttribute('width', width);
    mount.setAttribute('height', height);
    mount.setAttribute('viewBox', `0 0 ${width} ${height}`);
    mount.replaceChildren(patterns(), ...parts);
  }

  function patterns() {
    return svg('defs', {}, svg('pattern', { id: 'still', width: 7, height: 7, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
      svg('rect', { width: 7, height: 7, class: 'still-ground' }), svg('line', { x1: 0, y1: 0, x2: 0, y2: 7, class: 'still-line' })));
  }

  function grid(width, height, from, x) {
    const group = svg('g', { class: 'grid' });
    const apart = width < 640 ? 10_000 : 5_000;
    for (let time = Math.ceil(from / apart) * apart; x(time) <= width; time += apart) {
      group.append(svg('line', { x1: x(time), x2: x(time), y1: kTop, y2: height - 20 }),
        svg('text', { x: x(time), y: height - 6, 'text-anchor': 'middle' }, clock(time).replace('.0', '')));
    }
    return group;
  }

  // The visible part of a span: [left, width] in pixels, or null.
  function extent(span, run, x, width) {
    const left = Math.max(kGutter, x(span.from));
    const right = Math.min(width, x(span.to ?? run.now));
    return right > left ? [left, right - left] : null;
  }

  function inside(text, left, wide, y, className) {
    return wide > text.length * 6.4 + 8 ? [svg('text', { x: left + 6, y: y + 17, class: className }, text)] : [];
  }

  function workerSpan(span, run, x, width, y, index) {
    const box = extent(span, run, x, width);
    if (box === null || span.what === 'waiting') return [];
    const [left, wide] = box;
    const text = { handling: 'works', frozen: 'stands still', gone: 'dead' }[span.what];
    return [svg('rect', { x: left, y, width: wide, height: kBar, class: `span-${span.what}`, style: `--w: ${workerColour(index)}` }),
      ...inside(text, left, wide, y, `on-${span.what}`)];
  }

  function jobSpan(span, run, x, width, y, names) {
    const box = extent(span, run, x, width);
    if (box === null) return [];
    const [left, wide] = box;
    const parts = [svg('rect', { x: left, y, width: wide, height: kBar, class: `job-${span.status}`, style: `--w: ${workerColour(Math.max(0, names.indexOf(span.worker)))}` })];
    if (span.status !== 'held') return [...parts, ...inside(span.status.replace('_', ' '), left, wide, y, 'on-job')];
    const full = `token ${span.token}, attempt ${span.attempt}`;
    parts.push(...(wide > full.length * 6.4 + 8 ? inside(full, left, wide, y, 'on-held') : inside(`t${span.token}`, left, wide, y, 'on-held')));
    parts.push(...fuse(span, run, x, width, y));
    return parts;
  }

  // The lease: a line under the span, from the claim to the deadline; what is left of it is thick.
  function fuse(span, run, x, width, y) {
    const start = Math.max(kGutter, x(span.from));
    const end = Math.min(width, x(span.deadline));
    if (end <= start) return [];
    const burnt = Math.min(end, Math.max(start, x(span.to ?? run.now)));
    const parts = [svg('line', { x1: start, x2: end, y1: y + kBar + 5, y2: y + kBar + 5, class: 'fuse' })];
    if (span.to === null) parts.push(svg('line', { x1: burnt, x2: end, y1: y + kBar + 5, y2: y + kBar + 5, class: 'fuse-left' }));
    parts.push(svg('line', { x1: end, x2: end, y1: y + kBar, y2: y + kBar + 10, class: 'fuse-end' }));
    return parts;
  }

  // A call: a line between the worker's lane and the job's, with its sign in the middle.
  function call(entry, x, lane, index, width, narrow) {
    const place = x(entry.at);
    if (place < kGutter || place > width) return [];
    const [fromY, toY] = index === 0 ? [lane(0) + kBar, lane(1)] : [lane(2), lane(1) + kBar];
    const look = kLook[entry.kind];
    const kind = look.bad ? 'bad' : look.good ? 'good' : 'plain';
    const text = narrow && look.brief ? look.brief(entry) : look.text(entry);
    const middle = index === 0 ? fromY + 14 : fromY - 14;
    const atEnd = place > width - text.length * 7 - 24;
    return [svg('line', { x1: place, x2: place, y1: fromY, y2: toY, class: `call call-${kind}` }),
      svg('circle', { cx: place, cy: toY, r: entry.kind === 'beat' ? 2.5 : 4, class: `call-dot call-${kind}` }),
      svg('text', { x: atEnd ? place - 7 : place + 7, y: middle + 4, 'text-anchor': atEnd ? 'end' : 'start', class: `call-text call-${kind}` },
        look.sign === '·' ? '' : `${look.sign} ${text}`)];
  }

  Object.assign(timeline, { draw });
})(globalThis.durableTimeline = {}, globalThis.durableUi);
