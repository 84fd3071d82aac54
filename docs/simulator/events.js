// What the simulations share: random numbers that a seed decides, and a queue of events in the order of their time.
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

  Object.assign(events, { Random, Schedule });
})(typeof module === 'object' ? module.exports : (globalThis.durableEvents = {}));
