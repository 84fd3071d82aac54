-- Keys: one job after the other, blocked keys, keys by turns.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS durable_work;
RESET client_min_messages;
SET search_path = pg_catalog;

-- Claims one by one until nothing comes, completes each, and says in which order they came. The turn of a key ends
-- with the transaction that completes its job.
CREATE PROCEDURE pg_temp.work_off(queue text, INOUT seen text DEFAULT '') LANGUAGE plpgsql AS $$
DECLARE
    job record;
BEGIN
    LOOP
        SELECT * INTO job FROM durable_work.claim(queue, 'worker', 1, wait => '0');
        EXIT WHEN NOT FOUND;
        seen := ltrim(seen || ' ' || (job.payload ->> 'n'));
        PERFORM durable_work.complete(job.job_id, job.lease_token);
        COMMIT;
        EXIT WHEN length(seen) > 1000;
    END LOOP;
END $$;
CREATE FUNCTION pg_temp.put(queue text, key text, n integer, delay interval DEFAULT NULL) RETURNS bigint LANGUAGE sql AS
$$ SELECT job_id FROM durable_work.enqueue(queue, jsonb_build_object('n', n), partition_key => key, delay => delay) $$;

-- options
SELECT helper.refusal($$SELECT durable_work.create_queue('keys_bad', ordering => 'fifo')$$);
SELECT helper.refusal($$SELECT durable_work.create_queue('keys_bad', fairness => 'round_robin')$$);
SELECT helper.refusal($$SELECT durable_work.create_queue('keys_bad', on_exhausted => 'stop')$$);
SELECT helper.refusal($$SELECT durable_work.create_queue('keys_bad', ordering => NULL)$$);
SELECT durable_work.create_queue('keys', ordering => 'key', max_attempts => 2, backoff_base => '0', backoff => 'fixed');
SELECT ordering, on_exhausted, fairness FROM durable_work.queues WHERE queue = 'keys';
SELECT helper.refusal($$SELECT durable_work.create_queue('keys')$$) ~ 'DW003.*ordering is key, not none';
SELECT helper.refusal($$SELECT durable_work.alter_queue('keys', ordering => 'none')$$);
SELECT helper.refusal($$SELECT durable_work.alter_queue('keys', fairness => 'key')$$);
SELECT durable_work.alter_queue('keys', ordering => 'key');

-- one at a time, in order
SELECT count(pg_temp.put('keys', key, n)) FROM (VALUES ('a', 1), ('a', 2), ('b', 3), (NULL, 4), ('a', 5), (NULL, 6)) AS job (key, n);
CREATE TEMP TABLE held AS SELECT * FROM durable_work.claim('keys', 'worker', 100);
SELECT payload ->> 'n' AS n FROM held ORDER BY job_id;
SELECT ready, delayed, processing, blocked, unfinished FROM durable_work.queue_stats WHERE queue = 'keys';
SELECT reason, jobs FROM durable_work.explain_waiting('keys') ORDER BY reason;
SELECT status, next_action, reason FROM durable_work.explain_job(
    (SELECT job_id + 1 FROM held WHERE payload ->> 'n' = '1'));
SELECT state, until > now() AS until, waiting, blocked_at, advice FROM durable_work.key_status('keys', 'a');
SELECT state, waiting FROM durable_work.key_status('keys', 'b');
SELECT state, waiting FROM durable_work.key_status('keys', 'nobody');
-- a retry keeps the place
SELECT durable_work.fail(job_id, lease_token, '"again"') FROM held WHERE payload ->> 'n' = '1';
SELECT payload ->> 'n' AS n, attempt FROM durable_work.claim('keys', 'worker', 100);
-- the last attempt: the next one follows
SELECT durable_work.fail(job_id, lease_token, '"again"') FROM durable_work.leases WHERE queue = 'keys' AND attempt = 2;
SELECT count(*) FROM durable_work.complete_many((SELECT array_agg(job_id) FROM held), (SELECT array_agg(lease_token) FROM held)) WHERE outcome = 'completed';
CALL pg_temp.work_off('keys');
SELECT count(*) FROM durable_work.blocked_keys('keys');

