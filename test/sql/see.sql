-- Views and functions that show jobs: every state, in the view, by id and in words.
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE EXTENSION IF NOT EXISTS durable_work;

CREATE TEMP TABLE job (n int PRIMARY KEY, id bigint);
CREATE FUNCTION pg_temp.id(wanted int) RETURNS bigint STABLE LANGUAGE sql AS 'SELECT id FROM job WHERE n = wanted';
CREATE TEMP TABLE held (n int, job_id bigint, lease_token bigint);
-- Claims the job that is due next; its number.
CREATE FUNCTION pg_temp.take(wanted_lease interval DEFAULT NULL) RETURNS int LANGUAGE sql AS $$
    WITH claimed AS MATERIALIZED (SELECT * FROM durable_work.claim('see', 'anna', 1, wanted_lease))
    INSERT INTO held SELECT (payload->>'n')::int, job_id, lease_token FROM claimed RETURNING n
$$;
CREATE FUNCTION pg_temp.token(wanted int) RETURNS bigint STABLE LANGUAGE sql AS 'SELECT max(lease_token) FROM held WHERE n = wanted';
CREATE FUNCTION pg_temp.shown(wanted int) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', status, 'by=' || claimed_by, 'attempts=' || attempts, 'of=' || max_attempts, 'result=' || result::text,
        'error=' || last_error::text,
        CASE WHEN completed_at IS NOT NULL THEN 'completed_at' END, CASE WHEN lease_expires_at IS NOT NULL THEN 'lease_expires_at' END,
        CASE WHEN lease_generation = pg_temp.token(wanted) THEN 'last token' WHEN lease_generation IS NOT NULL THEN 'other token' END)
    FROM durable_work.inbox WHERE id = pg_temp.id(wanted)
$$;
CREATE FUNCTION pg_temp.explained(wanted int) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' | ', queue, status, 'by=' || claimed_by, 'attempts=' || attempts, 'of=' || max_attempts, next_action,
        CASE WHEN next_at IS NOT NULL THEN 'at' END, reason)
    FROM durable_work.explain_job(pg_temp.id(wanted))
$$;
CREATE FUNCTION pg_temp.told(wanted int) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(':', event, attempt, worker), ' ' ORDER BY ordinality) FROM durable_work.history(pg_temp.id(wanted)) WITH ORDINALITY
$$;

SELECT durable_work.create_queue('see', lease => '1 h', max_attempts => 3, backoff => 'fixed', backoff_base => '0', backoff_cap => '0', jitter => 0);
INSERT INTO job SELECT n, job_id FROM generate_series(1, 9) AS n, durable_work.enqueue('see', jsonb_build_object('n', n), priority => n, partition_key => 'key ' || n);

-- Waiting.
SELECT pg_temp.shown(1);
SELECT pg_temp.explained(1);
SELECT pg_temp.told(1);
-- Leased, extended by its own transaction, decided but not committed, completed.
SELECT pg_temp.take();
SELECT pg_temp.shown(1);
SELECT pg_temp.explained(1);
SELECT pg_temp.told(1);
SELECT queue, worker, attempt, lease_token = pg_temp.token(1) AS token, lease_expires_at - leased_at BETWEEN interval '59 min' AND interval '61 min' AS an_hour
FROM durable_work.leases WHERE job_id = pg_temp.id(1);
BEGIN;
SELECT durable_work.complete(pg_temp.id(1), pg_temp.token(1), '{"paid": 12}');
SELECT pg_temp.shown(1);
SELECT pg_temp.explained(1);
ROLLBACK;
SELECT pg_temp.shown(1);
SELECT durable_work.complete(pg_temp.id(1), pg_temp.token(1), '{"paid": 12}');
SELECT pg_temp.shown(1);
SELECT pg_temp.explained(1);
SELECT pg_temp.told(1);
SELECT count(*) FROM durable_work.leases WHERE job_id = pg_temp.id(1);

