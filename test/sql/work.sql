-- Working: claiming, deciding, waiting. Ids and tokens differ from run to run, so they are shown as N.
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS durable_work;

CREATE FUNCTION pg_temp.status_of(n int) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', status, attempts, claimed_by) FROM durable_work.inbox WHERE queue LIKE 'work%' AND payload = jsonb_build_object('n', n)
$$;
CREATE FUNCTION pg_temp.produce(queue text, first int, last int, priority int DEFAULT 4) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM generate_series(first, last) AS n, durable_work.enqueue(queue, jsonb_build_object('n', n), priority => priority)
$$;
CREATE TEMP TABLE held (job_id bigint, lease_token bigint, n int, attempt int, queue text);
-- Claims, remembers the leases, and shows what came, in the order it came.
CREATE FUNCTION pg_temp.take(queue text, max_jobs int DEFAULT 25, worker text DEFAULT 'anna', lease interval DEFAULT NULL) RETURNS text
LANGUAGE sql AS $$
    WITH claimed AS MATERIALIZED (
        SELECT * FROM durable_work.claim(take.queue, worker, max_jobs, lease) WITH ORDINALITY),
    kept AS (
        INSERT INTO held SELECT c.job_id, c.lease_token, (c.payload->>'n')::int, c.attempt, c.queue FROM claimed AS c ORDER BY ordinality RETURNING n, attempt)
    SELECT string_agg(n || '#' || attempt, ' ') FROM kept
$$;
-- The latest lease of job n.
CREATE FUNCTION pg_temp.job(wanted int) RETURNS bigint LANGUAGE sql AS
    'SELECT job_id FROM held WHERE n = wanted ORDER BY lease_token DESC LIMIT 1';
CREATE FUNCTION pg_temp.token(wanted int) RETURNS bigint LANGUAGE sql AS
    'SELECT max(lease_token) FROM held WHERE n = wanted';
CREATE FUNCTION pg_temp.first_token(wanted int) RETURNS bigint LANGUAGE sql AS
    'SELECT min(lease_token) FROM held WHERE n = wanted';

SELECT durable_work.create_queue(name, lease => '1 h', max_attempts => 3, backoff => 'fixed', backoff_base => '0 s', backoff_cap => '0 s', jitter => 0)
FROM unnest(ARRAY['work_a', 'work_b']) AS name;

-- A claim comes in the order of priority, then id; of several queues in the order named; and no further than asked.
SELECT pg_temp.produce('work_a', 1, 3);
SELECT pg_temp.produce('work_a', 4, 5, priority => 0);
SELECT pg_temp.produce('work_b', 6, 7);
SELECT pg_temp.take('work_a', 3);
SELECT string_agg(queue || ':' || (payload->>'n'), ' ' ORDER BY ordinality)
FROM durable_work.claim(ARRAY['work_b', 'work_a'], 'bert', max_jobs => 3) WITH ORDINALITY;
SELECT pg_temp.take('work_a'), pg_temp.take('work_a');
-- What was given to bert is not in our table; give it back.
SELECT count(durable_work.release(job_id, lease_token)) FROM durable_work.leases WHERE worker = 'bert';
SELECT pg_temp.take('work_b');