-- what its worker gives back keeps the place, too: released, and deferred
SELECT pg_temp.put('keys', 's', 1) > 0, pg_temp.put('keys', 's', 2) > 0;
SELECT durable_work.release(job_id, lease_token) FROM durable_work.claim('keys', 'worker', 100);
SELECT payload ->> 'n' AS n, attempt FROM durable_work.claim('keys', 'worker', 100);
SELECT durable_work.defer(job_id, lease_token, clock_timestamp() + interval '1 day') FROM durable_work.leases WHERE queue = 'keys';
SELECT count(*) FROM durable_work.claim('keys', 'worker', 100);
SELECT state, until > now() + interval '23 h' AS until, waiting FROM durable_work.key_status('keys', 's');
SELECT durable_work.reschedule(id, now(), 'keys') FROM durable_work.inbox WHERE queue = 'keys' AND partition_key = 's' AND payload ->> 'n' = '1';
SELECT payload ->> 'n' AS n, attempt FROM durable_work.claim('keys', 'worker', 100);
SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases WHERE queue = 'keys';
CALL pg_temp.work_off('keys');

-- a rollback of what was enqueued, and a savepoint
BEGIN;
SELECT pg_temp.put('keys', 'r', 1) > 0;
SAVEPOINT one;
SELECT pg_temp.put('keys', 'r', 2) > 0;
ROLLBACK TO one;
SELECT pg_temp.put('keys', 'r', 3) > 0;
COMMIT;
BEGIN;
SELECT pg_temp.put('keys', 'r', 4) > 0;
ROLLBACK;
SELECT pg_temp.put('keys', 'r', 5) > 0;
CALL pg_temp.work_off('keys');

-- a delayed job holds its key up; one that is cancelled or made due does not
SELECT pg_temp.put('keys', 'd', 1, '1 day') > 0, pg_temp.put('keys', 'd', 2) > 0, pg_temp.put('keys', 'e', 3, '1 day') > 0, pg_temp.put('keys', 'e', 4) > 0;
CALL pg_temp.work_off('keys');
SELECT state, until > now() AS until, waiting, advice FROM durable_work.key_status('keys', 'd');
SELECT ready, delayed, processing, blocked, unfinished FROM durable_work.queue_stats WHERE queue = 'keys';
SELECT durable_work.cancel(id, 'keys') FROM durable_work.inbox WHERE queue = 'keys' AND partition_key = 'd' AND payload ->> 'n' = '1';
SELECT durable_work.reschedule(id, now(), 'keys') FROM durable_work.inbox WHERE queue = 'keys' AND partition_key = 'e' AND payload ->> 'n' = '3';
CALL pg_temp.work_off('keys');

-- blocked until somebody decides
SELECT durable_work.create_queue('keys_hold', ordering => 'key', on_exhausted => 'hold', max_attempts => 1);
SELECT count(pg_temp.put('keys_hold', key, n)) FROM (VALUES ('a', 1), ('a', 2), ('a', 3), ('b', 4), ('b', 5), ('c', 6)) AS job (key, n);
SELECT durable_work.fail(job_id, lease_token, '"broken"') FROM durable_work.claim('keys_hold', 'worker', 100) WHERE payload ->> 'n' <> '6';
SELECT partition_key, ending, reason, error FROM durable_work.blocked_keys('keys_hold') ORDER BY 1;
SELECT state, waiting, blocked_at <= now() AS blocked_at, advice FROM durable_work.key_status('keys_hold', 'a');
SELECT reason, jobs FROM durable_work.explain_waiting('keys_hold') ORDER BY reason;
CALL pg_temp.work_off('keys_hold');
SELECT helper.refusal($$SELECT durable_work.unblock_key('keys_hold', 'a', 'forget')$$);
SELECT helper.refusal($$SELECT durable_work.unblock_key('keys_hold', 'c', 'skip')$$);
SELECT helper.refusal($$SELECT durable_work.unblock_key('no_such_queue', 'c')$$);
SELECT helper.refusal($$SELECT durable_work.unblock_key('keys_hold', NULL)$$);
-- nothing happens before the commit
BEGIN;
SELECT durable_work.unblock_key('keys_hold', 'b', 'skip');
SELECT count(*) FROM durable_work.claim('keys_hold', 'worker');
ROLLBACK;
SELECT count(*) FROM durable_work.blocked_keys('keys_hold');
SELECT durable_work.unblock_key('keys_hold', 'b', 'skip');
CALL pg_temp.work_off('keys_hold');
SELECT durable_work.unblock_key('keys_hold', 'a', 'retry');
CALL durable_work.wait_for_work(ARRAY['keys_hold'], '30 s');
CALL pg_temp.work_off('keys_hold');
SELECT count(*) FROM durable_work.blocked_keys('keys_hold');
SELECT payload ->> 'n' AS n FROM durable_work.dead_letters WHERE queue = 'keys_hold' ORDER BY job_id;

