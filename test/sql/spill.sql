-- A queue deeper than memory: everything is handed out once and in order. Runs with room for 64 jobs, and with any.
SET client_min_messages = warning;
CREATE TABLE spill_done (place bigserial, n int, job_id bigint);
-- Claims and completes until as many as wanted are done.
CREATE PROCEDURE spill_drain(wanted int) LANGUAGE plpgsql AS $$
DECLARE
    mine record;
    got int := 0;
    give_up timestamptz := clock_timestamp() + interval '120 s';
BEGIN
    WHILE got < wanted LOOP
        SELECT array_agg(job_id) AS jobs, array_agg(lease_token) AS tokens, array_agg((payload->>'n')::int) AS ns, count(*) AS count INTO mine
        FROM durable_work.claim('spill', 'w', 20);
        IF mine.count > 0 THEN
            INSERT INTO spill_done (n, job_id) SELECT n, job FROM unnest(mine.ns, mine.jobs) WITH ORDINALITY u (n, job, place) ORDER BY place;
            PERFORM FROM durable_work.complete_many(mine.jobs, mine.tokens) WHERE outcome <> 'completed';
            IF FOUND THEN RAISE EXCEPTION 'a completion was refused'; END IF;
            got := got + mine.count;
        ELSIF clock_timestamp() > give_up THEN
            RAISE EXCEPTION 'only % of % came', got, wanted;
        ELSE
            PERFORM pg_sleep(0.002);
        END IF;
        COMMIT;
    END LOOP;
END $$;
SELECT durable_work.create_queue('spill', lease => '1 h');

-- 5,000 jobs in several transactions, one by one, in arrays, through the view, one part undone.
SELECT count(*) FROM durable_work.enqueue_many('spill', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 2000) i));
DO $$ BEGIN FOR i IN 2001 .. 3000 LOOP PERFORM durable_work.enqueue('spill', jsonb_build_object('n', i)); COMMIT; END LOOP; END $$;
BEGIN;
INSERT INTO durable_work.inbox (queue, payload) SELECT 'spill', jsonb_build_object('n', i) FROM generate_series(3001, 3500) i;
SAVEPOINT s;
INSERT INTO durable_work.inbox (queue, payload) SELECT 'spill', jsonb_build_object('n', -i) FROM generate_series(1, 500) i;
ROLLBACK TO s;
INSERT INTO durable_work.inbox (queue, payload) SELECT 'spill', jsonb_build_object('n', i) FROM generate_series(3501, 4000) i;
COMMIT;
BEGIN;
SELECT count(*) FROM durable_work.enqueue_many('spill', (SELECT array_agg(jsonb_build_object('n', -i)) FROM generate_series(1, 1000) i));
ROLLBACK;
SELECT count(durable_work.enqueue('spill', jsonb_build_object('n', i))) FROM generate_series(4001, 5000) i;
CALL spill_drain(5000);
SELECT count(*), count(DISTINCT n), min(n), max(n) FROM spill_done;
SELECT count(*) AS out_of_order FROM (SELECT n < lag(n) OVER (ORDER BY place) AS falls FROM spill_done) f WHERE falls;
SELECT count(*) FROM durable_work.claim('spill', 'w');
SELECT status, count(*) FROM durable_work.inbox WHERE queue = 'spill' GROUP BY status;

-- Failed ones come again, cancelled ones do not, duplicates are found on disk.
TRUNCATE spill_done;
SELECT count(*) FROM durable_work.enqueue_many('spill', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(1, 500) i),
    idempotency_keys => (SELECT array_agg('key ' || i) FROM generate_series(1, 500) i));
SELECT count(*) FILTER (WHERE inserted) AS inserted, count(*) FROM durable_work.enqueue_many('spill', (SELECT array_agg(jsonb_build_object('n', i)) FROM generate_series(401, 600) i),
    idempotency_keys => (SELECT array_agg('key ' || i) FROM generate_series(401, 600) i));
-- One transaction each: an undecided cancel takes memory.
DO $$
DECLARE
    job bigint;
BEGIN
    FOR job IN SELECT id FROM durable_work.inbox WHERE queue = 'spill' AND status = 'pending' AND payload->>'n' IN (SELECT (6 * i)::text FROM generate_series(1, 100) i) LOOP
        PERFORM durable_work.cancel(job, 'spill');
        COMMIT;
    END LOOP;
END $$;
SELECT count(*) AS cancelled FROM durable_work.inbox WHERE queue = 'spill' AND status = 'cancelled';
SELECT count(durable_work.fail(job_id, lease_token, retry_in => '0')) > 0 AS failed FROM durable_work.claim('spill', 'w', 10);
CALL spill_drain(500);
SELECT count(*), count(DISTINCT n), count(*) FILTER (WHERE n % 6 = 0) AS cancelled FROM spill_done;
SELECT count(*) FROM durable_work.claim('spill', 'w');
SELECT status, count(*) FROM durable_work.inbox WHERE queue = 'spill' GROUP BY status ORDER BY status;

SELECT durable_work.drop_queue('spill');
DROP PROCEDURE spill_drain;
DROP TABLE spill_done;