-- Failed twice, then completed: the last error stays to be seen.
SELECT pg_temp.take();
BEGIN;
SELECT durable_work.fail(pg_temp.id(2), pg_temp.token(2), '{"why": "undone"}');
SELECT pg_temp.shown(2);
ROLLBACK;
SELECT pg_temp.shown(2);
SELECT durable_work.fail(pg_temp.id(2), pg_temp.token(2), '{"why": "first"}');
SELECT pg_temp.shown(2);
SELECT pg_temp.told(2);
SELECT pg_temp.take();
SELECT pg_temp.shown(2);
SELECT durable_work.fail(pg_temp.id(2), pg_temp.token(2), '"second"', retry_in => '1 h');
SELECT pg_temp.shown(2);
SELECT available_at - created_at > interval '59 min' AS later FROM durable_work.inbox WHERE id = pg_temp.id(2);
SELECT pg_temp.explained(2);
-- Out of attempts: a dead letter.
SELECT pg_temp.take();
SELECT durable_work.fail(pg_temp.id(3), pg_temp.token(3)) FROM generate_series(1, 1);
SELECT pg_temp.take();
SELECT durable_work.fail(pg_temp.id(3), pg_temp.token(3), '{"why": "again"}');
SELECT pg_temp.take();
SELECT durable_work.fail(pg_temp.id(3), pg_temp.token(3), '{"why": "for good"}');
SELECT pg_temp.shown(3);
SELECT pg_temp.explained(3);
SELECT pg_temp.told(3);
SELECT queue, partition_key, payload, attempts, reason, dead_at >= enqueued_at AS in_order, jsonb_array_length(history) FROM durable_work.dead_letters WHERE job_id = pg_temp.id(3);
-- Rejected: the reason is the error.
SELECT pg_temp.take();
SELECT durable_work.reject(pg_temp.id(4), pg_temp.token(4), 'not ours');
SELECT pg_temp.shown(4);
SELECT pg_temp.explained(4);
SELECT pg_temp.told(4);
-- Released and deferred: the attempt is given back. A release leaves no trace.
SELECT pg_temp.take();
SELECT durable_work.release(pg_temp.id(5), pg_temp.token(5));
SELECT pg_temp.shown(5);
SELECT pg_temp.take();
SELECT durable_work.defer(pg_temp.id(5), pg_temp.token(5), clock_timestamp() + interval '10 h');
SELECT pg_temp.shown(5);
SELECT pg_temp.told(5);
SELECT next_at > clock_timestamp() + interval '9 h' AS later FROM durable_work.explain_job(pg_temp.id(5));
-- Expired.
SELECT pg_temp.take('1 ms');
CALL helper.until('pg_temp.shown(6) LIKE ''pending%error=%''');
SELECT pg_temp.shown(6);
SELECT pg_temp.told(6);
SELECT pg_temp.take();
SELECT durable_work.complete(pg_temp.id(6), pg_temp.token(6));
SELECT pg_temp.shown(6);
SELECT pg_temp.told(6);
-- Cancelled, waiting and under its holder.
SELECT durable_work.cancel(pg_temp.id(7));
SELECT pg_temp.shown(7);
SELECT pg_temp.explained(7);
SELECT pg_temp.take();
BEGIN;
SELECT durable_work.cancel(pg_temp.id(8));
SELECT pg_temp.shown(8);
COMMIT;
SELECT pg_temp.shown(8);
SELECT pg_temp.told(8);
SELECT count(*) FROM durable_work.leases WHERE job_id = pg_temp.id(8);
-- Paused.
SELECT durable_work.pause_queue('see');
SELECT pg_temp.explained(9);
SELECT durable_work.resume_queue('see');
-- Due beyond the timer horizon.
INSERT INTO job SELECT 10, job_id FROM durable_work.enqueue('see', '{"n": 10}', delay => '30 d');
SELECT pg_temp.shown(10);
SELECT pg_temp.explained(10);
-- Just enqueued, in the same transaction.
BEGIN;
INSERT INTO job SELECT 11, job_id FROM durable_work.enqueue('see', '{"n": 11}', idempotency_key => 'eleven', headers => '{"h": 1}', max_attempts => 9, priority => 9);
SELECT pg_temp.shown(11);
SELECT pg_temp.explained(11);
COMMIT;
SELECT queue, partition_key, priority, payload, headers, idempotency_key, status, max_attempts, available_at = created_at AS at_once, expires_at
FROM durable_work.inbox WHERE id = pg_temp.id(11);

