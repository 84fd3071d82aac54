-- Dead letters: discarded, redriven at once, redriven at a rate.
SET client_min_messages = warning;
CREATE TEMP TABLE held (job_id bigint, token bigint, n text, attempt int);
-- Claims until it has as many as wanted and says which, in order.
CREATE FUNCTION pg_temp.take(from_queue text, wanted int DEFAULT 1, lease interval DEFAULT '1 h') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    got int := 0;
    found text := '';
    job record;
    give_up timestamptz := clock_timestamp() + interval '60 s';
BEGIN
    TRUNCATE held;
    WHILE got < wanted LOOP
        FOR job IN SELECT * FROM durable_work.claim(from_queue, 'w', wanted - got, lease => lease) LOOP
            INSERT INTO held VALUES (job.job_id, job.lease_token, job.payload->>'n', job.attempt);
            found := concat_ws(' ', nullif(found, ''), (job.payload->>'n') || '/' || job.attempt);
            got := got + 1;
        END LOOP;
        IF clock_timestamp() > give_up THEN RETURN found || ' and no more'; END IF;
        PERFORM pg_sleep(0.005) WHERE got < wanted;
    END LOOP;
    RETURN found;
END $$;
-- The same when the order is not known, because each redrive is read in by itself.
CREATE FUNCTION pg_temp.take_all(from_queue text, wanted int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_temp.take(from_queue, wanted);
    RETURN (SELECT string_agg(n, ' ' ORDER BY n) FROM held);
END $$;
-- Makes dead letters of these names, one after the other, and returns when they are there.
CREATE PROCEDURE pg_temp.dead(in_queue text, names text[], reason text DEFAULT 'bad') LANGUAGE plpgsql AS $$
BEGIN
    PERFORM durable_work.enqueue_many(in_queue, (SELECT array_agg(jsonb_build_object('n', name) ORDER BY place) FROM unnest(names) WITH ORDINALITY u (name, place)));
    COMMIT;
    PERFORM pg_temp.take(in_queue, cardinality(names));
    COMMIT;
    PERFORM durable_work.reject(job_id, token, reason) FROM held ORDER BY job_id;
    COMMIT;
END $$;
-- Out of the slot, where every job of this test begins: the inbox would look at all jobs of the tests before.
CREATE FUNCTION pg_temp.job(name text) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT max(id) FROM durable_work.job_0 WHERE payload->>'n' = name
$$;
CREATE FUNCTION pg_temp.letters(in_queue text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(payload->>'n', ' ' ORDER BY dead_at, job_id) FROM durable_work.dead_letters WHERE queue = in_queue
$$;

-- Discarding ------------------------------------------------------------------------------------------------------------
SELECT durable_work.create_queue('attic', backoff_base => '0', max_attempts => 3);
CALL pg_temp.dead('attic', ARRAY['a', 'b', 'c']);
SELECT pg_temp.letters('attic');
SELECT durable_work.discard_dead_letter(pg_temp.job('a'), 'attic');
SELECT durable_work.discard_dead_letter(pg_temp.job('a'), 'attic');
SELECT status, attempts FROM durable_work.inbox WHERE id = (SELECT pg_temp.job('a'));
SELECT event, attempt, detail FROM durable_work.history(pg_temp.job('a'));
SELECT status, next_action, reason FROM durable_work.explain_job(pg_temp.job('a'));
SELECT count(DISTINCT lease_token) = 2 AND max(lease_token) FILTER (WHERE event = 'cancelled') = max(lease_token) AS fresh_token FROM durable_work.history(pg_temp.job('a'));
-- A rollback keeps it.
BEGIN;
SELECT durable_work.discard_dead_letter(pg_temp.job('b'), 'attic');
ROLLBACK;
SELECT pg_temp.letters('attic'), (SELECT status FROM durable_work.inbox WHERE id = (SELECT pg_temp.job('b')));
-- No dead letter: pending, leased, done, of another queue.
SELECT inserted FROM durable_work.enqueue('attic', '{"n": "alive"}');
SELECT durable_work.discard_dead_letter(pg_temp.job('alive'), 'attic');
SELECT pg_temp.take('attic');
SELECT durable_work.discard_dead_letter(pg_temp.job('alive'), 'attic');
SELECT durable_work.complete(job_id, token) FROM held;
SELECT durable_work.discard_dead_letter(pg_temp.job('alive'), 'attic');
SELECT durable_work.create_queue('cellar');
SELECT durable_work.discard_dead_letter(pg_temp.job('b'), 'cellar');

-- Redriving -------------------------------------------------------------------------------------------------------------
-- With its id, payload, key, headers; attempts from 0; its old token is refused, the new one is higher.
SELECT inserted FROM durable_work.enqueue('attic', '{"n": "again"}', partition_key => 'pk', idempotency_key => 'once', priority => 7, headers => '{"h": 1}', max_attempts => 2);
SELECT pg_temp.take('attic');
SELECT durable_work.fail(job_id, token, '{"why": "first"}', retry_in => '0') FROM held;
SELECT pg_temp.take('attic');
SELECT durable_work.fail(job_id, token, '{"why": "second"}') FROM held;
CREATE TEMP TABLE before AS SELECT * FROM held;
SELECT durable_work.redrive('attic', error_like => '%second%', dry_run => true);
SELECT durable_work.redrive('attic', error_like => '%second%');
SELECT durable_work.redrive('attic', error_like => '%second%');
SELECT pg_temp.letters('attic');
SELECT status, partition_key, idempotency_key, priority, headers, attempts, max_attempts, last_error, available_at > created_at AS due_now, queue FROM durable_work.inbox WHERE id = (SELECT pg_temp.job('again'));
SELECT pg_temp.take('attic');
SELECT held.job_id = before.job_id AS same_job, held.token > before.token AS higher FROM held, before;
SELECT outcome.* FROM before, durable_work.try_complete(job_id, token) AS outcome;
SELECT helper.refusal($$SELECT durable_work.complete(job_id, token) FROM pg_temp.before$$) ~ '^DW001' AS stale, helper.refusal($$SELECT durable_work.extend_lease(job_id, token) FROM pg_temp.before$$) ~ '^DW001' AS stale;
SELECT inserted FROM durable_work.enqueue('attic', '{"n": "again"}', idempotency_key => 'once');
SELECT event, attempt, worker, detail FROM durable_work.history(pg_temp.job('again')) WHERE event <> 'leased';
SELECT attempt, outcome, error FROM durable_work.attempts WHERE job_id = (SELECT pg_temp.job('again')) ORDER BY at, attempt;
-- It dies once more, and comes once more: the whole history goes along.
SELECT durable_work.fail(job_id, token, '{"why": "third"}', retryable => false) FROM held;
SELECT attempts, reason, jsonb_path_query_array(history, '$[*].event') AS events, history->-1->'error' AS error FROM durable_work.dead_letters WHERE payload->>'n' = 'again';
SELECT durable_work.redrive('attic', job_ids => ARRAY[pg_temp.job('again')]);
SELECT event, attempt, worker, detail FROM durable_work.history(pg_temp.job('again'));
SELECT pg_temp.take('attic');
SELECT durable_work.complete(job_id, token) FROM held;
SELECT status, attempts FROM durable_work.inbox WHERE id = (SELECT pg_temp.job('again'));
SELECT attempt, outcome FROM durable_work.attempts WHERE job_id = (SELECT pg_temp.job('again')) ORDER BY at, attempt;
-- Filters.
CALL pg_temp.dead('attic', ARRAY['d', 'e'], 'timeout of 30 s');
SELECT pg_temp.letters('attic');
SELECT durable_work.redrive('attic', error_like => '%timeout%', dry_run => true), durable_work.redrive('attic', error_like => 'timeout', dry_run => true), durable_work.redrive('attic', error_like => '100\%', dry_run => true);
SELECT dead_at AS t FROM durable_work.dead_letters WHERE payload->>'n' = 'd' \gset
SELECT durable_work.redrive('attic', since => :'t', dry_run => true), durable_work.redrive('attic', until => :'t', dry_run => true), durable_work.redrive('attic', since => 'tomorrow', dry_run => true), durable_work.redrive('attic', until => 'tomorrow', dry_run => true);
SELECT durable_work.redrive('attic', max_jobs => 3, dry_run => true), durable_work.redrive('attic', job_ids => '{}', dry_run => true), durable_work.redrive('attic', job_ids => ARRAY[pg_temp.job('c'), pg_temp.job('e'), pg_temp.job('c'), 999999999], dry_run => true);
SELECT durable_work.redrive('attic', job_ids => ARRAY[pg_temp.job('c'), pg_temp.job('e'), pg_temp.job('alive')], error_like => '%timeout%', since => :'t');
SELECT pg_temp.letters('attic');
SELECT durable_work.redrive('attic', max_jobs => 1);
SELECT pg_temp.letters('attic');
SELECT pg_temp.take_all('attic', 2);
SELECT durable_work.complete(job_id, token) FROM held;

-- Another queue: it has the topic of that queue from then on. Paused takes it all the same.
SELECT durable_work.pause_queue('cellar');
SELECT durable_work.redrive('attic', to_queue => 'cellar');
SELECT pg_temp.letters('attic');
SELECT payload->>'n' AS n, queue, status FROM durable_work.inbox WHERE queue = 'cellar' ORDER BY id;
SELECT durable_work.resume_queue('cellar');
SELECT pg_temp.take_all('cellar', 2);
SELECT durable_work.reject(job_id, token, 'no') FROM held WHERE n = 'c';
SELECT durable_work.complete(job_id, token) FROM held WHERE n = 'd';
SELECT event, attempt, detail FROM durable_work.history(pg_temp.job('c'));
SELECT durable_work.discard_dead_letter(pg_temp.job('c'), 'attic'), durable_work.discard_dead_letter(pg_temp.job('c'), 'cellar');
SELECT status FROM durable_work.inbox WHERE id = (SELECT pg_temp.job('c'));
SELECT durable_work.redrive('cellar');

-- Nothing happens in a transaction that rolls back, also to a savepoint; what commits is there at once for others.
CALL pg_temp.dead('attic', ARRAY['f', 'g']);
BEGIN;
SAVEPOINT s;
SELECT durable_work.redrive('attic');
SELECT count(*) FROM durable_work.claim('attic', 'w');
ROLLBACK TO s;
SELECT durable_work.redrive('attic', job_ids => ARRAY[pg_temp.job('g')]);
COMMIT;
SELECT pg_temp.letters('attic');
SELECT pg_temp.take('attic');
SELECT durable_work.complete(job_id, token) FROM held;
BEGIN;
SELECT durable_work.redrive('attic');
ROLLBACK;
SELECT pg_temp.letters('attic');
SELECT count(*) FROM durable_work.claim('attic', 'w');
-- What died in the same transaction is redriven with it.
SELECT inserted FROM durable_work.enqueue('attic', '{"n": "h"}');
SELECT pg_temp.take('attic');
BEGIN;
SELECT durable_work.reject(job_id, token, 'no') FROM held;
SELECT durable_work.redrive('attic', job_ids => ARRAY[pg_temp.job('h')]);
COMMIT;
SELECT pg_temp.letters('attic');
SELECT pg_temp.take('attic');
SELECT durable_work.complete(job_id, token) FROM held;

-- At a rate ---------------------------------------------------------------------------------------------------------------
SELECT array_agg('r' || lpad(i::text, 3, '0')) AS names FROM generate_series(1, 24) i \gset
CALL pg_temp.dead('attic', :'names');
SELECT durable_work.redrive('attic', error_like => 'bad', max_jobs => 15, rate_per_second => 1000);
CALL helper.until($$(SELECT bool_and(state = 'done') FROM durable_work.redrives)$$);
SELECT queue, to_queue, job_ids, error_like, since, until <= started_at AS until_now, max_jobs, rate_per_second, matched, moved, state, error, ended_at > started_at AS in_order FROM durable_work.redrives;
SELECT count(*), min(payload->>'n'), max(payload->>'n') FROM durable_work.dead_letters WHERE queue = 'attic';
SELECT length(pg_temp.take('attic', 15)) > 0 AS taken;
SELECT count(*), min(n), max(n) FROM held;
SELECT count(*) FROM held WHERE durable_work.complete(job_id, token);
-- Some of them by id, into another queue; a slow one goes on; its queue is dropped.
SELECT durable_work.redrive('attic', job_ids => ARRAY[pg_temp.job('r024'), pg_temp.job('r023'), pg_temp.job('r001')], to_queue => 'cellar', rate_per_second => 50);
CALL helper.until($$(SELECT bool_and(state = 'done') FROM durable_work.redrives)$$);
SELECT pg_temp.take_all('cellar', 2);
SELECT durable_work.redrive('attic', to_queue => 'cellar', rate_per_second => 0.001);
CALL helper.until($$(SELECT moved = 1 FROM durable_work.redrives WHERE state = 'running')$$);
SELECT durable_work.drop_queue('cellar', force => true);
SELECT matched, moved, state, error, to_queue FROM durable_work.redrives WHERE state <> 'done';
SELECT durable_work.redrive('attic', rate_per_second => 0.001);
CALL helper.until($$(SELECT moved = 1 FROM durable_work.redrives WHERE state = 'running')$$);
SELECT durable_work.drop_queue('attic', force => true);
SELECT count(*) FROM durable_work.redrives;

-- A transaction that redrives a job may go on with it and take that back: the job is dead again, and only that.
SELECT durable_work.create_queue('again');
SELECT job_id FROM durable_work.enqueue('again', '{}') \gset
SELECT count(durable_work.reject(job_id, lease_token, 'no')) FROM durable_work.claim('again', 'w');
BEGIN;
SELECT durable_work.redrive('again');
SAVEPOINT s;
SELECT durable_work.cancel(:job_id);
ROLLBACK TO s;
SELECT jobs FROM durable_work.cancel_many('again', older_than => '0');
ROLLBACK;
SELECT count(*) FROM durable_work.claim('again', 'w');
SELECT status FROM durable_work.explain_job(:job_id);
BEGIN;
SELECT durable_work.redrive('again');
SAVEPOINT s;
SELECT durable_work.update_payload(:job_id, '{"n": 2}');
ROLLBACK TO s;
COMMIT;
CALL helper.until($$(SELECT ready = 1 FROM durable_work.queue_stats WHERE queue = 'again')$$);
SELECT payload, attempt FROM durable_work.claim('again', 'w');
SELECT durable_work.drop_queue('again', force => true);
