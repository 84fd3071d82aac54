// A line chart with logarithmic axes, as much as the tuner needs.
(function (chart, ui) {
  'use strict';

  const { svg, figure } = ui;
  const kPlace = { left: 52, right: 14, top: 14, bottom: 38 };

  const powers = ([low, high]) => {
    const ticks = [];
    for (let power = Math.ceil(Math.log10(low) - 1e-9); 10 ** power <= high * 1.0001; power++) ticks.push(10 ** power);
    return ticks;
  };

  function short(value) {
    if (value >= 1e6) return `${figure(value / 1e6)}M`;
    return value >= 1e3 ? `${figure(value / 1e3)}k` : figure(value);
  }

  // lines: [{points: [[x, y]], kind, label}]; marks: [{x, y, kind, label}]; areas: as lines, filled down to the axis
  function draw(mount, { xRange, yRange, xName, yFormat = short, lines = [], marks = [], areas = [], height = 270 }) {
    const width = Math.max(280, Math.floor(mount.parentElement.clientWidth - 32));
    const { left, right, top, bottom } = kPlace;
    const scale = (value, [low, high], from, to) => from + (Math.log10(value / low) / Math.log10(high / low)) * (to - from);
    const x = (value) => scale(value, xRange, left, width - right);
    const y = (value) => scale(Math.max(value, yRange[0] / 1e3), yRange, height - bottom, top);
    const path = (points) => points.map(([px, py], i) => `${i ? 'L' : 'M'}${x(px).toFixed(1)} ${y(py).toFixed(1)}`).join('');
    const clip = `clip-${mount.dataset.chart}`; // what leaves the ranges is not drawn
    const inside = { 'clip-path': `url(#${clip})` };
    const parts = [svg('clipPath', { id: clip }, svg('rect', { x: left, y: top, width: width - left - right, height: height - top - bottom }))];
    for (const tick of powers(yRange)) {
      parts.push(svg('line', { x1: left, x2: width - right, y1: y(tick), y2: y(tick), class: 'chart-grid' }),
        svg('text', { x: left - 7, y: y(tick) + 4, 'text-anchor': 'end', class: 'chart-tick' }, yFormat(tick)));
    }
    for (const tick of powers(xRange)) {
      parts.push(svg('line', { x1: x(tick), x2: x(tick), y1: top, y2: height - bottom, class: 'chart-grid' }),
        svg('text', { x: x(tick), y: height - bottom + 16, 'text-anchor': 'middle', class: 'chart-tick' }, short(tick)));
    }
    parts.push(svg('text', { x: width - right, y: height - 4, 'text-anchor': 'end', class: 'chart-name' }, xName));
    for (const { points, kind } of areas) {
      parts.push(svg('path', { d: `${path(points)}L${x(points.at(-1)[0])} ${height - bottom}L${x(points[0][0])} ${height - bottom}Z`, ...inside, class: `chart-area chart-${kind}` }));
    }
    for (const { points, kind, label, labelAt = 0.08 } of lines) {
      parts.push(svg('path', { d: path(points), ...inside, class: `chart-line chart-${kind}` }));
      const [px, py] = points[Math.min(points.length - 1, Math.floor(points.length * labelAt))];
      if (label) parts.push(svg('text', { x: x(px) + 4, y: Math.max(top + 10, y(py) - 7), class: `chart-label chart-${kind}` }, label));
    }
    for (const { x: px, y: py, kind, label } of marks) {
      parts.push(svg('circle', { cx: x(px), cy: y(py), r: kind === 'here' ? 6 : 3.5, class: `chart-mark chart-${kind}` }));
      const end = x(px) > width * 0.7;
      if (label) parts.push(svg('text', { x: x(px) + (end ? -10 : 10), y: y(py) - 8, 'text-anchor': end ? 'end' : 'start', class: 'chart-here-text' }, label));
    }
    mount.setAttribute('viewBox', `0 0 ${width} ${height}`);
    mount.setAttribute('height', height);
    mount.replaceChildren(...parts);
  }

  Object.assign(chart, { draw });
})(globalThis.durableChart = {}, globalThis.durableUi);
