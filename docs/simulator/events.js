// What the simulations share: random numbers that a seed decides, events in the order of their time, and the clock that runs them.
(function (events) {
  'use strict';

  // mulberry32: 32 bits of state, good enough to draw pauses and failures.
  class Random {
    constructor(seed) {
      this.state = seed >>> 0;
    }

    next() {
      this.state = (this.state + 0x6d2b79f5) >>> 0;
      let mixed = this.state;
      mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    }

    between(low, high) {
      return low + (high - low) * this.next();
    }

    integer(below) {
      return Math.floor(this.next() * below);
    }

    // A pause whose mean is `mean`, as between independent arrivals.
    pause(mean) {
      return -Math.log(1 - this.next()) * mean;
    }
  }

  // A binary heap. Events of one time come out in the order in which they went in.
  class Schedule {
    constructor() {
      this.heap = [];
      this.added = 0;
    }

    get size() {
      return this.heap.length;
    }

    first() {
      return this.heap[0];
    }

    add(at, kind, detail = {}) {
      const event = { at, order: this.added++, kind, ...detail };
      let place = this.heap.push(event) - 1;
      while (place > 0) {
        const parent = (place - 1) >> 1;
        if (!before(event, this.heap[parent])) break;
        this.heap[place] = this.heap[parent];
        place = parent;
      }
      this.heap[place] = event;
    }

    take() {
      const first = this.heap[0];
      const last = this.heap.pop();
      if (this.heap.length === 0) return first;
      let place = 0;
      for (;;) {
        let child = 2 * place + 1;
        if (child >= this.heap.length) break;
        if (child + 1 < this.heap.length && before(this.heap[child + 1], this.heap[child])) child++;
        if (!before(this.heap[child], last)) break;
        this.heap[place] = this.heap[child];
        place = child;
      }
      this.heap[place] = last;
      return first;
    }
  }

  function before(a, b) {
    return a.at !== b.at ? a.at < b.at : a.order < b.order;
  }

  // What happens at simulated times, in milliseconds. An event is a call of the method on<kind> of the simulation that
  // builds on this; `noted` counts what somebody would notice.
  class Simulation {
    constructor(seed) {
      this.random = new Random(seed);
      this.schedule = new Schedule();
      this.now = 0;
      this.noted = 0;
    }

    advance(until) {
      while (this.schedule.size > 0 && this.schedule.first().at <= until) this.runNext();
      this.now = Math.max(this.now, until);
    }

    // To the next event that somebody would notice, but not beyond a time; false if none lies ahead.
    step(limit = Infinity) {
      const noted = this.noted;
      while (this.schedule.size > 0 && this.schedule.first().at <= limit && this.noted === noted) this.runNext();
      return this.noted > noted;
    }

    runNext() {
      const event = this.schedule.take();
      this.now = event.at;
      this['on' + event.kind](event);
    }

    // A call of this object at a later time: at(5000, 'crash', 'worker-A').
    at(time, call, ...args) {
      this.schedule.add(time, 'Script', { call, args });
    }

    onScript({ call, args }) {
      this[call](...args);
    }
  }

  Object.assign(events, { Random, Schedule, Simulation });
})(typeof module === 'object' ? module.exports : (globalThis.durableEvents = {}));
