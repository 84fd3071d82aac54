-- complete_and_claim: completions and claims in one statement. Ids and tokens differ from run to run and are not shown.
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
CREATE TEMP TABLE held (job_id bigint, lease_token bigint, n int, attempt int);
-- One round of a worker: completes what it holds and takes more. Shows each row in the order it came.
CREATE FUNCTION pg_temp.round(queue text, most int, results jsonb[] DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    shown text;
BEGIN
    CREATE TEMP TABLE came AS
        SELECT c.*, h.n FROM (SELECT array_agg(job_id ORDER BY n) AS ids, array_agg(lease_token ORDER BY n) AS tokens FROM held) AS mine,
            durable_work.complete_and_claim(coalesce(ids, '{}'), coalesce(tokens, '{}'), queue, 'anna', most, results => round.results) WITH ORDINALITY AS c
            LEFT JOIN held AS h USING (job_id);
    DELETE FROM held;
    INSERT INTO held SELECT job_id, lease_token, (payload->>'n')::int, came.attempt FROM came WHERE outcome = 'claimed';
    SELECT string_agg(outcome || ' ' || coalesce(came.n::text, (payload->>'n') || '#' || came.attempt), ', ' ORDER BY ordinality) INTO shown FROM came;
    DROP TABLE came;
    RETURN shown;
END $$;
CREATE FUNCTION pg_temp.status() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg((payload->>'n') || ' ' || status || coalesce(' ' || result::text, ''), ', ' ORDER BY id) FROM durable_work.inbox WHERE queue LIKE 'cc%'
$$;
SELECT durable_work.create_queue(q, lease => '1 h', max_attempts => 5, backoff => 'fixed', backoff_base => '0', jitter => 0) FROM unnest('{cc_a,cc_b}'::text[]) AS q;
SELECT count(*) FROM durable_work.enqueue_many('cc_a', ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(1, 6) AS n));

-- The first round has nothing to complete, the last one gets nothing.
SELECT pg_temp.round('cc_a', 2);
SELECT pg_temp.round('cc_a', 3);
SELECT pg_temp.round('cc_a', 25, '{"\"three\"",NULL,"{\"n\": 5}"}');
SELECT pg_temp.round('cc_a', 1);
SELECT pg_temp.round('cc_a', 1);
SELECT pg_temp.status();

-- Columns: those of a completed job end with its token, those of a new one are claim's.
SELECT count(*) FROM durable_work.enqueue_many('cc_b', ARRAY(SELECT jsonb_build_object('n', n) FROM generate_series(10, 14) AS n), partition_keys => '{k,k,k,k,k}');
INSERT INTO held SELECT job_id, lease_token, (payload->>'n')::int, attempt FROM durable_work.claim('cc_b', 'anna', 2);
SELECT outcome, job_id = (SELECT min(job_id) FROM held), lease_token > 0, queue, partition_key, payload, headers, attempt, enqueued_at IS NULL, lease_expires_at > now() + '1 min', priority
FROM durable_work.complete_and_claim(ARRAY(SELECT job_id FROM held ORDER BY 1), ARRAY(SELECT lease_token FROM held ORDER BY 1), queue => 'cc_b', worker => 'anna', max_jobs => 1, lease => '2 min');

-- Outcomes as from try_complete; what is stale is not completed and keeps nobody from the rest.
SELECT count(durable_work.release(job_id, lease_token)) FROM durable_work.leases WHERE queue = 'cc_b';
TRUNCATE held;
INSERT INTO held SELECT job_id, lease_token, (payload->>'n')::int, attempt FROM durable_work.claim('cc_b', 'anna', 1);
SELECT string_agg(outcome || coalesce(' ' || (payload->>'n'), ''), ', ' ORDER BY ordinality)
FROM held, durable_work.complete_and_claim(ARRAY[job_id, job_id, job_id, 1000000000], ARRAY[lease_token + 1, lease_token, lease_token, 1], 'cc_b', 'anna', 1) WITH ORDINALITY AS c;
-- Asked again, as after a lost reply: completed before, and other new jobs.
SELECT string_agg(outcome || coalesce(' ' || (payload->>'n'), ''), ', ' ORDER BY ordinality)
FROM held, durable_work.complete_and_claim(ARRAY[held.job_id], ARRAY[held.lease_token], 'cc_b', 'anna', 1) WITH ORDINALITY AS c;
SELECT count(durable_work.release(job_id, lease_token)) FROM durable_work.leases WHERE queue = 'cc_b';

