// The tuner's model: it gives back what was measured, and its parts hang together.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import figures from '../../docs/simulator/measured.js';
import model from '../../docs/simulator/model.js';

const { measured } = figures;
const near = (value, expected, part) =>
  assert.ok(Math.abs(value - expected) <= part * Math.abs(expected), `${value} is not within ${part * 100} % of ${expected}`);

// Workers that do nothing but claim and complete, on one processor, with more work than they can do.
const busy = (batch, more = {}) =>
  model.evaluate({ arrival: 1e9, handler: 0, workers: 16, batch, roundTrip: 0, flush: 0, processors: 1, ...more });

test('at the measured points the model gives the measured costs', () => {
  for (const [jobs, cost] of measured.claimAndComplete.async) near(busy(jobs).serverTime.work * 1e6, cost, 1e-9);
  for (const [jobs, cost] of measured.claimAndComplete.flushed) near(busy(jobs, { flush: 0.001 }).serverTime.work * 1e6, cost, 1e-9);
  for (const [jobs, bytes] of measured.walClaimAndComplete) near(busy(jobs).wal.work, bytes, 1e-9);
  for (const [jobs, cost] of measured.enqueue.async) near(busy(1, { enqueueBatch: jobs }).serverTime.enqueue * 1e6, cost, 1e-9);
});

test('a whole life with single calls costs what another row of the benchmark measured, within a quarter', () => {
  const readme = readFileSync(new URL('../../bench/README.md', import.meta.url), 'utf8');
  const [, cost] = /held_snapshot \| server CPU per job, last window against the first .*first ([\d.]+) us/.exec(readme);
  near(busy(1).serverTime.total * 1e6, Number(cost), 0.25);
});

test('between the points a call costs more with each job, and a job less', () => {
  for (const points of [measured.claimAndComplete.async, measured.claimAndComplete.flushed, measured.walClaimAndComplete]) {
    for (let jobs = 1; jobs < 1000; jobs++) {
      assert.ok(model.perCall(points, jobs + 1) > model.perCall(points, jobs));
      assert.ok(model.perCall(points, jobs + 1) / (jobs + 1) < model.perCall(points, jobs) / jobs);
    }
  }
});

test('each bottleneck is found where it is', () => {
  const of = (input) => model.evaluate(input).bottleneck;
  assert.equal(of({ arrival: 10, handler: 0.1, workers: 10 }), 'arrivals');
  assert.equal(of({ arrival: 1000, handler: 0.1, workers: 10 }), 'handlers');
  assert.equal(of({ arrival: 1e6, handler: 0.0001, workers: 10, roundTrip: 0.005 }), 'round trips');
  assert.equal(of({ arrival: 1e6, handler: 0.0001, workers: 500, processors: 1 }), 'server');
  assert.equal(of({ arrival: 1000, handler: 10, workers: 10, batch: 10, lease: 30, heartbeats: false }), 'lease');
});

test('by hand: ten workers of a tenth of a second make a hundred a second', () => {
  const result = model.evaluate({ arrival: 1e6, handler: 0.1, workers: 10, roundTrip: 0, flush: 0 });
  near(result.throughput, 100, 0.001);
  near(result.backlogGrowth, 1e6 - 100, 0.001);
  near(result.used.workers, 1, 1e-9);
});

test('below the limits everything that arrives is done, and a claim finds as many jobs as arrive meanwhile', () => {
  for (const arrival of [1, 50, 500, 5000, 15000]) {
    const result = model.evaluate({ arrival, handler: 0.001, workers: 20, batch: 100, flush: 0, processors: 8 });
    assert.equal(result.throughput, arrival);
    assert.equal(result.backlogGrowth, 0);
    assert.ok(result.jobsPerClaim >= 1 && result.jobsPerClaim <= 100);
    if (result.jobsPerClaim > 1) near((20 * result.jobsPerClaim) / result.round.total, arrival, 0.001);
  }
});

test('larger batches save calls, server time and WAL, and cost waiting', () => {
  const [single, batched] = [1, 50].map((batch) => busy(batch, { handler: 0.01, arrival: 1e6 }));
  near(single.calls.saved, 0, 1e-9);
  near(batched.calls.saved / batched.throughput, 2 - 2 / 50, 1e-6);
  assert.ok(batched.serverTime.work < single.serverTime.work / 5);
  assert.ok(batched.wal.work < single.wal.work / 5);
  assert.ok(model.evaluate({ arrival: 100, handler: 0.1, workers: 50, batch: 1 }).wait < 0.1);
});

test('without heartbeats a batch that takes longer than the lease loses its end; with them nothing', () => {
  const slow = { arrival: 1e6, handler: 10, workers: 10, batch: 10, lease: 45 };
  const lost = model.evaluate({ ...slow, heartbeats: false });
  const kept = model.evaluate({ ...slow, heartbeats: true });
  near(lost.lost, 0.6, 1e-9);
  assert.equal(kept.lost, 0);
  near(lost.throughput, kept.throughput * 0.4, 1e-6);
  const never = model.evaluate({ ...slow, heartbeats: false, lease: 5 });
  assert.equal(never.throughput, 0);
  assert.equal(never.bottleneck, 'lease');
});

test('throughput never exceeds a limit or the arrivals, nothing is ever more than used up', () => {
  for (const arrival of [0.1, 10, 1000, 1e5]) for (const handler of [0, 0.001, 0.1, 60]) for (const workers of [1, 20, 500]) {
    for (const batch of [1, 7, 100, 1000]) for (const flush of [0, 0.002]) for (const heartbeats of [true, false]) {
      const result = model.evaluate({ arrival, handler, workers, batch, flush, heartbeats, processors: 2, lease: 30 });
      assert.ok(result.throughput <= Math.min(arrival, result.limits.workers, result.limits.server) * (1 + 1e-9));
      for (const part of Object.values(result.used)) assert.ok(part >= 0 && part <= 1);
      for (const value of [result.throughput, result.walPerSecond, result.calls.work]) assert.ok(Number.isFinite(value) && value >= 0);
      assert.ok(result.wait > 0);
    }
  }
});
