-- Transactions: savepoints, exception blocks, rollback after a claim, two-phase commit, read-only, timeouts.
SET client_min_messages = warning;
CREATE TABLE tx_held (job_id bigint, token bigint, n text, attempt int);
CREATE FUNCTION pg_temp.put(n text) RETURNS void LANGUAGE sql AS $$ SELECT FROM durable_work.enqueue('tx', jsonb_build_object('n', n)) $$;
-- Claims until it has as many as wanted and says which, in order.
CREATE FUNCTION pg_temp.take(wanted int DEFAULT 1) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    got int := 0;
    found text := '';
    job record;
    give_up timestamptz := clock_timestamp() + interval '60 s';
BEGIN
    TRUNCATE tx_held;
    WHILE got < wanted LOOP
        FOR job IN SELECT * FROM durable_work.claim('tx', 'w', wanted - got) LOOP
            INSERT INTO tx_held VALUES (job.job_id, job.lease_token, job.payload->>'n', job.attempt);
            found := concat_ws(' ', nullif(found, ''), (job.payload->>'n') || '/' || job.attempt);
            got := got + 1;
        END LOOP;
        IF clock_timestamp() > give_up THEN RETURN found || ' and no more'; END IF;
        PERFORM pg_sleep(0.005) WHERE got < wanted;
    END LOOP;
    RETURN found;
END $$;
CREATE FUNCTION pg_temp.done() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM tx_held WHERE durable_work.complete(job_id, token) $$;
CREATE FUNCTION pg_temp.jobs() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg((payload->>'n') || ' ' || status || ' ' || attempts, ', ' ORDER BY id) FROM durable_work.inbox WHERE queue = 'tx' AND status <> 'completed'
$$;
SELECT durable_work.create_queue('tx', lease => '1 h', max_attempts => 4, backoff => 'fixed', backoff_base => '0', jitter => 0);

-- Enqueue: with the transaction or not at all, savepoint by savepoint.
BEGIN;
SELECT pg_temp.put('a');
SAVEPOINT one;
SELECT pg_temp.put('b');
SAVEPOINT two;
SELECT pg_temp.put('c');
ROLLBACK TO one;
SELECT pg_temp.put('d');
SAVEPOINT three;
SELECT pg_temp.put('e');
RELEASE three;
SELECT count(*) FROM durable_work.claim('tx', 'w');
COMMIT;
SELECT pg_temp.take(3);
SELECT pg_temp.done();
BEGIN;
SELECT pg_temp.put('never');
ROLLBACK;
SELECT pg_temp.jobs();

-- The view, a writable CTE, a trigger, a function with an exception block.
BEGIN;
INSERT INTO durable_work.inbox (queue, payload) VALUES ('tx', '{"n": "by view"}');
WITH made AS (INSERT INTO durable_work.inbox (queue, payload) VALUES ('tx', '{"n": "by cte"}') RETURNING payload) SELECT payload FROM made;
CREATE TABLE tx_order (id int);
CREATE FUNCTION tx_on_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM durable_work.enqueue('tx', jsonb_build_object('n', 'order ' || new.id));
    IF new.id < 0 THEN RAISE EXCEPTION 'no such order'; END IF;
    RETURN new;
END $$;
CREATE TRIGGER tx_on_order AFTER INSERT ON tx_order FOR EACH ROW EXECUTE FUNCTION tx_on_order();
INSERT INTO tx_order VALUES (1);
DO $$
BEGIN
    INSERT INTO tx_order VALUES (2);
    BEGIN
        INSERT INTO tx_order VALUES (3);
        INSERT INTO tx_order VALUES (-4);
    EXCEPTION WHEN OTHERS THEN
        INSERT INTO tx_order VALUES (5);
    END;
END $$;
COMMIT;
SELECT pg_temp.take(5);
SELECT pg_temp.done();

