-- Many workers: rings to try out, registration, claims of owned jobs, draining, another number of buckets.
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS durable_work;

-- Rings ----------------------------------------------------------------------------------------------------------------
SELECT count(*), count(DISTINCT owner), min(bucket), max(bucket) FROM durable_work.ring_simulate('{worker-A,worker-B,worker-C,worker-D}');
SELECT owner, count(*) FROM durable_work.ring_simulate('{worker-A,worker-B,worker-C,worker-D}') GROUP BY owner ORDER BY owner;
SELECT array_agg(owner ORDER BY bucket) = (SELECT array_agg(owner ORDER BY bucket) FROM durable_work.ring_simulate('{c,b,a}', 20, 50)) FROM durable_work.ring_simulate('{a,b,c}', 20, 50);
SELECT * FROM durable_work.ring_moved('{worker-A,worker-B,worker-C}', '{worker-A,worker-B,worker-C,worker-D}');
SELECT moved, total, round(fraction::numeric, 4) FROM durable_work.ring_moved('{a,b}', '{a}', 150, 1024);
SELECT * FROM durable_work.ring_moved('{a}', '{a}');
SELECT * FROM durable_work.ring_moved('{}', '{a}', buckets => 7);
SELECT * FROM durable_work.ring_simulate('{}', buckets => 2);
-- A worker that joins takes; between the others nothing moves.
SELECT bool_and(after.owner = before.owner OR after.owner = 'e')
FROM durable_work.ring_simulate('{a,b,c,d}') before JOIN durable_work.ring_simulate('{a,b,c,d,e}') after USING (bucket);
SELECT helper.answer($$SELECT durable_work.ring_simulate('{a,b,a}')$$), helper.answer($$SELECT durable_work.ring_simulate('{a,NULL}')$$),
       helper.answer($$SELECT durable_work.ring_simulate(NULL)$$), helper.answer($$SELECT durable_work.ring_simulate('{a,""}')$$);
SELECT helper.answer($$SELECT durable_work.ring_simulate('{a}', 0)$$), helper.answer($$SELECT durable_work.ring_simulate('{a}', 1025)$$);
SELECT helper.answer($$SELECT durable_work.ring_simulate('{a}', 1, 0)$$), helper.answer($$SELECT durable_work.ring_simulate('{a}', 1, 1025)$$);
SELECT helper.answer($$SELECT durable_work.ring_moved('{a}', '{b,b}')$$);
SELECT proname, provolatile, proparallel FROM pg_proc WHERE pronamespace = 'durable_work'::regnamespace AND proname LIKE 'ring\_%' ORDER BY 1;

-- How often they are expected to be heard of, and when they are taken for dead.
SELECT name, boot_val, unit, context FROM pg_settings WHERE name IN ('durable_work.heartbeat_interval', 'durable_work.worker_dead_after') ORDER BY 1;

-- Registration ---------------------------------------------------------------------------------------------------------
SELECT durable_work.create_queue('workers_a'), durable_work.create_queue('workers_b', buckets => 8);
SELECT queue, buckets FROM durable_work.queues WHERE queue LIKE 'workers\_%' ORDER BY 1;
SELECT durable_work.ring_owner('workers_a', 'k') IS NULL, helper.answer($$SELECT durable_work.owned_buckets('workers_a', 'anna')$$);
SELECT durable_work.register_worker('anna', '{workers_a,workers_b,workers_a}', capacity => 3, labels => '{"host": "h1"}') AS anna \gset
SELECT :anna >= 4294967296;
SELECT worker, instance = :anna AS instance, state, queues, clock_timestamp() - last_seen_at < interval '1 min' AS seen, drain_deadline, in_flight,
       buckets_owned, capacity, vnodes, labels, registered_at <= clock_timestamp() AS registered FROM durable_work.workers;
SELECT durable_work.ring_owner('workers_a', 'k'), cardinality(durable_work.owned_buckets('workers_a', 'anna')), durable_work.owned_buckets('workers_b', 'anna');
SELECT durable_work.register_worker('bert', '{workers_a}') AS bert \gset
SELECT :bert > :anna;
-- As the simulation says.
SELECT durable_work.owned_buckets('workers_a', 'bert') = (SELECT array_agg(bucket ORDER BY bucket) FROM durable_work.ring_simulate('{anna,bert}') WHERE owner = 'bert');
SELECT durable_work.ring_owner('workers_a', 'k' || n) = owner
FROM generate_series(1, 5) n JOIN durable_work.ring_simulate('{anna,bert}') ON bucket = durable_work.bucket('k' || n) ORDER BY n;

