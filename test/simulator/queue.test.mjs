// The claim loop of docs/simulator: what must hold in every run, and the stories that the page tells.
import assert from 'node:assert/strict';
import test from 'node:test';
import simulation from '../../docs/simulator/queue.js';

const { QueueSimulation } = simulation;
const forEver = { keep: Infinity };
const kinds = (run, kind) => run.log.filter((entry) => entry.kind === kind);
const claims = (run) => kinds(run, 'claim');

// A run in which everything happens: failures, crashes, stalls, heartbeats, poison and killers.
function wildRun(seed, options = {}) {
  const run = new QueueSimulation({
    seed, batch: 3, failure: 0.25, arrivalEvery: 900, heartbeats: true, restartAfter: 3000, lease: 6000, ...forEver, ...options,
  });
  for (let i = 0; i < 12; i++) {
    run.at(4000 + i * 9000, 'crash', 'worker-A');
    run.at(2000 + i * 11000, 'freeze', 'worker-B');
    run.at(11000 + i * 11000, 'wake', 'worker-B');
    run.at(1000 + i * 13000, 'enqueue', i % 2 ? 'poison' : 'killer');
  }
  return run;
}

test('one job: enqueued, claimed with attempt and token, completed', () => {
  const run = new QueueSimulation({ workers: ['worker-A'], ...forEver });
  const id = run.enqueue();
  run.advance(10_000);
  const job = run.jobs.get(id);
  assert.deepEqual(run.log.map((entry) => entry.kind), ['enqueue', 'claim', 'complete']);
  assert.deepEqual(job.spans.map((span) => span.status), ['ready', 'held', 'completed']);
  assert.equal(job.attempts, 1);
  assert.equal(job.token, 41);
  assert.equal(job.effects, 1);
});

test('a failing job comes back after a pause that doubles up to the cap, and is a dead letter after its last attempt', () => {
  const run = new QueueSimulation({ workers: ['worker-A'], maxAttempts: 5, backoffBase: 2000, backoffCap: 7000, ...forEver });
  const id = run.enqueue('poison');
  run.advance(120_000);
  const job = run.jobs.get(id);
  const waits = job.spans.filter((span) => span.status === 'delayed').map((span) => span.to - span.from);
  assert.deepEqual(waits, [2000, 4000, 7000, 7000]);
  assert.equal(job.status, 'dead_letter');
  assert.equal(job.reason, 'attempts exhausted');
  assert.equal(job.attempts, 5);
  assert.equal(job.effects, 0);
});

test('a payload that kills its worker ends as a dead letter too', () => {
  const run = new QueueSimulation({ workers: ['worker-A'], maxAttempts: 3, restartAfter: 1000, ...forEver });
  const id = run.enqueue('killer');
  run.advance(200_000);
  assert.equal(run.jobs.get(id).status, 'dead_letter');
  assert.equal(run.jobs.get(id).reason, 'lease expired');
  assert.equal(kinds(run, 'crash').length, 3);
});

test('jobs are handed out in the order in which they were enqueued, at most a batch a claim', () => {
  const run = new QueueSimulation({ batch: 4, ...forEver });
  for (let i = 0; i < 50; i++) run.enqueue();
  run.advance(300_000);
  const order = claims(run).flatMap((entry) => entry.jobs);
  assert.deepEqual(order, [...order].sort((a, b) => a - b));
  assert.equal(order.length, 50);
  assert.equal(Math.max(...claims(run).map((entry) => entry.jobs.length)), 4);
});

