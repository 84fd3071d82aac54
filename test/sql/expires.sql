-- expires_at: a job is worth doing until then, and a dead letter afterwards.
SET client_min_messages = warning;
CREATE TEMP TABLE jobs (n text PRIMARY KEY, job_id bigint, expires_at timestamptz);
CREATE TEMP TABLE held (n text PRIMARY KEY, job_id bigint, token bigint);
CREATE FUNCTION pg_temp.put(n text, lifetime interval, available_at timestamptz DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    -- In memory the time is kept in whole seconds; long lifetimes end at one, so that every answer is sure.
    INSERT INTO jobs SELECT n, e.job_id, t.at
    FROM (SELECT CASE WHEN lifetime < '1 s' THEN now.at ELSE date_trunc('second', now.at) END AS at FROM (SELECT clock_timestamp() + lifetime) AS now (at)) AS t,
        LATERAL durable_work.enqueue('short', jsonb_build_object('n', n), expires_at => t.at, available_at => put.available_at) AS e
$$;
CREATE FUNCTION pg_temp.take(lease interval DEFAULT '10 min') RETURNS text LANGUAGE sql AS $$
    WITH taken AS (INSERT INTO held SELECT payload->>'n', job_id, lease_token FROM durable_work.claim('short', 'w', 1, lease)
        ON CONFLICT (n) DO UPDATE SET token = excluded.token RETURNING n)
    SELECT coalesce((SELECT n FROM taken), 'nothing')
$$;
CREATE FUNCTION pg_temp.sleep_past(name text) RETURNS void LANGUAGE sql AS $$
    SELECT pg_sleep(greatest(0, extract(epoch FROM expires_at - clock_timestamp()) + 0.002)) FROM jobs WHERE n = name
$$;
CREATE FUNCTION pg_temp.is_dead(name text) RETURNS boolean LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM durable_work.dead_letters NATURAL JOIN jobs WHERE n = name)
$$;
CREATE FUNCTION pg_temp.dead(name text) RETURNS TABLE (reason text, attempts int, history text) LANGUAGE sql AS $$
    SELECT d.reason, d.attempts, (SELECT string_agg(concat_ws(' ', h->>'event', h->>'attempt', h->>'worker', h->>'reason', h->>'error'), ', ' ORDER BY o)
        FROM jsonb_array_elements(d.history) WITH ORDINALITY AS e(h, o))
    FROM durable_work.dead_letters AS d JOIN jobs USING (job_id) WHERE n = name
$$;
CREATE FUNCTION pg_temp.explain(name text) RETURNS TABLE (status text, attempts int, next_action text, at_expiry boolean, reason text) LANGUAGE sql AS $$
    SELECT x.status, x.attempts, x.next_action, x.next_at = jobs.expires_at, x.reason FROM jobs, durable_work.explain_job(job_id) AS x WHERE n = name
$$;
SELECT durable_work.create_queue('short', max_attempts => 3, backoff => 'fixed', backoff_base => '0', jitter => 0);

-- Nobody claims: it becomes a dead letter by itself, soon.
SELECT pg_temp.put('alone', '0.2 s');
SELECT expires_at = (SELECT expires_at FROM jobs WHERE n = 'alone') AS shown FROM durable_work.inbox WHERE queue = 'short';
CALL helper.until($$pg_temp.is_dead('alone')$$);
SELECT dead_at >= jobs.expires_at AS not_before, dead_at < jobs.expires_at + interval '20 s' AS soon_after FROM durable_work.dead_letters NATURAL JOIN jobs;
SELECT * FROM pg_temp.dead('alone');
SELECT * FROM pg_temp.explain('alone');
SELECT status, attempts, last_error FROM durable_work.inbox WHERE queue = 'short';
SELECT event, attempt, worker, detail FROM durable_work.history((SELECT job_id FROM jobs WHERE n = 'alone'));