-- Nothing before the commit, nothing after a rollback.
BEGIN;
SELECT durable_work.register_worker('carl', '{workers_a}') > :bert;
SELECT durable_work.deregister_worker('anna');
SELECT durable_work.ring_owner('workers_a', 'k1') IS NOT NULL, cardinality(durable_work.owned_buckets('workers_b', 'anna')), count(*) FROM durable_work.worker_figures() GROUP BY 2;
SAVEPOINT s;
SELECT durable_work.drain_worker('bert');
ROLLBACK TO s;
ROLLBACK;
SELECT worker, state FROM durable_work.workers ORDER BY worker;

-- Claims of owned jobs -------------------------------------------------------------------------------------------------
SELECT job_id IS NOT NULL FROM durable_work.enqueue_many('workers_a', ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(1, 40) n), ARRAY(SELECT 'k' || n FROM generate_series(1, 40) n)) LIMIT 1;
SELECT count(*), count(*) FILTER (WHERE durable_work.ring_owner('workers_a', partition_key) <> 'bert') AS of_others,
       array_agg((payload->>'n')::int) = array_agg((payload->>'n')::int ORDER BY job_id) AS in_order
FROM durable_work.claim('workers_a', 'bert', 5, owned_only => true, instance => :bert);
SELECT count(*), count(*) FILTER (WHERE durable_work.ring_owner('workers_a', partition_key) <> 'anna') AS of_others
FROM durable_work.claim('{workers_a,workers_b}'::text[], 'anna', 100, owned_only => true, instance => :anna);
-- anna has three, which is her capacity; waiting does not change that.
SELECT count(*) FROM durable_work.claim('workers_a', 'anna', 100, owned_only => true, instance => :anna, wait => '5 s');
SELECT worker, in_flight FROM durable_work.workers ORDER BY 1;
-- A claim of any job has the rest, in order; without an instance it is not anna's.
SELECT count(*), min((payload->>'n')::int) FROM durable_work.claim('workers_a', 'anna', 2);
SELECT worker, in_flight FROM durable_work.workers ORDER BY 1;
SELECT helper.answer($$SELECT durable_work.claim('workers_a', 'anna', owned_only => true)$$);
SELECT helper.answer($$SELECT durable_work.claim('workers_a', 'anna', owned_only => true, instance => 7)$$);
SELECT helper.answer(format($$SELECT durable_work.claim('workers_b', 'bert', owned_only => true, instance => %s)$$, :bert));
SELECT helper.answer($$SELECT durable_work.claim('workers_a', 'anna', owned_only => NULL)$$);
-- An owner that has nothing waits in vain, and an own number works as before.
SELECT count(*) FROM durable_work.claim('workers_b', 'anna', owned_only => true, instance => :anna, wait => '10 ms');
SELECT count(*) FROM durable_work.claim('workers_b', 'dora', instance => 7), durable_work.heartbeat('dora', instance => 7);
-- complete_and_claim takes both too.
SELECT job_id, lease_token FROM durable_work.leases WHERE worker = 'bert' ORDER BY job_id LIMIT 1 \gset
SELECT outcome, count(*) FROM durable_work.complete_and_claim(ARRAY[:job_id::bigint], ARRAY[:lease_token::bigint], 'workers_a', 'bert', 2, owned_only => true, instance => :bert) GROUP BY outcome ORDER BY outcome;

