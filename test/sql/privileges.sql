-- Right after CREATE EXTENSION nothing can be used, or even looked at, but by superusers.
SET client_min_messages = warning;
DROP ROLE IF EXISTS durable_work_stranger;
CREATE ROLE durable_work_stranger;
RESET client_min_messages;

SELECT has_schema_privilege('durable_work_stranger', 'durable_work', 'USAGE') AS usage,
       has_schema_privilege('durable_work_stranger', 'durable_work', 'CREATE') AS "create";
SELECT proname FROM pg_proc WHERE pronamespace = 'durable_work'::regnamespace AND has_function_privilege('durable_work_stranger', oid, 'EXECUTE');
SELECT relname, right_name FROM pg_class, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS right_name
WHERE relnamespace = 'durable_work'::regnamespace AND relkind IN ('r', 'v', 'p', 'm') AND has_table_privilege('durable_work_stranger', oid, right_name);
SELECT relname FROM pg_class
WHERE relnamespace = 'durable_work'::regnamespace AND CASE WHEN relkind = 'S' THEN has_sequence_privilege('durable_work_stranger', oid, 'USAGE,SELECT,UPDATE') END;
-- Not by a grant to PUBLIC hidden in a column, either.
SELECT attrelid::regclass, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'durable_work'::regnamespace AND attacl IS NOT NULL;

SET ROLE durable_work_stranger;
SELECT durable_work.enqueue('default', '{}');
SELECT * FROM durable_work.inbox;
INSERT INTO durable_work.inbox (payload) VALUES ('{}');
CALL durable_work.wait_for_work('{default}', '0');
CREATE EXTENSION durable_work;
RESET ROLE;

-- With what a worker needs and no more.
GRANT USAGE ON SCHEMA durable_work TO durable_work_stranger;
GRANT EXECUTE ON FUNCTION durable_work.claim(text, text, int, interval, interval, boolean, text, bigint), durable_work.complete(bigint, bigint, jsonb),
    durable_work.enqueue(text, jsonb, text, text, int, timestamptz, interval, int, jsonb, timestamptz, text, text), durable_work.fail(bigint, bigint, jsonb, interval, boolean)
    TO durable_work_stranger;
SELECT durable_work.create_queue('private', lease => '1 h', max_attempts => 1);
SET ROLE durable_work_stranger;
SELECT inserted FROM durable_work.enqueue('private', '{"n": 1}', idempotency_key => 'k');
SELECT inserted FROM durable_work.enqueue('private', '{"n": 1}', idempotency_key => 'k');
SELECT inserted FROM durable_work.enqueue('private', '{"n": 2}');
SELECT job_id, lease_token FROM durable_work.claim('private', 'w', 1) \gset
SELECT durable_work.complete(:job_id, :lease_token);
SELECT job_id, lease_token FROM durable_work.claim('private', 'w', 1) \gset
SELECT durable_work.fail(:job_id, :lease_token, '{"why": "x"}');
SELECT durable_work.cancel(:job_id);
SELECT count(*) FROM durable_work.job_0;
SELECT count(*) FROM durable_work.dead_letters;
SELECT durable_work.create_queue('mine');
-- The same code is used whatever names lie in the caller's path.
CREATE TEMP TABLE queue (name text);
CREATE TEMP TABLE idempotency (topic int, key text, job_id bigint);
SET search_path = pg_temp, durable_work, public;
SELECT inserted FROM durable_work.enqueue('private', '{"n": 3}', idempotency_key => 'k3');
SELECT count(*) FROM queue;
RESET search_path;
RESET ROLE;
SELECT payload->>'n' AS n, status FROM durable_work.inbox WHERE queue = 'private' ORDER BY id;
DROP TABLE pg_temp.queue, pg_temp.idempotency;
SELECT durable_work.drop_queue('private', force => true);
DROP OWNED BY durable_work_stranger;
DROP ROLE durable_work_stranger;
