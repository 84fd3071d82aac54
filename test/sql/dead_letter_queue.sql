-- The option dead_letter_queue: a queue's dead letters become jobs of another queue.
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
CREATE FUNCTION pg_temp.ties() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(queue || ' > ' || coalesce(dead_letter_queue, '-'), ', ' ORDER BY queue) FROM durable_work.queues WHERE queue ~ '^tie_'
$$;

-- Checks: it must exist, not be the queue itself, and no row of queues may come back to its beginning.
SELECT durable_work.create_queue('tie_' || c) FROM unnest(ARRAY['c', 'b']) c;
SELECT helper.refusal($$SELECT durable_work.create_queue('tie_x', dead_letter_queue => 'nowhere')$$);
SELECT helper.refusal($$SELECT durable_work.create_queue('tie_x', dead_letter_queue => 'tie_x')$$);
SELECT durable_work.create_queue('tie_a', dead_letter_queue => 'tie_b');
SELECT helper.refusal($$SELECT durable_work.alter_queue('tie_b', dead_letter_queue => 'tie_b')$$);
SELECT helper.refusal($$SELECT durable_work.alter_queue('tie_b', dead_letter_queue => 'tie_a')$$);
SELECT durable_work.alter_queue('tie_b', dead_letter_queue => 'tie_c');
SELECT helper.refusal($$SELECT durable_work.alter_queue('tie_c', dead_letter_queue => 'tie_a')$$);
SELECT pg_temp.ties();
-- The same settings again, others, none.
SELECT helper.refusal($$SELECT durable_work.create_queue('tie_a', dead_letter_queue => 'tie_b')$$);
SELECT helper.refusal($$SELECT durable_work.create_queue('tie_a', dead_letter_queue => 'tie_c')$$);
SELECT durable_work.alter_queue('tie_b', dead_letter_queue => '');
SELECT durable_work.alter_queue('tie_c', dead_letter_queue => 'tie_a');
SELECT pg_temp.ties();
-- A queue that others send to is dropped by force only, and then they send nowhere.
SELECT helper.refusal($$SELECT durable_work.drop_queue('tie_a')$$);
SELECT helper.refusal($$SELECT durable_work.drop_queue('tie_b')$$);
BEGIN;
SELECT durable_work.drop_queue('tie_b', force => true);
SELECT pg_temp.ties();
ROLLBACK;
SELECT pg_temp.ties();
SELECT durable_work.drop_queue('tie_a', force => true);
SELECT pg_temp.ties();
SELECT durable_work.drop_queue('tie_b'), durable_work.drop_queue('tie_c');

-- Every way to die passes the job on. The target is paused: it takes jobs all the same.
SELECT durable_work.create_queue('morgue');
SELECT durable_work.pause_queue('morgue');
SELECT durable_work.create_queue('ward', max_attempts => 1, backoff_base => '0', dead_letter_queue => 'morgue');
SELECT count(*) FROM durable_work.enqueue_many('ward', ARRAY['{"n": "exhausted"}', '{"n": "useless"}', '{"n": "rejected"}', '{"n": "many"}']::jsonb[],
    partition_keys => ARRAY['k', NULL, NULL, NULL], headers => ARRAY['{"trace": 7}', NULL, NULL, '{"dead_letter": "of the producer"}']::jsonb[]);
SELECT inserted FROM durable_work.enqueue('ward', '{"n": "vip"}', priority => 0, idempotency_key => 'once', max_attempts => 5);
SELECT pg_temp.take('ward', 5);
SELECT durable_work.fail(job_id, token, '{"why": "x"}') FROM held WHERE n = 'exhausted';
SELECT durable_work.fail(job_id, token, retryable => false) FROM held WHERE n IN ('useless', 'vip') ORDER BY n;
SELECT durable_work.reject(job_id, token, 'no such patient') FROM held WHERE n = 'rejected';
SELECT outcome FROM held, durable_work.fail_many(ARRAY[job_id], ARRAY[token]) WHERE n = 'many';
SELECT inserted FROM durable_work.enqueue('ward', '{"n": "expired"}');
SELECT pg_temp.take('ward', 1, '1 ms');
CALL helper.until($$EXISTS (SELECT FROM durable_work.dead_letters WHERE payload->>'n' = 'expired')$$);
SELECT inserted FROM durable_work.enqueue('ward', '{"n": "poison"}');
DO $$
BEGIN
    PERFORM pg_temp.take('ward');
    RAISE EXCEPTION 'crash of the handler';