-- Another registration of the name -------------------------------------------------------------------------------------
SELECT count(*) FROM durable_work.heartbeat('anna', instance => :anna);
SELECT durable_work.register_worker('anna', '{workers_a}') AS anna2 \gset
SELECT :anna2 > :bert;
SELECT helper.answer(format($$SELECT durable_work.claim('workers_a', 'anna', instance => %s)$$, :anna));
SELECT helper.answer(format($$SELECT durable_work.heartbeat('anna', instance => %s)$$, :anna));
SELECT helper.answer(format($$SELECT durable_work.drain_worker('anna', instance => %s)$$, :anna));
SELECT helper.answer(format($$SELECT durable_work.deregister_worker('anna', instance => %s)$$, :anna));
SELECT helper.answer(format($$SELECT durable_work.claim('workers_a', 'nobody', instance => %s)$$, :anna));
SELECT job_id, lease_token FROM durable_work.leases WHERE worker = 'anna' ORDER BY lease_token LIMIT 1 \gset
SELECT helper.answer(format($$SELECT durable_work.complete_and_claim(ARRAY[%s], ARRAY[%s], 'workers_a', 'anna', instance => %s)$$, :job_id, :lease_token, :anna));
SELECT count(*) FROM durable_work.leases WHERE lease_token = :lease_token;
\set VERBOSITY sqlstate
CALL durable_work.wait_for_work('{workers_a}', '60 s', worker => 'anna', instance => :anna);
\set VERBOSITY default
-- What the earlier process holds it may complete.
SELECT job_id, lease_token FROM durable_work.leases JOIN durable_work.workers USING (worker) WHERE worker = 'anna' ORDER BY lease_token LIMIT 1 \gset
SELECT durable_work.complete(:job_id, :lease_token), in_flight FROM durable_work.workers WHERE worker = 'anna';

-- Draining -------------------------------------------------------------------------------------------------------------
SELECT in_flight AS held FROM durable_work.workers WHERE worker = 'bert' \gset
SELECT durable_work.drain_worker('bert', '1 h', instance => :bert) = :held;
SELECT state, drain_deadline > clock_timestamp() + interval '59 min' AS deadline, buckets_owned FROM durable_work.workers WHERE worker = 'bert';
SELECT count(*) FROM durable_work.claim('workers_a', 'bert', instance => :bert);
SELECT count(*) FROM durable_work.claim('workers_a', 'bert', owned_only => true, instance => :bert, wait => '5 s');
SELECT durable_work.ring_owner('workers_a', 'k' || n) FROM generate_series(1, 40) n GROUP BY 1;
SELECT count(*) = :held FROM durable_work.heartbeat('bert', instance => :bert);
-- It is gone with its last job; a released one can be claimed at once.
CREATE TEMP TABLE released AS SELECT job_id, lease_token FROM durable_work.leases WHERE worker = 'bert';
SELECT count(*) = :held FROM (SELECT durable_work.release(job_id, lease_token) FROM released OFFSET 0) r;
DO $$ BEGIN WHILE EXISTS (SELECT FROM durable_work.workers WHERE worker = 'bert') LOOP PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT helper.answer(format($$SELECT durable_work.claim('workers_a', 'bert', instance => %s)$$, :bert));
SELECT count(*) = :held, max(attempt) FROM durable_work.claim('workers_a', 'anna', 100, owned_only => true, instance => :anna2) JOIN released USING (job_id);
-- At the deadline the housekeeper gives back what is held.
SELECT durable_work.drain_worker('anna', '0') > 0;
DO $$ BEGIN WHILE EXISTS (SELECT FROM durable_work.workers WHERE worker = 'anna') LOOP PERFORM pg_sleep(0.01); END LOOP; END $$;
SELECT count(*) = 0 FROM durable_work.leases JOIN released USING (job_id);
SELECT count(*) = :held, max(attempt) FROM durable_work.claim('workers_a', 'w', 100) JOIN released USING (job_id);
SELECT helper.answer($$SELECT durable_work.drain_worker('anna')$$), durable_work.deregister_worker('anna');

