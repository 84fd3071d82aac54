-- PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED. The housekeeper deals with the end a moment later.
SET client_min_messages = warning;
CREATE TABLE two_receipt (n text);
CREATE TABLE two_held (job_id bigint, token bigint, n text);
CREATE FUNCTION pg_temp.put(n text) RETURNS void LANGUAGE sql AS $$ SELECT FROM durable_work.enqueue('two', jsonb_build_object('n', n)) $$;
-- Claims until it has as many as wanted and says which.
CREATE FUNCTION pg_temp.take(wanted int DEFAULT 1, queue text DEFAULT 'two') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    give_up timestamptz := clock_timestamp() + interval '60 s';
BEGIN
    TRUNCATE two_held;
    WHILE (SELECT count(*) FROM two_held) < wanted AND clock_timestamp() < give_up LOOP
        INSERT INTO two_held SELECT job_id, lease_token, payload->>'n'
            FROM durable_work.claim(queue, 'w', wanted - (SELECT count(*) FROM two_held)::int);
        PERFORM pg_sleep(0.005);
    END LOOP;
    RETURN (SELECT string_agg(n, ' ' ORDER BY job_id) FROM two_held);
END $$;
CREATE FUNCTION pg_temp.id(name text) RETURNS bigint LANGUAGE sql AS $$ SELECT id FROM durable_work.inbox WHERE queue = 'two' AND payload->>'n' = name $$;
-- Nothing is left in memory of what was prepared: no job is being decided, and memory counts what the log has.
CREATE FUNCTION pg_temp.settled() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    give_up timestamptz := clock_timestamp() + interval '60 s';
    good bool;
BEGIN
    LOOP
        SELECT bool_and(s.unfinished IS NOT DISTINCT FROM (SELECT count(*) FROM durable_work.inbox i WHERE i.queue = s.queue AND i.status IN ('pending', 'processing')))
            AND NOT EXISTS (SELECT FROM durable_work.inbox i, durable_work.explain_job(i.id) e WHERE i.queue LIKE 'two%' AND e.next_action ~ 'decides')
            INTO good FROM durable_work.queue_stats s WHERE s.queue LIKE 'two%';
        IF good THEN RETURN 'yes'; END IF;
        IF clock_timestamp() > give_up THEN RETURN 'no'; END IF;
        PERFORM pg_sleep(0.005);
    END LOOP;
END $$;
CREATE FUNCTION pg_temp.jobs() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg((payload->>'n') || ' ' || status, ', ' ORDER BY id) FROM durable_work.inbox WHERE queue = 'two' AND status <> 'completed'
$$;
SELECT durable_work.create_queue('two', lease => '1 h', max_attempts => 4, backoff => 'fixed', backoff_base => '0', jitter => 0);

-- Enqueue.
BEGIN;
SELECT pg_temp.put('a');
SAVEPOINT s;
SELECT pg_temp.put('undone');
ROLLBACK TO s;
INSERT INTO two_receipt VALUES ('a');
PREPARE TRANSACTION 'two 1';
SELECT count(*) FROM durable_work.claim('two', 'w', 10);
BEGIN;
SELECT pg_temp.put('b');
PREPARE TRANSACTION 'two 2';
COMMIT PREPARED 'two 1';
ROLLBACK PREPARED 'two 2';
SELECT pg_temp.take();
SELECT pg_temp.settled();
SELECT n FROM two_receipt;

-- The job is decided by nobody else until the end, and then it is what the end says.
BEGIN;
SELECT durable_work.complete(job_id, token) FROM two_held;
INSERT INTO two_receipt VALUES ('done');
PREPARE TRANSACTION 'two 3';
\set VERBOSITY sqlstate
SELECT durable_work.complete(job_id, token) FROM two_held;
SELECT durable_work.cancel(job_id) FROM two_held;
\set VERBOSITY default
SELECT durable_work.extend_lease(job_id, token) > now() AS extended FROM two_held;
SELECT status, next_action, reason FROM durable_work.explain_job((SELECT job_id FROM two_held));
ROLLBACK PREPARED 'two 3';
SELECT pg_temp.settled();
BEGIN;
SELECT durable_work.complete(job_id, token) FROM two_held;
PREPARE TRANSACTION 'two 4';
COMMIT PREPARED 'two 4';
SELECT pg_temp.settled();
SELECT durable_work.complete(job_id, token) FROM two_held;
SELECT pg_temp.jobs();

-- Failures, releases, deferrals.
SELECT pg_temp.put('f'), pg_temp.put('g'), pg_temp.put('h'), pg_temp.put('i');
SELECT pg_temp.take(4);
BEGIN;
SELECT durable_work.fail(job_id, token, retry_in => '0') FROM two_held WHERE n = 'f';
SELECT durable_work.release(job_id, token) FROM two_held WHERE n = 'g';
SELECT durable_work.defer(job_id, token, now() + interval '1 h') FROM two_held WHERE n = 'h';
SELECT durable_work.reject(job_id, token, 'no') FROM two_held WHERE n = 'i';
PREPARE TRANSACTION 'two 5';
SELECT count(*) FROM durable_work.claim('two', 'w', 10);
COMMIT PREPARED 'two 5';
SELECT pg_temp.settled();
SELECT payload->>'n' AS n, status, attempts, available_at > now() AS later FROM durable_work.inbox WHERE queue = 'two' AND status <> 'completed' ORDER BY id;