-- complete: true now, false again by the same token, stale by another.
SELECT durable_work.complete(pg_temp.job(1), pg_temp.token(1), '{"done": true}');
SELECT durable_work.complete(pg_temp.job(1), pg_temp.token(1));
SELECT durable_work.try_complete(pg_temp.job(1), pg_temp.token(1));
SELECT helper.answer(format('SELECT durable_work.complete(%s, %s)', pg_temp.job(1), pg_temp.token(1) + 1));
SELECT durable_work.try_complete(pg_temp.job(1), pg_temp.token(1) + 1);
SELECT helper.answer(format('SELECT durable_work.fail(%s, %s)', pg_temp.job(1), pg_temp.token(1)));
SELECT status, result, attempts FROM durable_work.inbox WHERE id = pg_temp.job(1);
-- The answer is the same inside of one transaction, one statement, and after a savepoint is rolled back.
BEGIN;
SELECT durable_work.complete(pg_temp.job(4), pg_temp.token(4)), durable_work.complete(pg_temp.job(4), pg_temp.token(4));
SELECT durable_work.complete(pg_temp.job(4), pg_temp.token(4));
SELECT helper.answer(format('SELECT durable_work.release(%s, %s)', pg_temp.job(4), pg_temp.token(4)));
ROLLBACK;
BEGIN;
SELECT durable_work.release(pg_temp.job(4), pg_temp.token(4));
SELECT helper.answer(format('SELECT durable_work.complete(%s, %s)', pg_temp.job(4), pg_temp.token(4)));
ROLLBACK;
SELECT pg_temp.status_of(4);
BEGIN;
SAVEPOINT s;
SELECT durable_work.complete(pg_temp.job(4), pg_temp.token(4));
ROLLBACK TO s;
SELECT durable_work.complete(pg_temp.job(4), pg_temp.token(4));
COMMIT;
SELECT pg_temp.status_of(4);
-- complete_many: one row each, in the order given, whatever becomes of it.
SELECT pg_temp.take('work_a');
SELECT string_agg(outcome, ' ' ORDER BY ordinality) FROM durable_work.complete_many(
    ARRAY[pg_temp.job(7), pg_temp.job(4), pg_temp.job(6), pg_temp.job(7), pg_temp.job(6)],
    ARRAY[pg_temp.token(7), pg_temp.token(4), pg_temp.token(6), pg_temp.token(7), pg_temp.token(6) + 1],
    ARRAY[NULL, NULL, '"six"', NULL, NULL]::jsonb[]) WITH ORDINALITY;
SELECT payload, status, result FROM durable_work.inbox WHERE queue = 'work_b' ORDER BY id;
SELECT count(*) FROM durable_work.complete_many('{}', '{}');

-- fail: the attempt is charged and the job comes back, until no attempt is left.
SELECT pg_temp.produce('work_a', 10, 13);
SELECT pg_temp.take('work_a');
SELECT durable_work.fail(pg_temp.job(10), pg_temp.token(10), '{"code": 1}');
SELECT pg_temp.take('work_a');
SELECT durable_work.fail(pg_temp.job(10), pg_temp.token(10), '{"code": 2}', retry_in => '1 h');
SELECT pg_temp.status_of(10), pg_temp.take('work_a');
SELECT available_at - now() BETWEEN interval '59 min' AND interval '1 h', last_error FROM durable_work.inbox WHERE id = pg_temp.job(10);
SELECT durable_work.fail(pg_temp.job(11), pg_temp.token(11), '"odd"', retryable => false);
SELECT string_agg(outcome, ' ' ORDER BY ordinality) FROM durable_work.fail_many(
    ARRAY[pg_temp.job(12), pg_temp.job(10), pg_temp.job(12)], ARRAY[pg_temp.token(12), pg_temp.token(10), pg_temp.token(12)],
    ARRAY['{"code": 3}', NULL, NULL]::jsonb[]) WITH ORDINALITY;
SELECT pg_temp.take('work_a');
SELECT durable_work.fail(pg_temp.job(12), pg_temp.token(12), '{"code": 4}');
SELECT pg_temp.take('work_a');
SELECT durable_work.fail(pg_temp.job(12), pg_temp.token(12), '{"code": 5}');
SELECT durable_work.reject(pg_temp.job(13), pg_temp.token(13), 'cannot be parsed');
SELECT payload, attempts, reason, jsonb_path_query_array(history, '$[*].error'), jsonb_path_query_array(history, '$[*].event')
FROM durable_work.dead_letters WHERE queue = 'work_a' ORDER BY job_id;
SELECT helper.answer(format('SELECT durable_work.complete(%s, %s)', pg_temp.job(12), pg_temp.token(12)));
SELECT helper.answer(format('SELECT durable_work.extend_lease(%s, %s)', pg_temp.job(13), pg_temp.token(13)));
SELECT pg_temp.status_of(13);

