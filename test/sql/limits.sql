-- Limits of what a queue takes: sizes of payloads and headers, number of jobs; and the figures of a queue.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS durable_work;
RESET client_min_messages;
SET search_path = pg_catalog;

-- A jsonb string that takes n bytes.
CREATE FUNCTION pg_temp.sized(n integer) RETURNS jsonb LANGUAGE sql AS $$ SELECT to_jsonb(repeat('x', n - 12)) $$;
CREATE FUNCTION pg_temp.sized_headers(n integer) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_object('key', repeat('x', n - 19)) $$;
SELECT pg_column_size(pg_temp.sized(100)), pg_column_size(pg_temp.sized_headers(100));

-- payload: what the queue says, whichever way the job comes
SELECT durable_work.create_queue('limits_small', max_payload => '100 bytes');
SELECT inserted FROM durable_work.enqueue('limits_small', pg_temp.sized(100));
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_small', pg_temp.sized(101))$$);
SELECT count(*) FROM durable_work.enqueue_many('limits_small', ARRAY[pg_temp.sized(100), pg_temp.sized(99)]);
SELECT helper.refusal($$SELECT durable_work.enqueue_many('limits_small', ARRAY[pg_temp.sized(100), pg_temp.sized(150)])$$);
SELECT helper.refusal($$INSERT INTO durable_work.inbox (queue, payload) VALUES ('limits_small', pg_temp.sized(100))$$);
SELECT helper.refusal($$INSERT INTO durable_work.inbox (queue, payload) VALUES ('limits_small', pg_temp.sized(101))$$);
COPY durable_work.inbox (queue, payload) FROM stdin;
limits_small	"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
\.
-- a key whose payload is too large is not taken
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_small', pg_temp.sized(101), idempotency_key => 'large')$$);
SELECT inserted FROM durable_work.enqueue('limits_small', '1', idempotency_key => 'large');
SELECT count(*) FROM durable_work.inbox WHERE queue = 'limits_small';

-- what is stored compressed or out of line counts as what it is when read
CREATE TEMP TABLE stored (what text, document jsonb);
INSERT INTO stored VALUES ('compressed', pg_temp.sized(5000));
ALTER TABLE stored ALTER document SET STORAGE EXTERNAL;
INSERT INTO stored VALUES ('out of line', pg_temp.sized(5000));
SELECT what, pg_column_size(document) < 1000 AS small_on_disk FROM stored ORDER BY what;
SELECT what, helper.refusal(format($$SELECT durable_work.enqueue('limits_small', document) FROM pg_temp.stored WHERE what = %L$$, what))
FROM stored ORDER BY what;
SELECT durable_work.alter_queue('limits_small', max_payload => '5000 bytes');
SELECT what, helper.refusal(format($$SELECT durable_work.enqueue('limits_small', document) FROM pg_temp.stored WHERE what = %L$$, what))
FROM stored ORDER BY what;

-- headers: what the setting says
SHOW durable_work.max_headers;
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_small', '1', headers => pg_temp.sized_headers(65536))$$);
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_small', '1', headers => pg_temp.sized_headers(65537))$$);
SELECT helper.refusal($$SELECT durable_work.enqueue_many('limits_small', '{1}', headers => ARRAY[pg_temp.sized_headers(65537)])$$);
SELECT helper.refusal($$INSERT INTO durable_work.inbox (queue, payload, headers) VALUES ('limits_small', '1', pg_temp.sized_headers(65537))$$);
SELECT helper.refusal($$SET durable_work.max_headers = '1 MB'$$);
-- The server's words differ between majors.
\set VERBOSITY sqlstate
ALTER SYSTEM SET durable_work.max_headers = 0;
ALTER SYSTEM SET durable_work.max_headers = '65 MB';
\set VERBOSITY default

SELECT durable_work.drop_queue('limits_small', force => true);

-- Number of jobs: max_length --------------------------------------------------------------------------------------------
SELECT durable_work.create_queue('limits_full', max_length => 3);
CREATE FUNCTION pg_temp.figures() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s ready, %s delayed, %s processing, %s spilled: %s; %s dead', ready, delayed, processing, spilled, unfinished, dead_letter)
    FROM durable_work.queue_stats WHERE queue = 'limits_full' $$;
