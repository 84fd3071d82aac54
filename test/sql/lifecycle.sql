-- The life of jobs: options of queues, delays, priorities, retries, dead letters, cancellation.
SET client_min_messages = warning;
CREATE TEMP TABLE held (job_id bigint, token bigint, n text, attempt int);
-- Claims until it has as many as wanted and says which, in order.
CREATE FUNCTION pg_temp.take(from_queue text, wanted int DEFAULT 1) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    got int := 0;
    found text := '';
    job record;
    give_up timestamptz := clock_timestamp() + interval '60 s';
BEGIN
    TRUNCATE held;
    WHILE got < wanted LOOP
        FOR job IN SELECT * FROM durable_work.claim(from_queue, 'w', wanted - got) LOOP
            INSERT INTO held VALUES (job.job_id, job.lease_token, job.payload->>'n', job.attempt);
            found := concat_ws(' ', nullif(found, ''), (job.payload->>'n') || '/' || job.attempt);
            got := got + 1;
        END LOOP;
        IF clock_timestamp() > give_up THEN RETURN found || ' and no more'; END IF;
        PERFORM pg_sleep(0.005) WHERE got < wanted;
    END LOOP;
    RETURN found;
END $$;
CREATE FUNCTION pg_temp.put(to_queue text, n text, priority int DEFAULT 4, delay interval DEFAULT NULL, max_attempts int DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    SELECT FROM durable_work.enqueue(to_queue, jsonb_build_object('n', n), priority => priority, delay => delay, max_attempts => max_attempts)
$$;

-- Options: as created, changed, compared.
SELECT durable_work.create_queue('life');
SELECT lease, max_attempts, backoff, backoff_base, backoff_cap, jitter, retention, dedupe_window, strict, paused FROM durable_work.queues WHERE queue = 'life';
SELECT durable_work.create_queue('life');
SELECT durable_work.create_queue('life', max_attempts => 19);
SELECT durable_work.alter_queue('life', lease => '10 min', max_attempts => 3, backoff => 'fixed', backoff_base => '0', backoff_cap => '0', jitter => 0,
    retention => '1 h', dedupe_window => '2 h', strict => true);
SELECT lease, max_attempts, backoff, backoff_base, backoff_cap, jitter, retention, dedupe_window, strict, paused FROM durable_work.queues WHERE queue = 'life';
SELECT durable_work.alter_queue('life', strict => false);
SELECT durable_work.create_queue('life');
SELECT durable_work.create_queue('life', lease => '10 min', max_attempts => 3, backoff => 'fixed', backoff_base => '0', backoff_cap => '0', jitter => 0,
    retention => '1 h', dedupe_window => '2 h');
-- A change that is rolled back did not happen, for claims neither.
BEGIN;
SELECT durable_work.alter_queue('life', lease => '1 day');
ROLLBACK;
SELECT pg_temp.put('life', 'lease');
SELECT pg_temp.take('life');
SELECT lease_expires_at - leased_at BETWEEN interval '9 min' AND interval '11 min' AS ten_minutes FROM durable_work.leases WHERE queue = 'life';
BEGIN;
SELECT durable_work.alter_queue('life', lease => '20 min');
COMMIT;
SELECT pg_temp.put('life', 'longer lease');
SELECT durable_work.complete(job_id, token) FROM held;
SELECT pg_temp.take('life');
SELECT lease_expires_at - leased_at BETWEEN interval '19 min' AND interval '21 min' AS twenty_minutes FROM durable_work.leases WHERE queue = 'life';
SELECT durable_work.extend_lease(job_id, token, '5 min') BETWEEN clock_timestamp() + interval '4 min' AND clock_timestamp() + interval '6 min' AS five_minutes FROM held;
SELECT durable_work.complete(job_id, token) FROM held;

-- Queue `default` is there when it is first named.
SELECT count(*) FROM durable_work.queues WHERE queue = 'default';
BEGIN;
INSERT INTO durable_work.inbox (payload) VALUES ('{"n": "undone"}');
ROLLBACK;
SELECT count(*) FROM durable_work.queues WHERE queue = 'default';
INSERT INTO durable_work.inbox (payload) VALUES ('{"n": "kept"}');
SELECT pg_temp.take('default');
SELECT durable_work.drop_queue('default', force => true);

-- Priorities, then ids.
SELECT pg_temp.put('life', 'nine', 9), pg_temp.put('life', 'four'), pg_temp.put('life', 'zero', 0), pg_temp.put('life', 'also four'), pg_temp.put('life', 'also zero', 0);
SELECT pg_temp.take('life', 5);
SELECT durable_work.complete(job_id, token) FROM held;

-- Delays: not before their time; what is due goes first, whatever its priority.
SELECT pg_temp.put('life', 'late', 0, '300 ms'), pg_temp.put('life', 'never', 0, '1 day'), pg_temp.put('life', 'now', 9);
SELECT pg_temp.take('life', 2);
SELECT status, available_at > created_at + interval '23 h' AS tomorrow FROM durable_work.inbox WHERE queue = 'life' AND payload->>'n' = 'never';
SELECT count(*) FROM durable_work.claim('life', 'w');
SELECT durable_work.complete(job_id, token) FROM held;

-- Pause and resume.
SELECT durable_work.pause_queue('life');
SELECT durable_work.pause_queue('life');
SELECT pg_temp.put('life', 'patient');
SELECT count(*) FROM durable_work.claim('life', 'w');
SELECT paused FROM durable_work.queues WHERE queue = 'life';
SELECT durable_work.resume_queue('life');
SELECT durable_work.resume_queue('life');
SELECT pg_temp.take('life');

-- Retries: attempts are counted, release and defer give them back, the last failure is the end.
SELECT durable_work.fail(job_id, token, '{"why": "first"}') FROM held;
SELECT pg_temp.take('life');
SELECT durable_work.release(job_id, token) FROM held;
SELECT pg_temp.take('life');
SELECT durable_work.defer(job_id, token, clock_timestamp() + interval '20 ms') FROM held;
SELECT pg_temp.take('life');
SELECT durable_work.fail(job_id, token, '{"why": "second"}', retry_in => '10 ms') FROM held;
SELECT pg_temp.take('life');
SELECT durable_work.fail(job_id, token, '{"why": "third"}') FROM held;
SELECT count(*) FROM durable_work.claim('life', 'w');
SELECT payload, attempts, reason, dead_at >= enqueued_at AS in_order FROM durable_work.dead_letters WHERE queue = 'life';
SELECT e->'error'->>'why' AS why FROM durable_work.dead_letters, jsonb_array_elements(history) AS e WHERE queue = 'life' AND e->'error' IS NOT NULL AND e->>'error' IS NOT NULL;
SELECT a.attempt, worker, outcome, error FROM durable_work.attempts a JOIN held USING (job_id) ORDER BY at, a.attempt;

-- A job may have attempts of its own; not retryable, rejected, expired: all end as dead letters with a reason.
SELECT pg_temp.put('life', 'only once', max_attempts => 1), pg_temp.put('life', 'fatal'), pg_temp.put('life', 'poison');
SELECT pg_temp.take('life', 3);
SELECT n, durable_work.fail(job_id, token) FROM held WHERE n = 'only once';
SELECT n, durable_work.fail(job_id, token, '{"why": "no use"}', retryable => false) FROM held WHERE n = 'fatal';
SELECT durable_work.reject(job_id, token, 'smells of almonds') FROM held WHERE n = 'poison';
SELECT payload->>'n' AS n, attempts, reason FROM durable_work.dead_letters WHERE queue = 'life' ORDER BY job_id;
SELECT pg_temp.put('life', 'killer', max_attempts => 2);
SELECT attempt FROM durable_work.claim('life', 'w', lease => '20 ms');
CALL helper.until($$EXISTS (SELECT FROM durable_work.inbox WHERE payload->>'n' = 'killer' AND status = 'pending')$$);
SELECT attempt FROM durable_work.claim('life', 'w', lease => '20 ms');
CALL helper.until($$EXISTS (SELECT FROM durable_work.dead_letters WHERE payload->>'n' = 'killer')$$);
SELECT attempts, jsonb_array_length(history) >= 2 AS has_history FROM durable_work.dead_letters WHERE payload->>'n' = 'killer';
SELECT outcome FROM durable_work.attempts JOIN durable_work.inbox ON id = job_id WHERE payload->>'n' = 'killer' ORDER BY at;
SELECT count(*) FROM durable_work.claim('life', 'w');

-- Backoff: exponential and linear, without chance, capped. What is measured is the time that the log states.
SELECT durable_work.create_queue(name, lease => '1 h', backoff => kind, backoff_base => '1 h', backoff_cap => '5 h', jitter => 0)
FROM (VALUES ('life_e', 'exponential'), ('life_l', 'linear'), ('life_f', 'fixed')) AS q (name, kind);
SELECT pg_temp.put('life_e', 'e'), pg_temp.put('life_l', 'l'), pg_temp.put('life_f', 'f');
CREATE TEMP TABLE delays (queue text, attempt int, delay interval);
DO $$
DECLARE
    q text;
    job record;
BEGIN
    FOREACH q IN ARRAY '{life_e,life_l,life_f}'::text[] LOOP
        SELECT * INTO job FROM durable_work.claim(q, 'w');
        PERFORM durable_work.fail(job.job_id, job.lease_token);
        INSERT INTO delays SELECT q, 1, available_at - clock_timestamp() FROM durable_work.inbox WHERE id = job.job_id;
    END LOOP;
END $$;
SELECT queue, attempt, delay BETWEEN interval '59 min' AND interval '61 min' AS an_hour FROM delays ORDER BY queue;

-- Cancellation: waiting, leased, finished.
SELECT pg_temp.put('life', 'cancelled');
SELECT durable_work.cancel(id, 'life') FROM durable_work.inbox WHERE payload->>'n' = 'never';
SELECT durable_work.cancel(id) FROM durable_work.inbox WHERE payload->>'n' = 'never';
SELECT pg_temp.take('life');
SELECT durable_work.cancel(job_id) FROM held;
SELECT state FROM durable_work.heartbeat('w') JOIN held USING (job_id);
\set VERBOSITY sqlstate
SELECT durable_work.complete(job_id, token) FROM held;
SELECT durable_work.extend_lease(job_id, token) FROM held;
\set VERBOSITY default
SELECT durable_work.try_complete(job_id, token), durable_work.cancel(job_id) FROM held;
SELECT payload->>'n' AS n, status FROM durable_work.inbox WHERE queue = 'life' AND status = 'cancelled' ORDER BY id;

-- Heartbeats and instances: each process extends its own leases only.
SELECT pg_temp.put('life', 'i1'), pg_temp.put('life', 'i2'), pg_temp.put('life', 'i3');
SELECT payload->>'n' AS n FROM durable_work.claim('life', 'twin', 1, instance => 7);
SELECT payload->>'n' AS n FROM durable_work.claim('life', 'twin', 1, instance => 8);
SELECT payload->>'n' AS n FROM durable_work.claim('life', 'twin', 1);
SELECT payload->>'n' AS n, h.state, h.lease_expires_at > clock_timestamp() + interval '30 min' AS extended
FROM durable_work.heartbeat('twin', '1 h', instance => 7) h JOIN durable_work.inbox ON id = job_id;
SELECT payload->>'n' AS n, h.state FROM durable_work.heartbeat('twin') h JOIN durable_work.inbox ON id = job_id;
SELECT count(*) FROM durable_work.heartbeat('twin', instance => 9);
SELECT worker, count(*), bool_and(lease_expires_at > clock_timestamp() + interval '30 min') AS all_long FROM durable_work.leases WHERE worker = 'twin' GROUP BY worker;

-- Dropping.
SELECT durable_work.drop_queue('life');
SELECT durable_work.drop_queue('life', force => true);
SELECT count(*) FROM durable_work.leases WHERE queue = 'life';
SELECT count(*) FROM durable_work.dead_letters WHERE queue = 'life';
SELECT durable_work.create_queue('life');
SELECT count(*) FROM durable_work.claim('life', 'w');
SELECT count(*) FROM durable_work.inbox WHERE queue = 'life';
SELECT durable_work.drop_queue(q, force => true) FROM unnest('{life,life_e,life_l,life_f}'::text[]) q;