-- release and defer give the attempt back.
SELECT pg_temp.produce('work_a', 20, 21);
SELECT pg_temp.take('work_a');
SELECT durable_work.release(pg_temp.job(20), pg_temp.token(20));
SELECT durable_work.defer(pg_temp.job(21), pg_temp.token(21), now() + interval '1 h');
SELECT pg_temp.status_of(20), pg_temp.status_of(21);
SELECT pg_temp.take('work_a');
SELECT durable_work.defer(pg_temp.job(20), pg_temp.token(20), 'yesterday');
SELECT pg_temp.take('work_a');
SELECT helper.answer(format('SELECT durable_work.complete(%s, %s)', pg_temp.job(20), pg_temp.first_token(20)));

-- A claim that is rolled back is charged.
SELECT durable_work.complete(pg_temp.job(20), pg_temp.token(20));
SELECT pg_temp.produce('work_a', 22, 22);
BEGIN;
SELECT pg_temp.take('work_a');
ROLLBACK;
SELECT pg_temp.status_of(22);
SELECT pg_temp.take('work_a');
SELECT durable_work.release(pg_temp.job(22), pg_temp.token(22));
SELECT pg_temp.status_of(22);

-- extend_lease and heartbeat.
SELECT durable_work.create_queue('work_c', lease => '10 min', backoff => 'fixed', backoff_base => '0 s', backoff_cap => '0 s', jitter => 0);
SELECT pg_temp.produce('work_c', 30, 32);
SELECT pg_temp.take('work_c', worker => 'carl');
SELECT durable_work.extend_lease(pg_temp.job(30), pg_temp.token(30), '2 h') - clock_timestamp() BETWEEN interval '119 min' AND interval '2 h';
SELECT durable_work.cancel(pg_temp.job(31));
SELECT n, h.queue, state, lease_expires_at > clock_timestamp() + interval '29 min'
FROM durable_work.heartbeat('carl', '30 min') AS h JOIN held USING (job_id) ORDER BY n;
SELECT count(*) FROM durable_work.heartbeat('carl', instance => 1);
SELECT count(*) FROM durable_work.heartbeat('nobody');

-- cancel: the holder is told; waiting jobs are gone; what is finished stays as it is.
SELECT helper.answer(format('SELECT durable_work.complete(%s, %s)', pg_temp.job(31), pg_temp.token(31)));
SELECT durable_work.cancel(pg_temp.job(31));
SELECT durable_work.try_complete(pg_temp.job(30), pg_temp.token(30));
SELECT helper.answer(format('SELECT durable_work.cancel(%s)', pg_temp.job(30)));
SELECT helper.answer(format('SELECT durable_work.cancel(%s)', pg_temp.job(12)));
SELECT helper.answer('SELECT durable_work.cancel(9223372036854775807)');
SELECT helper.answer('SELECT durable_work.cancel(0)');
INSERT INTO held (job_id, n) SELECT job_id, 33 FROM durable_work.enqueue('work_c', '{"n": 33}');
SELECT helper.answer(format('SELECT durable_work.cancel(%s, ''work_a'')', pg_temp.job(33)));
SELECT durable_work.cancel(pg_temp.job(33), 'work_c');
SELECT durable_work.cancel(pg_temp.job(33));
SELECT pg_temp.status_of(33), pg_temp.take('work_c');
BEGIN;
INSERT INTO held (job_id, n) SELECT job_id, 34 FROM durable_work.enqueue('work_c', '{"n": 34}');
SELECT helper.answer(format('SELECT durable_work.cancel(%s)', pg_temp.job(34)));
ROLLBACK;
BEGIN;
SELECT durable_work.cancel(pg_temp.job(32));
ROLLBACK;
SELECT durable_work.complete(pg_temp.job(32), pg_temp.token(32));

