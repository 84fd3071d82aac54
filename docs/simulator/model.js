// A small model of a queue at work: what limits it, and by how much. Rates are per second, times in seconds.
//
//   a worker's round   claim n jobs, handle them one after the other, finish them with one call:
//                      round(n) = 2 round trips + flush + server time of the two calls + n * handler
//   workers can do     workers * batch / round(batch)
//   the server can do  processors / (server time a job of enqueue, claim and complete)
//   throughput         the least of the two and of what arrives
//
// Below the limits a claim finds fewer jobs than it may take: n is such that workers * n / round(n) is what arrives.
//
// Server times and WAL are measured, per call with a number of jobs; between the measured points a call's cost is a
// straight line, behind the last one it goes on with the same slope. The figures are in measured.js, from bench/README.md.
// Left out: waiting for each other on locks and processors, checkpoints, autovacuum, other work of the server.
(function (model, figures) {
  'use strict';

  const { measured } = figures;

  const kDefaults = {
    arrival: 500, handler: 0.05, workers: 40, batch: 1, enqueueBatch: 1, lease: 90, heartbeats: true, roundTrip: 0.0005,
    flush: 0.001, processors: 4,
  };

  // Cost of one call with n jobs.
  function perCall(points, n) {
    const calls = points.map(([jobs, cost]) => [jobs, jobs * cost]);
    let upper = calls.findIndex(([jobs]) => jobs >= n);
    if (upper === -1) upper = calls.length - 1;
    upper = Math.max(upper, 1);
    const [[fromJobs, from], [toJobs, to]] = [calls[upper - 1], calls[upper]];
    return from + ((n - fromJobs) / (toJobs - fromJobs)) * (to - from);
  }

  // Server time of a job, in seconds.
  function serverTime(input, batch) {
    const kind = input.flush > 0 ? 'flushed' : 'async';
    const work = perCall(measured.claimAndComplete[kind], batch) / batch;
    const enqueue = perCall(measured.enqueue[kind], input.enqueueBatch) / input.enqueueBatch;
    return { work: work * 1e-6, enqueue: enqueue * 1e-6, total: (work + enqueue) * 1e-6 };
  }

  function walBytes(input, batch) {
    const work = perCall(measured.walClaimAndComplete, batch) / batch;
    const enqueue = perCall(measured.walEnqueue, input.enqueueBatch) / input.enqueueBatch;
    return { work, enqueue, total: work + enqueue };
  }

  // One round of a worker with n jobs, by what the time is spent on.
  function round(input, n) {
    const trips = 2 * input.roundTrip + input.flush;
    const server = serverTime(input, n).work * n;
    const handler = n * input.handler;
    return { trips, server, handler, total: trips + server + handler };
  }

  // Without heartbeats the jobs of a batch that are finished after the lease are lost, and are done again by others.
  function lostPart(input, n) {
    if (input.heartbeats || n * input.handler <= input.lease) return 0;
    return 1 - Math.floor(input.lease / input.handler) / n;
  }

  function limits(input) {
    const useful = 1 - lostPart(input, input.batch);
    return {
      workers: (useful * input.workers * input.batch) / round(input, input.batch).total,
      server: (useful * input.processors) / serverTime(input, input.batch).total,
    };
  }

  // Jobs a claim finds, from 1 to the batch.
  function jobsPerClaim(input, rate) {
    const carried = (n) => (input.workers * n) / round(input, n).total;
    if (rate >= carried(input.batch)) return input.batch;
    if (rate <= carried(1)) return 1;
    let low = 1;
    let high = input.batch;
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (carried(middle) < rate) low = middle;
      else high = middle;
    }
    return high;
  }

  // Waiting for a free one of `servers` that are busy to the part `used`: Sakasegawa's approximation for M/M/c.
  function queueing(servers, used, service) {
    if (used >= 1) return Infinity;
    return ((used ** (Math.sqrt(2 * (servers + 1)) - 1)) / (servers * (1 - used))) * service;
  }

  function bottleneck(input, result) {
    if (lostPart(input, input.batch) > 0 && result.saturated) return 'lease';
    if (!result.saturated) return 'arrivals';
    if (result.limits.server <= result.limits.workers) return 'server';
    return result.round.handler >= result.round.trips + result.round.server ? 'handlers' : 'round trips';
  }

  function evaluate(given) {
    const input = { ...kDefaults, ...given };
    const limit = limits(input);
    const capacity = Math.min(limit.workers, limit.server);
    const saturated = input.arrival >= capacity;
    const throughput = Math.min(input.arrival, capacity);
    const n = saturated ? input.batch : jobsPerClaim(input, throughput);
    const lost = lostPart(input, n);
    const attempts = throughput / (1 - lost || 1);
    const times = round(input, n);
    const cpu = serverTime(input, n);
    const wal = walBytes(input, n);
    const enqueued = Math.min(input.arrival, input.processors / cpu.enqueue); // a backlog grows, but it is enqueued
    const used = {
      workers: capacity === 0 ? 1 : Math.min(1, throughput / limit.workers),
      server: capacity === 0 ? 1 : Math.min(1, (enqueued * cpu.enqueue + attempts * cpu.work) / input.processors),
    };
    const waitForWorker = saturated ? Infinity : queueing(input.workers, throughput / capacity, times.total / n);
    const result = {
      input, throughput, capacity, limits: limit, saturated, used, lost, jobsPerClaim: n, round: times,
      serverTime: cpu, wal,
      backlogGrowth: Math.max(0, input.arrival - capacity),
      wait: measured.wakeUp * 1e-6 + waitForWorker + ((n - 1) / 2) * input.handler,
      calls: { work: (2 * attempts) / n, saved: 2 * attempts - (2 * attempts) / n, enqueue: enqueued / input.enqueueBatch },
      heartbeats: input.heartbeats ? (3 * input.workers) / input.lease : 0,
      inHand: n * input.handler,
      walPerSecond: enqueued * wal.enqueue + attempts * wal.work,
    };
    result.bottleneck = bottleneck(input, result);
    return result;
  }

  Object.assign(model, { measured, kDefaults, perCall, serverTime, walBytes, limits, evaluate });
})(typeof module === 'object' ? module.exports : (globalThis.durableModel = {}),
  typeof module === 'object' ? require('./measured.js') : globalThis.durableFigures);