test('batches save round trips', () => {
  const rounds = [1, 4].map((batch) => {
    const run = new QueueSimulation({ batch, ...forEver });
    for (let i = 0; i < 48; i++) run.enqueue();
    run.advance(300_000);
    assert.equal(run.stats.completed, 48);
    return claims(run).length;
  });
  assert.deepEqual(rounds, [48, 12]);
});

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  test(`whatever happens (seed ${seed}): one holder, rising tokens, every job somewhere`, () => {
    const run = wildRun(seed);
    const seen = { holders: new Map(), tokens: [] };
    while (run.now < 150_000 && run.step()) {
      const total = ['ready', 'delayed', 'held', 'completed', 'dead_letter'].reduce((sum, status) => sum + run.count(status), 0);
      assert.equal(total, run.stats.enqueued);
      assert.deepEqual(run.ready, [...run.jobs.values()].filter((job) => job.status === 'ready').map((job) => job.id));
      for (const job of run.jobs.values()) assert.ok(job.attempts <= run.options.maxAttempts);
    }
    for (const job of run.jobs.values()) {
      const held = job.spans.filter((span) => span.status === 'held');
      seen.tokens.push(...held.map((span) => span.token));
      assert.deepEqual(held.map((span) => span.attempt), held.map((_, i) => i + 1));
      const last = job.spans.at(-1);
      assert.equal(job.spans.findIndex((span) => span.status === 'completed' || span.status === 'dead_letter'),
        last.to === null && ['completed', 'dead_letter'].includes(last.status) ? job.spans.length - 1 : -1, 'an end is final');
      assert.equal(job.effects, job.status === 'completed' ? 1 : 0, 'the effect commits with the completion');
    }
    assert.equal(new Set(seen.tokens).size, seen.tokens.length, 'no token twice');
    assert.equal(seen.tokens.length, run.stats.handedOut);
    const given = claims(run).map((entry) => entry.token);
    assert.deepEqual(given, [...given].sort((a, b) => a - b), 'tokens rise over all claims');
    for (const kind of ['complete', 'retry', 'expired', 'crash', 'freeze', 'dead']) assert.ok(kinds(run, kind).length > 0, kind);
    assert.equal(run.stats.usurped + run.stats.twice, 0);
  });
}

test('a stale worker is refused, whatever it wants, and the holder is not disturbed', () => {
  const refused = [1, 2, 3, 4, 5, 6].map((seed) => {
    const run = wildRun(seed, { heartbeats: false });
    run.advance(150_000);
    for (const entry of kinds(run, 'refused')) {
      assert.match(entry.answer, /^DW001 lease token \d+ of job \d+ is stale$/);
      assert.ok(entry.detail.length > 0);
      const job = run.jobs.get(entry.job);
      const span = job.spans.find((one) => one.from <= entry.at && (one.to === null || one.to > entry.at));
      assert.notEqual(span.status === 'held' ? span.token : null, entry.token);
    }
    return run.stats.refused;
  });
  assert.ok(Math.min(...refused) > 0);
});

test('all jobs come to an end once nobody stands still any more', () => {
  const run = wildRun(3);
  run.at(150_000, 'setArrival', 0);
  run.advance(600_000);
  assert.equal(run.stats.completed + run.stats.deadLetters, run.stats.enqueued);
  assert.equal(run.count('ready') + run.count('held') + run.count('delayed'), 0);
});

test('the same seed gives the same run, however time is cut; another seed another one', () => {
  const whole = wildRun(11);
  whole.advance(100_000);
  const pieces = wildRun(11);
  for (let now = 0; now <= 100_000; now += 17) pieces.advance(now);
  pieces.advance(100_000);
  const steps = wildRun(11);
  while (steps.schedule.first().at <= 100_000) steps.step();
  const other = wildRun(12);
  other.advance(100_000);
  assert.deepEqual(pieces.log, whole.log);
  assert.deepEqual(steps.log.filter((entry) => entry.at <= 100_000), whole.log);
  assert.notDeepEqual(other.log, whole.log);
});

// --- the stories of the second part of the page -----------------------------------------------------------------------

const two = (options) => new QueueSimulation({
  workers: ['worker-A', 'worker-B'], lease: 12_000, handlerMin: 6000, handlerMax: 6000, ...forEver, ...options,
});

test('a worker dies: its lease runs out, another one gets the job with a higher token', () => {
  const run = two();
  const id = run.enqueue();
  run.at(3000, 'crash', 'worker-A');
  run.advance(60_000);
  const held = run.jobs.get(id).spans.filter((span) => span.status === 'held');
  assert.deepEqual(held.map((span) => [span.worker, span.token, span.attempt]), [['worker-A', 41, 1], ['worker-B', 42, 2]]);
  assert.equal(held[0].to - held[0].from, 12_000);
  assert.equal(run.jobs.get(id).status, 'completed');
});

test('a worker stands still and comes back: its completion is refused, the effect happens once', () => {
  const run = two();
  const id = run.enqueue();
  run.at(3000, 'freeze', 'worker-A');
  run.at(15_000, 'wake', 'worker-A');
  run.advance(60_000);
  const [refused] = kinds(run, 'refused');
  assert.deepEqual([refused.who, refused.token, refused.detail], ['worker-A', 41, 'The job was claimed again, by worker "worker-B".']);
  assert.equal(run.jobs.get(id).effects, 1);
  assert.equal(kinds(run, 'complete')[0].who, 'worker-B');
});

