\echo Use "ALTER EXTENSION durable_work UPDATE" to load this file. \quit

-- From 0.1.0 to 0.2.0.

-- include 05_library.sql

-- include 12_rights.sql
-- include 46_health.sql
-- include 40_see.sql: Parts of the views
-- include 40_see.sql: Leases, attempts
-- include 40_see.sql: One job
-- include 42_dead_letters.sql: The view dead_letters
-- include 42_dead_letters.sql: What to do with them
-- include 42_dead_letters.sql: The view redrives
-- include 45_stats.sql: The slots of the log
-- include 45_stats.sql: Why jobs wait
-- include 44_hot_keys.sql
-- include 47_wakeups.sql
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

-- One job of a key after the other, and keys by turns.
-- The rows get their values, so that the catalog has no note of what old rows lack.
ALTER TABLE durable_work.queue
    ADD COLUMN ordering text,
    ADD COLUMN on_exhausted text,
    ADD COLUMN fairness text;
UPDATE durable_work.queue SET ordering = 'none', on_exhausted = 'skip', fairness = 'none';
ALTER TABLE durable_work.queue
    ALTER COLUMN ordering SET DEFAULT 'none',
    ALTER COLUMN ordering SET NOT NULL,
    ALTER COLUMN on_exhausted SET DEFAULT 'skip',
    ALTER COLUMN on_exhausted SET NOT NULL,
    ALTER COLUMN fairness SET DEFAULT 'none',
    ALTER COLUMN fairness SET NOT NULL;
CREATE TABLE durable_work.blocked_key (
    queue integer NOT NULL,
    partition_key text NOT NULL,
    job_id bigint NOT NULL,
    blocked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    takes_along bigint,
    PRIMARY KEY (queue, partition_key),
    UNIQUE (queue, job_id)
);
REVOKE ALL ON durable_work.blocked_key FROM PUBLIC;
COMMENT ON TABLE durable_work.blocked_key IS 'Keys of ordered queues that wait for unblock_key; see blocked_keys';
SELECT pg_catalog.pg_extension_config_dump('durable_work.blocked_key', '');
CREATE TRIGGER rows_arrived AFTER INSERT ON durable_work.blocked_key FOR EACH STATEMENT EXECUTE FUNCTION durable_work.rows_arrived();
ALTER TABLE durable_work.blocked_key ENABLE ALWAYS TRIGGER rows_arrived;
CREATE TABLE durable_work.key_weight (
    queue integer NOT NULL,
    partition_key text NOT NULL,
    weight integer NOT NULL,
    PRIMARY KEY (queue, partition_key)
);
REVOKE ALL ON durable_work.key_weight FROM PUBLIC;
COMMENT ON TABLE durable_work.key_weight IS 'Keys of fair queues that get more than one job a round; see set_key_weight and the view key_weights';
SELECT pg_catalog.pg_extension_config_dump('durable_work.key_weight', '');
CREATE TRIGGER rows_arrived AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON durable_work.key_weight
    FOR EACH STATEMENT EXECUTE FUNCTION durable_work.rows_arrived();
ALTER TABLE durable_work.key_weight ENABLE ALWAYS TRIGGER rows_arrived;
DROP FUNCTION durable_work.create_queue(text, interval, integer, text, interval, interval, double precision, text, bigint, text,
    interval, interval, text, boolean, boolean, interval, text);
DROP FUNCTION durable_work.alter_queue(text, interval, integer, text, interval, interval, double precision, text, bigint, text,
    interval, interval, text, boolean, boolean, interval, text);
-- include 17_keys.sql
DROP VIEW durable_work.queue_stats;
DROP FUNCTION durable_work.queue_figures();
-- include 45_stats.sql: How many jobs there are

DO $identities$
BEGIN
    FOR n IN 0..7 LOOP
        EXECUTE pg_catalog.format('ALTER TABLE durable_work.job_%s REPLICA IDENTITY FULL', n);
        EXECUTE pg_catalog.format('ALTER TABLE durable_work.outcome_%s REPLICA IDENTITY FULL', n);
    END LOOP;
    ALTER TABLE durable_work.parked_outcome REPLICA IDENTITY FULL;
END
$identities$;

-- Limits.
ALTER TABLE durable_work.queue
    ADD COLUMN max_in_flight integer,
    ADD COLUMN rate_jobs integer,
    ADD COLUMN rate_interval interval,
    ADD COLUMN rate_burst integer,
    ADD COLUMN key_max_in_flight integer,
    ADD COLUMN key_rate_jobs integer,
    ADD COLUMN key_rate_interval interval,
    ADD COLUMN key_rate_burst integer,
    ADD COLUMN concurrency_group text,
    ADD COLUMN group_max_in_flight integer,
    ADD COLUMN rate_group text,
    ADD COLUMN group_rate_jobs integer,
    ADD COLUMN group_rate_interval interval,
    ADD COLUMN group_rate_burst integer;
COMMENT ON TABLE durable_work.queue IS 'Queues; each reads one topic. Changed by create_queue, alter_queue, drop_queue, pause_queue, resume_queue, set_concurrency_limit and set_rate_limit only';

-- include 17_limits.sql

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

DROP FUNCTION durable_work.claim(text, text, integer, interval, interval, text, bigint);
DROP FUNCTION durable_work.claim(text[], text, integer, interval, interval, text, bigint);
DROP FUNCTION durable_work.complete_and_claim(bigint[], bigint[], text, text, integer, interval, bigint, jsonb[]);
DROP FUNCTION durable_work.complete_and_claim(bigint[], bigint[], text[], text, integer, interval, bigint, jsonb[]);
DROP PROCEDURE durable_work.wait_for_work(text[], interval);
-- include 15_queue.sql: Making and changing
-- include 15_queue.sql: Dropping and pausing
-- include 15_queue.sql: The view queues
-- include 30_work.sql: Claiming
-- include 30_work.sql: Completing and claiming
-- include 30_work.sql: Failing, giving back, extending, waiting
-- include 32_workers.sql
-- include 40_see.sql: The view inbox