-- those that wait behind the dead one die too, from the commit on; what is enqueued after that goes on
SELECT count(pg_temp.put('keys_hold', key, n)) FROM (VALUES ('h', 1), ('h', 2), ('h', 3), ('i', 4)) AS job (key, n);
SELECT durable_work.fail(job_id, lease_token, '"broken"') FROM durable_work.claim('keys_hold', 'worker', 1);
SELECT id AS last_follower FROM durable_work.inbox WHERE queue = 'keys_hold' AND partition_key = 'h' AND payload ->> 'n' = '3' \gset
BEGIN;
SELECT durable_work.unblock_key('keys_hold', 'h', 'dead_letter');
SELECT partition_key, ending FROM durable_work.blocked_keys('keys_hold');
ROLLBACK;
SELECT partition_key, ending FROM durable_work.blocked_keys('keys_hold');
BEGIN;
SELECT durable_work.unblock_key('keys_hold', 'h', 'dead_letter');
SELECT pg_temp.put('keys_hold', 'h', 5) > 0;
COMMIT;
CALL durable_work.wait_for_job(:last_follower, '30 s');
CALL helper.until($$NOT EXISTS (SELECT FROM durable_work.blocked_keys('keys_hold'))$$);
SELECT payload ->> 'n' AS n, reason FROM durable_work.dead_letters WHERE queue = 'keys_hold' AND partition_key = 'h' ORDER BY job_id;
CALL pg_temp.work_off('keys_hold');

-- rejected; its dead letter is discarded
SELECT count(pg_temp.put('keys_hold', key, n)) FROM (VALUES ('f', 1), ('f', 2), ('g', 3), ('g', 4)) AS job (key, n);
SELECT durable_work.reject(job_id, lease_token, 'nonsense') FROM durable_work.claim('keys_hold', 'worker', 100) ORDER BY job_id;
SELECT durable_work.discard_dead_letter(job_id, 'keys_hold') FROM durable_work.dead_letters WHERE queue = 'keys_hold' AND partition_key = 'f';
SELECT helper.refusal($$SELECT durable_work.unblock_key('keys_hold', 'f', 'retry')$$) ~ '^DW006 . dead letter \d+ is gone';
SELECT partition_key, reason FROM durable_work.blocked_keys('keys_hold') ORDER BY 1;
SELECT durable_work.unblock_key('keys_hold', 'f', 'skip');
CALL pg_temp.work_off('keys_hold');
-- a plain redrive frees the key, too
SELECT durable_work.redrive('keys_hold', job_ids => (SELECT array_agg(job_id) FROM durable_work.dead_letters WHERE queue = 'keys_hold' AND partition_key = 'g'));
CALL durable_work.wait_for_work(ARRAY['keys_hold'], '30 s');
CALL pg_temp.work_off('keys_hold');
SELECT count(*) FROM durable_work.blocked_keys('keys_hold');

-- those behind it die with it
SELECT durable_work.create_queue('keys_dead', ordering => 'key', on_exhausted => 'dead_letter_key', max_attempts => 1);
SELECT count(pg_temp.put('keys_dead', key, n)) FROM (VALUES ('a', 1), ('a', 2), ('a', 3), ('b', 4)) AS job (key, n);
SELECT durable_work.fail(job_id, lease_token, '"broken"') FROM durable_work.claim('keys_dead', 'worker', 1);
SELECT pg_temp.put('keys_dead', 'a', 5) > 0;
SELECT id AS last_follower FROM durable_work.inbox WHERE queue = 'keys_dead' AND payload ->> 'n' = '3' \gset
CALL durable_work.wait_for_job(:last_follower, '30 s');
SELECT payload ->> 'n' AS n, reason FROM durable_work.dead_letters WHERE queue = 'keys_dead' ORDER BY job_id;
-- the key goes on by itself
DO $$ BEGIN
    FOR i IN 1..600 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM durable_work.blocked_keys('keys_dead'));
        PERFORM pg_sleep(0.05);
    END LOOP;
END $$;
CALL pg_temp.work_off('keys_dead');

