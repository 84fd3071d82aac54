-- hot_keys: the keys with the most unfinished jobs, in memory; and the view wakeups.
SET client_min_messages = warning;
SELECT durable_work.create_queue(q, lease => '1 h', backoff => 'fixed', backoff_base => '1 h', jitter => 0) FROM unnest('{hot,beside}'::text[]) AS q;
CREATE FUNCTION pg_temp.hot(max_rows int DEFAULT 20) RETURNS TABLE (key text, waiting bigint, due bigint, processing bigint, share numeric, seen numeric) LANGUAGE sql AS $$
    SELECT partition_key, waiting, due, processing, round(share::numeric, 3), round(seen::numeric, 3) FROM durable_work.hot_keys('hot', max_rows => max_rows)
$$;
SELECT * FROM pg_temp.hot();
SELECT * FROM durable_work.hot_keys('nowhere');

-- Ten jobs of one key, five of another, two of a third, one each of others, and some without a key.
SELECT count(*) FROM durable_work.enqueue_many('hot', array_fill('{}'::jsonb, '{37}'),
    partition_keys => array_fill('tenant:7'::text, '{10}') || array_fill('tenant:é'::text, '{5}') || array_fill(''::text, '{2}')
        || (SELECT array_agg('single:' || n) FROM generate_series(1, 10) AS n) || array_fill(NULL::text, '{10}'));
SELECT count(*) FROM durable_work.enqueue_many('beside', array_fill('{}'::jsonb, '{50}'), partition_keys => array_fill('tenant:7'::text, '{50}'));
SELECT * FROM pg_temp.hot();
SELECT * FROM pg_temp.hot(1);
SELECT partition_key, durable_work.bucket(partition_key, 360) = key_hash % 360 AS bucket FROM durable_work.hot_keys('hot');

-- Held, delayed, decided, finished.
SELECT count(*) FROM durable_work.enqueue_many('hot', array_fill('{}'::jsonb, '{3}'), partition_keys => array_fill('tenant:é'::text, '{3}'),
    available_ats => array_fill(now() + interval '1 min', '{3}'));
CREATE TEMP TABLE held AS SELECT job_id, lease_token FROM durable_work.claim('hot', 'w', 4);
SELECT * FROM pg_temp.hot(2);
SELECT durable_work.complete(job_id, lease_token) FROM held WHERE job_id = (SELECT min(job_id) FROM held);
SELECT durable_work.fail(job_id, lease_token) FROM held WHERE job_id = (SELECT max(job_id) FROM held);
SELECT * FROM pg_temp.hot(2);
BEGIN;
SELECT durable_work.cancel_many('hot', partition_key => 'tenant:7');
SELECT * FROM pg_temp.hot(2);
COMMIT;
SELECT * FROM pg_temp.hot();

-- Beyond the timer horizon a job is on disk only.
SELECT count(*) FROM durable_work.enqueue_many('hot', array_fill('{}'::jsonb, '{17}'), partition_keys => array_fill('tenant:8'::text, '{17}'),
    available_ats => array_fill(now() + interval '1 d', '{17}'));
SELECT key, seen FROM pg_temp.hot(1);

-- The row of the job that a key is known by lies in parked now.
SELECT durable_work.reschedule_many('hot', now() + interval '1 min', partition_key => 'tenant:8');
SELECT key, waiting, due FROM pg_temp.hot(1);

-- Nobody sleeps here, and nobody is woken.
SELECT * FROM durable_work.wakeups WHERE queue IN ('hot', 'beside') ORDER BY queue;
CALL durable_work.wait_for_work('{hot}', '1 s');
SELECT * FROM durable_work.wakeups WHERE queue = 'hot';
SELECT durable_work.drop_queue(q, force => true) FROM unnest('{hot,beside}'::text[]) AS q;