EXCEPTION WHEN OTHERS THEN NULL;
END $$;
CALL helper.until($$EXISTS (SELECT FROM durable_work.dead_letters WHERE payload->>'n' = 'poison')$$);

-- The dead letters are as without the option; the new jobs say where they come from.
SELECT payload->>'n' AS n, reason, attempts, headers FROM durable_work.dead_letters WHERE queue = 'ward' ORDER BY job_id;
SELECT i.payload->>'n' AS n, i.partition_key, i.priority, i.status, i.attempts, i.max_attempts, i.idempotency_key,
    (SELECT string_agg(h, ',' ORDER BY h) FROM jsonb_object_keys(i.headers) h) AS headers,
    (i.headers->'dead_letter') - ARRAY['job_id', 'dead_at'] AS dead_letter,
    (i.headers->'dead_letter'->>'job_id')::bigint = d.job_id AND (i.headers->'dead_letter'->>'dead_at')::timestamptz = d.dead_at AS fits
FROM durable_work.inbox i JOIN durable_work.dead_letters d ON d.queue = 'ward' AND d.payload = i.payload
WHERE i.queue = 'morgue' ORDER BY n;
SELECT count(*) AS claimed FROM durable_work.claim('morgue', 'w');
SELECT durable_work.resume_queue('morgue');
SELECT pg_temp.take('morgue', 7);
-- The same key: still the job that died.
SELECT inserted FROM durable_work.enqueue('ward', '{"n": "vip"}', idempotency_key => 'once');

-- All or nothing: with a rollback, to a savepoint too, there is neither dead letter nor job.
SELECT durable_work.complete(job_id, token) FROM held;
SELECT inserted FROM durable_work.enqueue('ward', '{"n": "undecided"}');
SELECT pg_temp.take('ward');
BEGIN;
SELECT durable_work.fail(job_id, token, retryable => false) FROM held;
ROLLBACK;
BEGIN;
SAVEPOINT before;
SELECT durable_work.fail(job_id, token, retryable => false) FROM held;
ROLLBACK TO before;
COMMIT;
SELECT count(*) FROM durable_work.dead_letters WHERE payload->>'n' = 'undecided';
SELECT count(*) FROM durable_work.claim('morgue', 'w');
SELECT durable_work.fail(job_id, token, retryable => false) FROM held;
SELECT pg_temp.take('morgue');

-- Further along the row: what dies in the target goes to the target's own, and names where it died last.
SELECT durable_work.create_queue('ossuary');
SELECT durable_work.alter_queue('morgue', dead_letter_queue => 'ossuary');
SELECT durable_work.reject(job_id, token, 'twice') FROM held;
SELECT pg_temp.take('ossuary');
SELECT headers->'dead_letter'->>'queue' AS queue, headers->'dead_letter'->>'reason' AS reason FROM durable_work.inbox WHERE queue = 'ossuary';
SELECT durable_work.complete(job_id, token) FROM held;

-- The target is dropped: dead letters are kept, and go nowhere else.
SELECT inserted FROM durable_work.enqueue('ward', '{"n": "last"}');
SELECT pg_temp.take('ward');
SELECT durable_work.drop_queue('morgue', force => true);
SELECT durable_work.fail(job_id, token, retryable => false) FROM held;
SELECT count(*) FROM durable_work.dead_letters WHERE payload->>'n' = 'last';
SELECT dead_letter_queue FROM durable_work.queues WHERE queue = 'ward';
SELECT durable_work.drop_queue(q, force => true) FROM unnest(ARRAY['ward', 'ossuary']) q;