-- A rollback after a claim keeps the attempt charged, over and over, until attempts are used up.
SELECT pg_temp.put('poison');
BEGIN;
SELECT pg_temp.take();
ROLLBACK;
BEGIN;
SELECT pg_temp.take();
ROLLBACK;
BEGIN;
SELECT pg_temp.take();
SELECT 1 / 0;
ROLLBACK;
BEGIN;
SELECT pg_temp.take();
ROLLBACK;
-- The sweep writes the dead letter, as a callback cannot.
DO $$
BEGIN
    FOR i IN 1 .. 10000 LOOP
        EXIT WHEN EXISTS (SELECT FROM durable_work.dead_letters WHERE payload->>'n' = 'poison');
        PERFORM pg_sleep(0.005);
    END LOOP;
END $$;
SELECT attempts FROM durable_work.dead_letters WHERE payload->>'n' = 'poison';
-- The backoff applies.
SELECT durable_work.alter_queue('tx', backoff_base => '1 h', backoff_cap => '1 h');
SELECT pg_temp.put('backs off');
BEGIN;
SELECT pg_temp.take();
ROLLBACK;
SELECT count(*) FROM durable_work.claim('tx', 'w');
SELECT status, attempts, available_at > clock_timestamp() + interval '50 min' AS in_an_hour FROM durable_work.inbox WHERE payload->>'n' = 'backs off';
SELECT durable_work.cancel(id) FROM durable_work.inbox WHERE payload->>'n' = 'backs off';
SELECT durable_work.alter_queue('tx', backoff_base => '0');

-- Claims in savepoints and exception blocks.
SELECT pg_temp.put('f'), pg_temp.put('g');
BEGIN;
SELECT pg_temp.take();
SAVEPOINT s;
SELECT payload->>'n' AS n FROM durable_work.claim('tx', 'w', 1);
ROLLBACK TO s;
COMMIT;
SELECT pg_temp.jobs();
SELECT pg_temp.done();
SELECT pg_temp.take();
SELECT pg_temp.done();
SELECT pg_temp.put('h');
DO $$
BEGIN
    PERFORM pg_temp.take();
    RAISE EXCEPTION 'the worker fails';
EXCEPTION WHEN OTHERS THEN
    NULL;
END $$;
SELECT pg_temp.take();

-- Decisions: each is undone with its savepoint, the lease is as before, and the next decision counts.
BEGIN;
SAVEPOINT s;
SELECT pg_temp.done();
ROLLBACK TO s;
SELECT durable_work.fail(job_id, token) FROM tx_held;
ROLLBACK TO s;
SELECT durable_work.release(job_id, token) FROM tx_held;
ROLLBACK TO s;
SELECT durable_work.defer(job_id, token, now() + interval '1 day') FROM tx_held;
ROLLBACK TO s;
SELECT durable_work.reject(job_id, token, 'no') FROM tx_held;
ROLLBACK TO s;
SELECT durable_work.cancel(job_id) FROM tx_held;
ROLLBACK TO s;
SELECT outcome FROM durable_work.fail_many((SELECT array_agg(job_id) FROM tx_held), (SELECT array_agg(token) FROM tx_held));
ROLLBACK TO s;
SELECT durable_work.complete(job_id, token) AS now, durable_work.complete(job_id, token) AS again FROM tx_held;
RELEASE s;
SELECT durable_work.try_complete(job_id, token) FROM tx_held;
COMMIT;
SELECT durable_work.try_complete(job_id, token) FROM tx_held;
SELECT pg_temp.jobs();
SELECT count(*) FROM durable_work.dead_letters WHERE payload->>'n' = 'h';