-- A lease that ran out: the job comes back, its attempt charged.
SELECT pg_temp.produce('work_c', 35, 35);
SELECT pg_temp.take('work_c', worker => 'dora', lease => '1 ms');
DO $$ BEGIN
    FOR i IN 1..500 LOOP
        EXIT WHEN (SELECT status = 'pending' FROM durable_work.inbox WHERE queue = 'work_c' AND payload = '{"n": 35}');
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$;
SELECT pg_temp.status_of(35);
SELECT durable_work.try_complete(pg_temp.job(35), pg_temp.token(35));
SELECT pg_temp.take('work_c', worker => 'emil');
SELECT helper.answer(format('SELECT durable_work.complete(%s, %s)', pg_temp.job(35), pg_temp.first_token(35)));
SELECT durable_work.complete(pg_temp.job(35), pg_temp.token(35));

-- Many at once: more than one page of outcomes, more than one row of members.
SELECT count(*) FROM durable_work.enqueue_many('work_c', (SELECT array_agg(jsonb_build_object('n', 1000 + n)) FROM generate_series(1, 9000) AS n));
-- With little memory a claim returns fewer jobs than asked, and the rest comes in as those are finished.
DO $$
DECLARE
    ids bigint[];
    tokens bigint[];
    done bigint := 0;
    attempts bigint := 0;
    finished bigint;
BEGIN
    WHILE done < 9000 LOOP
        SELECT array_agg(job_id), array_agg(lease_token), attempts + sum(attempt) INTO ids, tokens, attempts
        FROM durable_work.claim('work_c', 'anna', 10000);
        COMMIT;
        IF ids IS NULL THEN
            attempts := done;
            CONTINUE;
        END IF;
        SELECT count(*) FILTER (WHERE outcome = 'completed') INTO finished FROM durable_work.complete_many(ids, tokens);
        COMMIT;
        ASSERT finished = cardinality(ids);
        done := done + finished;
    END LOOP;
    ASSERT done = 9000 AND attempts = 9000;
END $$;
SELECT status, count(*) FROM durable_work.inbox WHERE queue = 'work_c' AND (payload->>'n')::int > 1000 GROUP BY status;

-- Waiting.
SELECT helper.answer($$CALL durable_work.wait_for_work('{work_a}', '0 s')$$);
SELECT pg_temp.produce('work_b', 40, 40);
CALL durable_work.wait_for_work(ARRAY['work_a', 'work_b'], '50 s');
SELECT pg_temp.take('work_b');
CALL durable_work.wait_for_work('{work_b}', '10 ms');
CALL durable_work.wait_for_work('{work_b}', '0 s');
DO $$ BEGIN CALL durable_work.wait_for_work('{work_b}', '1 ms'); CALL durable_work.wait_for_work('{work_b}', '1 ms'); END $$;
\set VERBOSITY terse
CALL durable_work.wait_for_work('{}', '1 s');
CALL durable_work.wait_for_work('{nowhere}', '1 s');
CALL durable_work.wait_for_work('{work_b}', '1 day');
CALL durable_work.wait_for_work('{work_b}', NULL);
BEGIN;
CALL durable_work.wait_for_work('{work_b}', '1 ms');
ROLLBACK;
SET statement_timeout = '50 ms';
CALL durable_work.wait_for_work('{work_b,work_c}', '50 s');
RESET statement_timeout;
CALL durable_work.wait_for_work('{work_b}', '10 ms');
\set VERBOSITY default

-- mark_handled and fence.
SELECT durable_work.mark_handled('mailer', 'key 1'), durable_work.mark_handled('mailer', 'key 1'), durable_work.mark_handled('other', 'key 1');
BEGIN;
SELECT durable_work.mark_handled('mailer', 'key 2');
ROLLBACK;
SELECT durable_work.mark_handled('mailer', 'key 2', '1 s');
UPDATE durable_work.handled SET expires_at = now() WHERE key = 'key 2';
SELECT durable_work.mark_handled('mailer', 'key 2');
SELECT durable_work.mark_handled('mailer', 'key 2');
SELECT durable_work.fence('printer', 5), durable_work.fence('printer', 5), durable_work.fence('printer', 8), durable_work.fence('plotter', 2);
SELECT helper.answer($$SELECT durable_work.fence('printer', 7)$$);