-- The bucket of a key, and of a job without one.
SELECT bool_and(partition_bucket = durable_work.bucket(partition_key)) FROM durable_work.inbox WHERE queue = 'see' AND partition_key IS NOT NULL;
SELECT bool_and(partition_bucket BETWEEN 0 AND 359) FROM durable_work.inbox WHERE queue = 'see';

-- All attempts of the log.
SELECT n, attempt, worker, outcome, error FROM durable_work.attempts JOIN job ON id = job_id WHERE queue = 'see' ORDER BY n, at, attempt, outcome;

-- The whole view agrees with each job by itself; the whole reads an outcome table once, the single looks one job up.
SELECT count(*) FROM durable_work.enqueue_many('see', (SELECT array_agg(jsonb_build_object('n', n)) FROM generate_series(100, 199) AS n));
DO $$
DECLARE
    claimed record;
BEGIN
    FOR claimed IN SELECT * FROM durable_work.claim('see', 'bert', 80) LOOP
        CASE (claimed.payload->>'n')::int % 4
            WHEN 0 THEN PERFORM durable_work.complete(claimed.job_id, claimed.lease_token, to_jsonb(claimed.job_id));
            WHEN 1 THEN PERFORM durable_work.fail(claimed.job_id, claimed.lease_token, to_jsonb(claimed.job_id), retry_in => '1 h');
            WHEN 2 THEN PERFORM durable_work.cancel(claimed.job_id);
            ELSE NULL;
        END CASE;
    END LOOP;
END $$;
CREATE TEMP TABLE whole AS SELECT * FROM durable_work.inbox WHERE queue = 'see';
CREATE TEMP TABLE single (LIKE whole);
DO $$
DECLARE
    wanted bigint;
BEGIN
    FOR wanted IN SELECT id FROM whole LOOP
        INSERT INTO single SELECT * FROM durable_work.inbox WHERE id = wanted;
    END LOOP;
END $$;
-- The end of a lease is shown by a running clock.
UPDATE whole SET lease_expires_at = NULL;
UPDATE single SET lease_expires_at = NULL;
SELECT count(*) > 100 AS many, count(DISTINCT status) FROM whole;
SELECT count(*) FROM (SELECT * FROM whole EXCEPT SELECT * FROM single) AS differs;
SELECT count(*) FROM (SELECT * FROM single EXCEPT SELECT * FROM whole) AS differs;
SELECT count(*) FROM whole WHERE status = 'completed' AND result = to_jsonb(id);
SELECT count(*) FROM whole WHERE last_error = to_jsonb(id);
SELECT count(*) FROM whole WHERE status = 'processing';
SELECT count(*) FROM durable_work.leases WHERE queue = 'see' AND worker = 'bert';

