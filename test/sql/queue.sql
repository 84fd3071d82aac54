-- Queues: making, changing, pausing, dropping; options at their limits; the bucket of a key.
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS durable_work;

CREATE FUNCTION pg_temp.options_of(name text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', lease, max_attempts, backoff, backoff_base, backoff_cap, jitter, delivery, max_length, overflow, retention, dedupe_window, dead_letter_queue, durable_claims, strict, max_runtime, max_payload, paused)
    FROM durable_work.queues WHERE queue = name
$$;

-- The same settings again: nothing. Others: refused, naming each that differs.
SELECT durable_work.create_queue('queue_a');
SELECT durable_work.create_queue('queue_dead');
SELECT pg_temp.options_of('queue_a');
SELECT helper.answer($$SELECT durable_work.create_queue('queue_a')$$);
SELECT helper.answer($$SELECT durable_work.create_queue('queue_a', lease => '90000 ms', retention => '1 d', dedupe_window => '168 h')$$);
SELECT helper.answer($$SELECT durable_work.create_queue('queue_a', '1 min', 3, 'fixed', '1 s', '2 s', 0.5, 'at_most_once', 100, 'drop_oldest', '2 d', '3 d', 'queue_dead', true, true, 100, '1 h', '2 kB')$$);
SELECT helper.answer($$SELECT durable_work.create_queue('queue_a', jitter => 0)$$);

-- Options one by one. What is refused leaves nothing behind.
-- The server's own hint, which units there are, differs between its versions.
SELECT option, regexp_replace(helper.answer(format('SELECT durable_work.create_queue(''queue_bad'', %s)', option)), ' \| Valid units .*', '')
FROM unnest(ARRAY[
    $$lease => '0'$$, $$lease => '-1 s'$$, $$lease => '366 d'$$, $$lease => null$$,
    $$max_attempts => 0$$, $$max_attempts => 32768$$, $$max_attempts => null$$,
    $$backoff => ''$$, $$backoff => 'Fixed'$$, $$backoff => null$$,
    $$backoff_base => '-1 s'$$, $$backoff_base => '2 h'$$, $$backoff_cap => '4 s'$$, $$backoff_cap => '200 y'$$,
    $$jitter => -0.1$$, $$jitter => 1.1$$, $$jitter => 'NaN'$$, $$jitter => 'infinity'$$,
    $$retention => '-1 s'$$, $$retention => '102 y'$$, $$dedupe_window => '-1 s'$$, $$dedupe_window => null$$,
    $$delivery => ''$$, $$delivery => 'exactly_once'$$, $$delivery => null$$,
    $$max_length => -1$$, $$overflow => 'drop'$$, $$overflow => null$$,
    $$dead_letter_queue => 'queue_none'$$, $$durable_claims => null$$,
    $$max_runtime => '-1 s'$$, $$max_runtime => '102 y'$$,
    $$max_payload => ''$$, $$max_payload => '1 elephant'$$, $$max_payload => '0'$$, $$max_payload => '256 MB'$$, $$max_payload => null$$,
    $$strict => null$$]) WITH ORDINALITY AS o (option, n) ORDER BY n;
SELECT helper.answer($$SELECT durable_work.create_queue(null)$$);
SELECT helper.answer($$SELECT durable_work.create_queue('')$$);
SELECT helper.answer(format('SELECT durable_work.create_queue(%L)', repeat('x', 128)));
SELECT helper.answer(format('SELECT durable_work.create_queue(%L)', repeat('é', 64)));
SELECT count(*) FROM durable_work.queues WHERE queue = 'queue_bad';
-- The limits themselves are fine.
SELECT helper.answer(format('SELECT durable_work.create_queue(%L, ''365 d'', 32767, ''linear'', ''0'', ''0'', 1, retention => ''0'', dedupe_window => ''0'', max_length => 9223372036854775807, max_runtime => ''100 y'', max_payload => ''255 MB'')', repeat('x', 127)));
SELECT pg_temp.options_of(repeat('x', 127));
SELECT helper.answer(format('SELECT durable_work.drop_queue(%L)', repeat('x', 127)));

-- alter_queue changes what is given.
SELECT helper.answer($$SELECT durable_work.alter_queue('queue_a', lease => '5 min', max_attempts => 7)$$);
SELECT pg_temp.options_of('queue_a');
SELECT helper.answer($$SELECT durable_work.alter_queue('queue_a', '1 min', 3, 'fixed', '1 s', '2 s', 0.5, 'at_most_once', 100, 'drop_oldest', '2 d', '3 d', 'queue_dead', true, true, 100, '1 h', '2 kB')$$);
SELECT pg_temp.options_of('queue_a');
SELECT helper.answer($$SELECT durable_work.create_queue('queue_a', '1 min', 3, 'fixed', '1 s', '2 s', 0.5, 'at_most_once', 100, 'drop_oldest', '2 d', '3 d', 'queue_dead', true, true, 100, '1 h', '2 kB')$$);
SELECT helper.answer($$SELECT durable_work.alter_queue('queue_a', max_length => 0, max_runtime => '0', dead_letter_queue => '', delivery => 'at_least_once', overflow => 'reject', durable_claims => false)$$);
SELECT pg_temp.options_of('queue_a');
SELECT helper.answer($$SELECT durable_work.alter_queue('queue_a')$$);
SELECT helper.answer($$SELECT durable_work.alter_queue('queue_a', backoff_base => '3 s')$$);
SELECT helper.answer($$SELECT durable_work.alter_queue('queue_a', lease => '0')$$);
SELECT helper.answer($$SELECT durable_work.alter_queue('queue_none', lease => '1 s')$$);
SELECT helper.answer($$SELECT durable_work.alter_queue(null, lease => '1 s')$$);
SELECT pg_temp.options_of('queue_a');

-- Names are not touched: quotes, capitals, blanks.
SELECT helper.answer($$SELECT durable_work.create_queue('queue ''"A"; --')$$);
SELECT queue FROM durable_work.queues WHERE queue LIKE 'queue ''%';
SELECT helper.answer($$SELECT durable_work.enqueue('queue ''"a"; --', '{}')$$);
SELECT helper.answer($$SELECT durable_work.drop_queue('queue ''"A"; --')$$);

-- A queue is there for the transaction that makes it, with it, and gone when it rolls back.
BEGIN;
SELECT durable_work.create_queue('queue_b');
SELECT inserted FROM durable_work.enqueue('queue_b', '{"n": 1}');
SELECT queue, status FROM durable_work.inbox WHERE queue = 'queue_b';
ROLLBACK;
SELECT helper.answer($$SELECT durable_work.enqueue('queue_b', '{}')$$);
BEGIN;
SAVEPOINT s;
SELECT durable_work.create_queue('queue_b', lease => '1 s');
SELECT inserted FROM durable_work.enqueue('queue_b', '{"n": 1}');
ROLLBACK TO s;
SELECT count(*) FROM durable_work.queues WHERE queue = 'queue_b';
SELECT durable_work.create_queue('queue_b', lease => '2 h');
SELECT inserted FROM durable_work.enqueue('queue_b', '{"n": 2}');
COMMIT;
SELECT payload, lease_expires_at > clock_timestamp() + interval '1 h' AS two_hours FROM durable_work.claim('queue_b', 'anna');
SELECT count(*) FROM (SELECT durable_work.release(job_id, lease_token) FROM durable_work.leases WHERE queue = 'queue_b') AS released;

-- Pausing and options count from the commit, and only what was not rolled back.
BEGIN;
SELECT durable_work.pause_queue('queue_b');
SELECT count(durable_work.release(job_id, lease_token)) FROM durable_work.claim('queue_b', 'anna');
COMMIT;
SELECT count(*) FROM durable_work.claim('queue_b', 'anna');
SELECT durable_work.pause_queue('queue_b');
SELECT pg_temp.options_of('queue_b');
BEGIN;
SELECT durable_work.resume_queue('queue_b');
ROLLBACK;
SELECT count(*) FROM durable_work.claim('queue_b', 'anna');
BEGIN;
SELECT durable_work.resume_queue('queue_b');
SAVEPOINT s;
SELECT durable_work.pause_queue('queue_b');
ROLLBACK TO s;
COMMIT;
SELECT count(durable_work.release(job_id, lease_token)) FROM durable_work.claim('queue_b', 'anna');
BEGIN;
SELECT durable_work.pause_queue('queue_b');
SAVEPOINT s;
SELECT durable_work.resume_queue('queue_b');
ROLLBACK TO s;
COMMIT;
SELECT count(*) FROM durable_work.claim('queue_b', 'anna');
SELECT durable_work.resume_queue('queue_b');
SELECT helper.answer($$SELECT durable_work.pause_queue('queue_none')$$);
SELECT helper.answer($$SELECT durable_work.resume_queue(null)$$);

-- The detail depends on where the jobs are.
CREATE FUNCTION pg_temp.drop_b() RETURNS text LANGUAGE sql AS
$$ SELECT regexp_replace(helper.answer('SELECT durable_work.drop_queue(''queue_b'')'), ' \| In (memory|the log) .* \| ', ' | … | ') $$;
-- Unfinished jobs keep a queue: waiting, leased, due far in the future, or just enqueued.
SELECT pg_temp.drop_b();
SELECT job_id AS job, lease_token AS token FROM durable_work.claim('queue_b', 'anna') \gset
SELECT pg_temp.drop_b();
SELECT durable_work.complete(:job, :token);
SELECT inserted FROM durable_work.enqueue('queue_b', '{"n": 3}', delay => '30 d');
SELECT pg_temp.drop_b();
SELECT durable_work.cancel(id) FROM durable_work.inbox WHERE queue = 'queue_b' AND status = 'pending';
BEGIN;
SELECT inserted FROM durable_work.enqueue('queue_b', '{"n": 4}');
SELECT pg_temp.drop_b();
ROLLBACK;
SELECT status, count(*) FROM durable_work.inbox WHERE queue = 'queue_b' GROUP BY status ORDER BY status;
SELECT pg_temp.drop_b();
SELECT pg_temp.drop_b();
SELECT helper.answer($$SELECT durable_work.drop_queue('queue_b', force => null)$$);

-- A queue made anew has nothing of the old one: no jobs, keys or dead letters.
SELECT durable_work.create_queue('queue_c');
SELECT inserted FROM durable_work.enqueue('queue_c', '{"n": 1}', idempotency_key => 'k');
SELECT inserted FROM durable_work.enqueue('queue_c', '{"n": 2}');
SELECT durable_work.reject(job_id, lease_token, 'no good') FROM durable_work.claim('queue_c', 'anna', max_jobs => 1);
SELECT job_id AS job, lease_token AS token FROM durable_work.claim('queue_c', 'anna') \gset
SELECT durable_work.drop_queue('queue_c', force => true);
SELECT left(helper.answer(format('SELECT durable_work.complete(%s, %s)', :job, :token)), 5);
SELECT left(helper.answer(format('SELECT durable_work.explain_job(%s)', :job)), 5);
SELECT durable_work.create_queue('queue_c');
SELECT count(*) FROM durable_work.claim('queue_c', 'anna');
SELECT count(*) FROM durable_work.inbox WHERE queue = 'queue_c';
SELECT count(*) FROM durable_work.dead_letters WHERE queue = 'queue_c';
SELECT inserted FROM durable_work.enqueue('queue_c', '{"n": 1}', idempotency_key => 'k');

-- default is made when a job or a claim first names it, not by asking about it.
SELECT helper.answer($$SELECT durable_work.drop_queue('default', force => true)$$) IN ('nothing', 'DW002 | queue "default" does not exist | Make it with durable_work.create_queue.');
SELECT helper.answer($$SELECT durable_work.drop_queue('default')$$);
SELECT count(*) FROM durable_work.claim('default', 'anna');
SELECT pg_temp.options_of('default');
SELECT helper.answer($$SELECT durable_work.create_queue('default')$$);

-- Nothing in a read-only transaction.
BEGIN READ ONLY;
SELECT helper.answer($$SELECT durable_work.create_queue('queue_d')$$);
SELECT helper.answer($$SELECT durable_work.alter_queue('queue_a', lease => '1 s')$$);
SELECT helper.answer($$SELECT durable_work.pause_queue('queue_a')$$);
SELECT helper.answer($$SELECT durable_work.drop_queue('queue_a')$$);
SELECT count(*) FROM durable_work.queues WHERE queue = 'queue_a';
COMMIT;

-- The owner's statements do not follow the caller's search_path or operators.
CREATE SCHEMA queue_trap;
CREATE FUNCTION queue_trap.never(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'trapped'; END$$;
CREATE OPERATOR queue_trap.= (FUNCTION = queue_trap.never, LEFTARG = text, RIGHTARG = text);
SET search_path = queue_trap, pg_catalog, public;
SELECT durable_work.create_queue('queue_e');
SELECT durable_work.alter_queue('queue_e', lease => '7 s');
SELECT durable_work.drop_queue('queue_e');
SHOW search_path;
RESET search_path;
DROP SCHEMA queue_trap CASCADE;

-- Buckets: FNV-1a over UTF-8, unsigned.
SELECT durable_work.bucket('order:9182'), durable_work.bucket('', 2147483647), durable_work.bucket('é', 1000000), durable_work.bucket('a', 1);
SELECT durable_work.bucket(null) IS NULL, durable_work.bucket('a', null) IS NULL;
SELECT helper.answer($$SELECT durable_work.bucket('a', 0)$$), helper.answer($$SELECT durable_work.bucket('a', -1)$$);
SELECT min(durable_work.bucket('k' || n, 7)), max(durable_work.bucket('k' || n, 7)) FROM generate_series(1, 1000) AS n;
SELECT provolatile, proparallel, proisstrict FROM pg_proc WHERE oid = 'durable_work.bucket(text, integer)'::regprocedure;

-- The shards of a key: the same for the same sub key, all of them used, the number that bucket gives for the sub key.
SELECT durable_work.shard_key('tenant:7', 'order:9182', 8) AS shard, durable_work.bucket('order:9182', 8) AS of_sub_key,
       durable_work.shard_key('tenant:7', '', 8) AS empty_sub_key, durable_work.shard_key('', 'é', 2147483647) AS empty_key, durable_work.shard_key('k#1', 's', 1) AS one;
SELECT durable_work.shard_key(NULL, 's', 8) IS NULL AS no_key, durable_work.shard_key(NULL, NULL, 8) IS NULL AS nothing_at_all;
SELECT helper.answer($$SELECT durable_work.shard_key('k', NULL, 8)$$), helper.answer($$SELECT durable_work.shard_key('k', 's', 0)$$);
SELECT count(*) AS shards, sum(jobs) AS jobs, max(jobs) < 1.3 * min(jobs) AS evenly, bool_and(as_bucket) AS as_bucket FROM (
    SELECT durable_work.shard_key('k', 's' || n, 8), count(*) AS jobs, bool_and(durable_work.shard_key('k', 's' || n, 8) = 'k#' || durable_work.bucket('s' || n, 8)) AS as_bucket
    FROM generate_series(1, 4000) AS n GROUP BY 1) AS spread;
SELECT provolatile, proparallel, proisstrict FROM pg_proc WHERE oid = 'durable_work.shard_key(text, text, integer)'::regprocedure;

SELECT durable_work.drop_queue(queue, force => true) FROM durable_work.queues WHERE queue LIKE 'queue\_%' ORDER BY queue;
