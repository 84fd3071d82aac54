// Draws the ring: buckets by owner, virtual nodes, jobs in hand, what moved last; and one place of it enlarged.
// From outside: moved buckets, buckets, virtual nodes, jobs. Position 0 is at the top, clockwise.
(function (picture, ui, ring) {
  'use strict';

  const { svg, figure } = ui;
  const kCircle = 2 ** 32;

  const point = (radius, turn) => {
    const angle = turn * 2 * Math.PI - Math.PI / 2;
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  };
  const at = (radius, turn) => point(radius, turn).map((value) => value.toFixed(2)).join(' ');

  // A piece of a band between two radii, from one turn (0 to 1) to another.
  function sector(inner, outer, from, to) {
    const large = to - from > 0.5 ? 1 : 0;
    return `M${at(outer, from)}A${outer} ${outer} 0 ${large} 1 ${at(outer, to)}L${at(inner, to)}A${inner} ${inner} 0 ${large} 0 ${at(inner, from)}Z`;
  }

  // Buckets of one owner next to each other become one piece. A bucket is drawn from its position to the next one's.
  function pieces(owners, keep) {
    const runs = new Map();
    let start = 0;
    for (let i = 1; i <= owners.length; i++) {
      if (i < owners.length && owners[i] === owners[start] && keep(i) === keep(start)) continue;
      if (keep(start)) {
        if (!runs.has(owners[start])) runs.set(owners[start], []);
        runs.get(owners[start]).push([start / owners.length, i / owners.length]);
      }
      start = i;
    }
    return runs;
  }

  function band(owners, inner, outer, colour, keep = () => true, gap = 0.0004) {
    return [...pieces(owners, keep)].map(([owner, runs]) => svg('path', {
      d: runs.map(([from, to]) => sector(inner, outer, from + gap, Math.min(to - gap, from + 0.9999))).join(''), fill: colour(owner),
    }));
  }

  function nodeTicks(nodes, inner, outer, colour) {
    const paths = new Map();
    for (const { position, worker } of nodes) {
      const turn = position / kCircle;
      paths.set(worker, `${paths.get(worker) ?? ''}M${at(inner, turn)}L${at(outer, turn)}`);
    }
    return [...paths].map(([worker, d]) => svg('path', { d, stroke: colour(worker), class: 'ring-node' }));
  }

  // Static part: changes with the members and the chosen bucket only.
  function draw(mount, run, colour, bucket) {
    const moved = new Set(run.change.moved);
    const turn = (bucket + 0.5) / run.owners.length;
    mount.setAttribute('viewBox', '-100 -100 200 200');
    mount.replaceChildren(
      svg('circle', { r: 80, class: 'ring-ground', 'stroke-width': 17 }),
      ...band(run.change.before, 91.5, 95.5, colour, (i) => moved.has(i), 0),
      ...band(run.owners, 72, 89, colour),
      ...nodeTicks(run.nodes, 63, 69.5, colour),
      svg('circle', { r: 58, class: 'ring-inner' }),
      svg('g', { 'data-jobs': true }),
      svg('path', { d: `M${at(70.5, turn)}L${at(98, turn)}`, class: 'ring-pointer' }),
      svg('g', { class: 'ring-centre' }));
  }

  // Each bucket has a spoke on which its jobs stand, from the rim inwards.
  function drawJobs(mount, run, colour, gone) {
    const standing = new Map();
    const dots = [];
    for (const job of run.jobs.values()) {
      const rank = standing.get(job.bucket) ?? 0;
      standing.set(job.bucket, rank + 1);
      const [cx, cy] = point(59.2 - rank * 3.1, (job.bucket + 0.5) / run.owners.length);
      const kind = job.worker === null ? 'waiting' : gone(job) ? 'orphan' : run.owners[job.bucket] === job.worker ? 'held' : 'former';
      dots.push(svg('circle', { cx: cx.toFixed(2), cy: cy.toFixed(2), r: 1.45, class: `dot dot-${kind}`, style: job.worker === null ? '' : `--w: ${colour(job.worker)}` }));
    }
    mount.querySelector('[data-jobs]').replaceChildren(...dots);
  }

  function drawCentre(mount, lines) {
    mount.querySelector('.ring-centre').replaceChildren(...lines.map(({ text, className, style }, i) =>
      svg('text', { y: (i - (lines.length - 1) / 2) * 10 + 3, 'text-anchor': 'middle', class: className, style }, text)));
  }

  // Which bucket is at this place of the picture?
  function bucketAt(mount, event, buckets) {
    const box = mount.getBoundingClientRect();
    const x = event.clientX - box.left - box.width / 2;
    const y = event.clientY - box.top - box.height / 2;
    const turn = (Math.atan2(y, x) / (2 * Math.PI) + 1.25) % 1;
    return Math.floor(turn * buckets) % buckets;
  }

  // A few degrees of the ring as a straight line: the bucket's position, the nodes around it, and the way to its owner.
  function drawZoom(mount, run, bucket, colour) {
    const width = Math.max(260, Math.floor(mount.parentElement.clientWidth - 32));
    const height = 104;
    const position = ring.bucketPosition(bucket, run.owners.length);
    const owner = ring.nodeAt(run.nodes, position);
    const away = (place) => (((place - position + kCircle * 1.5) % kCircle) - kCircle / 2); // -half to half a turn
    const reach = owner === null ? kCircle / 200 : Math.max(kCircle / 240, ((owner.position - position + kCircle) % kCircle) * 1.6);
    const x = (distance) => width * 0.22 + (distance / reach) * width * 0.66;
    const line = 58;
    const parts = [svg('line', { x1: 0, x2: width, y1: line, y2: line, class: 'zoom-line' })];
    for (const node of run.nodes) {
      const place = x(away(node.position));
      if (place < 0 || place > width) continue;
      parts.push(svg('line', { x1: place, x2: place, y1: line - 13, y2: line + 13, class: 'zoom-node', style: `stroke: ${colour(node.worker)}` }));
    }
    const here = x(0);
    parts.push(svg('path', { d: `M${here} ${line - 7}l6 7l-6 7l-6 -7Z`, class: 'zoom-bucket' }), svg('text', { x: here, y: line + 30, 'text-anchor': 'middle', class: 'zoom-text' }, `bucket ${bucket}`));
    if (owner !== null) {
      const end = x((owner.position - position + kCircle) % kCircle);
      const text = `${owner.worker}#${owner.index}`;
      parts.push(svg('path', { d: `M${here} ${line - 20}L${Math.max(here, end - 1)} ${line - 20}`, class: 'zoom-way' }),
        svg('path', { d: `M${end} ${line - 14}l-4 -9h8Z`, class: 'zoom-tip', style: `fill: ${colour(owner.worker)}` }),
        svg('text', { x: Math.min(width - 4, end), y: line - 28, 'text-anchor': end > width * 0.7 ? 'end' : 'middle', class: 'zoom-owner' }, text));
    }
    parts.push(svg('text', { x: width - 2, y: height - 4, 'text-anchor': 'end', class: 'zoom-text' }, `clockwise, ${figure((reach / kCircle) * 360 / 0.66, 2)}° in all →`));
    mount.setAttribute('viewBox', `0 0 ${width} ${height}`);
    mount.setAttribute('height', height);
    mount.replaceChildren(...parts);
  }

  Object.assign(picture, { draw, drawJobs, drawCentre, drawZoom, bucketAt, band });
})(globalThis.durablePicture = {}, globalThis.durableUi, globalThis.durableRing);
