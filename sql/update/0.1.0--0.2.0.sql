\echo Use "ALTER EXTENSION durable_work UPDATE" to load this file. \quit

-- From 0.1.0 to 0.2.0.

-- include 05_library.sql

-- include 46_health.sql
-- include 40_see.sql: Leases, attempts
-- include 45_stats.sql: The slots of the log
-- include 45_stats.sql: Why jobs wait
-- include 60_arrivals.sql: Asking for it

-- The log goes round.
CREATE TABLE durable_work.segment (
    slot integer NOT NULL,
    first_id bigint NOT NULL,
    opened_at timestamptz NOT NULL,
    PRIMARY KEY (slot, first_id)
);
REVOKE ALL ON durable_work.segment FROM PUBLIC;
COMMENT ON TABLE durable_work.segment IS 'Slots of the log that are in use, and the first job number of each';
COMMENT ON TABLE durable_work.parked IS 'Jobs due beyond the timer horizon, redriven or changed ones, and those that were left in a slot of the log';
SELECT pg_catalog.pg_extension_config_dump('durable_work.segment', '');
CREATE TRIGGER rows_arrived AFTER INSERT ON durable_work.segment FOR EACH STATEMENT EXECUTE FUNCTION durable_work.rows_arrived();
ALTER TABLE durable_work.segment ENABLE ALWAYS TRIGGER rows_arrived;

DO $identities$
BEGIN
    FOR n IN 0..7 LOOP
        EXECUTE pg_catalog.format('ALTER TABLE durable_work.job_%s REPLICA IDENTITY FULL', n);
        EXECUTE pg_catalog.format('ALTER TABLE durable_work.outcome_%s REPLICA IDENTITY FULL', n);
    END LOOP;
    ALTER TABLE durable_work.parked_outcome REPLICA IDENTITY FULL;
END
$identities$;

-- Many workers.
CREATE SEQUENCE durable_work.worker_instance_seq AS bigint MINVALUE 4294967296 MAXVALUE 8589934591;
CREATE TABLE durable_work.worker (
    name text PRIMARY KEY,
    instance bigint NOT NULL,
    queues integer[] NOT NULL,
    capacity integer,
    vnodes integer NOT NULL,
    labels jsonb,
    registered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    drain_deadline timestamptz
);
REVOKE ALL ON SEQUENCE durable_work.worker_instance_seq FROM PUBLIC;
REVOKE ALL ON durable_work.worker FROM PUBLIC;
COMMENT ON SEQUENCE durable_work.worker_instance_seq IS 'Numbers of registrations of workers';
COMMENT ON TABLE durable_work.worker IS 'Registered workers, see register_worker and the view workers; not in a dump';
SELECT pg_catalog.pg_extension_config_dump('durable_work.worker_instance_seq', '');
ALTER TABLE durable_work.queue ADD COLUMN buckets integer;
UPDATE durable_work.queue SET buckets = 360;
ALTER TABLE durable_work.queue ALTER COLUMN buckets SET DEFAULT 360, ALTER COLUMN buckets SET NOT NULL;

DROP FUNCTION durable_work.create_queue(text, interval, integer, text, interval, interval, double precision,
    text, bigint, text, interval, interval, text, boolean, boolean, interval, text);
DROP FUNCTION durable_work.alter_queue(text, interval, integer, text, interval, interval, double precision,
    text, bigint, text, interval, interval, text, boolean, boolean, interval, text);
DROP FUNCTION durable_work.claim(text, text, integer, interval, interval, text, bigint);
DROP FUNCTION durable_work.claim(text[], text, integer, interval, interval, text, bigint);
DROP FUNCTION durable_work.complete_and_claim(bigint[], bigint[], text, text, integer, interval, bigint, jsonb[]);
DROP FUNCTION durable_work.complete_and_claim(bigint[], bigint[], text[], text, integer, interval, bigint, jsonb[]);
DROP PROCEDURE durable_work.wait_for_work(text[], interval);
-- include 15_queue.sql
-- include 30_work.sql: Claiming
-- include 30_work.sql: Completing and claiming
-- include 30_work.sql: Failing, giving back, extending, waiting
-- include 32_workers.sql
-- include 40_see.sql: The inbox