SELECT pg_temp.figures();
SELECT count(*) FROM durable_work.enqueue_many('limits_full', '{1, 2}', idempotency_keys => '{one, NULL}');
SELECT inserted FROM durable_work.enqueue('limits_full', '3', delay => '1 h');
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_full', '4')$$);
SELECT helper.refusal($$SELECT durable_work.enqueue_many('limits_full', '{4, 5}')$$);
SELECT helper.refusal($$INSERT INTO durable_work.inbox (queue, payload) VALUES ('limits_full', '4')$$);
COPY durable_work.inbox (queue, payload) FROM stdin;
limits_full	4
\.
SELECT pg_temp.figures();
-- a duplicate takes no room, and a new key that finds none is not taken
SELECT inserted FROM durable_work.enqueue('limits_full', '1', idempotency_key => 'one');
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_full', '4', idempotency_key => 'four')$$);

-- a job in work counts, and makes room when its end commits
SELECT job_id AS job, lease_token AS token FROM durable_work.claim('limits_full', 'limits', 1) \gset
SELECT pg_temp.figures();
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_full', '4')$$) ~ '^DW005' AS full;
BEGIN;
SELECT durable_work.complete(:job, :token);
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_full', '4')$$) ~ '^DW005' AS full;
COMMIT;
SELECT pg_temp.figures();
SELECT inserted FROM durable_work.enqueue('limits_full', '4', idempotency_key => 'four');

-- a cancelled job, a dead letter and a failed attempt
SELECT job_id AS job, lease_token AS token FROM durable_work.claim('limits_full', 'limits', 1) \gset
SELECT durable_work.fail(:job, :token, retry_in => '1 h');
SELECT pg_temp.figures();
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_full', '5')$$) ~ '^DW005' AS full;
SELECT durable_work.cancel(:job);
SELECT job_id AS job, lease_token AS token FROM durable_work.claim('limits_full', 'limits', 1) \gset
SELECT durable_work.reject(:job, :token, 'no');
SELECT pg_temp.figures();
SELECT count(*) FROM durable_work.enqueue_many('limits_full', '{5, 6}');
SELECT job_id AS job, lease_token AS token FROM durable_work.claim('limits_full', 'limits', 1) \gset
SELECT durable_work.cancel(:job);
SELECT pg_temp.figures();

-- what an open transaction enqueues counts at once, and not any more when it is taken back
BEGIN;
SELECT inserted FROM durable_work.enqueue('limits_full', '7');
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_full', '8')$$);
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT inserted FROM durable_work.enqueue('limits_full', '7');
ROLLBACK TO a;
SELECT inserted FROM durable_work.enqueue('limits_full', '7');
SAVEPOINT b;
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_full', '8')$$) ~ '^DW005' AS full;
RELEASE b;
ROLLBACK TO a;
SAVEPOINT c;
SELECT inserted FROM durable_work.enqueue('limits_full', '7');
RELEASE c;
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_full', '8')$$) ~ '^DW005' AS full;
COMMIT;
SELECT pg_temp.figures();
-- a statement that fails after it has taken room gives it back
SELECT job_id AS job, lease_token AS token FROM durable_work.claim('limits_full', 'limits', 1) \gset
SELECT durable_work.complete(:job, :token);
SELECT helper.refusal($$SELECT 1 / (job_id - job_id) FROM durable_work.enqueue('limits_full', '8')$$);
SELECT inserted FROM durable_work.enqueue('limits_full', '8');

-- the limit changes when the change commits; what is there stays
SELECT durable_work.alter_queue('limits_full', max_length => 2);
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_full', '9')$$);
SELECT durable_work.alter_queue('limits_full', max_length => 4);
SELECT inserted FROM durable_work.enqueue('limits_full', '9');
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_full', '10')$$) ~ '^DW005' AS full;
SELECT durable_work.alter_queue('limits_full', max_length => 0);
SELECT count(*) FROM durable_work.enqueue_many('limits_full', '{10, 11, 12}');
SELECT durable_work.alter_queue('limits_full', max_length => 8);
SELECT inserted FROM durable_work.enqueue('limits_full', '13');
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_full', '14')$$) ~ '^DW005' AS full;
SELECT pg_temp.figures();

