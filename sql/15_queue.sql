-- Queues: making, changing, dropping, pausing; and the bucket of a key.

CREATE FUNCTION durable_work.create_queue(
    queue text,
    lease interval DEFAULT '90 s',
    max_attempts integer DEFAULT 20,
    backoff text DEFAULT 'exponential',
    backoff_base interval DEFAULT '5 s',
    backoff_cap interval DEFAULT '1 h',
    jitter double precision DEFAULT 1.0,
    retention interval DEFAULT '24 h',
    dedupe_window interval DEFAULT '7 d',
    strict boolean DEFAULT false
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_create_queue';
REVOKE ALL ON FUNCTION durable_work.create_queue(text, interval, integer, text, interval, interval, double precision,
    interval, interval, boolean) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.create_queue(text, interval, integer, text, interval, interval, double precision,
    interval, interval, boolean) IS
'Makes a queue, with a topic of the same name that its producers write to. The same call again does nothing; with other settings it raises DW003.
lease: how long a claimed job belongs to its worker unless extended (up to 365 days).
max_attempts: claims before a job goes to the dead letters (1 to 32767).
backoff, backoff_base, backoff_cap: pause before a retry: exponential doubles from base to cap, linear adds base each time, fixed is always base.
jitter: part of the pause that is random, 0 (none) to 1 (all of it).
retention: how long finished jobs stay visible.
dedupe_window: how long an idempotency key is remembered.
strict: a job is handed out only once its enqueue is on disk, and its completion is flushed, also under synchronous_commit = off.';

CREATE FUNCTION durable_work.alter_queue(
    queue text,
    lease interval DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    backoff text DEFAULT NULL,
    backoff_base interval DEFAULT NULL,
    backoff_cap interval DEFAULT NULL,
    jitter double precision DEFAULT NULL,
    retention interval DEFAULT NULL,
    dedupe_window interval DEFAULT NULL,
    strict boolean DEFAULT NULL
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_alter_queue';
REVOKE ALL ON FUNCTION durable_work.alter_queue(text, interval, integer, text, interval, interval, double precision,
    interval, interval, boolean) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.alter_queue(text, interval, integer, text, interval, interval, double precision,
    interval, interval, boolean) IS
'Changes the options that are given (see create_queue) and keeps those that are null; 22023 when all are. It takes effect when the transaction commits. Leases that are out keep their deadline.';

CREATE FUNCTION durable_work.drop_queue(queue text, force boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_drop_queue';
REVOKE ALL ON FUNCTION durable_work.drop_queue(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.drop_queue(text, boolean) IS
'Drops a queue with its idempotency keys and dead letters. Raises DW006 while jobs are unfinished, unless force is true: then they are gone, and their holders are told DW001. Jobs whose enqueue commits while the call runs go with the queue.';

CREATE FUNCTION durable_work.pause_queue(queue text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_pause_queue';
REVOKE ALL ON FUNCTION durable_work.pause_queue(text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.pause_queue(text) IS
'Stops handing out jobs of the queue when the transaction commits. Enqueuing goes on, and leases that are out stay valid.';

CREATE FUNCTION durable_work.resume_queue(queue text) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_resume_queue';
REVOKE ALL ON FUNCTION durable_work.resume_queue(text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.resume_queue(text) IS
'Hands out jobs of a paused queue again when the transaction commits.';

CREATE FUNCTION durable_work.bucket(partition_key text, buckets integer DEFAULT 360) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'durable_work_bucket';
REVOKE ALL ON FUNCTION durable_work.bucket(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.bucket(text, integer) IS
'Bucket of a partition key: FNV-1a (32 bits, unsigned) of its UTF-8 bytes, modulo the number of buckets. Null for null. Works without preloading.';

CREATE VIEW durable_work.queues AS
SELECT queue.name AS queue,
       queue.lease,
       topic.max_attempts,
       queue.backoff,
       queue.backoff_base,
       queue.backoff_cap,
       queue.jitter,
       queue.retention,
       topic.dedupe_window,
       queue.strict,
       queue.paused,
       queue.created_at
FROM durable_work.queue AS queue
JOIN durable_work.topic AS topic ON topic.id OPERATOR(pg_catalog.=) queue.topic;
REVOKE ALL ON durable_work.queues FROM PUBLIC;
COMMENT ON VIEW durable_work.queues IS 'Queues and their options';
