-- Changing a job that waits: another due time, another payload.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS durable_work;
RESET client_min_messages;
SET search_path = pg_catalog;
-- What the inbox says of a job; later: is it due later.
CREATE FUNCTION pg_temp.look(job bigint) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', status, payload, 'attempts', attempts, CASE WHEN available_at > clock_timestamp() THEN 'later' ELSE 'now' END)
    FROM durable_work.inbox WHERE id = job $$;
CREATE FUNCTION pg_temp.history(job bigint) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', event, attempt, worker, detail), E'\n') FROM durable_work.history(job) $$;
CREATE FUNCTION pg_temp.take() RETURNS TABLE (job bigint, token bigint, payload jsonb, attempt int) LANGUAGE sql AS
$$ SELECT job_id, lease_token, payload, attempt FROM durable_work.claim('change', 'tester', 1) $$;
SELECT durable_work.create_queue('change', max_attempts => 3, backoff => 'fixed', backoff_base => '0', jitter => 0, max_payload => '1 kB');

-- due later, and at once again
SELECT job_id AS job FROM durable_work.enqueue('change', '{"n": 1}', priority => 3) \gset
SELECT durable_work.reschedule(:job, clock_timestamp() + interval '1 h');
SELECT pg_temp.look(:job), (SELECT count(*) FROM pg_temp.take()) AS taken;
SELECT next_action, reason FROM durable_work.explain_job(:job);
SELECT durable_work.reschedule(:job, '4000-01-01 BC', 'change');
SELECT durable_work.reschedule(:job, available_at => '2000-01-01');
SELECT pg_temp.look(:job);
SELECT token, payload, attempt FROM pg_temp.take() \gset
SELECT :'payload' AS payload, :attempt AS attempt;

-- not while a worker has it
SELECT helper.refusal(format('SELECT durable_work.reschedule(%s, now())', :job));
SELECT helper.refusal(format('SELECT durable_work.update_payload(%s, ''1'')', :job));
-- attempts stay, also when it waits for a retry
SELECT durable_work.fail(:job, :token, '{"why": "no"}', retry_in => '1 h');
SELECT durable_work.update_payload(:job, '{"n": 2}');
SELECT pg_temp.look(:job);
SELECT durable_work.reschedule(:job, now());
SELECT pg_temp.look(:job);
-- the old token is of no use
SELECT split_part(helper.refusal(format('SELECT durable_work.complete(%s, %s)', :job, :token)), ' | ', 1) AS refused;
SELECT token > :token AS token_rises, token, payload, attempt FROM pg_temp.take() \gset
SELECT :'token_rises' AS token_rises, :'payload' AS payload, :attempt AS attempt;
SELECT durable_work.fail(:job, :token, '{"why": "again"}');
SELECT durable_work.update_payload(:job, '{"n": 3}');
SELECT token, payload, attempt FROM pg_temp.take() \gset
SELECT :'payload' AS payload, :attempt AS attempt;
SELECT durable_work.fail(:job, :token, '{"why": "last"}');
SELECT pg_temp.look(:job);
SELECT pg_temp.history(:job);
SELECT attempt, outcome, error FROM durable_work.attempts WHERE job_id = :job ORDER BY attempt;
SELECT payload, attempts, reason, jsonb_path_query_array(history, '$[*].event') AS events FROM durable_work.dead_letters WHERE job_id = :job;
-- not when it has ended
SELECT helper.refusal(format('SELECT durable_work.reschedule(%s, now())', :job));
SELECT helper.refusal(format('SELECT durable_work.update_payload(%s, ''1'')', :job));
-- a redrive takes the last payload
SELECT durable_work.redrive('change');
CREATE PROCEDURE pg_temp.take_one(want bigint) LANGUAGE plpgsql AS $$
DECLARE
    got record;
    give_up timestamptz := clock_timestamp() + interval '60 s';
BEGIN
    LOOP
        SELECT * INTO got FROM pg_temp.take();
        EXIT WHEN got.job = want;
        IF clock_timestamp() > give_up THEN RAISE EXCEPTION 'job is not handed out'; END IF;
        COMMIT;
        PERFORM pg_sleep(0.005);
    END LOOP;
    RAISE NOTICE 'payload %, attempt %', got.payload, got.attempt;
    PERFORM durable_work.complete(got.job, got.token);
END $$;
CALL pg_temp.take_one(:job);
SELECT pg_temp.look(:job);

