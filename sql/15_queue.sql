-- Queues: making, changing, dropping, pausing; and the bucket of a key.

-- Making and changing --------------------------------------------------------------------------------------------------

CREATE FUNCTION durable_work.create_queue(
    queue text,
    lease interval DEFAULT '90 s',
    max_attempts integer DEFAULT 20,
    backoff text DEFAULT 'exponential',
    backoff_base interval DEFAULT '5 s',
    backoff_cap interval DEFAULT '1 h',
    jitter double precision DEFAULT 1.0,
    delivery text DEFAULT 'at_least_once',
    max_length bigint DEFAULT NULL,
    overflow text DEFAULT 'reject',
    retention interval DEFAULT '24 h',
    dedupe_window interval DEFAULT '7 d',
    dead_letter_queue text DEFAULT NULL,
    durable_claims boolean DEFAULT false,
    strict boolean DEFAULT false,
    buckets integer DEFAULT 360,
    max_runtime interval DEFAULT NULL,
    max_payload text DEFAULT '1 MB',
    ordering text DEFAULT 'none',
    on_exhausted text DEFAULT 'skip',
    fairness text DEFAULT 'none'
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_create_queue';
REVOKE ALL ON FUNCTION durable_work.create_queue(text, interval, integer, text, interval, interval, double precision,
    text, bigint, text, interval, interval, text, boolean, boolean, integer, interval, text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.create_queue(text, interval, integer, text, interval, interval, double precision,
    text, bigint, text, interval, interval, text, boolean, boolean, integer, interval, text, text, text, text) IS
'Makes a queue, with a topic of the same name that its producers write to. The same call again does nothing; with other settings it raises DW003.
lease: how long a claimed job belongs to its worker unless extended (up to 365 days).
max_attempts: claims before a job goes to the dead letters (1 to 32767).
backoff, backoff_base, backoff_cap: pause before a retry: exponential doubles from base to cap, linear adds base each time, fixed is always base.
jitter: part of the pause that is random, 0 (none) to 1 (all of it).
delivery: at_least_once, or at_most_once: a job is handed out a single time, and when its outcome stays unknown it is a dead letter.
max_length: unfinished jobs that the queue takes (1 and more; null or 0: any number). overflow says what happens to one more: reject raises DW005, drop_oldest makes room by making the oldest waiting job a dead letter.
retention: how long finished jobs stay visible.
dedupe_window: how long an idempotency key is remembered.
dead_letter_queue: another queue that gets a new job for each dead letter of this one, beside the dead letter itself, with the same payload, partition_key and priority, and a member dead_letter in its headers (null or empty: none). It takes them also when it is full or paused.
durable_claims: each claim is recorded in the log, so that attempts are counted over a crash of the server too.
strict: a job is handed out only once its enqueue is on disk, and its completion is flushed, also under synchronous_commit = off.
buckets: into how many the partition keys are divided among registered workers (1 to 1024), see resize_buckets and the view workers.
max_runtime: how long one attempt may take, whatever its lease is extended to (null or 0: any time).
max_payload: largest payload, as a size with unit (1 byte to 255 MB): of the jsonb before compression, as pg_column_size tells it.
ordering: none, or key: of the jobs of one partition_key one at a time is handed out, in the order of their enqueues, over retries, delays, expired leases and restarts. Jobs without a key wait for nobody.
on_exhausted: what becomes of the key of an ordered queue when a job of it has used up its attempts or is rejected: skip (the next one follows), hold (the key is blocked until unblock_key), dead_letter_key (those that wait behind it become dead letters too).
fairness: none, or key: keys that have jobs due are served by turns, one job each. ordering and fairness are for the life of the queue.';

CREATE FUNCTION durable_work.alter_queue(
    queue text,
    lease interval DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    backoff text DEFAULT NULL,
    backoff_base interval DEFAULT NULL,
    backoff_cap interval DEFAULT NULL,
    jitter double precision DEFAULT NULL,
    delivery text DEFAULT NULL,
    max_length bigint DEFAULT NULL,
    overflow text DEFAULT NULL,
    retention interval DEFAULT NULL,
    dedupe_window interval DEFAULT NULL,
    dead_letter_queue text DEFAULT NULL,
    durable_claims boolean DEFAULT NULL,
    strict boolean DEFAULT NULL,
    buckets integer DEFAULT NULL,
    max_runtime interval DEFAULT NULL,
    max_payload text DEFAULT NULL,
    ordering text DEFAULT NULL,
    on_exhausted text DEFAULT NULL,
    fairness text DEFAULT NULL
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_alter_queue';
REVOKE ALL ON FUNCTION durable_work.alter_queue(text, interval, integer, text, interval, interval, double precision,
    text, bigint, text, interval, interval, text, boolean, boolean, integer, interval, text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.alter_queue(text, interval, integer, text, interval, interval, double precision,
    text, bigint, text, interval, interval, text, boolean, boolean, integer, interval, text, text, text, text) IS
'Changes the options that are given (see create_queue) and keeps those that are null; 22023 when all are. max_length => 0, max_runtime => ''0'' and dead_letter_queue => '''' take the option away. ordering and fairness cannot be changed (0A000). It takes effect when the transaction commits. Leases that are out keep their deadline.';

-- Dropping and pausing -------------------------------------------------------------------------------------------------

CREATE FUNCTION durable_work.drop_queue(queue text, force boolean DEFAULT false) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_drop_queue';
REVOKE ALL ON FUNCTION durable_work.drop_queue(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.drop_queue(text, boolean) IS
'Drops a queue with its idempotency keys and dead letters. Raises DW006 while jobs are unfinished or another queue has it as dead_letter_queue, unless force is true: then the jobs are gone, their holders are told DW001, whoever waits for its work or for one of its jobs is woken, and the other queue has no dead_letter_queue any more. Jobs whose enqueue commits while the call runs go with the queue; a transaction that has enqueued to it and commits later is refused (DW002), one that has only claimed or decided jobs of it commits.';

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

CREATE FUNCTION durable_work.resize_buckets(queue text, buckets integer) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_resize_buckets';
REVOKE ALL ON FUNCTION durable_work.resize_buckets(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.resize_buckets(text, integer) IS
'Divides the keys of the queue into another number of buckets (1 to 1024) when the transaction commits; the same as alter_queue(queue, buckets => ...). Work goes on: jobs that workers hold stay theirs, the order stays, and most keys get another bucket and so perhaps another owner. Raises DW002 for an unknown queue.';

CREATE FUNCTION durable_work.bucket(partition_key text, buckets integer DEFAULT 360) RETURNS integer
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'durable_work_bucket';
REVOKE ALL ON FUNCTION durable_work.bucket(text, integer) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.bucket(text, integer) IS
'Bucket of a partition key: FNV-1a (32 bits, unsigned) of its UTF-8 bytes, modulo the number of buckets. Null for null. Works without preloading.';

-- The view queues -------------------------------------------------------------------------------------------------------

-- security_barrier: a function in the query of somebody else must not see the queues that are left out.
CREATE VIEW durable_work.queues WITH (security_barrier) AS
SELECT queue.name AS queue,
       queue.lease,
       topic.max_attempts,
       queue.backoff,
       queue.backoff_base,
       queue.backoff_cap,
       queue.jitter,
       queue.delivery,
       queue.max_length,
       queue.overflow,
       queue.retention,
       topic.dedupe_window,
       CASE WHEN durable_work.may(dead_letter_queue.id, 'any') THEN dead_letter_queue.name END AS dead_letter_queue,
       queue.durable_claims,
       queue.strict,
       queue.max_runtime,
       queue.max_payload,
       queue.paused,
       queue.created_at,
       queue.ordering,
       queue.on_exhausted,
       queue.fairness,
       queue.buckets
FROM durable_work.queue AS queue
JOIN durable_work.topic AS topic ON topic.id OPERATOR(pg_catalog.=) queue.topic
LEFT JOIN durable_work.queue AS dead_letter_queue
    ON dead_letter_queue.id OPERATOR(pg_catalog.=) queue.dead_letter_queue
WHERE durable_work.may(queue.id, 'any');
REVOKE ALL ON durable_work.queues FROM PUBLIC;
COMMENT ON VIEW durable_work.queues IS 'Queues that the user has a right on, and their options';
COMMENT ON COLUMN durable_work.queues.dead_letter_queue IS 'Null also when the user has no right on it';
COMMENT ON COLUMN durable_work.queues.max_payload IS 'Bytes, of the jsonb before compression';