-- keys by turns
SELECT durable_work.create_queue('keys_fair', fairness => 'key');
SELECT count(pg_temp.put('keys_fair', 'one', n)) FROM generate_series(1, 10) AS n;
SELECT pg_temp.put('keys_fair', 'two', 11) > 0, pg_temp.put('keys_fair', 'three', 12) > 0;
SELECT ready, blocked FROM durable_work.queue_stats WHERE queue = 'keys_fair';
SELECT state, waiting, in_flight, max_in_flight, available FROM durable_work.key_status('keys_fair', 'one');
CALL pg_temp.work_off('keys_fair');
SELECT state, waiting, in_flight, max_in_flight, available FROM durable_work.key_status('keys_fair', 'one');
SELECT helper.refusal($$SELECT durable_work.key_status('limits_none', 'a')$$);
SELECT durable_work.create_queue('keys_none');
SELECT helper.refusal($$SELECT durable_work.key_status('keys_none', 'a')$$);
SELECT helper.refusal($$SELECT durable_work.unblock_key('keys_none', 'a')$$);

-- what the limits for each key hold back
CREATE FUNCTION pg_temp.status(queue text, key text) RETURNS TABLE (state text, n text, until boolean, waiting bigint,
    in_flight bigint, max_in_flight bigint, available bigint, tells_when boolean, advice text) LANGUAGE sql AS $$
SELECT state, (SELECT payload ->> 'n' FROM durable_work.inbox WHERE id = job_id), until > clock_timestamp(), waiting,
    in_flight, max_in_flight, available, next_start_at > clock_timestamp(), advice
FROM durable_work.key_status(queue, key) $$;
SELECT durable_work.set_concurrency_limit('keys_none', 2, scope => 'key');
SELECT * FROM pg_temp.status('keys_none', 'a');
SELECT count(pg_temp.put('keys_none', key, n)) FROM (VALUES ('a', 1), ('a', 2), ('a', 3), ('a', 4), ('b', 5)) AS job (key, n);
SELECT pg_temp.put('keys_none', 'b', 6, '1 day') > 0;
SELECT * FROM pg_temp.status('keys_none', 'a');
SELECT count(*) FROM durable_work.claim('keys_none', 'worker', 100);
SELECT * FROM pg_temp.status('keys_none', 'a');
SELECT * FROM pg_temp.status('keys_none', 'b');
SELECT * FROM pg_temp.status('keys_none', 'c');
SELECT durable_work.complete(job_id, lease_token) FROM durable_work.leases WHERE queue = 'keys_none' AND job_id = (SELECT min(job_id) FROM durable_work.leases WHERE queue = 'keys_none');
SELECT * FROM pg_temp.status('keys_none', 'a');
SELECT helper.refusal($$SELECT durable_work.unblock_key('keys_none', 'a')$$);
SELECT durable_work.set_concurrency_limit('keys_none', 0, scope => 'key');
SELECT * FROM pg_temp.status('keys_none', 'a');
SELECT durable_work.set_concurrency_limit('keys_none', NULL, scope => 'key'), durable_work.set_rate_limit('keys_none', 1, '1 h', scope => 'key');
SELECT * FROM pg_temp.status('keys_none', 'a');
SELECT count(*) FROM durable_work.claim('keys_none', 'worker', 100);
SELECT * FROM pg_temp.status('keys_none', 'a');
SELECT durable_work.set_rate_limit('keys_none', NULL, scope => 'key');
SELECT helper.refusal($$SELECT durable_work.key_status('keys_none', 'a')$$);
-- beside the turns of an ordered queue
SELECT durable_work.set_rate_limit('keys', 1, '1 h', scope => 'key');
SELECT pg_temp.put('keys', 'l', 1) > 0, pg_temp.put('keys', 'l', 2) > 0;
SELECT count(*) FROM durable_work.claim('keys', 'worker', 100);
SELECT * FROM pg_temp.status('keys', 'l');
SELECT durable_work.set_rate_limit('keys', NULL, scope => 'key');
CALL pg_temp.work_off('keys');

-- a key that gets more
CREATE FUNCTION pg_temp.share(n integer) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(partition_key || ' ' || jobs, ', ' ORDER BY partition_key)
   FROM (SELECT partition_key, count(*) AS jobs FROM durable_work.claim('keys_weight', 'worker', n) GROUP BY 1) AS key $$;
