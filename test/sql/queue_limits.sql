-- How many jobs are in flight, and how many start in a time: of one queue and of several together.
SELECT durable_work.create_queue('mail', lease => '1 h', backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT durable_work.create_queue('text', lease => '1 h');
SELECT durable_work.create_queue('push', lease => '1 h');
SELECT count(*) FROM unnest('{mail,text,push}'::text[]) AS queue, generate_series(1, 30) AS n,
    LATERAL durable_work.enqueue(queue, to_jsonb(n));
CREATE TEMP TABLE held (queue text, job_id bigint, lease_token bigint);
CREATE FUNCTION pg_temp.take(queue text, n int) RETURNS bigint LANGUAGE sql AS $$
    WITH claimed AS (INSERT INTO held SELECT queue, job_id, lease_token FROM durable_work.claim(queue, 'worker', n) RETURNING 1)
    SELECT count(*) FROM claimed
$$;
CREATE FUNCTION pg_temp.oldest(queue text) RETURNS held LANGUAGE sql AS $$
    DELETE FROM held WHERE job_id = (SELECT min(job_id) FROM held h WHERE h.queue = $1) RETURNING *
$$;
CREATE VIEW pg_temp.shown AS
    SELECT queue, kind, scope, limit_group, max_in_flight, in_flight, jobs, per_interval, burst, available, next_start_at IS NOT NULL AS tells_when
    FROM durable_work.limits ORDER BY queue, kind, scope;

-- Places of one queue.
SELECT * FROM pg_temp.shown;
SELECT durable_work.set_concurrency_limit('mail', 3);
SELECT pg_temp.take('mail', 10), pg_temp.take('mail', 10), pg_temp.take('text', 1);
SELECT * FROM pg_temp.shown;
SELECT reason, jobs, detail FROM durable_work.explain_waiting('mail') WHERE reason = 'at concurrency limit';
-- Each end gives the place back, and one claim takes it.
SELECT durable_work.complete(o.job_id, o.lease_token), pg_temp.take('mail', 10) FROM pg_temp.oldest('mail') o;
SELECT pg_temp.take('mail', 10);
SELECT durable_work.fail(o.job_id, o.lease_token), pg_temp.take('mail', 10) FROM pg_temp.oldest('mail') o;
SELECT pg_temp.take('mail', 10);
SELECT durable_work.release(o.job_id, o.lease_token) FROM pg_temp.oldest('mail') o;
SELECT pg_temp.take('mail', 10);
SELECT durable_work.reject(o.job_id, o.lease_token, 'no') FROM pg_temp.oldest('mail') o;
SELECT pg_temp.take('mail', 10);
-- A completion that is not committed holds its place, and so one call that completes and claims cannot use it.
BEGIN;
SELECT durable_work.complete(job_id, lease_token) FROM held WHERE queue = 'mail' ORDER BY job_id LIMIT 1;
SELECT pg_temp.take('mail', 10);
ROLLBACK;
SELECT pg_temp.take('mail', 10);
SELECT outcome, count(*) FROM pg_temp.oldest('mail') o,
    durable_work.complete_and_claim(ARRAY[o.job_id], ARRAY[o.lease_token], 'mail'::text, 'worker', 10) GROUP BY outcome;
SELECT pg_temp.take('mail', 10);
-- A claim that is rolled back takes none.
SELECT durable_work.complete(o.job_id, o.lease_token) FROM pg_temp.oldest('mail') o;
BEGIN;
SELECT count(*) FROM durable_work.claim('mail', 'worker', 10);
SAVEPOINT s;
SELECT count(*) FROM durable_work.claim('mail', 'worker', 10);
ROLLBACK;
SELECT pg_temp.take('mail', 10);
-- Cancelled under its holder: until it hears of that.
SELECT durable_work.cancel(job_id) FROM held WHERE queue = 'mail' ORDER BY job_id LIMIT 1;
SELECT pg_temp.take('mail', 10);
SELECT count(*) FROM durable_work.heartbeat('worker') WHERE state = 'cancelled';
SELECT pg_temp.take('mail', 10);
DELETE FROM held WHERE job_id = (SELECT min(job_id) FROM held WHERE queue = 'mail');
-- Lower than what is out, nothing at all, and no limit.
SELECT durable_work.set_concurrency_limit('mail', 1);
SELECT durable_work.complete(o.job_id, o.lease_token), pg_temp.take('mail', 10) FROM pg_temp.oldest('mail') o;
SELECT durable_work.set_concurrency_limit('mail', 0);
SELECT detail FROM durable_work.explain_waiting('mail') WHERE reason = 'at concurrency limit';
SELECT severity, seen FROM durable_work.health() WHERE "check" = 'limits';
SELECT durable_work.set_concurrency_limit('mail', NULL);
SELECT severity, seen FROM durable_work.health() WHERE "check" = 'limits';
SELECT pg_temp.take('mail', 4);
SELECT * FROM pg_temp.shown;

-- In force with the commit, and not without.
BEGIN;
SELECT durable_work.set_concurrency_limit('push', 1);
SELECT pg_temp.take('push', 2) AS before_the_commit;
COMMIT;
SELECT pg_temp.take('push', 2) AS after_it;
BEGIN;
SELECT durable_work.set_concurrency_limit('push', 9);
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT durable_work.set_concurrency_limit('push', 9);
ROLLBACK TO SAVEPOINT s;
COMMIT;
SELECT pg_temp.take('push', 2) AS rolled_back, max_in_flight FROM durable_work.limits WHERE queue = 'push';
-- Other changes of the queue leave it alone.
SELECT durable_work.alter_queue('push', lease => '2 h'), durable_work.pause_queue('push'), durable_work.resume_queue('push');
SELECT pg_temp.take('push', 2), max_in_flight FROM durable_work.limits WHERE queue = 'push';
SELECT durable_work.set_concurrency_limit('push', NULL);

-- Tokens. The bucket begins empty, so a slow one hands out nothing for as long as this takes.
SELECT durable_work.set_rate_limit('text', 1, '1 h');
SELECT pg_temp.take('text', 10);
SELECT * FROM pg_temp.shown;
SELECT reason, jobs, regexp_replace(detail, 'start at .*', 'start …') FROM durable_work.explain_waiting('text') WHERE reason = 'rate limited';
SELECT durable_work.set_rate_limit('text', 1000, '1 s', burst => 5);
SELECT jobs, per_interval, burst, available BETWEEN 0 AND 5 AS within FROM durable_work.limits WHERE queue = 'text';
-- A claim that waits gets what comes.
SELECT count(*) BETWEEN 1 AND 5 AS some FROM durable_work.claim('text', 'worker', 10, wait => '5 s');
SELECT durable_work.set_rate_limit('text', NULL);
SELECT count(*) FROM durable_work.claim('text', 'worker', 10);

-- Several queues together.
SELECT durable_work.drop_queue(queue, force => true) FROM durable_work.queues WHERE queue IN ('mail', 'text', 'push') ORDER BY queue;
TRUNCATE held;
SELECT durable_work.create_queue(queue, lease => '1 h') FROM unnest('{mail,text,push}'::text[]) AS queue;
SELECT count(*) FROM unnest('{mail,text,push}'::text[]) AS queue, generate_series(1, 30) AS n,
    LATERAL durable_work.enqueue(queue, to_jsonb(n));
SELECT durable_work.set_concurrency_limit('mail', 4, 'group', 'partner');
SELECT durable_work.set_concurrency_limit('text', 3, scope => 'group', limit_group => 'partner');
SELECT pg_temp.take('mail', 2), pg_temp.take('text', 9), pg_temp.take('mail', 9), pg_temp.take('push', 1);
SELECT * FROM pg_temp.shown;
SELECT detail FROM durable_work.explain_waiting('mail') WHERE reason = 'at concurrency limit';
-- One that joins brings what it has, one that leaves takes it along.
SELECT durable_work.set_concurrency_limit('push', 3, 'group', 'partner');
SELECT queue, in_flight, available FROM durable_work.limits ORDER BY queue;
SELECT durable_work.set_concurrency_limit('mail', NULL, 'group');
SELECT queue, in_flight, available FROM durable_work.limits ORDER BY queue;
SELECT pg_temp.take('text', 9), pg_temp.take('mail', 1);
-- Dropped, its places are free.
SELECT durable_work.drop_queue('text', force => true);
SELECT queue, in_flight, available FROM durable_work.limits ORDER BY queue;
SELECT durable_work.set_concurrency_limit('push', NULL, 'group', 'partner');
SELECT * FROM pg_temp.shown;
-- Tokens of a group, beside places of the queue's own.
SELECT durable_work.set_rate_limit('mail', 1, '1 h', NULL, 'group', 'partner'), durable_work.set_rate_limit('push', 2, '1 h', NULL, 'group', 'partner'),
    durable_work.set_concurrency_limit('push', 20);
SELECT pg_temp.take('mail', 1), pg_temp.take('push', 1);
SELECT * FROM pg_temp.shown;
SELECT durable_work.set_rate_limit('mail', NULL, scope => 'group'), durable_work.set_rate_limit('mail', NULL, scope => 'group');
SELECT pg_temp.take('mail', 1), pg_temp.take('push', 1);
-- Each key on its own.
SELECT durable_work.create_queue(queue, lease => '1 h') FROM unnest('{calls,chats}'::text[]) AS queue;
SELECT job_id > 0 AS ok FROM (VALUES ('a'), ('a'), ('a'), ('b'), ('b'), (NULL)) AS v (key),
    LATERAL durable_work.enqueue('calls', '{}', partition_key => key);
SELECT durable_work.set_concurrency_limit('calls', 1, scope => 'key');
SELECT * FROM pg_temp.shown WHERE queue = 'calls';
CREATE FUNCTION pg_temp.keys(queue text, n int) RETURNS text LANGUAGE sql AS $$
    WITH claimed AS (SELECT * FROM durable_work.claim(queue, 'worker', n)), noted AS (
        INSERT INTO held SELECT queue, job_id, lease_token FROM claimed)
    SELECT string_agg(coalesce(partition_key, '-'), ' ' ORDER BY job_id) FROM claimed
$$;
SELECT pg_temp.keys('calls', 10), pg_temp.keys('calls', 10);
SELECT reason, jobs, detail FROM durable_work.explain_waiting('calls') WHERE reason LIKE '%limit%';
SELECT ready, blocked, processing FROM durable_work.queue_stats WHERE queue = 'calls';
SELECT x.status, x.next_action, x.next_at, x.reason FROM durable_work.inbox i, LATERAL durable_work.explain_job(i.id) x
    WHERE i.queue = 'calls' AND i.status = 'pending' ORDER BY i.id LIMIT 1;
SELECT durable_work.complete(o.job_id, o.lease_token) FROM pg_temp.oldest('calls') o;
SELECT pg_temp.keys('calls', 10), pg_temp.keys('calls', 10);
SELECT durable_work.set_concurrency_limit('calls', 2, scope => 'key');
SELECT pg_temp.keys('calls', 10), pg_temp.keys('calls', 10);
-- None at all for what has a key, and no limit.
SELECT job_id > 0 AS ok FROM (VALUES ('c'), (NULL)) AS v (key), LATERAL durable_work.enqueue('calls', '{}', partition_key => key);
SELECT durable_work.set_concurrency_limit('calls', 0, scope => 'key');
SELECT pg_temp.keys('calls', 10), pg_temp.keys('calls', 10);
SELECT reason, jobs, detail FROM durable_work.explain_waiting('calls') WHERE reason LIKE '%limit%';
SELECT durable_work.set_concurrency_limit('calls', NULL, scope => 'key');
SELECT pg_temp.keys('calls', 10);
SELECT count(*) FROM pg_temp.shown WHERE queue = 'calls';
-- A bucket for each key; it begins empty when the limit is set.
SELECT job_id > 0 AS ok FROM (VALUES ('a'), ('a'), ('b'), (NULL)) AS v (key),
    LATERAL durable_work.enqueue('chats', '{}', partition_key => key);
SELECT durable_work.set_rate_limit('chats', 1, '1 h', scope => 'key');
SELECT * FROM pg_temp.shown WHERE queue = 'chats';
SELECT pg_temp.keys('chats', 10), pg_temp.keys('chats', 10);
SELECT reason, jobs, regexp_replace(detail, 'start at .*', 'start …') FROM durable_work.explain_waiting('chats') WHERE reason LIKE '%limit%';
SELECT x.status, x.next_action, x.next_at > clock_timestamp() AS later, x.reason FROM durable_work.inbox i, LATERAL durable_work.explain_job(i.id) x
    WHERE i.queue = 'chats' AND i.status = 'pending' ORDER BY i.id LIMIT 1;
SELECT durable_work.set_rate_limit('chats', 1000, '1 s', burst => 1, scope => 'key');
SELECT count(*) BETWEEN 1 AND 2 AS some FROM durable_work.claim('chats', 'worker', 10, wait => '5 s');
SELECT durable_work.set_rate_limit('chats', NULL, scope => 'key');
SELECT durable_work.drop_queue(queue, force => true) FROM unnest('{calls,chats}'::text[]) AS queue;
-- Where a transaction that is prepared would have to make it known, it is refused.
BEGIN;
SELECT durable_work.set_concurrency_limit('mail', 2);
PREPARE TRANSACTION 'queue_limits';

SELECT durable_work.drop_queue(queue, force => true) FROM durable_work.queues WHERE queue IN ('mail', 'push') ORDER BY queue;
