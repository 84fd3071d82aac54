// Members and their ring over time: who claims what when workers come, drain, die and return.
import assert from 'node:assert/strict';
import test from 'node:test';
import simulation from '../../docs/simulator/members.js';
import ring from '../../docs/simulator/ring.js';

const { Members } = simulation;
const abc = ['worker-A', 'worker-B', 'worker-C'];

test('the ring is that of the alive workers, and a change tells what moved', () => {
  const run = new Members();
  assert.deepEqual(run.owners, ring.owners(abc));
  run.join('worker-D');
  assert.deepEqual(run.owners, ring.owners([...abc, 'worker-D']));
  assert.equal(run.change.moved.length, 98);
  assert.equal(run.change.ideal, 0.25);
  assert.equal(run.change.modulo, 0.75);
  for (const bucket of run.change.moved) assert.equal(run.owners[bucket], 'worker-D');
});

test('new jobs are taken by the owner of their bucket, also right after a change', () => {
  const run = new Members({ seed: 5 });
  run.at(20_000, 'join', 'worker-D');
  run.at(40_000, 'drain', 'worker-B');
  run.at(60_000, 'join', 'worker-E');
  let claims = 0;
  let taken = 0;
  while (run.now < 90_000) {
    run.runNext();
    for (const job of run.jobs.values()) {
      if (job.claim <= claims) continue;
      assert.equal(job.worker, run.owners[job.bucket]);
      taken++;
    }
    claims = run.claims;
  }
  assert.ok(taken > 200);
});

test('jobs in flight stay with the worker that has them when their bucket moves', () => {
  const run = new Members({ seed: 2 });
  run.advance(30_000);
  const before = new Map([...run.jobs.values()].map((job) => [job.id, job.worker]));
  run.join('worker-D');
  const moved = [...run.jobs.values()].filter((job) => run.owners[job.bucket] !== job.worker);
  assert.ok(moved.length > 0);
  for (const job of run.jobs.values()) assert.equal(job.worker, before.get(job.id));
});

test('a deploy of three workers by draining lets no lease run out', () => {
  const run = new Members({ seed: 7 });
  abc.forEach((name, i) => {
    run.at(10_000 + i * 30_000, 'join', `${name}2`);
    run.at(12_000 + i * 30_000, 'drain', name);
  });
  run.advance(150_000);
  assert.deepEqual([...run.workers.keys()], ['worker-A2', 'worker-B2', 'worker-C2']);
  assert.equal(run.stats.expired, 0);
  assert.equal(run.waitingJobs(), 0);
  assert.ok(run.stats.completed > 300);
});

test('a drain that reaches its deadline releases the rest, and others have it at once', () => {
  const run = new Members({ seed: 3, handlerMin: 30_000, handlerMax: 60_000, drainDeadline: 5000 });
  run.advance(20_000);
  const held = run.heldBy('worker-A').map((job) => job.id);
  run.drain('worker-A');
  assert.equal(run.workers.get('worker-A').state, 'draining');
  run.advance(25_000);
  assert.equal(run.workers.has('worker-A'), false);
  assert.equal(run.stats.released, held.length);
  assert.equal(run.stats.expired, 0);
  for (const id of held) assert.equal(run.jobs.get(id).worker, run.owners[run.jobs.get(id).bucket]);
});

test('a killed worker keeps its buckets until it is dead, then they go to others and its jobs come back', () => {
  const run = new Members({ seed: 4 });
  run.advance(20_000);
  const held = run.heldBy('worker-C').length;
  assert.ok(held > 0);
  run.crash('worker-C');
  const share = run.owners.filter((owner) => owner === 'worker-C').length;
  assert.equal(run.unserved(), share);
  run.advance(49_900);
  assert.equal(run.workers.get('worker-C').state, 'alive');
  assert.ok(run.waitingJobs() > 0);
  run.advance(50_000);
  assert.equal(run.workers.get('worker-C').state, 'dead');
  assert.equal(run.unserved(), 0);
  assert.equal(run.waitingJobs(), 0);
  assert.equal(run.change.moved.length, share);
  assert.equal(run.stats.expired, held);
});

test('a worker that is back before it is dead moves nothing; its former jobs wait for their leases', () => {
  const run = new Members({ seed: 4 });
  run.advance(20_000);
  const held = run.heldBy('worker-C').length;
  run.crash('worker-C');
  run.advance(24_000);
  run.join('worker-C');
  assert.deepEqual(run.owners, ring.owners(abc));
  assert.equal(run.change.why, 'at the start');
  assert.equal(run.waitingJobs(), 0);
  run.advance(60_000);
  assert.equal(run.workers.get('worker-C').state, 'alive');
  assert.equal(run.stats.expired, held);
});

test('without any worker jobs wait, and the first one that joins takes them all', () => {
  const run = new Members({ workers: [] });
  run.advance(10_000);
  assert.equal(run.unserved(), 360);
  const waiting = run.waitingJobs();
  assert.ok(waiting > 10);
  run.join('worker-A');
  assert.equal(run.heldBy('worker-A').length, waiting);
});

test('nothing is lost, and the same seed gives the same run', () => {
  const runs = [1, 1, 2].map((seed, i) => {
    const run = new Members({ seed });
    run.at(9000, 'join', 'worker-D');
    run.at(15_000, 'crash', 'worker-B');
    run.at(31_000, 'drain', 'worker-A');
    run.at(70_000, 'join', 'worker-B');
    for (let now = 0; now <= 120_000; now += i === 1 ? 13 : 120_000) run.advance(now);
    run.advance(120_000);
    assert.equal(run.stats.enqueued, run.stats.completed + run.jobs.size);
    return run;
  });
  const picture = (run) => [run.log, run.stats, run.owners, [...run.jobs.values()]];
  assert.deepEqual(picture(runs[0]), picture(runs[1]));
  assert.notDeepEqual(picture(runs[0]), picture(runs[2]));
});