test('the same when worker-B is done before: refused as completed under the other token', () => {
  const run = two();
  run.enqueue();
  run.at(3000, 'freeze', 'worker-A');
  run.at(40_000, 'wake', 'worker-A');
  run.advance(80_000);
  assert.equal(kinds(run, 'refused')[0].detail, 'The job was completed under lease token 42.');
});

test('refused also right after the expiry, before anybody has claimed again', () => {
  const run = new QueueSimulation({ workers: ['worker-A'], lease: 5000, handlerMin: 6000, handlerMax: 6000, ...forEver });
  run.enqueue();
  run.advance(6400);
  assert.equal(kinds(run, 'refused')[0].detail, 'The lease ran out, was given back, or its claim was rolled back.');
});

test('only the token decides: the same worker with an old token is refused while it holds the job under a new one', () => {
  const run = new QueueSimulation({ workers: ['worker-A'], lease: 5000, handlerMin: 4000, handlerMax: 4000, ...forEver });
  const job = run.jobs.get(run.enqueue());
  run.at(2000, 'crash', 'worker-A');
  run.at(3000, 'restart', 'worker-A');
  run.advance(6000);
  assert.deepEqual([job.status, job.worker, job.token], ['held', 'worker-A', 42]);
  run.complete(run.workers.get('worker-A'), { job: job.id, token: 41 }, job);
  run.fail(run.workers.get('worker-A'), { job: job.id, token: 41 }, job);
  assert.deepEqual([job.status, job.token, job.effects, run.stats.refused], ['held', 42, 0, 2]);
  run.advance(20_000);
  assert.deepEqual([job.status, job.effects], ['completed', 1]);
});

test('finishing by id alone does the work twice', () => {
  const run = two({ fence: 'id' });
  const id = run.enqueue();
  run.at(3000, 'freeze', 'worker-A');
  run.at(14_000, 'wake', 'worker-A');
  run.advance(80_000);
  assert.equal(run.stats.usurped, 1);
  assert.equal(run.stats.twice, 1);
  assert.equal(run.jobs.get(id).effects, 2);
});

test('heartbeats keep a slow job; without them it is lost', () => {
  for (const [heartbeats, refused] of [[true, 0], [false, 1]]) {
    const run = two({ heartbeats, handlerMin: 30_000, handlerMax: 30_000, maxAttempts: 1 });
    run.enqueue();
    run.advance(100_000);
    assert.equal(run.stats.refused, refused);
    assert.equal(run.stats.completed, heartbeats ? 1 : 0);
  }
});

test('a worker that wakes up and beats before it completes learns that its job is gone', () => {
  const run = two({ heartbeats: true });
  run.enqueue();
  run.at(3000, 'freeze', 'worker-A');
  run.at(30_000, 'wake', 'worker-A');
  run.advance(80_000);
  assert.equal(kinds(run, 'lost').length, 1);
  assert.equal(run.stats.refused, 0);
});

test('what is remembered stays bounded', () => {
  const run = new QueueSimulation({ arrivalEvery: 400, batch: 4, handlerMin: 100, handlerMax: 200, pause: 50 });
  run.advance(2_000_000);
  assert.ok(run.stats.completed > 4000);
  assert.ok(run.jobs.size < 1000 && run.log.length <= 600 && run.schedule.size < 1000);
  for (const worker of run.workers.values()) assert.ok(worker.spans.length <= 300);
});

test('workers may come and go by name while jobs arrive; nobody sleeps beside a job that is ready', () => {
  const run = new QueueSimulation({ arrivalEvery: 700, handlerMin: 500, handlerMax: 900, seed: 9, ...forEver });
  for (let now = 0; now < 200_000; now += 1000) {
    run.advance(now);
    const name = ['worker-B', 'worker-C'][Math.floor(now / 1000) % 2];
    if (run.workers.has(name)) run.removeWorker(name);
    else run.addWorker(name);
    const asleep = run.waiting.filter((other) => run.workers.get(other)?.process === 'running');
    assert.equal(asleep.length, run.waiting.length);
    const claiming = run.schedule.heap.some((event) => event.kind === 'Claim');
    assert.ok(run.ready.length === 0 || run.waiting.length === 0 || claiming);
  }
});