-- Business write and completion are one: what fails undoes both, what a stale token does as well.
SELECT pg_temp.put('i');
SELECT pg_temp.take();
CREATE TABLE tx_receipt (n text PRIMARY KEY);
INSERT INTO tx_receipt VALUES ('i');
BEGIN;
SELECT pg_temp.done();
INSERT INTO tx_receipt SELECT n FROM tx_held;
COMMIT;
SELECT durable_work.try_complete(job_id, token) FROM tx_held;
\set VERBOSITY sqlstate
BEGIN;
INSERT INTO tx_receipt VALUES ('stale');
SELECT durable_work.complete(job_id, token + 1) FROM tx_held;
COMMIT;
\set VERBOSITY default
SELECT * FROM tx_receipt;

-- A job that is enqueued by the transaction that completes another.
SELECT pg_temp.put('parent');
SELECT pg_temp.take();
BEGIN;
SELECT pg_temp.put('child');
SELECT pg_temp.done();
ROLLBACK;
SELECT pg_temp.jobs();
BEGIN;
SELECT pg_temp.put('child');
SELECT pg_temp.done();
COMMIT;
SELECT pg_temp.take();
SELECT pg_temp.done();

-- Two-phase commit: see two_phase. What was undone before leaves nothing to be refused.
BEGIN;
SAVEPOINT s;
SELECT pg_temp.put('undone');
SELECT count(*) FROM durable_work.claim('tx', 'w');
ROLLBACK TO s;
SELECT count(*) FROM durable_work.claim('tx', 'w');
INSERT INTO tx_receipt VALUES ('prepared');
PREPARE TRANSACTION 'tx 5';
COMMIT PREPARED 'tx 5';
SELECT pg_temp.jobs();

-- Read only.
\set VERBOSITY sqlstate
BEGIN READ ONLY;
SELECT pg_temp.put('read only');
ROLLBACK;
BEGIN READ ONLY;
SELECT count(*) FROM durable_work.claim('tx', 'w');
ROLLBACK;
BEGIN READ ONLY;
SELECT durable_work.complete(job_id, token) FROM tx_held;
ROLLBACK;
BEGIN READ ONLY;
SELECT durable_work.heartbeat('w');
ROLLBACK;
BEGIN READ ONLY;
INSERT INTO durable_work.inbox (queue, payload) VALUES ('tx', '{}');
ROLLBACK;
BEGIN READ ONLY;
SELECT durable_work.create_queue('read_only');
ROLLBACK;
\set VERBOSITY default
BEGIN READ ONLY;
SELECT count(*) FROM durable_work.queues WHERE queue = 'tx';
SELECT count(*) >= 0 AS readable FROM durable_work.inbox;
SELECT count(*) FROM durable_work.leases WHERE queue = 'tx';
COMMIT;

-- statement_timeout and lock_timeout while a call does its work: nothing of it remains.
SET statement_timeout = '50 ms';
\set VERBOSITY sqlstate
SELECT count(*), pg_sleep(60) FROM (SELECT durable_work.enqueue('tx', '{"n": "timed out"}') FROM generate_series(1, 10)) e GROUP BY ();
RESET statement_timeout;
SELECT pg_temp.put('k');
SET statement_timeout = '50 ms';
SELECT c.*, pg_sleep(60) FROM durable_work.claim('tx', 'w') c;
RESET statement_timeout;
\set VERBOSITY default
SELECT regexp_replace(pg_temp.take(), '/[12]$', '');
SET statement_timeout = '50 ms';
\set VERBOSITY sqlstate
SELECT durable_work.complete(job_id, token), pg_sleep(60) FROM tx_held;
RESET statement_timeout;
\set VERBOSITY default
SELECT pg_temp.done();
SELECT pg_temp.jobs();

