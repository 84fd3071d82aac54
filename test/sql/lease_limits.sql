-- What bounds an attempt: max_runtime; delivery at_most_once and durable_claims, whose claims are recorded.
SET client_min_messages = warning;
CREATE TEMP TABLE held (n text PRIMARY KEY, job_id bigint, token bigint);
CREATE FUNCTION pg_temp.put(queue text, VARIADIC n text[]) RETURNS void LANGUAGE sql AS $$
    SELECT count(*) FROM unnest(n) AS name, durable_work.enqueue(put.queue, jsonb_build_object('n', name))
$$;
CREATE FUNCTION pg_temp.dead(queue text) RETURNS TABLE (n text, reason text, attempts int, history text) LANGUAGE sql AS $$
    SELECT d.payload->>'n', d.reason, d.attempts, (SELECT string_agg(concat_ws(' ', h->>'event', h->>'attempt', h->>'worker', h->>'reason', h->>'error'), ', ' ORDER BY o)
        FROM jsonb_array_elements(d.history) WITH ORDINALITY AS e(h, o))
    FROM durable_work.dead_letters AS d WHERE d.queue = dead.queue ORDER BY 1
$$;

-- max_runtime: no lease goes further, whatever is asked for.
SELECT durable_work.create_queue('run', lease => '1 h', max_runtime => '2 h');
SELECT pg_temp.put('run', 'a');
INSERT INTO held SELECT 'a', job_id, lease_token FROM durable_work.claim('run', 'w', lease => '3 h');
SELECT date_trunc('minute', lease_expires_at - leased_at + interval '1 s') AS first FROM durable_work.leases WHERE queue = 'run';
SELECT helper.answer(format('SELECT durable_work.extend_lease(%s, %s, ''3 h'')', job_id, token)) FROM held;
SELECT helper.answer(format('SELECT durable_work.extend_lease(%s, %s, ''1 h'') < clock_timestamp() + interval ''61 min''', job_id, token)) AS shorter FROM held;
SELECT state, date_trunc('minute', lease_expires_at - clock_timestamp() + interval '10 s') AS next FROM durable_work.heartbeat('w', '90 min');
SELECT date_trunc('minute', lease_expires_at - clock_timestamp() + interval '10 s') AS most FROM durable_work.heartbeat('w', '5 h');
-- A new max_runtime counts at the next extension; the lease keeps what it has.
SELECT durable_work.alter_queue('run', max_runtime => '10 min');
SELECT date_trunc('minute', lease_expires_at - clock_timestamp() + interval '10 s') AS kept FROM durable_work.heartbeat('w', '5 h');
SELECT helper.answer(format('SELECT durable_work.extend_lease(%s, %s, ''3 h'')', job_id, token)) FROM held;
SELECT durable_work.alter_queue('run', max_runtime => '0');
SELECT helper.answer(format('SELECT durable_work.extend_lease(%s, %s, ''9 h'') > clock_timestamp() + interval ''8 h''', job_id, token)) AS unlimited FROM held;
SELECT durable_work.complete(job_id, token) FROM held;
-- A worker that hangs, but beats, loses its job.
SELECT durable_work.alter_queue('run', max_runtime => '0.3 s', max_attempts => 1);
SELECT pg_temp.put('run', 'hangs');
SELECT count(*) FROM durable_work.claim('run', 'w');
CALL helper.until($$(SELECT count(*) = 0 FROM durable_work.heartbeat('w', '1 h'))$$);
CALL helper.until($$EXISTS (SELECT FROM durable_work.dead_letters WHERE queue = 'run')$$);
SELECT * FROM pg_temp.dead('run');
SELECT durable_work.drop_queue('run');

