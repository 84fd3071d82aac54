// docs/simulator/ring.js against the committed vectors and against brute force.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import ring from '../../docs/simulator/ring.js';

const vectors = JSON.parse(readFileSync(new URL('ring_vectors.json', import.meta.url), 'utf8'));
const names = (count) => Array.from({ length: count }, (_, i) => 'worker-' + String.fromCharCode(65 + i));
const md5 = (text) => createHash('md5').update(text).digest('hex');

test('hashes and buckets are those of the vectors', () => {
  assert.ok(vectors.hashes.length > 0);
  for (const vector of vectors.hashes) {
    assert.equal(ring.fnv1a32(vector.text), vector.fnv1a32, vector.text);
    assert.equal(ring.fmix32(vector.fnv1a32), vector.fmix32, vector.text);
    assert.equal(ring.bucket(vector.text), vector.bucket_360, vector.text);
    assert.equal(ring.bucket(vector.text, 97), vector.bucket_97, vector.text);
    assert.equal(ring.bucket(vector.text, 1024), vector.bucket_1024, vector.text);
  }
  for (const { value, fmix32 } of vectors.fmix32) assert.equal(ring.fmix32(value), fmix32);
});

test('a null key has no bucket', () => {
  assert.equal(ring.bucket(null), null);
});

test('virtual nodes and buckets lie where the vectors say', () => {
  for (const { worker, index, position } of vectors.virtual_nodes) assert.equal(ring.nodePosition(worker, index), position);
  for (const { bucket, buckets, position } of vectors.bucket_positions) {
    assert.equal(ring.bucketPosition(bucket, buckets), position);
  }
});

for (const vector of vectors.rings) {
  test(`owners: ${vector.what}`, () => {
    const owned = ring.owners(vector.workers, { vnodes: vector.vnodes, buckets: vector.buckets });
    for (const [bucket, owner] of Object.entries(vector.owner_of)) assert.equal(owned[bucket], owner, `bucket ${bucket}`);
    assert.deepEqual(Object.fromEntries(ring.load(vector.workers, owned)), vector.load);
    assert.equal(md5(owned.join(',')), vector.owners_md5);
  });
}

test('as many buckets move as the vectors say', () => {
  for (const { before, after, vnodes, buckets, moved } of vectors.moves) {
    const options = { vnodes, buckets };
    assert.equal(ring.moved(ring.owners(before, options), ring.owners(after, options)).length, moved);
  }
});

// For each bucket the node with the least way to go clockwise, then the smaller name.
function bruteForce(workers, vnodes, buckets) {
  const nodes = workers.flatMap((worker) =>
    Array.from({ length: vnodes }, (_, i) => ({ position: ring.nodePosition(worker, i), worker })));
  return Array.from({ length: buckets }, (_, index) => {
    const place = ring.bucketPosition(index, buckets);
    const way = (node) => (node.position - place + 2 ** 32) % 2 ** 32;
    return nodes.reduce((best, node) => {
      const nearer = way(node) - way(best) || Buffer.compare(Buffer.from(node.worker), Buffer.from(best.worker));
      return nearer < 0 ? node : best;
    }).worker;
  });
}

test('owners are those that brute force finds', () => {
  for (const [workers, vnodes, buckets] of [
    [names(1), 1, 360], [names(2), 1, 360], [names(5), 7, 97], [names(9), 40, 360], [['worker-206', 'worker-1812'], 150, 360],
  ]) {
    assert.deepEqual(ring.owners(workers, { vnodes, buckets }), bruteForce(workers, vnodes, buckets));
  }
});

test('a node at the very place of a bucket owns it, and past the last node comes the first', () => {
  const nodes = [{ position: 100, worker: 'x' }, { position: 200, worker: 'y' }];
  assert.equal(ring.nodeAt(nodes, 100).worker, 'x');
  assert.equal(ring.nodeAt(nodes, 101).worker, 'y');
  assert.equal(ring.nodeAt(nodes, 201).worker, 'x');
  assert.equal(ring.nodeAt([], 5), null);
});

test('names are compared by their UTF-8 bytes', () => {
  assert.ok(ring.compareNames('\ue000', '🐘') < 0);
  assert.ok('\ue000' > '🐘', 'which is not how JavaScript compares them');
  assert.ok(ring.compareNames('worker-1', 'worker-10') < 0);
  assert.equal(ring.compareNames('a', 'a'), 0);
});

test('the order in which workers are named plays no part', () => {
  assert.deepEqual(ring.owners(names(6).reverse()), ring.owners(names(6)));
  assert.deepEqual(ring.owners([...names(6), 'worker-A']), ring.owners(names(6)));
});

test('a worker that joins takes buckets only for itself; one that leaves gives away only its own', () => {
  for (let count = 1; count < 16; count++) {
    const fewer = ring.owners(names(count));
    const more = ring.owners(names(count + 1));
    const newest = names(count + 1).at(-1);
    const changed = ring.moved(fewer, more);
    assert.ok(changed.length > 0);
    for (const bucket of changed) assert.equal(more[bucket], newest);
    assert.equal(changed.length, more.filter((owner) => owner === newest).length);
    for (const leaver of names(count + 1)) {
      const left = ring.owners(names(count + 1).filter((name) => name !== leaver));
      for (const bucket of ring.moved(more, left)) assert.equal(more[bucket], leaver);
    }
  }
});

test('about one part in N moves, against most of them when buckets are counted off', () => {
  for (let count = 3; count < 16; count++) {
    const part = ring.moved(ring.owners(names(count)), ring.owners(names(count + 1))).length / 360;
    const ideal = 1 / (count + 1);
    assert.ok(part > ideal * 0.6 && part < ideal * 1.6, `${count}: ${part} against ${ideal}`);
    const counted = ring.moved(ring.moduloOwners(names(count)), ring.moduloOwners(names(count + 1))).length / 360;
    assert.ok(counted >= 0.74, `${count}: ${counted}`);
  }
});

test('the finaliser keeps sixteen workers within 1.6 of the mean; without it they are not', () => {
  const heaviest = (finalise) => Math.max(...ring.load(names(16), ring.owners(names(16), { finalise })).values()) / (360 / 16);
  assert.ok(heaviest(true) < 1.6);
  assert.ok(heaviest(false) > 1.6);
});