-- several changes in one transaction: the last one counts, savepoints undo theirs
SELECT job_id AS job FROM durable_work.enqueue('change', '{"n": 1}') \gset
BEGIN;
SELECT durable_work.reschedule(:job, now() + interval '1 h');
SELECT durable_work.update_payload(:job, '{"n": 2}'), durable_work.update_payload(:job, '{"n": 3}');
SAVEPOINT s;
SELECT durable_work.update_payload(:job, '{"n": 4}');
SELECT durable_work.reschedule(:job, now());
ROLLBACK TO s;
COMMIT;
SELECT pg_temp.look(:job);
BEGIN;
SELECT durable_work.reschedule(:job, now());
SELECT durable_work.update_payload(:job, '{"n": 5}');
ROLLBACK;
SELECT pg_temp.look(:job), (SELECT count(*) FROM pg_temp.take()) AS taken;
BEGIN;
SELECT durable_work.update_payload(:job, '{"n": 6}');
SAVEPOINT s;
SELECT durable_work.cancel(:job), durable_work.cancel(:job);
SELECT helper.refusal(format('SELECT durable_work.reschedule(%s, now())', :job));
ROLLBACK TO s;
SELECT durable_work.reschedule(:job, now());
COMMIT;
SELECT payload, attempt FROM pg_temp.take();
SELECT pg_temp.look(:job);
SELECT durable_work.cancel(:job);

-- a change, then a cancel
SELECT job_id AS job FROM durable_work.enqueue('change', '{"n": 1}') \gset
BEGIN;
SELECT durable_work.update_payload(:job, '{"n": 2}');
SELECT durable_work.cancel(:job);
COMMIT;
SELECT pg_temp.look(:job), (SELECT count(*) FROM pg_temp.take()) AS taken;
SELECT pg_temp.history(:job);

-- a long sleeper lies in another table; it comes back to be due now, and goes on sleeping
SELECT job_id AS job FROM durable_work.enqueue('change', '{"n": "far"}', delay => '30 days') \gset
SELECT durable_work.reschedule(:job, clock_timestamp() + interval '60 days');
SELECT available_at > clock_timestamp() + interval '59 days' AS far FROM durable_work.inbox WHERE id = :job;
SELECT durable_work.update_payload(:job, '{"n": "farther"}');
SELECT pg_temp.look(:job);
SELECT durable_work.reschedule(:job, now());
SELECT payload, attempt FROM pg_temp.take();
SELECT durable_work.cancel(:job);
SELECT count(*) AS rows FROM durable_work.parked WHERE id = :job;

-- expires_at stays, and bounds the due time
SELECT job_id AS job FROM durable_work.enqueue('change', '1', expires_at => '2100-01-01') \gset
SELECT helper.refusal(format('SELECT durable_work.reschedule(%s, ''2100-01-01'')', :job));
SELECT durable_work.update_payload(:job, '2');
SELECT expires_at = '2100-01-01' AS expires, payload FROM durable_work.inbox WHERE id = :job;
SELECT durable_work.cancel(:job);

-- refused, and nothing changes
SELECT job_id AS job FROM durable_work.enqueue('change', '{"n": 1}') \gset
SELECT helper.refusal(format('SELECT durable_work.update_payload(%s, to_jsonb(repeat(''x'', 2000)))', :job));
SELECT helper.refusal(format('SELECT durable_work.update_payload(%s, NULL)', :job));
SELECT helper.refusal(format('SELECT durable_work.reschedule(%s, NULL)', :job));
SELECT helper.refusal(format('SELECT durable_work.reschedule(%s, ''infinity'')', :job));
SELECT helper.refusal(format('SELECT durable_work.reschedule(%s, ''9999-01-01'')', :job));
SELECT helper.refusal(format('SELECT durable_work.reschedule(%s, now(), ''nowhere'')', :job));
SELECT helper.refusal('SELECT durable_work.reschedule(9223372036854775807, now())');
SELECT helper.refusal('SELECT durable_work.update_payload(0, ''1'')');
SELECT pg_temp.look(:job);
SELECT payload FROM pg_temp.take();
SELECT durable_work.cancel(:job);
BEGIN;
SELECT job_id AS job FROM durable_work.enqueue('change', '{"n": 1}') \gset
SELECT helper.refusal(format('SELECT durable_work.update_payload(%s, ''1'')', :job));
ROLLBACK;

-- the key compares with what was enqueued
SELECT job_id AS job FROM durable_work.enqueue('change', '{"n": 1}', idempotency_key => 'k') \gset
SELECT durable_work.update_payload(:job, '{"n": 2}');
SELECT job_id = :job AS same, inserted FROM durable_work.enqueue('change', '{"n": 1}', idempotency_key => 'k');
SELECT pg_temp.look(:job);
SELECT durable_work.drop_queue('change', force => true);
