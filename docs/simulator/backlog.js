// One queue without its workers: time, the states of jobs, and what is remembered for the looker-on.
// Times are simulated milliseconds. The workers and the rules of leases are in queue.js, which builds on this.
//
//   ready -> held -> completed           a claim raises the attempt and gives a new, higher token
//   held  -> delayed -> ready            the handler failed: after the backoff
//   held  -> ready                       the lease ran out: at once, and the attempt stays counted
//   held  -> dead_letter                 either of these, and no attempt was left
//
// Same seed, same options, same calls at the same times: the same run, however `advance` is cut into pieces.
(function (backlog, events) {
  'use strict';

  const { Simulation } = events;

  const kDefaults = {
    seed: 1,
    workers: ['worker-A', 'worker-B', 'worker-C'],
    batch: 1, // jobs a claim
    lease: 12_000,
    maxAttempts: 3,
    backoffBase: 4_000,
    backoffCap: 60_000,
    handlerMin: 1_500,
    handlerMax: 3_500,
    failure: 0, // part of the handlers that fail
    arrivalEvery: 0, // mean pause between enqueues; 0: none by itself
    heartbeats: false, // extend the leases of the jobs in hand each third of a lease
    restartAfter: 0, // a supervisor starts a crashed worker again; 0: nobody does
    fence: 'token',
    pause: 300, // between waking up or finishing, and the claim
    firstToken: 41,
    keep: 300, // finished jobs and log lines that are remembered
  };

  class Backlog extends Simulation {
    constructor(options = {}) {
      const all = { ...kDefaults, ...options };
      super(all.seed);
      this.options = all;
      this.jobs = new Map();
      this.ready = []; // ids, in the order in which they are handed out
      this.ended = [];
      this.log = [];
      this.lastId = 0;
      this.lastToken = this.options.firstToken - 1;
      this.arrivalRun = 0;
      this.stats = {
        enqueued: 0, claims: 0, handedOut: 0, completed: 0, retried: 0, expired: 0, deadLetters: 0, refused: 0,
        usurped: 0, twice: 0, heartbeats: 0,
      };
      this.setArrival(this.options.arrivalEvery);
    }

    note(kind, who, entry) {
      this.noted++;
      this.log.push({ number: this.noted, at: this.now, kind, who, ...entry });
      if (this.log.length > this.options.keep * 2) this.log.splice(0, this.options.keep);
    }

    // --- producing ----------------------------------------------------------------------------------------------------

    // nature: 'good'; 'poison', whose handler always fails; 'killer', which takes its worker down.
    enqueue(nature = 'good') {
      const job = {
        id: ++this.lastId, nature, status: null, attempts: 0, token: null, worker: null, deadline: null, dueAt: this.now,
        effects: 0, reason: null, spans: [],
      };
      this.jobs.set(job.id, job);
      this.stats.enqueued++;
      this.note('enqueue', 'producer', { job: job.id, call: 'enqueue(…)', answer: `job ${job.id}` });
      this.becomeReady(job);
      return job.id;
    }

    setArrival(every) {
      this.options.arrivalEvery = every;
      this.arrivalRun++;
      if (every > 0) this.scheduleArrival();
    }

    scheduleArrival() {
      this.schedule.add(this.now + this.random.pause(this.options.arrivalEvery), 'Arrival', { run: this.arrivalRun });
    }

    onArrival({ run }) {
      if (run !== this.arrivalRun) return;
      this.enqueue();
      this.scheduleArrival();
    }

    // --- states of a job ----------------------------------------------------------------------------------------------

    enter(job, status, more = {}) {
      job.status = status;
      Object.assign(job, more);
      const last = job.spans.at(-1);
      if (last) last.to = this.now;
      job.spans.push({
        from: this.now, to: null, status, worker: job.worker, token: job.token, attempt: job.attempts, deadline: job.deadline,
      });
    }

    becomeReady(job) {
      this.enter(job, 'ready', { worker: null, deadline: null });
      let place = this.ready.length;
      while (place > 0 && this.ready[place - 1] > job.id) place--;
      this.ready.splice(place, 0, job.id);
      this.wakeOne();
    }

    becomeDelayed(job, wait) {
      this.enter(job, 'delayed', { worker: null, deadline: null, dueAt: this.now + wait });
      this.schedule.add(job.dueAt, 'Due', { job: job.id, attempts: job.attempts });
    }

    onDue({ job: id, attempts }) {
      const job = this.jobs.get(id);
      if (job?.status !== 'delayed' || job.attempts !== attempts || job.dueAt > this.now) return;
      this.note('due', 'queue', { job: id, call: `job ${id} is due`, answer: 'ready again' });
      this.becomeReady(job);
    }

    end(job, status, reason = null) {
      this.leaveReady(job);
      this.enter(job, status, { worker: null, deadline: null, reason });
      this.ended.push(job.id);
      if (this.ended.length > this.options.keep) this.jobs.delete(this.ended.shift());
    }

    leaveReady(job) {
      const place = this.ready.indexOf(job.id);
      if (place >= 0) this.ready.splice(place, 1);
    }

    backoff(attempts) {
      return Math.min(this.options.backoffBase * 2 ** (attempts - 1), this.options.backoffCap);
    }

    // --- for the looker-on --------------------------------------------------------------------------------------------

    count(status) {
      let jobs = 0;
      for (const job of this.jobs.values()) jobs += job.status === status;
      return jobs;
    }
  }

  Object.assign(backlog, { Backlog });
})(typeof module === 'object' ? module.exports : (globalThis.durableBacklog = {}),
  typeof module === 'object' ? require('./events.js') : globalThis.durableEvents);
