-- Changing many jobs: cancel_many, reschedule_many, retry_now_many; and purge_queue. The same whether the jobs are in memory
-- or on disk.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS durable_work;
RESET client_min_messages;
SET search_path = pg_catalog;
-- Repeats a call until everything was looked at; each call is a transaction of its own.
CREATE PROCEDURE pg_temp.all_of(call text) LANGUAGE plpgsql AS $$
DECLARE
    part durable_work.changed_jobs;
    jobs bigint := 0;
BEGIN
    LOOP
        EXECUTE format('SELECT * FROM durable_work.%s, after_job_id => %L)', rtrim(call, ')'), part.next_after) INTO part;
        jobs := jobs + part.jobs;
        COMMIT;
        EXIT WHEN part.next_after IS NULL;
    END LOOP;
    RAISE NOTICE '% jobs', jobs;
END $$;
CREATE FUNCTION pg_temp.jobs() RETURNS TABLE (status text, attempts int, due text, jobs bigint, numbers bigint) LANGUAGE sql AS $$
    SELECT status, attempts, CASE WHEN available_at > clock_timestamp() THEN 'later' ELSE 'now' END, count(*), sum((payload->>'n')::int)
    FROM durable_work.inbox WHERE queue = 'many' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 $$;
-- Fails that many jobs with a later retry.
CREATE PROCEDURE pg_temp.fail(wanted int) LANGUAGE plpgsql AS $$
DECLARE
    got int := 0;
    n int;
    give_up timestamptz := clock_timestamp() + interval '60 s';
BEGIN
    WHILE got < wanted LOOP
        SELECT count(*) INTO n FROM durable_work.claim('many', 'tester', wanted - got), LATERAL durable_work.fail(job_id, lease_token, retry_in => '1 h');
        got := got + n;
        IF clock_timestamp() > give_up THEN RAISE EXCEPTION 'only % jobs', got; END IF;
        COMMIT;
        PERFORM pg_sleep(0.005) WHERE n = 0;
    END LOOP;
END $$;
SELECT durable_work.create_queue('many', max_attempts => 5), durable_work.create_queue('beside');
SELECT count(*) FROM durable_work.enqueue_many('many', (SELECT array_agg(jsonb_build_object('n', n) ORDER BY n) FROM generate_series(1, 200) n),
    partition_keys => (SELECT array_agg('key ' || n % 4 ORDER BY n) FROM generate_series(1, 200) n),
    headers => (SELECT array_agg(CASE WHEN n % 10 = 0 THEN '{"tenth": true}'::jsonb END ORDER BY n) FROM generate_series(1, 200) n));
SELECT count(*) FROM durable_work.enqueue_many('beside', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 20) n), partition_keys => (SELECT array_agg('key 1'::text) FROM generate_series(1, 20) n));

-- by key, by contents, by both
CALL pg_temp.all_of($$cancel_many('many', partition_key => 'key 1')$$);
CALL pg_temp.all_of($$cancel_many('many', partition_key => 'key 1')$$);
CALL pg_temp.all_of($$cancel_many('many', partition_key => 'no such key')$$);
CALL pg_temp.all_of($$cancel_many('many', filter => '$.payload ? (@.n > 190)')$$);
CALL pg_temp.all_of($$cancel_many('many', filter => '$.headers.tenth')$$);
CALL pg_temp.all_of($$cancel_many('many', partition_key => 'key 2', filter => '$.payload ? (@.n < 20)')$$);
-- a path that fails on a job does not fit it
CALL pg_temp.all_of($$cancel_many('many', filter => 'strict $.payload.nothing')$$);
CALL pg_temp.all_of($$cancel_many('many', filter => '$.payload.n.double() / 0')$$);
CALL pg_temp.all_of($$cancel_many('many', older_than => '1 h')$$);
SELECT * FROM pg_temp.jobs();

-- due later, retried at once
CALL pg_temp.fail(20);
CALL pg_temp.all_of($$reschedule_many('many', '2100-01-01', partition_key => 'key 3')$$);
SELECT * FROM pg_temp.jobs();
CALL pg_temp.all_of($$retry_now_many('many', partition_key => 'key 0')$$);
CALL pg_temp.all_of($$retry_now_many('many')$$);
CALL pg_temp.all_of($$retry_now_many('many')$$);
SELECT * FROM pg_temp.jobs();
CALL pg_temp.all_of($$reschedule_many('many', now(), max_jobs => 7)$$);
SELECT * FROM pg_temp.jobs();

-- long sleepers
SELECT count(*) FROM durable_work.enqueue_many('many', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 30) n), available_ats => (SELECT array_agg(timestamptz '2090-01-01') FROM generate_series(1, 30) n));
CALL pg_temp.all_of($$cancel_many('many', filter => '$.payload ? (@.n <= 10)', older_than => '0', max_jobs => 3)$$);
CALL pg_temp.all_of($$reschedule_many('many', '2110-01-01', filter => '$.payload ? (@.n <= 15)')$$);
SELECT date_part('year', available_at) AS year, count(*) FROM durable_work.inbox WHERE queue = 'many' AND status = 'pending' AND available_at > '2080-01-01' GROUP BY 1 ORDER BY 1;

