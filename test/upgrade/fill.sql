-- Jobs in every state, for the tests of upgrades: ./scripts/freeze runs this on the version that is about to be frozen
-- and keeps the rows. Each payload says what the job is called and what it must be after the rows were read back on
-- another server: leases do not survive that, so what was held is pending.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE SCHEMA filler;
CREATE FUNCTION filler.job(n text, state text) RETURNS jsonb LANGUAGE sql AS $$SELECT jsonb_build_object('n', n, 'is', state)$$;
-- Right after a start one claim may return fewer.
CREATE TABLE filler.held (job_id bigint, token bigint, n text);
CREATE FUNCTION filler.take(queue text, wanted int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    got int := 0;
    now_got int;
BEGIN
    WHILE got < wanted LOOP
        INSERT INTO filler.held
            SELECT c.job_id, c.lease_token, c.payload ->> 'n' FROM durable_work.claim(queue, 'filler', wanted - got, lease => '1 h') c;
        GET DIAGNOSTICS now_got = ROW_COUNT;
        got := got + now_got;
    END LOOP;
END
$$;

-- Queues: with other options than the usual ones, paused, lazily made, of limited length, to be dropped.
SELECT durable_work.create_queue('dead end', max_attempts => 3);
SELECT durable_work.create_queue('main', lease => '5 min', max_attempts => 7, backoff => 'fixed', backoff_base => '0', jitter => 0,
    dead_letter_queue => 'dead end', dedupe_window => '36500 days', retention => '36500 days');
SELECT durable_work.create_queue('recorded', durable_claims => true, strict => true, backoff => 'fixed', backoff_base => '0', jitter => 0, max_runtime => '1 h');
SELECT durable_work.create_queue('once', delivery => 'at_most_once');
SELECT durable_work.create_queue('paused');
SELECT durable_work.create_queue('short', max_length => 2, overflow => 'reject', max_payload => '2 kB');
SELECT durable_work.create_queue('broken', max_attempts => 1);
SELECT durable_work.create_queue('dropped');
SELECT durable_work.create_queue('emptied');

-- Finished ones first, each on its own.
SELECT durable_work.enqueue('main', filler.job('completed', 'completed'), partition_key => 'p');
SELECT durable_work.enqueue('main', filler.job('completed with a result', 'completed'), headers => '{"h": 1}');
SELECT durable_work.enqueue('main', filler.job('failed once, completed', 'completed'));
SELECT filler.take('main', 3);
SELECT durable_work.complete(job_id, token) FROM filler.held WHERE n = 'completed';
SELECT durable_work.complete(job_id, token, '{"sum": 7}') FROM filler.held WHERE n = 'completed with a result';
SELECT durable_work.fail(job_id, token, '{"why": "first"}', retry_in => '0') FROM filler.held WHERE n = 'failed once, completed';
TRUNCATE filler.held;
SELECT filler.take('main', 1);
SELECT durable_work.complete(job_id, token) FROM filler.held;
TRUNCATE filler.held;
SELECT count(*) FROM durable_work.enqueue_many('main', (SELECT array_agg(filler.job('batch ' || i, 'completed')) FROM generate_series(1, 40) i));
SELECT filler.take('main', 40);
SELECT count(*) FROM durable_work.complete_many((SELECT array_agg(job_id ORDER BY job_id) FROM filler.held), (SELECT array_agg(token ORDER BY job_id) FROM filler.held));
TRUNCATE filler.held;
SELECT job_id FROM durable_work.enqueue('main', filler.job('cancelled', 'cancelled')) \gset
SELECT durable_work.cancel(:job_id);
SELECT job_id FROM durable_work.enqueue('main', filler.job('cancelled while parked', 'cancelled'), delay => '20000 days') \gset
SELECT durable_work.cancel(:job_id);
SELECT count(*) FROM durable_work.enqueue_many('main', (SELECT array_agg(filler.job('cancelled of many', 'cancelled')) FROM generate_series(1, 5)), partition_keys => array_fill('gone'::text, '{5}'));
SELECT jobs FROM durable_work.cancel_many('main', partition_key => 'gone');

-- Dead letters: rejected, out of attempts with a copy in another queue, redriven, discarded.
SELECT durable_work.enqueue('main', filler.job('rejected', 'dead_letter'));
SELECT filler.take('main', 1);
SELECT durable_work.reject(job_id, token, 'poison') FROM filler.held;
TRUNCATE filler.held;
SELECT count(*) FROM durable_work.enqueue_many('broken', (SELECT array_agg(filler.job('broken ' || i, CASE WHEN i <= 3 THEN 'being redriven' ELSE 'dead_letter' END)) FROM generate_series(1, 6) i));
SELECT durable_work.enqueue('broken', filler.job('redriven', 'pending'));
SELECT filler.take('broken', 7);
SELECT durable_work.fail(job_id, token, jsonb_build_object('why', n)) FROM filler.held;
SELECT durable_work.redrive('broken', job_ids => ARRAY[job_id]) FROM filler.held WHERE n = 'redriven';
-- One in a quarter of an hour, so that it is under way when the rows are kept.
SELECT durable_work.redrive('broken', error_like => '%broken%', rate_per_second => 0.001, max_jobs => 3);
TRUNCATE filler.held;

-- What is to be done.
SELECT durable_work.enqueue('main', filler.job('retried', 'pending'));
SELECT durable_work.enqueue('main', filler.job('retried later', 'pending'));
SELECT durable_work.enqueue('main', filler.job('deferred', 'pending'));
SELECT filler.take('main', 3);
SELECT durable_work.fail(job_id, token, '{"why": "again"}', retry_in => '0') FROM filler.held WHERE n = 'retried';
SELECT durable_work.fail(job_id, token, '{"why": "later"}', retry_in => '300 days') FROM filler.held WHERE n = 'retried later';
SELECT durable_work.defer(job_id, token, '2090-01-01 UTC') FROM filler.held WHERE n = 'deferred';
TRUNCATE filler.held;
SELECT durable_work.enqueue('main', filler.job('ready', 'pending'), partition_key => 'p', headers => '{"h": 2}');
SELECT durable_work.enqueue('main', filler.job('urgent', 'pending'), priority => 1);
SELECT durable_work.enqueue('main', filler.job('delayed', 'pending'), delay => '10 min');
SELECT durable_work.enqueue('main', filler.job('parked', 'pending'), available_at => '2090-01-01 UTC');
SELECT durable_work.enqueue('main', filler.job('expires one day', 'pending'), available_at => '2090-01-01 UTC', expires_at => '2091-01-01 UTC');
SELECT durable_work.enqueue('main', filler.job('with a key', 'pending'), idempotency_key => 'key');
SELECT durable_work.enqueue('main', filler.job('one at a time', 'pending'), idempotency_key => 'one', unique_while => 'active');
SELECT job_id FROM durable_work.enqueue('main', filler.job('put off', 'pending')) \gset
SELECT durable_work.reschedule(:job_id, '2090-01-01 UTC');
SELECT job_id FROM durable_work.enqueue('main', filler.job('as it was', 'never')) \gset
SELECT durable_work.update_payload(:job_id, filler.job('changed', 'pending'));
SELECT durable_work.enqueue('default', filler.job('of the default queue', 'pending'));
SELECT durable_work.enqueue('paused', filler.job('paused', 'pending'));
SELECT durable_work.pause_queue('paused');
SELECT durable_work.enqueue('short', filler.job('short ' || i, 'pending')) FROM generate_series(1, 2) i;
SELECT durable_work.enqueue('once', filler.job('at most once', 'pending'));
SELECT durable_work.enqueue('dropped', filler.job('of a dropped queue', 'gone'));
SELECT durable_work.drop_queue('dropped', force => true);
SELECT durable_work.enqueue('emptied', filler.job('purged ' || i, 'cancelled'), idempotency_key => 'purged ' || i) FROM generate_series(1, 3) i;
SELECT durable_work.purge_queue('emptied');

-- Held at the end: with and without a record of the claim.
SELECT durable_work.enqueue('recorded', filler.job('held, recorded', 'pending'));
-- A plain SELECT, as recorded claims must be.
SELECT count(*) FROM durable_work.claim('recorded', 'filler', 1);
SELECT durable_work.enqueue('main', filler.job('held', 'pending'), priority => 0);
SELECT filler.take('main', 1);

SELECT durable_work.mark_handled('mail', 'order 1', dedupe_window => '36500 days');
SELECT durable_work.fence('file', 77);
DROP SCHEMA filler CASCADE;
