// Buckets and the ring of workers, as the extension defines them.
//
//   bucket    fnv1a32(key) mod buckets, FNV-1a over the UTF-8 bytes; a null key has none
//   place     bucket b of n lies at floor(b * 2^32 / n) on a circle of 2^32 places
//   workers   virtual node i of a worker lies at fmix32(fnv1a32(name + '#' + i))
//   owner     the worker of the first virtual node at that place or after it, clockwise;
//             past the last one the lowest; of two at one place the smaller name in UTF-8 byte order
//
// Why the finaliser: FNV-1a of similar names ("worker-A#1", "worker-A#2") differs in few bits, and raw positions
// leave some workers with several times the buckets of others.
//
// A plain script in the page (globalThis.durableRing) and a CommonJS module for the tests.
(function (ring) {
  'use strict';

  const kCircle = 2 ** 32;
  const utf8 = new TextEncoder();

  function fnv1a32(text) {
    let hash = 2166136261;
    for (const byte of utf8.encode(text)) hash = Math.imul(hash ^ byte, 16777619);
    return hash >>> 0;
  }

  // The finaliser of Murmur3, 32 bits.
  function fmix32(value) {
    let hash = value;
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    return (hash ^ (hash >>> 16)) >>> 0;
  }

  function bucket(key, buckets = 360) {
    return key === null || key === undefined ? null : fnv1a32(key) % buckets;
  }

  function bucketPosition(index, buckets = 360) {
    return Math.floor((index * kCircle) / buckets);
  }

  function nodePosition(worker, index, finalise = true) {
    const hash = fnv1a32(worker + '#' + index);
    return finalise ? fmix32(hash) : hash;
  }

  // Order of the UTF-8 bytes. JavaScript compares UTF-16 units, which puts U+E000 to U+FFFF behind emoji.
  function compareNames(a, b) {
    const left = utf8.encode(a);
    const right = utf8.encode(b);
    const shorter = Math.min(left.length, right.length);
    for (let i = 0; i < shorter; i++) {
      if (left[i] !== right[i]) return left[i] - right[i];
    }
    return left.length - right.length;
  }

  // Virtual nodes {position, worker, index} in the order of the circle.
  function build(workers, { vnodes = 150, finalise = true } = {}) {
    const nodes = [];
    for (const worker of new Set(workers)) {
      for (let index = 0; index < vnodes; index++) {
        nodes.push({ position: nodePosition(worker, index, finalise), worker, index });
      }
    }
    return nodes.sort((a, b) => a.position - b.position || compareNames(a.worker, b.worker) || a.index - b.index);
  }

  // The first node at `position` or after it; null on an empty ring.
  function nodeAt(nodes, position) {
    if (nodes.length === 0) return null;
    let low = 0;
    let high = nodes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (nodes[middle].position < position) low = middle + 1;
      else high = middle;
    }
    return nodes[low === nodes.length ? 0 : low];
  }

  // owners[b] is the worker of bucket b, or null without workers.
  function owners(workers, { vnodes = 150, buckets = 360, finalise = true } = {}) {
    const nodes = build(workers, { vnodes, finalise });
    return Array.from({ length: buckets }, (_, index) => {
      const node = nodeAt(nodes, bucketPosition(index, buckets));
      return node === null ? null : node.worker;
    });
  }

  // Map from worker to its number of buckets; workers without any are there with 0.
  function load(workers, owned) {
    const counts = new Map(workers.map((worker) => [worker, 0]));
    for (const owner of owned) {
      if (owner !== null) counts.set(owner, (counts.get(owner) || 0) + 1);
    }
    return counts;
  }

  // Indexes whose owner differs.
  function moved(before, after) {
    return after.flatMap((owner, index) => (owner === before[index] ? [] : [index]));
  }

  // What `bucket mod number of workers` would do instead; to compare with.
  function moduloOwners(workers, buckets = 360) {
    return Array.from({ length: buckets }, (_, index) => (workers.length ? workers[index % workers.length] : null));
  }

  Object.assign(ring, {
    fnv1a32, fmix32, bucket, bucketPosition, nodePosition, compareNames, build, nodeAt, owners, load, moved, moduloOwners,
  });
})(typeof module === 'object' ? module.exports : (globalThis.durableRing = {}));