-- Checks at the door: nothing happens then.
SELECT helper.answer($$SELECT durable_work.claim('nowhere', 'anna')$$);
SELECT helper.answer($$SELECT durable_work.claim('work_a', '')$$);
SELECT helper.answer($$SELECT durable_work.claim('work_a', NULL)$$);
SELECT helper.answer($$SELECT durable_work.claim(NULL::text, 'anna')$$);
SELECT helper.answer($$SELECT durable_work.claim('work_a', 'anna', 0)$$);
SELECT helper.answer($$SELECT durable_work.claim('work_a', 'anna', 10001)$$);
SELECT helper.answer($$SELECT durable_work.claim('work_a', 'anna', lease => '0 s')$$);
SELECT helper.answer($$SELECT durable_work.claim('work_a', 'anna', lease => '-1 s')$$);
SELECT helper.answer($$SELECT durable_work.claim('work_a', 'anna', instance => 0)$$);
SELECT helper.answer($$SELECT durable_work.claim(ARRAY['work_a', NULL], 'anna')$$);
SELECT helper.answer($$SELECT durable_work.claim(array_fill('work_a'::text, ARRAY[65]), 'anna')$$);
SELECT helper.answer($$SELECT durable_work.complete(NULL, 1)$$);
SELECT helper.answer($$SELECT durable_work.complete(1, 0)$$);
SELECT helper.answer($$SELECT durable_work.complete(-1, 1)$$);
SELECT helper.answer($$SELECT durable_work.complete_many('{1,2}', '{1}')$$);
SELECT helper.answer($$SELECT durable_work.complete_many('{1,NULL}', '{1,2}')$$);
SELECT helper.answer($$SELECT durable_work.complete_many('{1}', '{1}', '{1,2}')$$);
SELECT helper.answer($$SELECT durable_work.complete_many('{{1}}', '{1}')$$);
SELECT helper.answer($$SELECT durable_work.fail(1, 1, to_jsonb(repeat('x', 1048577)))$$);
SELECT helper.answer($$SELECT durable_work.fail(1, 1, retry_in => '-1 s')$$);
SELECT helper.answer($$SELECT durable_work.fail(1, 1, retryable => NULL)$$);
SELECT helper.answer($$SELECT durable_work.defer(1, 1, 'infinity')$$);
SELECT helper.answer($$SELECT durable_work.defer(1, 1, '3000-01-01')$$);
SELECT helper.answer($$SELECT durable_work.reject(1, 1, '')$$);
SELECT helper.answer($$SELECT durable_work.reject(1, 1, repeat('x', 1025))$$);
SELECT helper.answer($$SELECT durable_work.extend_lease(1, 1, '0 s')$$);
SELECT helper.answer($$SELECT durable_work.mark_handled('', 'key')$$);
SELECT helper.answer($$SELECT durable_work.mark_handled('mailer', 'key', '0 s')$$);
SELECT helper.answer($$SELECT durable_work.fence('printer', 0)$$);
SELECT helper.answer($$SELECT durable_work.complete(9223372036854775806, 1)$$);
BEGIN READ ONLY;
SELECT helper.answer($$SELECT durable_work.claim('work_a', 'anna')$$);
ROLLBACK;

-- Nobody but the owner may call any of it, until it is granted.
SELECT count(*) FROM pg_catalog.pg_proc WHERE pronamespace = 'durable_work'::regnamespace AND has_function_privilege('pg_monitor', oid, 'EXECUTE');

SELECT durable_work.drop_queue(queue, force => true) FROM durable_work.queues WHERE queue LIKE 'work%' ORDER BY queue;