-- From several queues, in their order.
SELECT inserted FROM durable_work.enqueue('cc_a', '{"n": 20}');
SELECT string_agg(outcome || ' ' || queue || ' ' || (payload->>'n'), ', ' ORDER BY ordinality)
FROM durable_work.complete_and_claim('{}', '{}', queues => '{cc_b,cc_a}', worker => 'anna', max_jobs => 3) WITH ORDINALITY AS c;
SELECT count(durable_work.release(job_id, lease_token)) FROM durable_work.leases WHERE queue LIKE 'cc%';

-- A rollback undoes the completion and charges the new claims.
TRUNCATE held;
INSERT INTO held SELECT job_id, lease_token, (payload->>'n')::int, attempt FROM durable_work.claim('cc_a', 'anna', 1);
BEGIN;
SELECT string_agg(outcome || coalesce(' ' || (payload->>'n') || '#' || c.attempt, ''), ', ' ORDER BY ordinality)
FROM held, durable_work.complete_and_claim(ARRAY[held.job_id], ARRAY[held.lease_token], 'cc_b', 'anna', 1) WITH ORDINALITY AS c;
ROLLBACK;
SELECT n, durable_work.try_complete(job_id, lease_token) FROM held;
SELECT payload->>'n', attempt FROM durable_work.claim('cc_b', 'anna', 1);
-- So does one to a savepoint.
SELECT count(durable_work.release(job_id, lease_token)) FROM durable_work.leases WHERE queue LIKE 'cc%';
TRUNCATE held;
INSERT INTO held SELECT job_id, lease_token, (payload->>'n')::int, attempt FROM durable_work.claim('cc_b', 'anna', 1);
BEGIN;
SAVEPOINT s;
SELECT count(*) FROM held, durable_work.complete_and_claim(ARRAY[held.job_id], ARRAY[held.lease_token], 'cc_b', 'anna', 1);
ROLLBACK TO s;
SELECT string_agg(outcome || coalesce(' ' || (payload->>'n') || '#' || c.attempt, ''), ', ' ORDER BY ordinality)
FROM held, durable_work.complete_and_claim(ARRAY[held.job_id], ARRAY[held.lease_token], 'cc_b', 'anna', 1) WITH ORDINALITY AS c;
COMMIT;
-- A statement that fails completes nothing, and its claims do not count.
SELECT inserted FROM durable_work.enqueue('cc_b', '{"n": 30}');
TRUNCATE held;
INSERT INTO held SELECT job_id, lease_token, (payload->>'n')::int, attempt FROM durable_work.leases JOIN durable_work.inbox USING (queue) WHERE leases.queue = 'cc_b' AND inbox.id = leases.job_id;
SELECT c.attempt / 0 FROM held, durable_work.complete_and_claim(ARRAY[held.job_id], ARRAY[held.lease_token], 'cc_b', 'anna', 1) AS c WHERE outcome = 'claimed';
SELECT n, durable_work.try_complete(job_id, lease_token) FROM held;
SELECT pg_temp.status();

-- Queues whose claims are recorded.
SELECT durable_work.create_queue('cc_once', delivery => 'at_most_once');
SELECT durable_work.create_queue('cc_durable', durable_claims => true);
SELECT durable_work.complete_and_claim('{}', '{}', 'cc_once', 'anna');
SELECT durable_work.complete_and_claim('{}', '{}', '{cc_a,cc_durable}'::text[], 'anna');

SELECT count(durable_work.drop_queue(queue, force => true)) FROM durable_work.queues WHERE queue LIKE 'cc%';