SELECT durable_work.create_queue('keys_weight', fairness => 'key');
SELECT count(pg_temp.put('keys_weight', key, n)) FROM generate_series(1, 100) AS n, unnest('{a,b}'::text[]) AS key;
SELECT pg_temp.share(8);
SELECT durable_work.set_key_weight('keys_weight', 'a', 3), durable_work.set_key_weight('keys_weight', 'c', 100);
SELECT pg_temp.share(2);
SELECT pg_temp.share(16);
SELECT * FROM durable_work.key_weights WHERE queue = 'keys_weight' ORDER BY 2;
-- with the transaction, and the savepoint
BEGIN;
SELECT durable_work.set_key_weight('keys_weight', 'a', 1);
SELECT pg_temp.share(4);
ROLLBACK;
SELECT pg_temp.share(4);
BEGIN;
SAVEPOINT one;
SELECT durable_work.set_key_weight('keys_weight', 'a', 100);
ROLLBACK TO one;
SELECT durable_work.set_key_weight('keys_weight', 'c', NULL);
COMMIT;
SELECT pg_temp.share(8);
SELECT * FROM durable_work.key_weights WHERE queue = 'keys_weight' ORDER BY 2;
SELECT durable_work.set_key_weight('keys_weight', 'a', NULL), durable_work.set_key_weight('keys_weight', 'b', 2), durable_work.set_key_weight('keys_weight', 'nobody', 1);
SELECT pg_temp.share(3), pg_temp.share(12);
SELECT * FROM durable_work.key_weights WHERE queue = 'keys_weight' ORDER BY 2;
SELECT helper.refusal($$SELECT durable_work.set_key_weight('keys', 'a', 2)$$);
SELECT helper.refusal($$SELECT durable_work.set_key_weight('keys_weight', 'a', 101)$$);
SELECT helper.refusal($$SELECT durable_work.set_key_weight('keys_weight', NULL, 2)$$);
-- written by hand: the shares follow
CREATE FUNCTION pg_temp.would_get(n integer) RETURNS text LANGUAGE sql AS
$$ WITH claimed AS MATERIALIZED (SELECT * FROM durable_work.claim('keys_weight', 'worker', n)),
        released AS MATERIALIZED (SELECT count(durable_work.release(job_id, lease_token)) FROM claimed)
   SELECT string_agg(partition_key || ' ' || jobs, ', ' ORDER BY partition_key)
   FROM (SELECT partition_key, count(*) AS jobs FROM claimed GROUP BY 1) AS key, released $$;
UPDATE durable_work.key_weight SET weight = 5 WHERE partition_key = 'b';
CALL helper.until($$pg_temp.would_get(12) = 'a 2, b 10'$$);
DELETE FROM durable_work.key_weight WHERE partition_key = 'b';
CALL helper.until($$pg_temp.would_get(12) = 'a 6, b 6'$$);
INSERT INTO durable_work.key_weight SELECT id, 'a', 3 FROM durable_work.queue WHERE name = 'keys_weight';
CALL helper.until($$pg_temp.would_get(12) = 'a 9, b 3'$$);
TRUNCATE durable_work.key_weight;
CALL helper.until($$pg_temp.would_get(12) = 'a 6, b 6'$$);
SELECT durable_work.set_key_weight('keys_weight', 'b', 2);
-- as many as there is room for
BEGIN;
SELECT count(*) FROM generate_series(1, 4095) AS n, LATERAL durable_work.set_key_weight('keys_weight', 'many ' || n, 2);
SELECT helper.refusal($$SELECT durable_work.set_key_weight('keys_weight', 'one more', 2)$$);
SELECT helper.refusal($$SELECT durable_work.set_key_weight('keys_weight', 'b', 3)$$);
SELECT helper.refusal($$SELECT durable_work.set_key_weight('keys_weight', 'many 1', NULL)$$);
SELECT helper.refusal($$SELECT durable_work.set_key_weight('keys_weight', 'one more', 2)$$);
COMMIT;
SELECT helper.refusal($$SELECT durable_work.set_key_weight('keys_weight', 'another', 2)$$) ~ '^53400';
SELECT durable_work.set_key_weight('keys_weight', 'many 2', 1);
SELECT durable_work.set_key_weight('keys_weight', 'another', 2);

-- purge and drop
SELECT count(pg_temp.put('keys', 'p', n)) FROM generate_series(1, 5) AS n;
SELECT durable_work.purge_queue('keys');
SELECT ready, delayed, processing, blocked, unfinished FROM durable_work.queue_stats WHERE queue = 'keys';
SELECT pg_temp.put('keys', 'p', 6) > 0;
CALL pg_temp.work_off('keys');
SELECT durable_work.drop_queue(queue, force => true) FROM unnest(ARRAY['keys', 'keys_hold', 'keys_dead', 'keys_fair', 'keys_none', 'keys_weight']) AS queue;
SELECT count(*) FROM durable_work.blocked_key;
SELECT count(*) FROM durable_work.key_weight;