-- a batch is bounded, and tells where it ended
SELECT jobs, left_out, next_after IS NOT NULL AS more FROM durable_work.cancel_many('many', older_than => '0', max_jobs => 10);
-- what was rolled back did not happen
BEGIN;
SELECT jobs FROM durable_work.cancel_many('many', older_than => '0', max_jobs => 5);
SAVEPOINT s;
SELECT jobs FROM durable_work.reschedule_many('many', '2100-01-01', max_jobs => 5);
ROLLBACK TO s;
ROLLBACK;
SELECT count(*) FROM durable_work.inbox WHERE queue = 'many' AND status = 'pending';
-- twice in one transaction
BEGIN;
SELECT jobs FROM durable_work.reschedule_many('many', '2100-01-01', filter => '$.payload ? (@.n == 102)');
SELECT jobs, left_out FROM durable_work.reschedule_many('many', '2000-01-01', filter => '$.payload ? (@.n == 102)');
SELECT jobs FROM durable_work.cancel_many('many', filter => '$.payload ? (@.n == 102)');
SELECT jobs FROM durable_work.cancel_many('many', filter => '$.payload ? (@.n == 102)');
COMMIT;
SELECT status FROM durable_work.inbox WHERE queue = 'many' AND payload @> '{"n": 102}';
-- leased ones are cancelled too, but not put off
SELECT job_id AS job, lease_token AS token FROM durable_work.claim('many', 'tester', 1) \gset
SELECT jobs, left_out FROM durable_work.reschedule_many('many', '2100-01-01', max_jobs => 1, after_job_id => :job - 1);
CALL pg_temp.all_of($$cancel_many('many', older_than => '0')$$);
SELECT split_part(helper.refusal(format('SELECT durable_work.complete(%s, %s)', :job, :token)), ' | ', 1) AS completed;
SELECT status, count(*) FROM durable_work.inbox WHERE queue IN ('many', 'beside') GROUP BY queue, status ORDER BY queue, status;
SELECT unfinished FROM durable_work.queue_stats WHERE queue IN ('many', 'beside') ORDER BY queue;

-- refused
SELECT helper.refusal($$SELECT durable_work.cancel_many('many')$$);
SELECT helper.refusal($$SELECT durable_work.cancel_many('nowhere', older_than => '0')$$);
SELECT helper.refusal($$SELECT durable_work.cancel_many('many', older_than => '-1 s')$$);
SELECT helper.refusal($$SELECT durable_work.cancel_many('many', older_than => '0', max_jobs => 0)$$);
SELECT helper.refusal($$SELECT durable_work.cancel_many('many', older_than => '0', max_jobs => 100001)$$);
SELECT helper.refusal($$SELECT durable_work.cancel_many('many', older_than => '0', after_job_id => -1)$$);
SELECT helper.refusal($$SELECT durable_work.reschedule_many('many', NULL)$$);
SELECT helper.refusal($$SELECT durable_work.reschedule_many('many', 'infinity')$$);

-- purge: all of it, and again what was rolled back
SELECT durable_work.purge_queue('many');
SELECT count(*) FROM durable_work.enqueue_many('many', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(1, 150) n), idempotency_keys => (SELECT array_agg('k' || n) FROM generate_series(1, 150) n));
SELECT count(*) FROM durable_work.enqueue_many('many', '{1,2}', available_ats => '{2090-01-01,2090-01-01}');
SELECT job_id AS job, lease_token AS token FROM durable_work.claim('many', 'tester', 1) \gset
BEGIN;
SELECT durable_work.purge_queue('many');
SELECT inserted FROM durable_work.enqueue('many', '{"n": "own"}');
SELECT durable_work.purge_queue('many');
ROLLBACK;
SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'many';
BEGIN;
SELECT inserted FROM durable_work.enqueue('many', '{"n": "own"}');
SAVEPOINT s;
SELECT durable_work.purge_queue('many');
ROLLBACK TO s;
SELECT durable_work.purge_queue('many');
COMMIT;
SELECT split_part(helper.refusal(format('SELECT durable_work.complete(%s, %s)', :job, :token)), ' | ', 3) AS completed;
SELECT event, detail FROM durable_work.history(:job);
SELECT status, count(*) FROM durable_work.inbox WHERE queue = 'many' AND created_at > now() - interval '1 day' AND (payload->>'n' = 'own' OR idempotency_key IS NOT NULL) GROUP BY 1 ORDER BY 1;
SELECT payload FROM durable_work.claim('many', 'tester', 10);
-- keys stay, unless they are to be forgotten
SELECT inserted FROM durable_work.enqueue('many', '{"n": 1}', idempotency_key => 'k1');
SELECT durable_work.purge_queue('many', forget_keys => true);
SELECT inserted FROM durable_work.enqueue('many', '{"n": 1}', idempotency_key => 'k1');
-- dead letters stay
SELECT count(*) FROM durable_work.claim('many', 'tester', 10), LATERAL durable_work.reject(job_id, lease_token, 'no');
SELECT durable_work.purge_queue('many'), (SELECT count(*) FROM durable_work.dead_letters WHERE queue = 'many') AS dead_letters;
SELECT helper.refusal($$SELECT durable_work.purge_queue('nowhere')$$);
SELECT helper.refusal($$SELECT durable_work.purge_queue('many', NULL)$$);
-- work goes on
SELECT inserted FROM durable_work.enqueue('many', '{"n": "next"}');
SELECT payload FROM durable_work.claim('many', 'tester', 10);
SELECT durable_work.drop_queue('many', force => true), durable_work.drop_queue('beside', force => true);