-- Changes of jobs that wait, with savepoints around them.
BEGIN;
SELECT durable_work.reschedule(pg_temp.id('f'), now() + interval '2 h');
SAVEPOINT s;
SELECT durable_work.update_payload(pg_temp.id('f'), '{"n": "F", "lost": true}');
ROLLBACK TO s;
SELECT durable_work.update_payload(pg_temp.id('g'), '{"n": "G"}');
SELECT durable_work.reschedule(pg_temp.id('h'), now() - interval '1 s');
PREPARE TRANSACTION 'two 6';
SELECT count(*) FROM durable_work.claim('two', 'w', 10);
COMMIT PREPARED 'two 6';
SELECT pg_temp.settled();
SELECT pg_temp.take(2);
BEGIN;
SELECT durable_work.cancel(pg_temp.id('f'));
SELECT durable_work.cancel(pg_temp.id('G'));
PREPARE TRANSACTION 'two 7';
COMMIT PREPARED 'two 7';
SELECT pg_temp.settled();
SELECT pg_temp.jobs();

-- Dead letters.
BEGIN;
SELECT durable_work.redrive('two');
PREPARE TRANSACTION 'two 8';
ROLLBACK PREPARED 'two 8';
BEGIN;
SELECT durable_work.redrive('two');
PREPARE TRANSACTION 'two 9';
SET statement_timeout = '200ms';
\set VERBOSITY sqlstate
SELECT durable_work.redrive('two');
\set VERBOSITY default
RESET statement_timeout;
COMMIT PREPARED 'two 9';
SELECT pg_temp.take();
SELECT pg_temp.settled();

-- Idempotency keys: another producer waits for the end, as for that of any transaction.
BEGIN;
SELECT inserted FROM durable_work.enqueue('two', '{"n": "k"}', idempotency_key => 'k');
PREPARE TRANSACTION 'two 10';
SET statement_timeout = '200ms';
\set VERBOSITY sqlstate
SELECT inserted FROM durable_work.enqueue('two', '{"n": "k"}', idempotency_key => 'k');
\set VERBOSITY default
RESET statement_timeout;
COMMIT PREPARED 'two 10';
SELECT inserted FROM durable_work.enqueue('two', '{"n": "k"}', idempotency_key => 'k');
BEGIN;
SELECT inserted FROM durable_work.enqueue('two', '{"n": "K"}', idempotency_key => 'k', on_duplicate => 'replace');
PREPARE TRANSACTION 'two 11';
SELECT count(*) FROM durable_work.claim('two', 'w', 10);
COMMIT PREPARED 'two 11';
SELECT pg_temp.take();
SELECT pg_temp.settled();

-- Room of a queue of limited length, kept by what is prepared.
SELECT durable_work.create_queue('two limited', max_length => 2);
SELECT durable_work.create_queue('two dropping', max_length => 1, overflow => 'drop_oldest');
BEGIN;
SELECT FROM durable_work.enqueue('two limited', '1');
SELECT FROM durable_work.enqueue('two limited', '2');
PREPARE TRANSACTION 'two 12';
\set VERBOSITY sqlstate
SELECT FROM durable_work.enqueue('two limited', '3');
\set VERBOSITY default
ROLLBACK PREPARED 'two 12';
SELECT pg_temp.settled();
SELECT count(*) FROM durable_work.enqueue_many('two limited', '{1,2}'), pg_sleep(0);
SELECT FROM durable_work.enqueue('two dropping', '"old"');
BEGIN;
SELECT FROM durable_work.enqueue('two dropping', '"new"');
PREPARE TRANSACTION 'two 13';
ROLLBACK PREPARED 'two 13';
SELECT pg_temp.settled();
SELECT payload, status FROM durable_work.inbox WHERE queue = 'two dropping';
BEGIN;
SELECT FROM durable_work.enqueue('two dropping', '"new"');
PREPARE TRANSACTION 'two 14';
COMMIT PREPARED 'two 14';
SELECT pg_temp.settled();
SELECT payload, status FROM durable_work.inbox WHERE queue = 'two dropping' ORDER BY id;

-- What is refused, and why.
SELECT pg_temp.put('claimed');
BEGIN;
SELECT count(*) >= 0 AS claimed FROM durable_work.claim('two', 'w'), pg_sleep(0);
PREPARE TRANSACTION 'two refused';
BEGIN;
SELECT durable_work.create_queue('two new');
PREPARE TRANSACTION 'two refused';
BEGIN;
SELECT durable_work.pause_queue('two');
PREPARE TRANSACTION 'two refused';
BEGIN;
SELECT durable_work.drop_queue('two limited', force => true);
PREPARE TRANSACTION 'two refused';
BEGIN;
SELECT durable_work.purge_queue('two limited');
PREPARE TRANSACTION 'two refused';
SELECT inserted FROM durable_work.enqueue('two', '{"n": "held"}', idempotency_key => 'held', delay => '1 h');
BEGIN;
SELECT inserted FROM durable_work.enqueue('two', '{"n": "held"}', idempotency_key => 'held', unique_while => 'pending');
PREPARE TRANSACTION 'two refused';
SELECT count(*) FROM pg_prepared_xacts;
SELECT pg_temp.settled();

-- Queues and the extension are not dropped from under a prepared transaction.
BEGIN;
SELECT FROM durable_work.enqueue('two dropping', '"newer"');
PREPARE TRANSACTION 'two 15';
SET lock_timeout = '100ms';
\set VERBOSITY sqlstate
DROP EXTENSION durable_work CASCADE;
SELECT durable_work.drop_queue('two dropping', force => true);
\set VERBOSITY default
RESET lock_timeout;
ROLLBACK PREPARED 'two 15';
SELECT pg_temp.settled();

SELECT durable_work.drop_queue(queue, force => true) FROM durable_work.queues WHERE queue LIKE 'two%' ORDER BY queue;
DROP TABLE two_receipt, two_held;