-- A cursor that is read bit by bit, and one that is closed early: what was claimed is claimed.
SELECT pg_temp.put('l'), pg_temp.put('m'), pg_temp.put('o');
BEGIN;
DECLARE bits CURSOR FOR SELECT payload->>'n' AS n FROM durable_work.claim('tx', 'w');
FETCH 1 FROM bits;
FETCH 1 FROM bits;
CLOSE bits;
COMMIT;
SELECT pg_temp.jobs();
SELECT count(durable_work.release(job_id, lease_token)) FROM durable_work.leases WHERE queue = 'tx';
-- Claim in odd places: LIMIT, a subquery that is never read, a prepared statement, a function.
SELECT payload->>'n' AS n FROM durable_work.claim('tx', 'w', 2) LIMIT 1;
SELECT 1 AS one WHERE false AND EXISTS (SELECT FROM durable_work.claim('tx', 'w'));
SELECT pg_temp.jobs();
SELECT count(durable_work.release(job_id, lease_token)) FROM durable_work.leases WHERE queue = 'tx';
PREPARE claiming (int) AS SELECT payload->>'n' AS n FROM durable_work.claim('tx', 'w', $1);
EXECUTE claiming(1);
EXECUTE claiming(5);
EXECUTE claiming(5);
DEALLOCATE claiming;

-- REPEATABLE READ and SERIALIZABLE.
SELECT count(durable_work.release(job_id, lease_token)) FROM durable_work.leases WHERE queue = 'tx';
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT pg_temp.put('p');
SELECT count(*) FROM durable_work.claim('tx', 'w', 1);
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT pg_temp.put('q');
SELECT pg_temp.take(2);
SELECT pg_temp.done();
COMMIT;
SELECT pg_temp.jobs();

-- Queues in transactions.
BEGIN;
SELECT durable_work.create_queue('tx_new');
SELECT inserted FROM durable_work.enqueue('tx_new', '{"n": "new"}');
SELECT count(*) FROM durable_work.claim('tx_new', 'w');
COMMIT;
SELECT payload->>'n' AS n FROM durable_work.claim('tx_new', 'w');
BEGIN;
SELECT durable_work.drop_queue('tx_new', force => true);
SELECT durable_work.create_queue('tx_new', lease => '5 s');
SELECT inserted FROM durable_work.enqueue('tx_new', '{"n": "newer"}');
COMMIT;
SELECT lease FROM durable_work.queues WHERE queue = 'tx_new';
SELECT payload->>'n' AS n FROM durable_work.claim('tx_new', 'w');
BEGIN;
SELECT durable_work.drop_queue('tx_new', force => true);
ROLLBACK;
SELECT count(*) FROM durable_work.heartbeat('w') WHERE queue = 'tx_new';
BEGIN;
SAVEPOINT s;
SELECT durable_work.create_queue('tx_never');
ROLLBACK TO s;
SELECT durable_work.enqueue('tx_never', '{}');
ROLLBACK;

-- What counts is the change that was not undone, for claims as for the view.
BEGIN;
SELECT durable_work.alter_queue('tx_new', lease => '1 h');
SAVEPOINT s;
SELECT durable_work.alter_queue('tx_new', lease => '9 h');
SELECT durable_work.pause_queue('tx_new');
ROLLBACK TO s;
COMMIT;
SELECT lease, paused FROM durable_work.queues WHERE queue = 'tx_new';
SELECT inserted FROM durable_work.enqueue('tx_new', '{"n": "an hour"}');
SELECT payload->>'n' AS n, lease_expires_at < clock_timestamp() + interval '2 h' AS an_hour FROM durable_work.claim('tx_new', 'w');
-- Cancelled twice by one transaction.
SELECT inserted FROM durable_work.enqueue('tx_new', '{"n": "unwanted"}', delay => '1 min');
BEGIN;
SELECT durable_work.cancel(id) FROM durable_work.inbox WHERE payload->>'n' = 'unwanted';
SELECT durable_work.cancel(id) FROM durable_work.inbox WHERE payload->>'n' = 'unwanted';
COMMIT;

SELECT durable_work.drop_queue('tx', force => true), durable_work.drop_queue('tx_new', force => true);
DROP TABLE tx_held, tx_order, tx_receipt;
DROP FUNCTION tx_on_order;
