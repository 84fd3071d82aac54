// A queue and its workers, simulated event by event: claim, handle, complete or fail, and what becomes of a lease whose
// worker died, stood still or was too slow.
//
// Only the current token decides a job. With the option fence = 'id' a worker finishes by id alone, as the textbook
// table does, and the simulation counts what that breaks.
(function (queue, base) {
  'use strict';

  const { Backlog } = base;

  class QueueSimulation extends Backlog {
    constructor(options = {}) {
      super(options);
      this.waiting = []; // names of workers that sleep until there is work
      this.lastRun = 0; // each life of a worker, and each stretch of it, has a number of its own
      this.workers = new Map();
      for (const name of this.options.workers) this.addWorker(name);
    }

    // --- working ------------------------------------------------------------------------------------------------------

    addWorker(name) {
      const worker = { name, process: 'running', run: ++this.lastRun, hand: [], handling: null, spans: [] };
      this.workers.set(name, worker);
      this.doing(worker, 'waiting');
      this.scheduleClaim(worker);
    }

    // A worker is stopped between jobs; nothing of it is left.
    removeWorker(name) {
      const worker = this.workers.get(name);
      this.forgetHand(worker);
      this.workers.delete(name);
    }

    doing(worker, what, job = null) {
      const last = worker.spans.at(-1);
      if (last) last.to = this.now;
      worker.spans.push({ from: this.now, to: null, what, job });
      if (worker.spans.length > this.options.keep) worker.spans.shift();
    }

    scheduleClaim(worker) {
      this.schedule.add(this.now + this.options.pause, 'Claim', { worker: worker.name, run: worker.run });
    }

    // The worker of an event, unless it has been stopped or started anew since.
    workerOf({ worker: name, run }) {
      const worker = this.workers.get(name);
      return worker && worker.process === 'running' && worker.run === run ? worker : null;
    }

    onClaim(event) {
      const worker = this.workerOf(event);
      if (worker === null || worker.hand.length > 0) {
        // Whoever was woken and cannot come owes the wake-up to the next.
        if (this.ready.length > 0) this.wakeOne();
        return;
      }
      this.stats.claims++;
      const taken = this.ready.splice(0, this.options.batch);
      if (taken.length === 0) {
        this.waiting.push(worker.name);
        return;
      }
      for (const id of taken) this.handOut(this.jobs.get(id), worker);
      const what = taken.map((id) => `job ${id} (attempt ${this.jobs.get(id).attempts}, token ${this.jobs.get(id).token})`);
      this.note('claim', worker.name, {
        job: taken[0], token: this.lastToken, jobs: taken, call: `claim(max_jobs => ${this.options.batch})`, answer: what.join(', '),
      });
      this.scheduleBeat(worker, this.options.lease / 3);
      this.startNext(worker);
    }

    wakeOne() {
      const name = this.waiting.shift();
      if (name !== undefined) this.scheduleClaim(this.workers.get(name));
    }

    handOut(job, worker) {
      this.stats.handedOut++;
      this.enter(job, 'held', {
        attempts: job.attempts + 1, token: ++this.lastToken, worker: worker.name, deadline: this.now + this.options.lease,
      });
      worker.hand.push({ job: job.id, token: job.token });
      this.schedule.add(job.deadline, 'Deadline', { job: job.id, token: job.token });
    }

    startNext(worker) {
      const next = worker.hand[0];
      if (next === undefined) {
        worker.handling = null;
        this.doing(worker, 'waiting');
        this.scheduleClaim(worker);
        return;
      }
      const takes = this.random.between(this.options.handlerMin, this.options.handlerMax);
      worker.handling = { ...next, from: this.now, until: this.now + takes, takes };
      this.doing(worker, 'handling', next.job);
      this.scheduleHandled(worker);
    }

    scheduleHandled(worker) {
      const { until, token } = worker.handling;
      this.schedule.add(until, 'Handled', { worker: worker.name, run: worker.run, token });
    }

    onHandled(event) {
      const worker = this.workerOf(event);
      if (worker?.handling?.token !== event.token) return;
      const lease = worker.hand.shift();
      const job = this.jobs.get(lease.job);
      if (job?.nature === 'killer') {
        worker.hand.unshift(lease);
        this.crash(worker.name);
        return;
      }
      const fails = this.random.next() < this.options.failure || job?.nature === 'poison';
      if (fails) this.fail(worker, lease, job);
      else this.complete(worker, lease, job);
      this.startNext(worker);
    }

    // --- deciding -----------------------------------------------------------------------------------------------------

    complete(worker, lease, job) {
      const verdict = this.judge(worker, 'complete', lease, job);
      if (verdict === 'refused') return;
      job.effects++;
      if (verdict === 'twice') return;
      this.stats.completed++;
      if (verdict === 'current') this.noteCall('complete', worker, 'complete', lease, 'completed');
      this.end(job, 'completed');
    }

    fail(worker, lease, job) {
      const verdict = this.judge(worker, 'fail', lease, job);
      if (verdict === 'refused' || verdict === 'twice') return;
      if (job.attempts >= this.options.maxAttempts) {
        this.deadLetter(job, 'attempts exhausted', () => this.noteCall('dead', worker, 'fail', lease, 'dead_letter: attempts exhausted'));
        return;
      }
      const wait = this.backoff(job.attempts);
      this.stats.retried++;
      this.noteCall('retry', worker, 'fail', lease, `retry, due in ${wait / 1000} s`);
      this.leaveReady(job);
      this.becomeDelayed(job, wait);
    }

    deadLetter(job, reason, tell) {
      this.stats.deadLetters++;
      tell();
      this.end(job, 'dead_letter', reason);
    }

    // May this worker decide the job? 'current', 'refused', or, where only the id is looked at, 'usurped' and 'twice'.
    judge(worker, call, lease, job) {
      const held = job?.status === 'held';
      if (held && job.token === lease.token) return 'current';
      if (this.options.fence === 'token') {
        this.stats.refused++;
        this.noteCall('refused', worker, call, lease, `DW001 lease token ${lease.token} of job ${lease.job} is stale`, this.whyStale(job, lease));
        return 'refused';
      }
      if (!job || job.status === 'completed' || job.status === 'dead_letter') {
        this.stats.twice++;
        this.noteCall('twice', worker, call, lease, 'accepted once more: the effect has happened twice');
        return job ? 'twice' : 'refused';
      }
      this.stats.usurped++;
      this.noteCall('usurped', worker, call, lease, held ? `accepted, although ${job.worker} holds the job` : 'accepted, although its lease is gone');
      return 'usurped';
    }

    whyStale(job, lease) {
      if (job?.status === 'held') return `The job was claimed again, by worker "${job.worker}".`;
      if (job?.status === 'completed') return `The job was completed under lease token ${job.token}.`;
      if (job?.status === 'dead_letter') return 'The job is a dead letter.';
      if (job && job.token > lease.token) return 'The job was claimed again or changed since.';
      return 'The lease ran out, was given back, or its claim was rolled back.';
    }

    noteCall(kind, worker, call, lease, answer, detail = null) {
      const args = this.options.fence === 'token' ? `${lease.job}, ${lease.token}` : `id => ${lease.job}`;
      this.note(kind, worker.name, { job: lease.job, token: lease.token, call: `${call}(${args})`, answer, detail });
    }

    // --- leases -------------------------------------------------------------------------------------------------------

    onDeadline({ job: id, token }) {
      const job = this.jobs.get(id);
      if (job?.status !== 'held' || job.token !== token) return;
      if (job.deadline > this.now) {
        this.schedule.add(job.deadline, 'Deadline', { job: id, token });
        return;
      }
      this.stats.expired++;
      const entry = { job: id, token, call: `lease of job ${id} ran out` };
      if (job.attempts >= this.options.maxAttempts) {
        this.deadLetter(job, 'lease expired', () => this.note('dead', 'queue', { ...entry, answer: 'dead_letter: lease expired' }));
        return;
      }
      this.note('expired', 'queue', { ...entry, answer: `token ${token} is void; ready again` });
      this.becomeReady(job);
    }

    scheduleBeat(worker, wait) {
      if (!this.options.heartbeats) return;
      worker.beat = (worker.beat || 0) + 1;
      this.schedule.add(this.now + wait, 'Beat', { worker: worker.name, run: worker.run, beat: worker.beat });
    }

    onBeat(event) {
      const worker = this.workerOf(event);
      if (worker === null || worker.beat !== event.beat || worker.hand.length === 0) return;
      const lost = worker.hand.filter((lease) => !this.holds(lease));
      for (const lease of worker.hand) {
        if (this.holds(lease)) this.extend(this.jobs.get(lease.job));
      }
      this.stats.heartbeats++;
      const answer = lost.length > 0 ? `lost: ${lost.map((lease) => `job ${lease.job}`).join(', ')}` : 'leases extended';
      this.note(lost.length > 0 ? 'lost' : 'beat', worker.name, { job: worker.hand[0].job, call: 'heartbeat()', answer });
      worker.hand = worker.hand.filter((lease) => !lost.includes(lease));
      this.scheduleBeat(worker, this.options.lease / 3);
      if (lost.some((lease) => lease.token === worker.handling.token)) this.startNext(worker);
    }

    holds(lease) {
      const job = this.jobs.get(lease.job);
      return job?.status === 'held' && job.token === lease.token;
    }

    extend(job) {
      job.deadline = this.now + this.options.lease;
      job.spans.at(-1).deadline = job.deadline;
    }

    // --- what happens to workers --------------------------------------------------------------------------------------

    forgetHand(worker) {
      worker.run = ++this.lastRun;
      worker.hand = [];
      worker.handling = null;
      this.waiting = this.waiting.filter((name) => name !== worker.name);
    }

    // The process is gone. The server notices nothing until the leases run out.
    crash(name) {
      const worker = this.workers.get(name);
      if (worker.process === 'gone') return;
      const jobs = worker.hand.map((lease) => `job ${lease.job}`).join(', ');
      this.note('crash', name, { job: worker.hand[0]?.job, call: 'killed', answer: jobs ? `${jobs} stays leased` : 'had nothing in hand' });
      this.forgetHand(worker);
      worker.process = 'gone';
      this.doing(worker, 'gone');
      if (this.options.restartAfter > 0) this.at(this.now + this.options.restartAfter, 'restart', name);
    }

    restart(name) {
      const worker = this.workers.get(name);
      if (worker?.process !== 'gone') return;
      worker.process = 'running';
      worker.run = ++this.lastRun;
      this.note('start', name, { call: 'started again', answer: 'with nothing in hand' });
      this.doing(worker, 'waiting');
      this.scheduleClaim(worker);
    }

    // The whole process stands still, as in a long garbage collection or on a suspended machine.
    freeze(name) {
      const worker = this.workers.get(name);
      if (worker.process !== 'running') return;
      worker.process = 'frozen';
      worker.run = ++this.lastRun;
      this.waiting = this.waiting.filter((other) => other !== name);
      if (worker.handling) worker.handling.remaining = worker.handling.until - this.now;
      this.note('freeze', name, { job: worker.handling?.job, call: 'stands still', answer: 'and does not know it' });
      this.doing(worker, 'frozen', worker.handling?.job ?? null);
    }

    wake(name) {
      const worker = this.workers.get(name);
      if (worker.process !== 'frozen') return;
      worker.process = 'running';
      worker.run = ++this.lastRun;
      this.note('wake', name, { job: worker.handling?.job, call: 'goes on', answer: 'where it was' });
      if (worker.handling === null) {
        this.doing(worker, 'waiting');
        this.scheduleClaim(worker);
        return;
      }
      worker.handling.until = this.now + worker.handling.remaining;
      this.doing(worker, 'handling', worker.handling.job);
      this.scheduleHandled(worker);
      this.scheduleBeat(worker, 0);
    }
  }

  Object.assign(queue, { QueueSimulation });
})(typeof module === 'object' ? module.exports : (globalThis.durableQueue = {}),
  typeof module === 'object' ? require('./backlog.js') : globalThis.durableBacklog);