-- A query for one id reaches the index of every table of the log.
SET enable_seqscan = off;
CREATE FUNCTION pg_temp.index_conditions(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    line text;
    found bigint := 0;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || statement LOOP
        IF line ~ 'Index Cond: \(id = (77|ANY)' THEN found := found + 1; END IF;
    END LOOP;
    RETURN found;
END $$;
SELECT pg_temp.index_conditions('SELECT * FROM durable_work.inbox WHERE id = 77');
SELECT pg_temp.index_conditions('SELECT * FROM durable_work.inbox WHERE id = ANY (ARRAY[77, 78]::bigint[])');
RESET enable_seqscan;

-- Outcome rows, unpacked.
SELECT kind, attempt, lease_token IS NOT NULL AS token, next_due IS NOT NULL AS due
FROM durable_work.outcome_members(1, null, decode('01' || repeat('00', 5) || '05' || repeat('01', 8) || '02' || '02', 'hex'));
SELECT count(*) FROM durable_work.outcome_members(1, 5, '\x');
SELECT count(*) FROM durable_work.outcome_members(1, 9223372036854775807, decode(repeat('ff', 40), 'hex')) AS m WHERE m.id IS NULL;

-- Unknown jobs and queues, nulls.
SELECT helper.answer('SELECT durable_work.explain_job(9223372036854775807)');
SELECT helper.answer('SELECT durable_work.explain_job(-1)');
SELECT helper.answer('SELECT durable_work.explain_job(null)');
SELECT helper.answer(format('SELECT durable_work.explain_job(%s, ''see_none'')', pg_temp.id(1)));
SELECT helper.answer(format('SELECT durable_work.explain_job(%s, '''')', pg_temp.id(1)));
SELECT helper.answer('SELECT durable_work.history(9223372036854775807)');
SELECT helper.answer('SELECT durable_work.history(null)');
SELECT helper.answer('SELECT durable_work.job_state(1, 1, 9)');
SELECT durable_work.create_queue('see_other');
SELECT helper.answer(format('SELECT durable_work.history(%s, ''see_other'')', pg_temp.id(1)));
SELECT count(*) FROM durable_work.history(pg_temp.id(1), 'see');
SELECT durable_work.drop_queue('see_other');

-- The insert into the view fires in replica role too.
SET session_replication_role = replica;
INSERT INTO durable_work.inbox (queue, payload) VALUES ('see', '{"n": "replica"}') RETURNING queue, payload;
RESET session_replication_role;
SELECT status FROM durable_work.inbox WHERE queue = 'see' AND payload->>'n' = 'replica';

-- Nothing of ours changes by looking, and it is allowed where nothing may change.
BEGIN READ ONLY;
SELECT count(*) > 100 FROM durable_work.inbox WHERE queue = 'see';
SELECT count(*) > 0 FROM durable_work.leases;
SELECT count(*) FROM durable_work.explain_job(pg_temp.id(1));
SELECT count(*) FROM durable_work.history(pg_temp.id(1));
SELECT pg_current_xact_id_if_assigned() IS NULL;
COMMIT;

-- Every object has a comment; nobody else may use any.
SELECT pg_describe_object(classid, objid, 0) FROM pg_depend
WHERE refclassid = 'pg_extension'::regclass AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'durable_work')
  AND deptype = 'e' AND obj_description(objid, classid::regclass::name) IS NULL
  -- row types of tables and arrays of types, which newer servers list as well
  AND NOT EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
                  WHERE classid = 'pg_type'::regclass AND t.oid = objid AND (t.typelem <> 0 OR c.relkind <> 'c'));
SELECT proname FROM pg_proc WHERE pronamespace = 'durable_work'::regnamespace AND has_function_privilege('pg_monitor', oid, 'EXECUTE');
SELECT relname FROM pg_class WHERE relnamespace = 'durable_work'::regnamespace AND relkind IN ('r', 'v', 'S')
  AND has_table_privilege('pg_monitor', oid, 'SELECT, INSERT, UPDATE, DELETE');
-- All tables and sequences are dumped, but for that of registered workers.
SELECT relname FROM pg_class, pg_extension
WHERE relnamespace = 'durable_work'::regnamespace AND relkind IN ('r', 'S') AND extname = 'durable_work' AND NOT pg_class.oid = ANY (extconfig);

SELECT durable_work.drop_queue('see', force => true);