-- a queue that is made and filled in one transaction
BEGIN;
SELECT durable_work.create_queue('limits_new', max_length => 2);
SELECT count(*) FROM durable_work.enqueue_many('limits_new', '{1, 2}');
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_new', '3')$$) ~ '^DW005' AS full;
COMMIT;
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_new', '3')$$) ~ '^DW005' AS full;
SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'limits_new';

-- dead letters of another queue are not refused
SELECT durable_work.create_queue('limits_source', dead_letter_queue => 'limits_new');
SELECT inserted FROM durable_work.enqueue('limits_source', '1');
SELECT job_id AS job, lease_token AS token FROM durable_work.claim('limits_source', 'limits', 1) \gset
SELECT durable_work.reject(:job, :token, 'no');
SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'limits_new';

-- overflow => 'drop_oldest': the oldest waiting job goes -------------------------------------------------------------------
SELECT durable_work.create_queue('limits_ring', max_length => 3, overflow => 'drop_oldest', dead_letter_queue => 'limits_source');
CREATE FUNCTION pg_temp.ring() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s %s', payload, status) FROM durable_work.inbox WHERE queue = 'limits_ring' ORDER BY id $$;
SELECT count(*) FROM durable_work.enqueue_many('limits_ring', '{1, 2, 3}', priorities => '{9, 0, 5}');
SELECT inserted FROM durable_work.enqueue('limits_ring', '4', delay => '10 min');
SELECT pg_temp.ring();
SELECT payload, attempts, reason, history - 'at' FROM (SELECT payload, attempts, reason, history->0 AS history FROM durable_work.dead_letters WHERE queue = 'limits_ring') AS dead;
SELECT payload, headers->'dead_letter'->>'reason' AS reason FROM durable_work.inbox WHERE queue = 'limits_source' AND payload = '1' AND headers IS NOT NULL;
SELECT ready, delayed + spilled AS later, processing, unfinished, dead_letter, dead_lettered FROM durable_work.queue_stats WHERE queue = 'limits_ring';
-- a job in work stays, the ready ones go first, then the delayed one
SELECT payload FROM durable_work.claim('limits_ring', 'limits', 1);
SELECT inserted FROM durable_work.enqueue('limits_ring', '5', delay => '1 min');
SELECT pg_temp.ring();
-- nothing changes when the transaction is taken back
BEGIN;
SELECT count(*) FROM durable_work.enqueue_many('limits_ring', '{6, 7}');
ROLLBACK;
SELECT pg_temp.ring();
SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'limits_ring';
BEGIN;
SAVEPOINT a;
SELECT inserted FROM durable_work.enqueue('limits_ring', '6');
ROLLBACK TO a;
SELECT inserted FROM durable_work.enqueue('limits_ring', '7');
COMMIT;
SELECT pg_temp.ring();
-- what an open transaction enqueued does not go, and what it holds cannot
BEGIN;
SELECT inserted FROM durable_work.enqueue('limits_ring', '8');
SELECT helper.refusal($$SELECT durable_work.enqueue('limits_ring', '9')$$);
COMMIT;
SELECT helper.refusal($$SELECT durable_work.enqueue_many('limits_ring', '{1, 2, 3, 4}')$$);
SELECT pg_temp.ring();

-- figures since the server started
SELECT enqueued, claimed, completed, failed, expired, dead_lettered, cancelled, oldest_due_age BETWEEN '0' AND '5 min' AS age
FROM durable_work.queue_stats WHERE queue = 'limits_full';
SELECT bool_and((oldest_due_age IS NULL) = (ready = 0)) AS age_of_ready FROM durable_work.queue_stats;

SELECT durable_work.drop_queue('limits_ring', force => true), durable_work.drop_queue('limits_full', force => true);
SELECT durable_work.drop_queue('limits_source', force => true);
SELECT durable_work.drop_queue('limits_new', force => true);
