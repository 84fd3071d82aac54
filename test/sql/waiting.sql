-- explain_waiting: every reason that a session can bring about, with how many jobs; and the view segments.
SET client_min_messages = warning;
SELECT durable_work.create_queue('why', lease => '1 h', backoff => 'fixed', backoff_base => '20 min', jitter => 0);
CREATE FUNCTION pg_temp.why() RETURNS TABLE (reason text, jobs bigint) LANGUAGE sql AS $$
    SELECT reason, jobs FROM durable_work.explain_waiting('why')
$$;
-- Details carry times, so they are compared by what they must say.
CREATE FUNCTION pg_temp.says(wanted_reason text, pattern text) RETURNS boolean LANGUAGE sql AS $$
    SELECT bool_or(detail ~ pattern) FROM durable_work.explain_waiting('why') WHERE reason = wanted_reason
$$;

SELECT * FROM durable_work.explain_waiting('why');
SELECT * FROM durable_work.explain_waiting('nowhere');
SELECT * FROM durable_work.explain_waiting(NULL);

-- Due, and nobody there.
SELECT count(*) FROM durable_work.enqueue_many('why', array_fill('{}'::jsonb, '{5}'));
SELECT * FROM pg_temp.why();
SELECT pg_temp.says('no worker asks', 'nobody has claimed from this queue since the server started');

-- Paused.
SELECT durable_work.pause_queue('why');
SELECT * FROM pg_temp.why();
SELECT pg_temp.says('paused', 'SELECT durable_work.resume_queue\(''why''\);');
SELECT durable_work.resume_queue('why');

-- Held, and workers that cannot keep up.
SELECT count(*) AS claimed, min(job_id) AS first_job, min(lease_token) AS first_token FROM durable_work.claim('why', 'worker one', 2) \gset
SELECT job_id AS second_job, lease_token AS second_token FROM durable_work.leases WHERE queue = 'why' AND job_id > :first_job \gset
SELECT * FROM pg_temp.why();
SELECT pg_temp.says('held by workers', 'worker "worker one" on job ' || :first_job || ': claimed at .* ago, it ends at .*, in (59|60) min');

-- Delayed, also beyond what is kept in memory; and after an attempt.
SELECT inserted FROM durable_work.enqueue('why', '{}', delay => '10 min');
SELECT inserted FROM durable_work.enqueue('why', '{}', delay => '1 d');
SELECT durable_work.fail(:first_job, :first_token, '{"code": 1}');
SELECT * FROM pg_temp.why();
SELECT pg_temp.says('due later', 'The next is due at .*, in (9|10) min');
SELECT pg_temp.says('retry backoff', 'The next is due at .*, in (19|20) min');
SELECT pg_temp.says('due later, on disk', 'timer_horizon \(15min\)');

-- Decided by a transaction that is open: a job that a worker holds, and one that waits.
BEGIN;
SELECT durable_work.complete(:second_job, :second_token);
SELECT durable_work.cancel(:second_job + 1);
SELECT * FROM pg_temp.why();
ROLLBACK;
SELECT * FROM pg_temp.why();

-- Likewise by one that is prepared, which is named; the housekeeper deals with its end a moment later.
BEGIN;
SELECT durable_work.cancel(:second_job + 1);
PREPARE TRANSACTION 'forgotten "one"';
SELECT * FROM pg_temp.why();
SELECT pg_temp.says('prepared transaction', 'wait for COMMIT PREPARED or ROLLBACK PREPARED: "forgotten "one""\.');
ROLLBACK PREPARED 'forgotten "one"';
DO $$ BEGIN WHILE EXISTS (SELECT FROM pg_temp.why() WHERE reason IN ('prepared transaction', 'being decided')) LOOP PERFORM pg_sleep(0.005); END LOOP; END $$;
SELECT * FROM pg_temp.why();

-- A queue of this very transaction has its place already.
BEGIN;
SELECT durable_work.create_queue('unborn');
SELECT * FROM durable_work.explain_waiting('unborn');
ROLLBACK;
SELECT durable_work.drop_queue('why', force => true);

-- The slots of the log.
SELECT segment, state, first_id FROM durable_work.segments ORDER BY segment;
SELECT job_pages > 0 AS has_pages, job_bytes > job_pages * current_setting('block_size')::int AS with_indexes, outcome_pages > 0 AS has_outcomes,
       oldest_enqueued_at = (SELECT min(enqueued_at) FROM durable_work.job_0) AS oldest,
       newest_enqueued_at = (SELECT max(enqueued_at) FROM durable_work.job_0) AS newest
FROM durable_work.segments WHERE state = 'current';
SELECT oldest_enqueued_at = (SELECT enqueued_at FROM durable_work.parked ORDER BY id LIMIT 1) AS oldest,
       newest_enqueued_at = (SELECT enqueued_at FROM durable_work.parked ORDER BY id DESC LIMIT 1) AS newest
FROM durable_work.segments WHERE segment = 'parked';
SELECT count(*) FILTER (WHERE job_pages = 0 AND oldest_enqueued_at IS NULL) AS empty FROM durable_work.segments WHERE state = 'empty';
