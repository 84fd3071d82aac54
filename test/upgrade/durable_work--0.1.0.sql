\echo Use "CREATE EXTENSION durable_work" to load this file. \quit

-- Install script of durable_work, by subject. The files of sql/ are joined in the order of their names.

-- Everything runs inside CREATE EXTENSION, as a superuser and with durable_work first in the search path. So a schema
-- that somebody else has prepared is refused: an operator or a function in it could be picked up in place of the
-- server's own.
DO $own_schema$
DECLARE
    strangers bigint;
BEGIN
    SELECT pg_catalog.count(*) INTO strangers
    FROM (SELECT relnamespace FROM pg_catalog.pg_class
          UNION ALL SELECT pronamespace FROM pg_catalog.pg_proc
          UNION ALL SELECT oprnamespace FROM pg_catalog.pg_operator
          UNION ALL SELECT typnamespace FROM pg_catalog.pg_type
          UNION ALL SELECT collnamespace FROM pg_catalog.pg_collation
          UNION ALL SELECT conversion.connamespace FROM pg_catalog.pg_conversion AS conversion
          UNION ALL SELECT opcnamespace FROM pg_catalog.pg_opclass) AS member (namespace)
    WHERE namespace OPERATOR(pg_catalog.=) 'durable_work'::pg_catalog.regnamespace;
    IF strangers OPERATOR(pg_catalog.>) 0 THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DW006',
            MESSAGE = 'schema durable_work is not empty',
            HINT = 'Drop or rename the schema, then run CREATE EXTENSION durable_work again.';
    END IF;
    IF (SELECT nspowner FROM pg_catalog.pg_namespace WHERE nspname OPERATOR(pg_catalog.=) 'durable_work')
       OPERATOR(pg_catalog.<>) (SELECT oid FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user)
    THEN
        RAISE EXCEPTION USING
            ERRCODE = 'DW006',
            MESSAGE = 'schema durable_work belongs to another role',
            HINT = 'Drop or rename the schema, then run CREATE EXTENSION durable_work again.';
    END IF;
END
$own_schema$;

REVOKE ALL ON SCHEMA durable_work FROM PUBLIC;
COMMENT ON SCHEMA durable_work IS 'Durable job queue: the functions and views to use, and the tables of its log';
-- Tables of the log and of what lives beside it.
--
-- job_<n> and outcome_<n> are the slots of a ring. They are only appended to, so they never hold a dead row; space
-- comes back by TRUNCATE of a drained slot. They have no btree: an id is found through a block range index, because
-- a btree would cost 67 bytes of WAL and a quarter of the CPU of each enqueue. parked and parked_outcome hold what is
-- due beyond the timer horizon in the same columns, as ordinary tables with btrees.
-- Nothing here is written by hand: the functions keep the dispatcher in step.

-- The increment is the size of the blocks that are handed out from shared memory; CACHE must stay 1, or numbers would not
-- rise from one session to the next.
CREATE SEQUENCE durable_work.job_id_seq AS bigint INCREMENT BY 64 CACHE 1;
CREATE SEQUENCE durable_work.topic_id_seq AS integer;
CREATE SEQUENCE durable_work.queue_id_seq AS integer;