-- at_most_once: a claim is a transaction of its own.
TRUNCATE held;
SELECT durable_work.create_queue('once', delivery => 'at_most_once', lease => '10 min', backoff_base => '0');
SELECT pg_temp.put('once', 'completes', 'fails', 'rejected', 'expires', 'kept');
SELECT helper.answer($$SELECT durable_work.claim('once', 'w')$$);
BEGIN;
SELECT count(*) FROM durable_work.claim('once', 'w');
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT count(*) FROM durable_work.claim(array['once'], 'w');
ROLLBACK;
DO $$BEGIN PERFORM durable_work.claim('once', 'w'); END$$;
CREATE FUNCTION pg_temp.claim_once() RETURNS bigint LANGUAGE sql AS $$SELECT count(*) FROM durable_work.claim('once', 'w')$$;
SELECT pg_temp.claim_once();
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT * FROM durable_work.claim('once', 'w');
CREATE TEMP TABLE taken AS SELECT * FROM durable_work.claim('once', 'w');
SELECT count(*) FROM durable_work.claim('once', 'w')\; SELECT 1;
SELECT * FROM durable_work.complete_and_claim('{}', '{}', 'once', 'w');
SELECT attempts, status, count(*) FROM durable_work.inbox WHERE queue = 'once' GROUP BY 1, 2;
-- What plainly is one.
SET synchronous_commit = off;
SELECT job_id AS j1, lease_token AS t1, payload->>'n' AS n, attempt FROM durable_work.claim('once', 'w', 1) \gset
RESET synchronous_commit;
\echo :n :attempt
SELECT durable_work.complete(:j1, :t1);
SELECT event, attempt, worker FROM durable_work.history(:j1);
SELECT job_id AS j1, lease_token AS t1, payload->>'n' AS n FROM durable_work.claim(array['once'], 'w', 1) \gset
SELECT status, attempts, max_attempts, next_action FROM durable_work.explain_job(:j1);
SELECT helper.answer(format('SELECT durable_work.release(%s, %s)', :j1, :t1)) UNION ALL SELECT helper.answer(format('SELECT durable_work.defer(%s, %s, now())', :j1, :t1));
SELECT durable_work.fail(:j1, :t1, '"no"', retry_in => '0');
SELECT job_id AS j1, lease_token AS t1, payload->>'n' AS n FROM durable_work.claim('once', 'w', 1) \gset
SELECT durable_work.reject(:j1, :t1, 'spoilt');
SELECT payload->>'n' AS n FROM durable_work.claim('once', 'w', 1, lease => '1 ms');
CALL helper.until($$(SELECT count(*) = 3 FROM durable_work.dead_letters WHERE queue = 'once')$$);
SELECT * FROM pg_temp.dead('once');
SELECT payload->>'n' AS n FROM durable_work.claim('once', 'w');
SELECT pg_temp.put('once', 'not found');
SELECT 1 / (count(*) - 1) AS too_late FROM durable_work.claim('once', 'w');
CALL helper.until($$(SELECT count(*) = 4 FROM durable_work.dead_letters WHERE queue = 'once')$$);
SELECT * FROM pg_temp.dead('once') WHERE n = 'not found';
SELECT durable_work.drop_queue('once', force => true);

-- durable_claims: the same record, and the attempt may be repeated.
SELECT durable_work.create_queue('durable', durable_claims => true, lease => '10 min', max_attempts => 2, backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT pg_temp.put('durable', 'a', 'b');
BEGIN;
SELECT count(*) FROM durable_work.claim('durable', 'w');
ROLLBACK;
SELECT job_id AS j1, lease_token AS t1, attempt FROM durable_work.claim('durable', 'w', 1) \gset
SELECT status, attempts, max_attempts FROM durable_work.explain_job(:j1);
SELECT durable_work.release(:j1, :t1);
SELECT status, attempts, reason FROM durable_work.explain_job(:j1);
SELECT job_id = :j1 AS again, job_id AS j1, lease_token AS t1, attempt FROM durable_work.claim('durable', 'w', 1) \gset
\echo :again :attempt
SELECT durable_work.fail(:j1, :t1, '"first"');
SELECT job_id AS j1, lease_token AS t1, attempt FROM durable_work.claim('durable', 'w', 1) \gset
\echo :attempt
SELECT durable_work.complete(:j1, :t1);
SELECT event, attempt, worker FROM durable_work.history(:j1);
SELECT status, attempts FROM durable_work.inbox WHERE queue = 'durable' ORDER BY id;
SELECT job_id AS j1, lease_token AS t1 FROM durable_work.claim('durable', 'w', 1) \gset
SELECT durable_work.fail(:j1, :t1, '"no"', retryable => false);
SELECT * FROM pg_temp.dead('durable');
SELECT durable_work.drop_queue('durable');
