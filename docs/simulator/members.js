// Workers that join, beat, drain, die and come back, and the ring that follows them. Times are simulated milliseconds.
//
//   alive -> draining -> (gone)          drain: out of the ring at once, nothing new; gone when its hands are empty, at the
//                                        deadline with what is left released, the attempt given back
//   alive -> dead                        no heartbeat for deadAfter: out of the ring
//   dead | alive -> alive                the process was started anew under its name
//
// The ring holds the alive ones. A bucket's jobs are claimed by its owner; those in flight stay with the worker that has
// them until they end, whoever owns the bucket by then. A worker that died keeps its buckets until it is dead for the
// server too: that is the time in which they are served by nobody.
(function (members, events, ring) {
  'use strict';

  const { Simulation } = events;

  const kDefaults = {
    seed: 1,
    workers: ['worker-A', 'worker-B', 'worker-C'],
    vnodes: 150,
    buckets: 360,
    finalise: true,
    heartbeat: 5_000,
    deadAfter: 30_000,
    lease: 20_000,
    drainDeadline: 20_000,
    arrivalEvery: 280,
    handlerMin: 4_000,
    handlerMax: 16_000,
    keep: 60,
  };

  class Members extends Simulation {
    constructor(options = {}) {
      const all = { ...kDefaults, ...options };
      super(all.seed);
      this.options = all;
      this.workers = new Map();
      this.jobs = new Map(); // waiting or held
      this.lastJob = 0;
      this.claims = 0;
      this.log = [];
      this.stats = { enqueued: 0, completed: 0, expired: 0, released: 0 };
      this.nodes = [];
      this.owners = new Array(this.options.buckets).fill(null);
      this.change = null;
      for (const name of this.options.workers) this.register(name);
      this.followMembers('at the start');
      this.scheduleArrival();
    }

    // --- time ---------------------------------------------------------------------------------------------------------

    // To the next change of a worker's state. Jobs come and end on the way.
    step() {
      return super.step(this.now + this.options.deadAfter * 2);
    }

    note(kind, worker, text) {
      this.log.push({ number: ++this.noted, at: this.now, kind, worker, text });
      if (this.log.length > this.options.keep) this.log.shift();
    }

    // --- members ------------------------------------------------------------------------------------------------------

    register(name) {
      const run = (this.workers.get(name)?.run ?? 0) + 1;
      this.workers.set(name, { name, run, process: 'running', state: 'alive', lastSeen: this.now, drainUntil: null });
      this.beat(name, run);
    }

    join(name) {
      const known = this.workers.get(name);
      const was = known?.state;
      this.register(name);
      this.note('join', name, was === undefined ? 'joins' : 'is started again');
      if (was !== 'alive') this.followMembers(`${name} ${was === undefined ? 'joined' : 'came back'}`);
      else this.serveWaiting();
    }

    drain(name) {
      const worker = this.workers.get(name);
      if (worker?.state !== 'alive' || worker.process !== 'running') return;
      worker.state = 'draining';
      worker.drainUntil = this.now + this.options.drainDeadline;
      this.schedule.add(worker.drainUntil, 'DrainDeadline', { worker: name, run: worker.run });
      this.note('drain', name, 'drains: out of the ring, finishes what it has');
      this.followMembers(`${name} drains`);
      this.leaveWhenEmpty(worker);
    }

    crash(name) {
      const worker = this.workers.get(name);
      if (!worker || worker.process === 'gone') return;
      worker.process = 'gone';
      this.note('crash', name, `is killed; its last heartbeat was ${Math.round((this.now - worker.lastSeen) / 100) / 10} s ago`);
    }

    // A dead one is forgotten by the registry.
    remove(name) {
      if (this.workers.get(name)?.state === 'dead') this.workers.delete(name);
    }

    beat(name, run) {
      this.schedule.add(this.now + this.options.heartbeat, 'Beat', { worker: name, run });
      this.schedule.add(this.now + this.options.deadAfter, 'Silence', { worker: name, run });
    }

    onBeat({ worker: name, run }) {
      const worker = this.workers.get(name);
      if (worker?.run !== run || worker.process !== 'running') return;
      worker.lastSeen = this.now;
      for (const job of this.heldBy(name)) job.deadline = this.now + this.options.lease;
      this.beat(name, run);
    }

    onSilence({ worker: name, run }) {
      const worker = this.workers.get(name);
      if (worker?.run !== run || worker.state === 'dead' || this.now - worker.lastSeen < this.options.deadAfter) return;
      const inRing = worker.state === 'alive';
      worker.state = 'dead';
      this.note('dead', name, `is dead: no heartbeat for ${this.options.deadAfter / 1000} s`);
      if (inRing) this.followMembers(`${name} is dead`);
    }

    onDrainDeadline({ worker: name, run }) {
      const worker = this.workers.get(name);
      if (worker?.run !== run || worker.state !== 'draining' || worker.process !== 'running') return;
      const left = this.heldBy(name);
      this.stats.released += left.length;
      for (const job of left) this.letGo(job);
      this.note('released', name, `deadline: ${left.length} released, their attempts given back`);
      this.leaveWhenEmpty(worker);
      this.serveWaiting();
    }

    leaveWhenEmpty(worker) {
      if (worker.state !== 'draining' || worker.process !== 'running' || this.heldBy(worker.name).length > 0) return;
      this.workers.delete(worker.name);
      this.note('left', worker.name, 'has left; nothing of it ran out');
    }

    // --- the ring -----------------------------------------------------------------------------------------------------

    ringMembers() {
      return [...this.workers.values()].filter((worker) => worker.state === 'alive').map((worker) => worker.name);
    }

    setOption(name, value) {
      this.options[name] = value;
      this.followMembers(name === 'vnodes' ? `${value} virtual nodes a worker` : `positions ${value ? 'finalised' : 'raw'}`);
    }

    followMembers(why) {
      const { vnodes, buckets, finalise } = this.options;
      const names = this.ringMembers();
      const before = this.owners;
      const namesBefore = this.change?.names ?? [];
      this.nodes = ring.build(names, { vnodes, finalise });
      this.owners = before.map((_, index) => ring.nodeAt(this.nodes, ring.bucketPosition(index, buckets))?.worker ?? null);
      const first = this.change === null;
      const more = Math.max(names.length, namesBefore.length);
      this.change = {
        why, names, before, at: this.now,
        moved: first ? [] : ring.moved(before, this.owners),
        ideal: first || names.length === namesBefore.length ? 0 : 1 / more,
        modulo: first ? 0 : ring.moved(ring.moduloOwners(namesBefore, buckets), ring.moduloOwners(names, buckets)).length / buckets,
      };
      this.serveWaiting();
    }

    // --- jobs ---------------------------------------------------------------------------------------------------------

    scheduleArrival() {
      if (this.options.arrivalEvery > 0) this.schedule.add(this.now + this.random.pause(this.options.arrivalEvery), 'Arrival');
    }

    onArrival() {
      const job = { id: ++this.lastJob, bucket: this.random.integer(this.options.buckets), worker: null, claim: 0, deadline: null };
      this.jobs.set(job.id, job);
      this.stats.enqueued++;
      this.serve(job);
      this.scheduleArrival();
    }

    // The owner takes it if it is there to take it.
    serve(job) {
      const worker = this.workers.get(this.owners[job.bucket]);
      if (worker?.process !== 'running') return;
      job.worker = worker.name;
      job.run = worker.run;
      job.claim = ++this.claims;
      job.deadline = this.now + this.options.lease;
      const takes = this.random.between(this.options.handlerMin, this.options.handlerMax);
      this.schedule.add(this.now + takes, 'Handled', { job: job.id, claim: job.claim });
      this.schedule.add(job.deadline, 'Deadline', { job: job.id, claim: job.claim });
    }

    serveWaiting() {
      for (const job of this.jobs.values()) if (job.worker === null) this.serve(job);
    }

    // Jobs of the process that runs under this name now; those of an earlier one are nobody's until their leases run out.
    heldBy(name) {
      const run = this.workers.get(name)?.run;
      return [...this.jobs.values()].filter((job) => job.worker === name && job.run === run);
    }

    letGo(job) {
      job.worker = null;
      job.deadline = null;
      job.claim = 0;
    }

    onHandled({ job: id, claim }) {
      const job = this.jobs.get(id);
      const worker = this.workers.get(job?.worker);
      if (job?.claim !== claim || worker?.process !== 'running' || worker.run !== job.run) return;
      this.jobs.delete(id);
      this.stats.completed++;
      this.leaveWhenEmpty(worker);
    }

    onDeadline({ job: id, claim }) {
      const job = this.jobs.get(id);
      if (job?.claim !== claim) return;
      if (job.deadline > this.now) {
        this.schedule.add(job.deadline, 'Deadline', { job: id, claim });
        return;
      }
      this.stats.expired++;
      this.letGo(job);
      this.serve(job);
    }

    // Buckets whose owner's process is gone, though the server does not know it yet; all of them on an empty ring.
    unserved() {
      return this.owners.reduce((sum, owner) => sum + (this.workers.get(owner)?.process !== 'running'), 0);
    }

    waitingJobs() {
      let jobs = 0;
      for (const job of this.jobs.values()) jobs += job.worker === null;
      return jobs;
    }
  }

  Object.assign(members, { Members });
})(typeof module === 'object' ? module.exports : (globalThis.durableMembers = {}),
  typeof module === 'object' ? require('./events.js') : globalThis.durableEvents,
  typeof module === 'object' ? require('./ring.js') : globalThis.durableRing);