CREATE TABLE durable_work.topic (
    id integer PRIMARY KEY DEFAULT nextval('durable_work.topic_id_seq'),
    name text NOT NULL UNIQUE,
    dedupe_window interval NOT NULL,
    max_attempts integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE durable_work.queue (
    id integer PRIMARY KEY DEFAULT nextval('durable_work.queue_id_seq'),
    name text NOT NULL UNIQUE,
    topic integer NOT NULL,
    lease interval NOT NULL,
    backoff text NOT NULL,
    backoff_base interval NOT NULL,
    backoff_cap interval NOT NULL,
    jitter double precision NOT NULL,
    delivery text NOT NULL,
    max_length bigint,
    overflow text NOT NULL,
    retention interval NOT NULL,
    dead_letter_queue integer,
    durable_claims boolean NOT NULL,
    strict boolean NOT NULL,
    max_runtime interval,
    max_payload bigint NOT NULL,
    paused boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE durable_work.epoch (
    value bigint NOT NULL,
    system_identifier bigint NOT NULL,
    timeline integer NOT NULL,
    database_oid oid NOT NULL,
    table_oid oid NOT NULL,
    raised_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

DO $make_slots$
DECLARE
    job_columns constant text :=
        '(id bigint NOT NULL, enqueued_at timestamptz NOT NULL, topic integer NOT NULL, key_hash integer NOT NULL, '
        'priority smallint NOT NULL, max_attempts smallint, available_at timestamptz, expires_at timestamptz, '
        'partition_key text, payload jsonb NOT NULL, headers jsonb) USING heap';
    outcome_columns constant text :=
        '(first_id bigint NOT NULL, last_id bigint, body bytea NOT NULL, detail jsonb) USING heap';
BEGIN
    FOR n IN 0..7 LOOP
        EXECUTE pg_catalog.format('CREATE TABLE durable_work.job_%s %s WITH (fillfactor = 100, autovacuum_enabled = false)', n, job_columns);
        EXECUTE pg_catalog.format('CREATE INDEX job_%s_id ON durable_work.job_%s USING brin (id int8_minmax_multi_ops) WITH (pages_per_range = 128)', n, n);
        EXECUTE pg_catalog.format('CREATE TABLE durable_work.outcome_%s %s WITH (fillfactor = 100, autovacuum_enabled = false)', n, outcome_columns);
        EXECUTE pg_catalog.format('CREATE INDEX outcome_%s_id ON durable_work.outcome_%s USING brin (first_id int8_minmax_multi_ops(values_per_range = 64)) WITH (pages_per_range = 16)', n, n);
        -- An index built on an empty table comes with a summary of its first range, and then every insert there
        -- rewrites that summary, which doubles the cost of an enqueue.
        PERFORM pg_catalog.brin_desummarize_range(pg_catalog.format('durable_work.job_%s_id', n)::pg_catalog.regclass, 0);
        PERFORM pg_catalog.brin_desummarize_range(pg_catalog.format('durable_work.outcome_%s_id', n)::pg_catalog.regclass, 0);
    END LOOP;
    EXECUTE pg_catalog.format('CREATE TABLE durable_work.parked %s', job_columns);
    EXECUTE pg_catalog.format('CREATE TABLE durable_work.parked_outcome %s', outcome_columns);
END
$make_slots$;
ALTER TABLE durable_work.parked ADD PRIMARY KEY (id);
-- How the housekeeper reads them.
CREATE INDEX parked_due ON durable_work.parked (topic, available_at, id);
CREATE INDEX parked_outcome_id ON durable_work.parked_outcome (first_id);

CREATE TABLE durable_work.idempotency (
    topic integer NOT NULL,
    key text NOT NULL,
    job_id bigint NOT NULL,
    payload_hash bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (topic, key)
);

CREATE TABLE durable_work.dead_letter (
    queue integer NOT NULL,
    job_id bigint NOT NULL,
    topic integer NOT NULL,
    key_hash integer NOT NULL,
    priority smallint NOT NULL,
    max_attempts smallint,
    attempts integer NOT NULL,
    enqueued_at timestamptz NOT NULL,
    dead_at timestamptz NOT NULL,
    expires_at timestamptz,
    partition_key text,
    reason text NOT NULL,
    payload jsonb NOT NULL,
    headers jsonb,
    history jsonb NOT NULL,
    PRIMARY KEY (queue, job_id)
);

-- Redrives and the order in which dead letters are shown go by age.
CREATE INDEX dead_letter_age ON durable_work.dead_letter (queue, dead_at, job_id);

CREATE SEQUENCE durable_work.redrive_id_seq AS bigint;
CREATE TABLE durable_work.redrive_task (
    id bigint PRIMARY KEY DEFAULT nextval('durable_work.redrive_id_seq'),
    queue integer NOT NULL,
    to_queue integer NOT NULL,
    job_ids bigint[],
    error_like text,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    max_jobs bigint,
    rate_per_second double precision NOT NULL,
    matched bigint NOT NULL,
    moved bigint NOT NULL DEFAULT 0,
    position_dead_at timestamptz NOT NULL DEFAULT '-infinity',
    position_job_id bigint NOT NULL DEFAULT 0,
    left_out boolean NOT NULL DEFAULT false,
    state text NOT NULL DEFAULT 'running',
    error text,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz
);

CREATE TABLE durable_work.handled (
    handler text NOT NULL,
    key text NOT NULL,
    handled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (handler, key)
);

CREATE TABLE durable_work.fence_token (
    resource text PRIMARY KEY,
    token bigint NOT NULL
);
-- Queues: making, changing, dropping, pausing; and the bucket of a key.

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
    max_runtime interval DEFAULT NULL,
    max_payload text DEFAULT '1 MB'
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_create_queue';
REVOKE ALL ON FUNCTION durable_work.create_queue(text, interval, integer, text, interval, interval, double precision,
    text, bigint, text, interval, interval, text, boolean, boolean, interval, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.create_queue(text, interval, integer, text, interval, interval, double precision,
    text, bigint, text, interval, interval, text, boolean, boolean, interval, text) IS
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
max_runtime: how long one attempt may take, whatever its lease is extended to (null or 0: any time).
max_payload: largest payload, as a size with unit (1 byte to 255 MB): of the jsonb before compression, as pg_column_size tells it.';

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
    max_runtime interval DEFAULT NULL,
    max_payload text DEFAULT NULL
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_alter_queue';
REVOKE ALL ON FUNCTION durable_work.alter_queue(text, interval, integer, text, interval, interval, double precision,
    text, bigint, text, interval, interval, text, boolean, boolean, interval, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.alter_queue(text, interval, integer, text, interval, interval, double precision,
    text, bigint, text, interval, interval, text, boolean, boolean, interval, text) IS
'Changes the options that are given (see create_queue) and keeps those that are null; 22023 when all are. max_length => 0, max_runtime => ''0'' and dead_letter_queue => '''' take the option away. It takes effect when the transaction commits. Leases that are out keep their deadline.';

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
       queue.delivery,
       queue.max_length,
       queue.overflow,
       queue.retention,
       topic.dedupe_window,
       dead_letter_queue.name AS dead_letter_queue,
       queue.durable_claims,
       queue.strict,
       queue.max_runtime,
       queue.max_payload,
       queue.paused,
       queue.created_at
FROM durable_work.queue AS queue
JOIN durable_work.topic AS topic ON topic.id OPERATOR(pg_catalog.=) queue.topic
LEFT JOIN durable_work.queue AS dead_letter_queue
    ON dead_letter_queue.id OPERATOR(pg_catalog.=) queue.dead_letter_queue;
REVOKE ALL ON durable_work.queues FROM PUBLIC;
COMMENT ON VIEW durable_work.queues IS 'Queues and their options';
COMMENT ON COLUMN durable_work.queues.max_payload IS 'Bytes, of the jsonb before compression';
-- Producing: enqueue, enqueue_many, and what INSERT into the view inbox calls.

-- Named, so that the executor need not build the columns from the catalog at each call.
CREATE TYPE durable_work.enqueued_job AS (job_id bigint, inserted boolean);
COMMENT ON TYPE durable_work.enqueued_job IS
'What enqueue returns. job_id: the job of this call or, when inserted is false, the one that holds the idempotency key.';
REVOKE ALL ON TYPE durable_work.enqueued_job FROM PUBLIC;

CREATE FUNCTION durable_work.enqueue(
    queue text,
    payload jsonb,
    partition_key text DEFAULT NULL,
    idempotency_key text DEFAULT NULL,
    priority integer DEFAULT 4,
    available_at timestamptz DEFAULT NULL,
    delay interval DEFAULT NULL,
    max_attempts integer DEFAULT NULL,
    headers jsonb DEFAULT NULL,
    expires_at timestamptz DEFAULT NULL,
    unique_while text DEFAULT 'window',
    on_duplicate text DEFAULT 'return'
) RETURNS durable_work.enqueued_job
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_enqueue';
REVOKE ALL ON FUNCTION durable_work.enqueue(text, jsonb, text, text, integer, timestamptz, interval, integer, jsonb, timestamptz,
    text, text)
    FROM PUBLIC;
COMMENT ON FUNCTION durable_work.enqueue(text, jsonb, text, text, integer, timestamptz, interval, integer, jsonb, timestamptz,
    text, text) IS
'Adds a job to a queue, as part of the transaction: no worker sees it before the commit, none after a rollback. It never waits for room in shared memory and never fails for lack of it.
queue: DW002 if there is none of that name; default is made on first use.
payload: any jsonb but SQL null.
partition_key: what the job is about (up to 1024 bytes, may be empty); decides its bucket.
idempotency_key: 1 to 512 bytes. The first job under a key keeps it for the queue''s dedupe_window, whatever becomes of the job: the same key with the same payload returns that job and inserted = false, with another payload it raises DW004. While the first use is uncommitted, the call waits for its end. Under REPEATABLE READ a key taken after the snapshot raises 40001: run the transaction again.
priority: 0 (first) to 9 (last).
available_at or delay: not before that time, or that interval after now; a time in the past means at once.
max_attempts: 1 to 32767; null is the queue''s.
headers: a jsonb object that travels with the job.
expires_at: from then on the job is not handed out any more: still waiting, it becomes a dead letter with the reason expired. It must be in the future and later than available_at. An attempt that is under way then may still complete.
unique_while: how long the first job keeps the idempotency_key: window (the dedupe_window), pending (while it waits; no worker gets it before this transaction has ended, so that whoever works on it sees what the transaction wrote), or active (until it is completed, cancelled or a dead letter). The next job under the key takes it over.
on_duplicate: what happens when the key is in use. return gives that job and inserted = false. replace puts this job in its place if it still waits: payload, due time and all other arguments are the new ones, its attempts begin anew, it keeps its number and the time of its enqueue, and inserted = false; with a delay that is a debounce. A job that no longer waits is not replaced: DW006, unless unique_while says that the key is free then. error raises 23505.
Raises DW005 when the queue is full (see max_length of create_queue), DW006 when the job that has the key cannot be held back or replaced because an open transaction is deciding it, 22023 or 22004 for a bad argument, 25006 in a read-only transaction and on a standby.';

CREATE TYPE durable_work.enqueued_jobs AS (ordinal integer, job_id bigint, inserted boolean);
COMMENT ON TYPE durable_work.enqueued_jobs IS
'One job of enqueue_many: its place in the call, from 1, and what enqueue returns.';
REVOKE ALL ON TYPE durable_work.enqueued_jobs FROM PUBLIC;

CREATE FUNCTION durable_work.enqueue_many(
    queue text,
    payloads jsonb[],
    partition_keys text[] DEFAULT NULL,
    idempotency_keys text[] DEFAULT NULL,
    priorities integer[] DEFAULT NULL,
    available_ats timestamptz[] DEFAULT NULL,
    headers jsonb[] DEFAULT NULL
) RETURNS SETOF durable_work.enqueued_jobs
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_enqueue_many';
REVOKE ALL ON FUNCTION durable_work.enqueue_many(text, jsonb[], text[], text[], integer[], timestamptz[], jsonb[])
    FROM PUBLIC;
COMMENT ON FUNCTION durable_work.enqueue_many(text, jsonb[], text[], text[], integer[], timestamptz[], jsonb[]) IS
'Adds up to 100,000 jobs to a queue: enqueue for each element, at a fraction of the cost. Nothing is added if one element is refused.
An array that is null gives every job the default; one that is given must be as long as payloads (22023). payloads and priorities must not contain nulls (22004); a null in one of the other arrays means none for that job.
Returns one row for each element, in their order: its number from 1, its job, and false where the idempotency key was taken. Of several elements with one key and payload the first makes the job.';

-- The trigger is made together with the view.
CREATE FUNCTION durable_work.inbox_insert() RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_inbox_insert';
REVOKE ALL ON FUNCTION durable_work.inbox_insert() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.inbox_insert() IS
'Turns a row inserted into the view inbox into a job, with the checks of enqueue. queue null is default; a computed column that is given raises 22023; a row whose idempotency key is taken is skipped.';
-- Changing jobs: cancel, reschedule, another payload; one job, or all that fit.

CREATE FUNCTION durable_work.cancel(
    job_id bigint,
    queue text DEFAULT NULL
) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_cancel';
REVOKE ALL ON FUNCTION durable_work.cancel(bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.cancel(bigint, text) IS
'Cancels the job when the transaction commits, waiting or leased; the holder of a lease is told at its next call. True: cancelled now. False: it was cancelled before.
Raises DW006 when the job is completed or a dead letter, while another open transaction is deciding it, or when this transaction enqueued it; DW002 for an unknown job or queue.';

CREATE FUNCTION durable_work.reschedule(
    job_id bigint,
    available_at timestamptz,
    queue text DEFAULT NULL
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_reschedule';
REVOKE ALL ON FUNCTION durable_work.reschedule(bigint, timestamptz, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.reschedule(bigint, timestamptz, text) IS
'A job that waits is due at that time (finite, at most a hundred years ahead; in the past means at once) when the transaction commits; until then no worker gets it. It keeps its attempts and its place in the order. Raises DW006 when the job does not wait: a worker has it, it has ended, another open transaction is deciding it, or this transaction enqueued it; 22023 when it would expire before; DW002 for an unknown job or queue.';

CREATE FUNCTION durable_work.update_payload(
    job_id bigint,
    payload jsonb
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_update_payload';
REVOKE ALL ON FUNCTION durable_work.update_payload(bigint, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.update_payload(bigint, jsonb) IS
'A job that waits has that payload when the transaction commits; until then no worker gets it. All else stays: due time, attempts, place in the order, and what its idempotency key compares with, which is the payload that was enqueued. Raises DW006 as reschedule does, 22023 when the payload is larger than the max_payload of the queue, DW002 for an unknown job.';

-- All that fit -----------------------------------------------------------------------------------------------------------

CREATE TYPE durable_work.changed_jobs AS (jobs bigint, left_out bigint, next_after bigint);
COMMENT ON TYPE durable_work.changed_jobs IS
'What a call for many jobs did. jobs: those it changed. left_out: those that fit and were not changed, because an open transaction is deciding them, a worker has them (reschedule_many, retry_now_many), or they would expire before they are due. next_after: null when all jobs were looked at; otherwise call again with it as after_job_id.';
REVOKE ALL ON TYPE durable_work.changed_jobs FROM PUBLIC;

CREATE FUNCTION durable_work.cancel_many(
    queue text,
    partition_key text DEFAULT NULL,
    filter jsonpath DEFAULT NULL,
    older_than interval DEFAULT NULL,
    max_jobs integer DEFAULT 10000,
    after_job_id bigint DEFAULT NULL
) RETURNS durable_work.changed_jobs
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_cancel_many';
REVOKE ALL ON FUNCTION durable_work.cancel_many(text, text, jsonpath, interval, integer, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.cancel_many(text, text, jsonpath, interval, integer, bigint) IS
'Cancels jobs of a queue, waiting or leased, when the transaction commits: those that fit all filters given, of which there must be one (22023). In the order of their numbers, at most max_jobs (1 to 100000) in a call; more with another call, from after_job_id on.
partition_key: jobs with this key.
filter: jobs on which this jsonpath finds something. Its root has the members payload and headers: ''$.payload ? (@.amount > 100)''. A path that fails on a job does not fit it.
older_than: jobs that were enqueued so long ago, or longer; ''0'' fits all.
Jobs that commit while the call runs may be missed, and so are those that the transaction itself enqueued. Raises DW002 for an unknown queue; DW006 right after a start of the server, and when the queue has no memory left for jobs that are on disk.';

CREATE FUNCTION durable_work.reschedule_many(
    queue text,
    available_at timestamptz,
    partition_key text DEFAULT NULL,
    filter jsonpath DEFAULT NULL,
    older_than interval DEFAULT NULL,
    max_jobs integer DEFAULT 10000,
    after_job_id bigint DEFAULT NULL
) RETURNS durable_work.changed_jobs
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_reschedule_many';
REVOKE ALL ON FUNCTION durable_work.reschedule_many(text, timestamptz, text, jsonpath, interval, integer, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.reschedule_many(text, timestamptz, text, jsonpath, interval, integer, bigint) IS
'As reschedule for the waiting jobs of a queue that fit all filters given, without any for all of them; filters, order and limits as in cancel_many.';

CREATE FUNCTION durable_work.retry_now_many(
    queue text,
    partition_key text DEFAULT NULL,
    filter jsonpath DEFAULT NULL,
    older_than interval DEFAULT NULL,
    max_jobs integer DEFAULT 10000,
    after_job_id bigint DEFAULT NULL
) RETURNS durable_work.changed_jobs
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_retry_now_many';
REVOKE ALL ON FUNCTION durable_work.retry_now_many(text, text, jsonpath, interval, integer, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.retry_now_many(text, text, jsonpath, interval, integer, bigint) IS
'Jobs that were tried before and wait for their next attempt are due at once when the transaction commits: those of a queue that fit all filters given, without any all of them. They keep their attempts. Filters, order and limits as in cancel_many.';

CREATE FUNCTION durable_work.purge_queue(queue text, forget_keys boolean DEFAULT false) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_purge_queue';
REVOKE ALL ON FUNCTION durable_work.purge_queue(text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.purge_queue(text, boolean) IS
'Cancels every unfinished job of the queue when the transaction commits, waiting, delayed or leased, in memory or on disk, and returns how many. Jobs of transactions that have not committed yet survive it, and so do jobs that an open transaction is deciding. Dead letters stay. forget_keys: also forgets the idempotency keys of the queue, of finished jobs too. Another purge or a drop of the queue waits for the end of the transaction, so commit soon; until then jobs of the queue that are on disk are not read in. Raises DW002 for an unknown queue, DW006 right after a start of the server.';
-- Working: claiming jobs under leases, deciding them, waiting for more; and two helpers for handlers' effects.

-- A named type rather than RETURNS TABLE: the executor finds its columns in a cache, where it would otherwise build
-- them from the catalog at each call, which is more work than the claim itself.
CREATE TYPE durable_work.claimed_job AS (
    job_id bigint,
    lease_token bigint,
    queue text,
    partition_key text,
    payload jsonb,
    headers jsonb,
    attempt integer,
    enqueued_at timestamptz,
    lease_expires_at timestamptz,
    priority integer
);
COMMENT ON TYPE durable_work.claimed_job IS
'A job as claim hands it out. lease_token is what complete, fail and the like take; it passes 2^53, so keep it as a 64-bit integer or as text. attempt: how often the job was claimed, this time included. lease_expires_at: until when nobody else gets it.';
REVOKE ALL ON TYPE durable_work.claimed_job FROM PUBLIC;

CREATE FUNCTION durable_work.claim(
    queue text,
    worker text,
    max_jobs integer DEFAULT 25,
    lease interval DEFAULT NULL,
    wait interval DEFAULT '0',
    request_id text DEFAULT NULL,
    instance bigint DEFAULT NULL
) RETURNS SETOF durable_work.claimed_job
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_claim';
REVOKE ALL ON FUNCTION durable_work.claim(text, text, integer, interval, interval, text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.claim(text, text, integer, interval, interval, text, bigint) IS
'Hands out up to max_jobs (1 to 10000) due jobs, in the order of (priority, job_id), each under a lease: until lease_expires_at nobody else gets the job. Nothing is written. No rows: nothing is due, the queue is paused, or the server has just started.
Call it as a transaction of its own. A queue with delivery at_most_once or durable_claims insists on that (25001): its claims are written to the log, and on disk before the end of the statement is told; use the rows only then. If the call fails, the attempts do not count; if its transaction rolls back after it, they do, and the backoff applies.
lease: how long (above 0, at most 36525 days); null: the lease of the queue. wait (at most 5 s): while nothing is due, sleeps until something is, without polling; refused under REPEATABLE READ and SERIALIZABLE (25001). It keeps a snapshot meanwhile; wait_for_work does not. worker: 1 to 127 bytes.
request_id (1 to 255 bytes, a new one for each new call): for a reply that was lost. The same call again (worker, instance, queues and request_id) hands out nothing new but lists what is left of the batch, with the same tokens and deadlines; while the transaction of the first call is open it waits for it. A batch is remembered while a lease of it is held, and at least until its first deadline; empty ones are not. 53400: too many are held. instance: tells processes of one worker name apart in heartbeat.
Keep lease_token as a 64 bit integer or as text: it does not fit into a double. Raises DW002 for an unknown queue.';

CREATE FUNCTION durable_work.claim(
    queues text[],
    worker text,
    max_jobs integer DEFAULT 25,
    lease interval DEFAULT NULL,
    wait interval DEFAULT '0',
    request_id text DEFAULT NULL,
    instance bigint DEFAULT NULL
) RETURNS SETOF durable_work.claimed_job
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_claim_queues';
REVOKE ALL ON FUNCTION durable_work.claim(text[], text, integer, interval, interval, text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.claim(text[], text, integer, interval, interval, text, bigint) IS
'As claim from one queue, from up to 64 queues in the order named: as many as are due in the first, then from the next, until there are max_jobs.';

CREATE FUNCTION durable_work.complete(
    job_id bigint,
    lease_token bigint,
    result jsonb DEFAULT NULL
) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_complete';
REVOKE ALL ON FUNCTION durable_work.complete(bigint, bigint, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.complete(bigint, bigint, jsonb) IS
'Completes the job when the transaction commits: together with what the transaction wrote, or not at all. The result is shown by the view inbox.
True: completed now. False: completed before by this very token, so a lost reply may be asked for again. Raises DW001 when the lease is stale (ran out and was taken up again, job cancelled, server restarted), so that the transaction of a worker that lost its job aborts; DW006 while another open transaction is deciding the job.';

CREATE FUNCTION durable_work.try_complete(
    job_id bigint,
    lease_token bigint,
    result jsonb DEFAULT NULL
) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_try_complete';
REVOKE ALL ON FUNCTION durable_work.try_complete(bigint, bigint, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.try_complete(bigint, bigint, jsonb) IS
'As complete, but says what is the matter in place of raising it: completed, already_completed, in_doubt (another open transaction is deciding the job) or stale.';

CREATE TYPE durable_work.job_outcome AS (job_id bigint, outcome text);
COMMENT ON TYPE durable_work.job_outcome IS
'What became of one job of complete_many or fail_many; the functions say which outcomes there are.';
REVOKE ALL ON TYPE durable_work.job_outcome FROM PUBLIC;

CREATE FUNCTION durable_work.complete_many(
    job_ids bigint[],
    lease_tokens bigint[],
    results jsonb[] DEFAULT NULL
) RETURNS SETOF durable_work.job_outcome
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_complete_many';
REVOKE ALL ON FUNCTION durable_work.complete_many(bigint[], bigint[], jsonb[]) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.complete_many(bigint[], bigint[], jsonb[]) IS
'As try_complete for each pair of job and token (at most 100000), one row each in the order given. Jobs without result share few rows of the log, so this is the cheapest way to complete. Arrays of different lengths: 22023.';

CREATE TYPE durable_work.completed_or_claimed_job AS (
    outcome text,
    job_id bigint,
    lease_token bigint,
    queue text,
    partition_key text,
    payload jsonb,
    headers jsonb,
    attempt integer,
    enqueued_at timestamptz,
    lease_expires_at timestamptz,
    priority integer
);
COMMENT ON TYPE durable_work.completed_or_claimed_job IS
'A row of complete_and_claim. outcome: claimed for a new job, with the columns that claim returns; for a job that was to be completed completed, already_completed, in_doubt or stale, and the columns after lease_token are null.';
REVOKE ALL ON TYPE durable_work.completed_or_claimed_job FROM PUBLIC;

CREATE FUNCTION durable_work.complete_and_claim(
    job_ids bigint[],
    lease_tokens bigint[],
    queue text,
    worker text,
    max_jobs integer DEFAULT 25,
    lease interval DEFAULT NULL,
    instance bigint DEFAULT NULL,
    results jsonb[] DEFAULT NULL
) RETURNS SETOF durable_work.completed_or_claimed_job
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_complete_and_claim';
REVOKE ALL ON FUNCTION durable_work.complete_and_claim(bigint[], bigint[], text, text, integer, interval, bigint, jsonb[]) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.complete_and_claim(bigint[], bigint[], text, text, integer, interval, bigint, jsonb[]) IS
'Completes jobs and claims new ones in one call: first one row for each pair of job and token (none to 100000) in the order given, as from complete_many, then one with outcome claimed for each new job, as from claim.
Both are one statement: if it fails nothing is completed and the claims do not count; if its transaction rolls back after it nothing is completed, and the attempts of the new jobs are charged. Raises 0A000 for a queue with delivery at_most_once or durable_claims, DW002 for an unknown queue.';

CREATE FUNCTION durable_work.complete_and_claim(
    job_ids bigint[],
    lease_tokens bigint[],
    queues text[],
    worker text,
    max_jobs integer DEFAULT 25,
    lease interval DEFAULT NULL,
    instance bigint DEFAULT NULL,
    results jsonb[] DEFAULT NULL
) RETURNS SETOF durable_work.completed_or_claimed_job
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_complete_and_claim_queues';
REVOKE ALL ON FUNCTION durable_work.complete_and_claim(bigint[], bigint[], text[], text, integer, interval, bigint, jsonb[]) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.complete_and_claim(bigint[], bigint[], text[], text, integer, interval, bigint, jsonb[]) IS
'As complete_and_claim with one queue, claiming from up to 64 queues in the order named.';

CREATE FUNCTION durable_work.fail(
    job_id bigint,
    lease_token bigint,
    error jsonb DEFAULT NULL,
    retry_in interval DEFAULT NULL,
    retryable boolean DEFAULT true
) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_fail';
REVOKE ALL ON FUNCTION durable_work.fail(bigint, bigint, jsonb, interval, boolean) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.fail(bigint, bigint, jsonb, interval, boolean) IS
'The attempt failed. Returns retry: the job is due again after retry_in, or else after the backoff of the queue; or dead_letter: no attempt was left, retryable was false, or expires_at has passed.
error: at most 1 MB, kept with the attempt and shown by the views attempts and dead_letters. Raises DW001 when the lease is stale, DW006 while another open transaction is deciding the job.';

CREATE FUNCTION durable_work.fail_many(
    job_ids bigint[],
    lease_tokens bigint[],
    errors jsonb[] DEFAULT NULL,
    retry_in interval DEFAULT NULL,
    retryable boolean DEFAULT true
) RETURNS SETOF durable_work.job_outcome
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_fail_many';
REVOKE ALL ON FUNCTION durable_work.fail_many(bigint[], bigint[], jsonb[], interval, boolean) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.fail_many(bigint[], bigint[], jsonb[], interval, boolean) IS
'As fail for each pair of job and token (at most 100000), one row each in the order given: retry, dead_letter, in_doubt or stale. The last two are not raised.';

CREATE FUNCTION durable_work.release(
    job_id bigint,
    lease_token bigint
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_release';
REVOKE ALL ON FUNCTION durable_work.release(bigint, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.release(bigint, bigint) IS
'Gives the job back when the transaction commits: due at once, the attempt does not count. Nothing is written, unless the claim was. Raises DW001 when the lease is stale, DW006 while another open transaction is deciding the job, and in a queue with delivery at_most_once.';

CREATE FUNCTION durable_work.defer(
    job_id bigint,
    lease_token bigint,
    until timestamptz
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_defer';
REVOKE ALL ON FUNCTION durable_work.defer(bigint, bigint, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.defer(bigint, bigint, timestamptz) IS
'Gives the job back when the transaction commits: due at that time (finite, at most a hundred years ahead; in the past means at once), the attempt does not count. Raises DW001 when the lease is stale, DW006 while another open transaction is deciding the job, and in a queue with delivery at_most_once.';

CREATE FUNCTION durable_work.reject(
    job_id bigint,
    lease_token bigint,
    reason text
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_reject';
REVOKE ALL ON FUNCTION durable_work.reject(bigint, bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.reject(bigint, bigint, text) IS
'Makes the job a dead letter when the transaction commits, whatever attempts are left. reason: 1 to 1024 bytes. Raises DW001 when the lease is stale, DW006 while another open transaction is deciding the job.';

CREATE FUNCTION durable_work.extend_lease(
    job_id bigint,
    lease_token bigint,
    lease interval DEFAULT NULL
) RETURNS timestamptz
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_extend_lease';
REVOKE ALL ON FUNCTION durable_work.extend_lease(bigint, bigint, interval) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.extend_lease(bigint, bigint, interval) IS
'The lease ends this long from now (null: the lease of the queue); returns when. It takes effect at once and stays if the transaction rolls back. Nothing is written. It never ends later than the max_runtime of the queue after the claim. Raises DW001 when the lease is stale, DW006 when max_runtime leaves nothing to extend.';

CREATE FUNCTION durable_work.heartbeat(
    worker text,
    lease interval DEFAULT NULL,
    instance bigint DEFAULT NULL
) RETURNS TABLE (job_id bigint, queue text, lease_expires_at timestamptz, state text)
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_heartbeat';
REVOKE ALL ON FUNCTION durable_work.heartbeat(text, interval, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.heartbeat(text, interval, bigint) IS
'Extends every lease that was taken with this worker name and instance (null: without one), as extend_lease does, and lists them by job_id; one that max_runtime does not let go any further keeps its lease_expires_at. state: leased; cancelled: the job was cancelled, stop working on it; lost: the lease ran out. A job that is missing from the list is not held any more.';

CREATE FUNCTION durable_work.set_progress(
    job_id bigint,
    lease_token bigint,
    progress jsonb
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_set_progress';
REVOKE ALL ON FUNCTION durable_work.set_progress(bigint, bigint, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.set_progress(bigint, bigint, jsonb) IS
'Says how far the job is; shown by the view leases and by explain_job at once, whatever becomes of the calling transaction. In memory only: at most 1000 bytes as jsonb, gone when the lease ends, and when more jobs report than there are places for (one for each 64 jobs that fit into memory, 16 to 1024) the one that was written longest ago. Raises DW001 when the lease is stale.';

CREATE PROCEDURE durable_work.wait_for_work(
    queues text[],
    timeout interval
)
LANGUAGE c
AS 'MODULE_PATHNAME', 'durable_work_wait_for_work';
REVOKE ALL ON PROCEDURE durable_work.wait_for_work(text[], interval) FROM PUBLIC;
COMMENT ON PROCEDURE durable_work.wait_for_work(text[], interval) IS
'Sleeps until one of the queues (1 to 64) has a due job or is dropped, or for the timeout (at most durable_work.max_wait). It holds no snapshot meanwhile, and does not poll. Claim after it; there may be nothing left, if another worker was quicker, and the claim raises DW002 if a queue was dropped.
CALL it as a statement of its own: inside of a transaction block it raises 25001.';

CREATE PROCEDURE durable_work.wait_for_job(
    job_id bigint,
    timeout interval,
    INOUT status text DEFAULT NULL,
    INOUT result jsonb DEFAULT NULL
)
LANGUAGE c
AS 'MODULE_PATHNAME', 'durable_work_wait_for_job';
REVOKE ALL ON PROCEDURE durable_work.wait_for_job(bigint, interval, text, jsonb) FROM PUBLIC;
COMMENT ON PROCEDURE durable_work.wait_for_job(bigint, interval, text, jsonb) IS
'Sleeps until the job has ended, or for the timeout (at most durable_work.max_wait), and returns its status then and, if it was completed with one, its result. An ended job is completed, dead_letter or cancelled; pending and processing mean that the time was over. It holds no snapshot meanwhile, and does not poll. Leave status and result out, or give null for them.
CALL it as a statement of its own: inside of a transaction block it raises 25001. Raises DW002 for an unknown job, also when its queue is dropped meanwhile.';

CREATE FUNCTION durable_work.mark_handled(
    handler text,
    key text,
    dedupe_window interval DEFAULT '7 d'
) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_mark_handled';
REVOKE ALL ON FUNCTION durable_work.mark_handled(text, text, interval) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.mark_handled(text, text, interval) IS
'For effects that must not happen twice, in the transaction of the effect. True: the first time for this handler and key; false: it was marked within its dedupe_window (1 s to 36525 days). Whoever comes second waits for the first one''s transaction. handler: 1 to 255 bytes, key: 1 to 1024 bytes. Under REPEATABLE READ it may raise 40001.';

CREATE FUNCTION durable_work.fence(
    resource text,
    lease_token bigint
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_fence';
REVOKE ALL ON FUNCTION durable_work.fence(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.fence(text, bigint) IS
'Raises DW001 if the resource (1 to 1024 bytes) has been used with a higher lease token before. Call it in the transaction of the effect; others wait for its end. Under REPEATABLE READ it may raise 40001.';
-- Looking: views over the log, joined with what the dispatcher knows.

-- Parts of the views ---------------------------------------------------------------------------------------------------

CREATE FUNCTION durable_work.outcome_members(
    first_id bigint,
    last_id bigint,
    body bytea,
    OUT id bigint,
    OUT queue integer,
    OUT kind text,
    OUT at timestamptz,
    OUT attempt integer,
    OUT lease_token bigint,
    OUT next_due timestamptz
) RETURNS SETOF record
LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 1
AS 'MODULE_PATHNAME', 'durable_work_outcome_members';
REVOKE ALL ON FUNCTION durable_work.outcome_members(bigint, bigint, bytea) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.outcome_members(bigint, bigint, bytea) IS
'Unpacks one row of an outcome table: one row for each job that it covers. Used by the views; works without preloading.';

CREATE FUNCTION durable_work.job_state(
    job_id bigint,
    queue integer,
    segment integer,
    OUT status text,
    OUT claimed_by text,
    OUT lease_expires_at timestamptz,
    OUT lease_token bigint,
    OUT attempts integer,
    OUT next_due timestamptz,
    OUT completed_at timestamptz,
    OUT result jsonb,
    OUT last_error jsonb,
    OUT reason text
) RETURNS record
LANGUAGE c STABLE PARALLEL UNSAFE COST 1000
AS 'MODULE_PATHNAME', 'durable_work_job_state';
REVOKE ALL ON FUNCTION durable_work.job_state(bigint, integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.job_state(bigint, integer, integer) IS
'State of a job in a queue, by the numbers of queue and log segment (8: parked). Used by the view inbox; people ask explain_job.';

CREATE FUNCTION durable_work.live_leases(
    OUT queue text,
    OUT job_id bigint,
    OUT worker text,
    OUT lease_token bigint,
    OUT attempt integer,
    OUT leased_at timestamptz,
    OUT lease_expires_at timestamptz,
    OUT progress jsonb
) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1000
AS 'MODULE_PATHNAME', 'durable_work_live_leases';
REVOKE ALL ON FUNCTION durable_work.live_leases() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.live_leases() IS 'Leases of all queues, out of shared memory; what the view leases shows.';

-- One row for each job and queue ---------------------------------------------------------------------------------------

-- The idempotency key of a job is found by the job; the table's own key is (topic, key). Keys are written in the order
-- of the jobs, so a block range index serves. It writes no WAL for an insert, where a btree writes 66 bytes. Ranges that
-- autovacuum has not summarised yet are read as a whole.
CREATE INDEX idempotency_job ON durable_work.idempotency
    USING brin (job_id int8_minmax_multi_ops) WITH (pages_per_range = 32, autosummarize = on);

-- What the planner must know to look for one id through a block range index: ids are unique and lie in order. The log's
-- tables are never analysed by autovacuum, and without statistics a query for one job would read all of them. TRUNCATE
-- keeps this; an ANALYZE by hand replaces it by what it measures.
INSERT INTO pg_catalog.pg_statistic (
    starelid, staattnum, stainherit, stanullfrac, stawidth, stadistinct,
    stakind1, stakind2, stakind3, stakind4, stakind5,
    staop1, staop2, staop3, staop4, staop5,
    stacoll1, stacoll2, stacoll3, stacoll4, stacoll5,
    stanumbers1)
SELECT attrelid, attnum, false, 0, 8, -1,
       3, 0, 0, 0, 0, -- correlation
       'pg_catalog.<(bigint, bigint)'::pg_catalog.regoperator, 0, 0, 0, 0,
       0, 0, 0, 0, 0,
       ARRAY[1]::real[]
FROM pg_catalog.pg_attribute
JOIN pg_catalog.pg_class ON pg_class.oid OPERATOR(pg_catalog.=) attrelid
WHERE relnamespace OPERATOR(pg_catalog.=) 'durable_work'::pg_catalog.regnamespace
  AND ((relname OPERATOR(pg_catalog.~) '^job_[0-7]$' AND attname OPERATOR(pg_catalog.=) 'id')
    OR (relname OPERATOR(pg_catalog.=) 'idempotency' AND attname OPERATOR(pg_catalog.=) 'job_id'));

CREATE VIEW durable_work.inbox AS
SELECT job.id,
       queue.name AS queue,
       job.partition_key,
       ((job.key_hash::bigint OPERATOR(pg_catalog.&) 4294967295) OPERATOR(pg_catalog.%) 360)::integer AS partition_bucket,
       job.priority::integer AS priority,
       job.payload,
       job.headers,
       idempotency.key AS idempotency_key,
       state.status,
       COALESCE(state.next_due, job.available_at, job.enqueued_at) AS available_at,
       job.enqueued_at AS created_at,
       job.expires_at,
       state.completed_at,
       state.result,
       state.claimed_by,
       state.lease_expires_at,
       state.lease_token AS lease_generation,
       state.attempts,
       COALESCE(job.max_attempts::integer, topic.max_attempts) AS max_attempts,
       state.last_error
FROM (SELECT 0 AS segment, * FROM durable_work.job_0
      UNION ALL SELECT 1, * FROM durable_work.job_1
      UNION ALL SELECT 2, * FROM durable_work.job_2
      UNION ALL SELECT 3, * FROM durable_work.job_3
      UNION ALL SELECT 4, * FROM durable_work.job_4
      UNION ALL SELECT 5, * FROM durable_work.job_5
      UNION ALL SELECT 6, * FROM durable_work.job_6
      UNION ALL SELECT 7, * FROM durable_work.job_7
      UNION ALL SELECT 8, * FROM durable_work.parked) AS job
JOIN durable_work.queue AS queue ON queue.topic OPERATOR(pg_catalog.=) job.topic
JOIN durable_work.topic AS topic ON topic.id OPERATOR(pg_catalog.=) job.topic
CROSS JOIN LATERAL durable_work.job_state(job.id, queue.id, job.segment) AS state
LEFT JOIN durable_work.idempotency AS idempotency ON idempotency.job_id OPERATOR(pg_catalog.=) job.id
WHERE state.status IS NOT NULL;
REVOKE ALL ON durable_work.inbox FROM PUBLIC;
COMMENT ON VIEW durable_work.inbox IS
'Every retained job, one row for each queue that sees it. INSERT INTO durable_work.inbox (partition_key, payload, idempotency_key) works like enqueue, into queue default unless one is named; so does COPY.';
COMMENT ON COLUMN durable_work.inbox.partition_bucket IS 'Hash of the partition key modulo 360, see bucket(); without a key the hash of the id';
COMMENT ON COLUMN durable_work.inbox.idempotency_key IS 'While it is remembered, see dedupe_window of create_queue';
COMMENT ON COLUMN durable_work.inbox.status IS 'pending, processing, completed, dead_letter or cancelled';
COMMENT ON COLUMN durable_work.inbox.available_at IS 'When it was or is due, after a failed attempt the time of the retry';
COMMENT ON COLUMN durable_work.inbox.lease_generation IS 'The last token given for it, by a claim or by a change while it waited; tokens pass 2^53, so JSON tools must keep them as text';
COMMENT ON COLUMN durable_work.inbox.attempts IS 'Claims so far that were not given back';
COMMENT ON COLUMN durable_work.inbox.last_error IS 'Error of the last failed attempt, or {"reason": …} when the worker gave none';

CREATE TRIGGER inbox_insert INSTEAD OF INSERT ON durable_work.inbox
    FOR EACH ROW EXECUTE FUNCTION durable_work.inbox_insert();

-- The insert must work under session_replication_role = replica too, where ordinary triggers do not fire: rows that a
-- subscription applies or a loading tool inserts are jobs like others. There is no ALTER for a view's trigger.
UPDATE pg_catalog.pg_trigger SET tgenabled = 'A'
WHERE tgrelid OPERATOR(pg_catalog.=) 'durable_work.inbox'::pg_catalog.regclass
  AND tgname OPERATOR(pg_catalog.=) 'inbox_insert';

-- Leases, attempts ------------------------------------------------------------------------------------------------------

CREATE VIEW durable_work.leases AS
SELECT lease.queue, lease.job_id, lease.worker, lease.lease_token, lease.attempt, lease.leased_at, lease.lease_expires_at,
       lease.progress
FROM durable_work.live_leases() AS lease;
REVOKE ALL ON durable_work.leases FROM PUBLIC;
COMMENT ON VIEW durable_work.leases IS 'Jobs that workers hold now, from shared memory; empty on a standby';
COMMENT ON COLUMN durable_work.leases.progress IS 'What its worker has told by set_progress, as long as it is remembered';

-- A completion does not store the number of its attempt: it is that of the claim, where claims are recorded, else one more
-- than the highest that failed since the job was last redriven or replaced. What a job that went to parked left behind in
-- its slot is told there.
CREATE VIEW durable_work.attempts AS
SELECT ended.job_id,
       ended.queue,
       ended.attempt,
       CASE WHEN ended.kind IN ('attempt_failed', 'dead_lettered') THEN ended.detail OPERATOR(pg_catalog.->>) 'worker' END AS worker,
       CASE ended.kind
           WHEN 'attempt_failed' THEN
               CASE ended.detail OPERATOR(pg_catalog.->>) 'reason' WHEN 'lease expired' THEN 'expired' ELSE 'failed' END
           WHEN 'dead_lettered' THEN 'dead_letter'
           WHEN 'rescheduled' THEN 'deferred'
           WHEN 'purged' THEN 'cancelled'
           ELSE ended.kind
       END AS outcome,
       ended.at,
       CASE WHEN ended.kind IN ('attempt_failed', 'dead_lettered') THEN
           COALESCE(ended.detail OPERATOR(pg_catalog.->) 'error',
                    CASE WHEN ended.detail OPERATOR(pg_catalog.?) 'reason' THEN
                        pg_catalog.jsonb_build_object('reason', ended.detail OPERATOR(pg_catalog.->) 'reason')
                    END)
       END AS error
FROM (SELECT outcome.job_id,
             queue.name AS queue,
             CASE outcome.kind
                 WHEN 'completed' THEN COALESCE(
                     pg_catalog.max(outcome.attempt) FILTER (WHERE outcome.kind OPERATOR(pg_catalog.=) 'claimed') OVER of_lease,
                     pg_catalog.max(outcome.attempt) FILTER (WHERE outcome.kind OPERATOR(pg_catalog.<>) 'claimed') OVER of_life OPERATOR(pg_catalog.+) 1,
                     1)
                 ELSE outcome.attempt
             END AS attempt,
             outcome.kind,
             outcome.at,
             outcome.detail
      FROM (SELECT member.id AS job_id, member.queue, member.kind, member.attempt, member.lease_token, member.at, stored.detail, stored.parked,
                   pg_catalog.bool_or(member.kind OPERATOR(pg_catalog.=) 'moved') OVER (PARTITION BY member.queue, member.id) AS moved,
                   pg_catalog.count(*) FILTER (WHERE member.kind OPERATOR(pg_catalog.=) 'redriven'
                                                  OR (member.kind OPERATOR(pg_catalog.=) 'payload_replaced' AND member.attempt OPERATOR(pg_catalog.=) 0))
                       OVER (PARTITION BY member.queue, member.id ORDER BY member.lease_token) AS life,
                   pg_catalog.bool_or(member.kind IN ('redriven', 'payload_replaced') AND stored.detail OPERATOR(pg_catalog.?) 'history')
                       OVER (PARTITION BY member.id) AS left_behind
            FROM (SELECT false AS parked, * FROM durable_work.outcome_0
                  UNION ALL SELECT false, * FROM durable_work.outcome_1
                  UNION ALL SELECT false, * FROM durable_work.outcome_2
                  UNION ALL SELECT false, * FROM durable_work.outcome_3
                  UNION ALL SELECT false, * FROM durable_work.outcome_4
                  UNION ALL SELECT false, * FROM durable_work.outcome_5
                  UNION ALL SELECT false, * FROM durable_work.outcome_6
                  UNION ALL SELECT false, * FROM durable_work.outcome_7
                  UNION ALL SELECT true, * FROM durable_work.parked_outcome) AS stored
            CROSS JOIN LATERAL durable_work.outcome_members(stored.first_id, stored.last_id, stored.body) AS member) AS outcome
      JOIN durable_work.queue AS queue ON queue.id OPERATOR(pg_catalog.=) outcome.queue
      WHERE outcome.parked OR NOT outcome.moved OR outcome.left_behind
      WINDOW of_lease AS (PARTITION BY outcome.queue, outcome.job_id, outcome.lease_token),
             of_life AS (PARTITION BY outcome.queue, outcome.job_id, outcome.life)) AS ended
WHERE ended.kind IN ('completed', 'attempt_failed', 'dead_lettered', 'cancelled', 'purged')
   -- A worker's deferral has no detail; what else changed the due time was no end of an attempt.
   OR (ended.kind OPERATOR(pg_catalog.=) 'rescheduled' AND ended.detail IS NULL);
REVOKE ALL ON durable_work.attempts FROM PUBLIC;
COMMENT ON VIEW durable_work.attempts IS
'How attempts ended, out of the whole log: completed, failed, expired, dead_letter, cancelled or deferred. It reads every outcome; for one job ask history().';

-- One job --------------------------------------------------------------------------------------------------------------

CREATE FUNCTION durable_work.explain_job(job_id bigint, queue text DEFAULT NULL)
RETURNS TABLE (
    job_id bigint,
    queue text,
    status text,
    claimed_by text,
    lease_expires_at timestamptz,
    attempts integer,
    max_attempts integer,
    next_action text,
    next_at timestamptz,
    reason text,
    progress jsonb
)
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1
AS 'MODULE_PATHNAME', 'durable_work_explain_job';
REVOKE ALL ON FUNCTION durable_work.explain_job(bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.explain_job(bigint, text) IS
'Where a job stands and what happens to it next, one row for each queue that sees it, or for the one named. DW002 when there is no such job.';

CREATE FUNCTION durable_work.history(job_id bigint, queue text DEFAULT NULL)
RETURNS TABLE (
    at timestamptz,
    event text,
    attempt integer,
    worker text,
    lease_token bigint,
    detail jsonb
)
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'durable_work_history';
REVOKE ALL ON FUNCTION durable_work.history(bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.history(bigint, text) IS
'What happened to a job, in order: enqueued, then failed, expired, deferred, completed, dead_letter or cancelled as the log has it, and last the lease it has now. DW002 when there is no such job.';
-- Dead letters: what is there, and what to do with them.

CREATE VIEW durable_work.dead_letters AS
SELECT dead.job_id,
       queue.name AS queue,
       dead.partition_key,
       dead.payload,
       dead.headers,
       dead.attempts,
       dead.reason,
       dead.enqueued_at,
       dead.dead_at,
       dead.history
FROM durable_work.dead_letter AS dead
JOIN durable_work.queue AS queue ON queue.id OPERATOR(pg_catalog.=) dead.queue;
REVOKE ALL ON durable_work.dead_letters FROM PUBLIC;
COMMENT ON VIEW durable_work.dead_letters IS 'Jobs that will not be tried again, with what happened to them';
COMMENT ON COLUMN durable_work.dead_letters.reason IS 'Why it was given up: attempts exhausted, not retryable, lease expired, what reject() was told, …';
COMMENT ON COLUMN durable_work.dead_letters.history IS 'What happened to it, in order of time; the last element is the end, with the worker''s error';

CREATE FUNCTION durable_work.redrive(
    queue text,
    job_ids bigint[] DEFAULT NULL,
    error_like text DEFAULT NULL,
    since timestamptz DEFAULT NULL,
    until timestamptz DEFAULT NULL,
    to_queue text DEFAULT NULL,
    rate_per_second double precision DEFAULT NULL,
    max_jobs bigint DEFAULT NULL,
    dry_run boolean DEFAULT false
) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_redrive';
REVOKE ALL ON FUNCTION durable_work.redrive(text, bigint[], text, timestamptz, timestamptz, text, double precision, bigint,
    boolean) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.redrive(text, bigint[], text, timestamptz, timestamptz, text, double precision, bigint,
    boolean) IS
'Makes jobs of a queue''s dead letters again, and returns how many. A job keeps its id, payload, key and history; its attempts start at 0, and lease tokens go on rising, so that whoever held it before stays refused. An expires_at that is past is dropped. Without filters all dead letters go.
queue: whose dead letters; DW002 if there is none of that name.
job_ids: only these, at most 100,000.
error_like: only those whose reason or last error, as text, fits this LIKE pattern.
since, until: only those that died since then (inclusive), or before then.
to_queue: the queue that gets the jobs; null is the one they died in. A full or paused queue takes them.
rate_per_second: from 0.001 to 100000. The call stores the redrive and returns how many fit now; the housekeeper moves that many a second, goes on after a crash, and shows where it is in the view redrives. Without it all are moved in this transaction.
max_jobs: at most so many, those first that died first (with job_ids: the lowest ids first).
dry_run: moves nothing, and returns how many would be.
A dead letter that another transaction is redriving or discarding is waited for. Under REPEATABLE READ that may raise 40001: run the transaction again. DW006 right after a start of the server, until the queues are loaded.';

CREATE FUNCTION durable_work.discard_dead_letter(job_id bigint, queue text) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_discard_dead_letter';
REVOKE ALL ON FUNCTION durable_work.discard_dead_letter(bigint, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.discard_dead_letter(bigint, text) IS
'Gives a dead letter up for good: its row in dead_letters goes, and the job is cancelled. True: done; false: the job is no dead letter of that queue, or none any more. DW002 when there is no such job or queue.';

CREATE VIEW durable_work.redrives AS
SELECT task.id,
       queue.name AS queue,
       to_queue.name AS to_queue,
       task.job_ids,
       task.error_like,
       NULLIF(task.since, '-infinity') AS since,
       task.until,
       task.max_jobs,
       task.rate_per_second,
       task.matched,
       task.moved,
       task.state,
       task.error,
       task.started_at,
       task.ended_at
FROM durable_work.redrive_task AS task
JOIN durable_work.queue AS queue ON queue.id OPERATOR(pg_catalog.=) task.queue
LEFT JOIN durable_work.queue AS to_queue ON to_queue.id OPERATOR(pg_catalog.=) task.to_queue;
REVOKE ALL ON durable_work.redrives FROM PUBLIC;
COMMENT ON VIEW durable_work.redrives IS 'Redrives at a rate: those that run, and for a week those that have ended';
COMMENT ON COLUMN durable_work.redrives.until IS 'The time of the call, if that was earlier: jobs that die again are not moved again';
COMMENT ON COLUMN durable_work.redrives.matched IS 'Dead letters that fitted when it was asked for';
COMMENT ON COLUMN durable_work.redrives.moved IS 'Jobs made so far';
COMMENT ON COLUMN durable_work.redrives.state IS 'running, done or failed';
COMMENT ON COLUMN durable_work.redrives.error IS 'Why it failed';
-- Figures: the slots of the log, why jobs wait, and how many there are.

-- The slots of the log -------------------------------------------------------------------------------------------------

CREATE FUNCTION durable_work.log_slots(
    OUT slot integer,
    OUT state text,
    OUT first_id bigint
) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 8
AS 'MODULE_PATHNAME', 'durable_work_log_slots';
REVOKE ALL ON FUNCTION durable_work.log_slots() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.log_slots() IS
'Which slots of the log are in use, out of shared memory; what the view segments shows.';

-- Rows are appended, so the oldest are on the first pages and the newest on the last; a process keeps filling its own
-- page up to 64 pages behind the end (src/store/tail_page.cpp), hence 65 of each. parked has its key.
DO $make_segments$
DECLARE
    one_slot constant text := $one_slot$
        SELECT %1$s AS slot, 'durable_work.job_%1$s'::pg_catalog.regclass AS jobs, 'durable_work.outcome_%1$s'::pg_catalog.regclass AS outcomes,
            (SELECT pg_catalog.min(enqueued_at) FROM durable_work.job_%1$s WHERE ctid OPERATOR(pg_catalog.<) '(65,0)'::pg_catalog.tid) AS oldest,
            (SELECT pg_catalog.max(enqueued_at) FROM durable_work.job_%1$s WHERE ctid OPERATOR(pg_catalog.>=) (
                SELECT pg_catalog.format('(%%s,0)', GREATEST(pg_catalog.pg_relation_size('durable_work.job_%1$s'::pg_catalog.regclass)
                    OPERATOR(pg_catalog./) pg_catalog.current_setting('block_size')::bigint OPERATOR(pg_catalog.-) 65, 0))::pg_catalog.tid)) AS newest
        $one_slot$;
    parked constant text := $parked$
        SELECT 8, 'durable_work.parked'::pg_catalog.regclass, 'durable_work.parked_outcome'::pg_catalog.regclass,
            (SELECT enqueued_at FROM durable_work.parked ORDER BY id LIMIT 1),
            (SELECT enqueued_at FROM durable_work.parked ORDER BY id DESC LIMIT 1)
        $parked$;
BEGIN
    EXECUTE pg_catalog.format($view$
        CREATE VIEW durable_work.segments AS
        SELECT CASE part.slot WHEN 8 THEN 'parked' ELSE part.slot::text END AS segment,
               CASE part.slot WHEN 8 THEN 'parked' ELSE slot.state END AS state,
               slot.first_id,
               pg_catalog.pg_relation_size(part.jobs) OPERATOR(pg_catalog./) pg_catalog.current_setting('block_size')::bigint AS job_pages,
               pg_catalog.pg_total_relation_size(part.jobs) AS job_bytes,
               pg_catalog.pg_relation_size(part.outcomes) OPERATOR(pg_catalog./) pg_catalog.current_setting('block_size')::bigint AS outcome_pages,
               pg_catalog.pg_total_relation_size(part.outcomes) AS outcome_bytes,
               part.oldest AS oldest_enqueued_at,
               part.newest AS newest_enqueued_at
        FROM (%s) AS part (slot, jobs, outcomes, oldest, newest)
        LEFT JOIN durable_work.log_slots() AS slot ON slot.slot OPERATOR(pg_catalog.=) part.slot
        $view$,
        (SELECT pg_catalog.string_agg(pg_catalog.format(one_slot, n), ' UNION ALL ' ORDER BY n) FROM pg_catalog.generate_series(0, 7) AS n)
        OPERATOR(pg_catalog.||) ' UNION ALL ' OPERATOR(pg_catalog.||) parked);
END
$make_segments$;
REVOKE ALL ON durable_work.segments FROM PUBLIC;
COMMENT ON VIEW durable_work.segments IS
'The slots of the log and the table of parked jobs: what is in use, and how large it is. It reads 130 pages of each slot at most. On a standby the state is not known.';
COMMENT ON COLUMN durable_work.segments.segment IS '0 to 7, the number in job_<n> and outcome_<n>; or parked';
COMMENT ON COLUMN durable_work.segments.state IS 'current (new jobs go there), in use, or not in use';
COMMENT ON COLUMN durable_work.segments.first_id IS 'Jobs from this id on belong to it';
COMMENT ON COLUMN durable_work.segments.job_pages IS 'Pages of the table itself';
COMMENT ON COLUMN durable_work.segments.job_bytes IS 'With its indexes and what is stored out of line';
COMMENT ON COLUMN durable_work.segments.outcome_bytes IS 'With indexes and what is stored out of line';
COMMENT ON COLUMN durable_work.segments.oldest_enqueued_at IS 'On the first pages; jobs are kept there long after they are finished';
COMMENT ON COLUMN durable_work.segments.newest_enqueued_at IS 'On the last pages';

-- Why jobs wait --------------------------------------------------------------------------------------------------------

CREATE FUNCTION durable_work.explain_waiting(queue text)
RETURNS TABLE (reason text, jobs bigint, detail text)
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 5
AS 'MODULE_PATHNAME', 'durable_work_explain_waiting';
REVOKE ALL ON FUNCTION durable_work.explain_waiting(text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.explain_waiting(text) IS
'Why the jobs of a queue are not being worked on now: one row for each reason, how many jobs it holds back, and what to look at or do. From shared memory: the cost depends on the leases that are out, not on the backlog.
Reasons: paused, no worker asks, workers are busy, workers are waking up (due jobs, by who is there to take them); due later, retry backoff; held by workers, waiting for the sweep, being decided (by open transactions); on disk, and due later, on disk; server is starting, standby; nothing waits. jobs is null where the number is not known yet. DW002 for an unknown queue.';

-- How many jobs there are -----------------------------------------------------------------------------------------------

CREATE FUNCTION durable_work.queue_figures(
    OUT queue integer,
    OUT ready bigint,
    OUT delayed bigint,
    OUT processing bigint,
    OUT spilled bigint,
    OUT unfinished bigint,
    OUT oldest_due_age interval,
    OUT enqueued bigint,
    OUT claimed bigint,
    OUT completed bigint,
    OUT failed bigint,
    OUT expired bigint,
    OUT dead_lettered bigint,
    OUT cancelled bigint
) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100
AS 'MODULE_PATHNAME', 'durable_work_queue_figures';
REVOKE ALL ON FUNCTION durable_work.queue_figures() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.queue_figures() IS
'Figures of each queue, by its number, out of shared memory; what the view queue_stats shows.';

CREATE VIEW durable_work.queue_stats AS
SELECT queue.name AS queue,
       figures.ready,
       figures.delayed,
       figures.processing,
       figures.spilled,
       (SELECT pg_catalog.count(*) FROM durable_work.dead_letter AS dead
        WHERE dead.queue OPERATOR(pg_catalog.=) queue.id) AS dead_letter,
       figures.oldest_due_age,
       figures.enqueued,
       figures.claimed,
       figures.completed,
       figures.failed,
       figures.expired,
       figures.dead_lettered,
       figures.cancelled,
       figures.unfinished
FROM durable_work.queue AS queue
LEFT JOIN durable_work.queue_figures() AS figures ON figures.queue OPERATOR(pg_catalog.=) queue.id;
REVOKE ALL ON durable_work.queue_stats FROM PUBLIC;
COMMENT ON VIEW durable_work.queue_stats IS
'How many jobs each queue has and had, from shared memory: it costs the same however many there are, but for dead_letter. ready + delayed + processing + spilled = unfinished. Null on a standby, and until the server has read its queues after a start.';
COMMENT ON COLUMN durable_work.queue_stats.ready IS 'Due and in memory';
COMMENT ON COLUMN durable_work.queue_stats.delayed IS 'In memory and due later, or waiting while an open transaction cancels or changes it';
COMMENT ON COLUMN durable_work.queue_stats.processing IS 'Held by workers';
COMMENT ON COLUMN durable_work.queue_stats.spilled IS 'On disk only: the rest of a backlog deeper than memory, and jobs due beyond the timer horizon';
COMMENT ON COLUMN durable_work.queue_stats.dead_letter IS 'Dead letters kept now, counted through their index';
COMMENT ON COLUMN durable_work.queue_stats.oldest_due_age IS 'How long the ready job has waited that is due longest; null when none is ready';
COMMENT ON COLUMN durable_work.queue_stats.enqueued IS 'Since the server started, like the next six';
COMMENT ON COLUMN durable_work.queue_stats.failed IS 'Attempts that failed and are tried again';
COMMENT ON COLUMN durable_work.queue_stats.expired IS 'Leases that ran out';
COMMENT ON COLUMN durable_work.queue_stats.unfinished IS 'Enqueued and not completed, cancelled or a dead letter; null while it is being counted after a start';
-- The extension itself.

CREATE FUNCTION durable_work.attach_database() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_attach_database';
REVOKE ALL ON FUNCTION durable_work.attach_database() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.attach_database() IS
'Part of CREATE EXTENSION, refused elsewhere: begins the numbering of lease tokens, and makes enqueue and claim work once the transaction commits.';

CREATE FUNCTION durable_work.library_version() RETURNS text
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'durable_work_library_version';
REVOKE ALL ON FUNCTION durable_work.library_version() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.library_version() IS
'Version of the loaded library. It differs from the extension''s version between an upgrade of the files and the restart of the server.';
-- Rows that come past the functions, as COPY of a restore brings them: the housekeeper reads the log again. The
-- triggers fire in replica role too, or a replicated or restored job would sleep until the next restart.

CREATE FUNCTION durable_work.rows_arrived() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'durable_work_rows_arrived';
REVOKE ALL ON FUNCTION durable_work.rows_arrived() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.rows_arrived() IS
'Trigger of the log''s tables: rows were written past the functions, by a restore or by hand, so everything is loaded again at commit.';

DO $make_triggers$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT pg_catalog.format('%s_%s', kind, n) FROM pg_catalog.unnest(ARRAY['job', 'outcome']) kind,
            pg_catalog.generate_series(0, 7) n
        UNION ALL
        SELECT pg_catalog.unnest(ARRAY['parked', 'parked_outcome', 'queue', 'topic', 'redrive_task'])
    LOOP
        EXECUTE pg_catalog.format('CREATE TRIGGER rows_arrived AFTER INSERT ON durable_work.%I FOR EACH STATEMENT '
            'EXECUTE FUNCTION durable_work.rows_arrived()', name);
        EXECUTE pg_catalog.format('ALTER TABLE durable_work.%I ENABLE ALWAYS TRIGGER rows_arrived', name);
    END LOOP;
END
$make_triggers$;
-- What the tables are, who may use them, and what a dump contains: all of their rows, for they are the truth.

COMMENT ON SEQUENCE durable_work.job_id_seq IS 'Numbers of jobs';
COMMENT ON SEQUENCE durable_work.topic_id_seq IS 'Numbers of topics; never given again';
COMMENT ON SEQUENCE durable_work.queue_id_seq IS 'Numbers of queues; never given again, so rows of a dropped queue in the log belong to nobody';
COMMENT ON TABLE durable_work.topic IS 'What producers write to';
COMMENT ON TABLE durable_work.queue IS 'Queues; each reads one topic. Changed by create_queue, alter_queue, drop_queue, pause_queue and resume_queue only';
COMMENT ON TABLE durable_work.epoch IS 'Upper half of the lease tokens: one row for each start of the server, the highest counts';
COMMENT ON TABLE durable_work.parked IS 'Jobs due beyond the timer horizon';
COMMENT ON TABLE durable_work.parked_outcome IS 'What became of parked jobs';
COMMENT ON TABLE durable_work.idempotency IS 'Idempotency keys and the jobs that have them; they outlive the jobs';
COMMENT ON TABLE durable_work.dead_letter IS 'Jobs that will not be tried again; shown by the view dead_letters';
COMMENT ON SEQUENCE durable_work.redrive_id_seq IS 'Numbers of redrives at a rate';
COMMENT ON TABLE durable_work.redrive_task IS 'Redrives at a rate, see the view redrives. Deleting a row stops one';
COMMENT ON TABLE durable_work.handled IS 'Keys of effects that happened, see mark_handled';
COMMENT ON TABLE durable_work.fence_token IS 'Highest lease token seen for a resource, see fence';

DO $log_tables$
DECLARE
    relation pg_catalog.regclass;
BEGIN
    FOR n IN 0..7 LOOP
        EXECUTE pg_catalog.format('COMMENT ON TABLE durable_work.job_%s IS %L', n, 'Slot of the log: jobs, appended only');
        EXECUTE pg_catalog.format('COMMENT ON TABLE durable_work.outcome_%s IS %L', n,
            'Slot of the log: what became of the jobs of the same slot, appended only');
    END LOOP;
    FOR relation IN
        SELECT oid FROM pg_catalog.pg_class
        WHERE relnamespace OPERATOR(pg_catalog.=) 'durable_work'::pg_catalog.regnamespace AND relkind IN ('r', 'S')
        ORDER BY relname
    LOOP
        PERFORM pg_catalog.pg_extension_config_dump(relation, '');
    END LOOP;
END
$log_tables$;

-- Whatever ALTER DEFAULT PRIVILEGES may have granted.
REVOKE ALL ON ALL TABLES IN SCHEMA durable_work FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA durable_work FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA durable_work FROM PUBLIC;
-- Last: raises the epoch, and once this transaction commits, enqueue and claim work.
SELECT durable_work.attach_database();