-- Not one moment later is it handed out, though the dead letter takes a little longer.
SELECT pg_temp.put('late', '0.1 s');
SELECT pg_temp.sleep_past('late');
SELECT pg_temp.take();
SELECT next_action, at_expiry, reason FROM pg_temp.explain('late') WHERE status = 'pending'
UNION ALL SELECT 'become a dead letter', NULL, 'expires_at has passed' WHERE pg_temp.is_dead('late') LIMIT 1;
SELECT pg_temp.put('in time', '1 h');
SELECT pg_temp.take();
SELECT durable_work.complete(job_id, token) FROM held WHERE n = 'in time';
CALL helper.until($$pg_temp.is_dead('late')$$);
SELECT * FROM pg_temp.dead('late');

-- Under a lease it may still be completed, but it is not tried again when it failed, was given back, or its lease ran out.
SELECT pg_temp.put(n, '3 s') FROM unnest('{completed,failed,released,abandoned,no retry}'::text[]) AS n;
SELECT count(*) FROM (SELECT pg_temp.take() FROM generate_series(1, 5)) AS taken;
SELECT durable_work.fail(job_id, token, '"first"') FROM held WHERE n = 'failed';
SELECT pg_temp.take();
SELECT durable_work.fail(job_id, token, '"busy"', retry_in => '1 h') FROM held WHERE n = 'no retry';
SELECT * FROM pg_temp.explain('no retry');
SELECT durable_work.extend_lease(job_id, token, '2.9 s') > clock_timestamp() AS extended FROM held WHERE n = 'abandoned';
SELECT pg_temp.sleep_past('no retry');
SELECT * FROM pg_temp.explain('completed');
SELECT durable_work.complete(job_id, token) FROM held WHERE n = 'completed';
SELECT status FROM pg_temp.explain('completed');
SELECT durable_work.fail(job_id, token, '"second"') FROM held WHERE n = 'failed';
SELECT durable_work.release(job_id, token) FROM held WHERE n = 'released';
SELECT pg_temp.take();
CALL helper.until($$(SELECT bool_and(pg_temp.is_dead(n)) FROM unnest('{failed,released,abandoned,no retry}'::text[]) AS n)$$);
SELECT * FROM pg_temp.dead('failed');
SELECT * FROM pg_temp.dead('released');
SELECT * FROM pg_temp.dead('abandoned');
SELECT * FROM pg_temp.dead('no retry');

-- A job that is due later.
SELECT pg_temp.put('due', '0.3 s', clock_timestamp() + interval '0.2 s');
CALL helper.until($$pg_temp.is_dead('due')$$);
SELECT * FROM pg_temp.dead('due');

-- A paused queue keeps nothing alive, and a transaction that commits too late enqueues a dead letter.
SELECT durable_work.pause_queue('short');
SELECT pg_temp.put('paused', '0.1 s');
CALL helper.until($$pg_temp.is_dead('paused')$$);
SELECT durable_work.resume_queue('short');
BEGIN;
SELECT pg_temp.put('slow', '0.1 s');
SELECT pg_temp.sleep_past('slow');
COMMIT;
SELECT pg_temp.take();
CALL helper.until($$pg_temp.is_dead('slow')$$);
SELECT reason, attempts FROM pg_temp.dead('slow');

-- Through the view; with a job that waits for another day.
INSERT INTO durable_work.inbox (queue, payload, expires_at) VALUES ('short', '{"n": "view"}', '2100-01-01'), ('short', '{"n": "ages"}', '2500-01-01')
    RETURNING payload->>'n' AS n, expires_at = '2100-01-01' AS as_given;
SELECT pg_temp.take() FROM generate_series(1, 3);
SELECT durable_work.complete(job_id, token) FROM held WHERE n IN ('view', 'ages');
SELECT status, count(*), count(*) FILTER (WHERE expires_at IS NULL) AS without FROM durable_work.inbox WHERE queue = 'short' GROUP BY status ORDER BY status;
SELECT durable_work.drop_queue('short');