-- Draining what is not simply given back -------------------------------------------------------------------------------
SELECT durable_work.create_queue('workers_once', delivery => 'at_most_once', lease => '1 h'), durable_work.create_queue('workers_recorded', durable_claims => true, lease => '1 h');
SELECT durable_work.register_worker('dora', '{workers_once,workers_recorded}') AS dora \gset
SELECT count(durable_work.enqueue(queue, '{}')) FROM unnest('{workers_once,workers_once,workers_recorded}'::text[]) AS queue;
SELECT job_id AS once, lease_token AS once_token FROM durable_work.claim('workers_once', 'dora', 1, instance => :dora) \gset
SELECT job_id AS short FROM durable_work.claim('workers_once', 'dora', 1, lease => '10 ms', instance => :dora) \gset
SELECT job_id AS recorded, lease_token AS recorded_token FROM durable_work.claim('workers_recorded', 'dora', 1, instance => :dora) \gset
-- The lease of the one that may not be handed out twice ends as ever, with the worker at its drain or without.
SELECT durable_work.drain_worker('dora', '1 h') BETWEEN 2 AND 3;
CALL helper.until($$(SELECT reason = 'outcome unknown' FROM durable_work.dead_letters WHERE queue = 'workers_once')$$);
SELECT job_id = :short FROM durable_work.dead_letters WHERE queue = 'workers_once';
CALL helper.until($$(SELECT in_flight = 2 FROM durable_work.workers WHERE worker = 'dora')$$);
SELECT durable_work.drain_worker('dora', '0');
CALL helper.until($$NOT EXISTS (SELECT FROM durable_work.workers WHERE worker = 'dora')$$);
-- One is its worker's as before, the other one nobody's, and the log says that its attempt did not count.
SELECT job_id = :once, worker, lease_token = :once_token FROM durable_work.leases WHERE queue IN ('workers_once', 'workers_recorded');
SELECT queue, status, attempts FROM durable_work.inbox WHERE id IN (:once, :recorded) ORDER BY id;
SELECT helper.answer(format('SELECT durable_work.release(%s, %s)', :once, :once_token));
SELECT durable_work.complete(:once, :once_token), helper.answer(format('SELECT durable_work.complete(%s, %s)', :recorded, :recorded_token));
SELECT job_id = :recorded, attempt, lease_token > :recorded_token FROM durable_work.claim('workers_recorded', 'w', 10);

-- Cancelled under a registered worker ----------------------------------------------------------------------------------
SELECT durable_work.create_queue('workers_d');
SELECT durable_work.register_worker('emil', '{workers_d}') AS emil \gset
SELECT count(*) FROM durable_work.enqueue_many('workers_d', ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(1, 3) n));
CREATE TEMP TABLE emils AS SELECT job_id, lease_token, payload->>'n' AS n FROM durable_work.claim('workers_d', 'emil', 10, instance => :emil);
SELECT durable_work.cancel(job_id) FROM emils WHERE n = '2';
-- Only the instance is told.
SELECT count(*) FROM durable_work.heartbeat('emil') AS of_nobody FULL JOIN durable_work.heartbeat('emil', instance => 7) AS of_another ON true;
SELECT n, state FROM durable_work.heartbeat('emil', instance => :emil) JOIN emils USING (job_id) ORDER BY n;
SELECT helper.answer(format('SELECT durable_work.complete(%s, %s)', job_id, lease_token)) FROM emils WHERE n = '2';
-- A drain does not wait for one of which the worker has not heard.
SELECT durable_work.cancel(job_id) FROM emils WHERE n = '3';
SELECT durable_work.drain_worker('emil', '0') > 0;
CALL helper.until($$NOT EXISTS (SELECT FROM durable_work.workers WHERE worker = 'emil')$$);
SELECT n, attempt FROM durable_work.claim('workers_d', 'w', 10) JOIN emils USING (job_id);
SELECT n, status FROM durable_work.inbox JOIN emils ON job_id = id ORDER BY n;

-- Another number of buckets --------------------------------------------------------------------------------------------
SELECT durable_work.register_worker('anna', '{workers_b}') AS anna \gset
SELECT durable_work.register_worker('bert', '{workers_b}') AS bert \gset
SELECT count(*) FROM durable_work.enqueue_many('workers_b', ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(1, 60) n), ARRAY(SELECT 'k' || n FROM generate_series(1, 60) n));
SELECT count(*) FROM durable_work.claim('workers_b', 'anna', 1, owned_only => true, instance => :anna);
BEGIN;
SELECT durable_work.resize_buckets('workers_b', 100);
SELECT cardinality(durable_work.owned_buckets('workers_b', 'anna')) + cardinality(durable_work.owned_buckets('workers_b', 'bert'));
COMMIT;
SELECT cardinality(durable_work.owned_buckets('workers_b', 'anna')) + cardinality(durable_work.owned_buckets('workers_b', 'bert')), buckets FROM durable_work.queues WHERE queue = 'workers_b';
SELECT bool_and(partition_bucket = durable_work.bucket(partition_key, 100)) FROM durable_work.inbox WHERE queue = 'workers_b';
WITH claimed AS (
    SELECT 'anna' AS by, * FROM durable_work.claim('workers_b', 'anna', 100, owned_only => true, instance => :anna)
    UNION ALL SELECT 'bert', * FROM durable_work.claim('workers_b', 'bert', 100, owned_only => true, instance => :bert))
SELECT count(*), bool_and(durable_work.ring_owner('workers_b', partition_key) = by) FROM claimed;
SELECT durable_work.alter_queue('workers_b', buckets => 360);
SELECT buckets FROM durable_work.queues WHERE queue = 'workers_b';
INSERT INTO durable_work.inbox (queue, partition_key, payload) VALUES ('workers_b', 'k', '{}') RETURNING partition_bucket = durable_work.bucket('k');
SELECT helper.answer($$SELECT durable_work.resize_buckets('workers_b', 0)$$), helper.answer($$SELECT durable_work.resize_buckets('workers_b', 1025)$$);
SELECT helper.answer($$SELECT durable_work.resize_buckets('nowhere', 5)$$), helper.answer($$SELECT durable_work.create_queue('workers_b', buckets => 7)$$);

-- Nobody is left who owns them --------------------------------------------------------------------------------------------
SELECT durable_work.create_queue('workers_c');
SELECT durable_work.register_worker('last', '{workers_c}') AS last \gset
SELECT count(*) FROM durable_work.enqueue_many('workers_c', ARRAY(SELECT '{}'::jsonb FROM generate_series(1, 3)), ARRAY(SELECT 'k' || n FROM generate_series(1, 3) n));
SELECT reason, jobs FROM durable_work.explain_waiting('workers_c');
SELECT durable_work.deregister_worker('last');
SELECT reason, jobs, detail FROM durable_work.explain_waiting('workers_c');
SELECT count(*) FROM durable_work.claim('workers_c', 'anybody', 1);
SELECT reason, jobs FROM durable_work.explain_waiting('workers_c') ORDER BY reason;

-- What is refused ------------------------------------------------------------------------------------------------------
SELECT helper.answer($$SELECT durable_work.register_worker('', '{workers_a}')$$), helper.answer($$SELECT durable_work.register_worker('w', '{}')$$);
SELECT helper.answer($$SELECT durable_work.register_worker('w', '{nowhere}')$$), helper.answer($$SELECT durable_work.register_worker('w', '{workers_a,NULL}')$$);
SELECT helper.answer($$SELECT durable_work.register_worker('w', '{workers_a}', 0)$$), helper.answer($$SELECT durable_work.register_worker('w', '{workers_a}', vnodes => 1025)$$);
SELECT helper.answer($$SELECT durable_work.register_worker('w', '{workers_a}', labels => '[]')$$);
SELECT helper.answer($$SELECT durable_work.register_worker('w', '{workers_a}', labels => jsonb_build_object('x', repeat('x', 9000)))$$);
SELECT helper.answer($$SELECT durable_work.drain_worker('anna', '-1 s')$$), helper.answer($$SELECT durable_work.drain_worker('anna', NULL)$$);
SELECT helper.answer($$SELECT durable_work.ring_owner('nowhere', 'k')$$), helper.answer($$SELECT durable_work.ring_owner('workers_a', NULL)$$);
SELECT helper.answer($$SELECT durable_work.owned_buckets('workers_a', 'nobody')$$);
CALL durable_work.wait_for_work('{workers_a}', '10 ms', worker => 'anna', instance => :anna);
\set VERBOSITY terse
CALL durable_work.wait_for_work('{workers_a}', '10 ms', worker => 'anna');
CALL durable_work.wait_for_work('{workers_a}', '10 ms', worker => 'anna', instance => 7);
BEGIN;
SELECT durable_work.deregister_worker('anna', instance => :anna);
PREPARE TRANSACTION 'workers';

SELECT durable_work.deregister_worker('anna'), durable_work.deregister_worker('bert');
SELECT count(*) FROM durable_work.workers;
SELECT durable_work.drop_queue(queue, force => true) FROM durable_work.queues WHERE queue LIKE 'workers\_%' ORDER BY queue;
