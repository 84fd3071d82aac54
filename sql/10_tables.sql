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
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ordering text NOT NULL DEFAULT 'none',
    on_exhausted text NOT NULL DEFAULT 'skip',
    fairness text NOT NULL DEFAULT 'none',
    -- Limits; of a group in the row of each of its queues. The columns stand at the end, where an update adds them.
    max_in_flight integer,
    rate_jobs integer,
    rate_interval interval,
    rate_burst integer,
    key_max_in_flight integer,
    key_rate_jobs integer,
    key_rate_interval interval,
    key_rate_burst integer,
    concurrency_group text,
    group_max_in_flight integer,
    rate_group text,
    group_rate_jobs integer,
    group_rate_interval interval,
    group_rate_burst integer,
    buckets integer NOT NULL DEFAULT 360
);

-- Keys of ordered queues whose next job is a dead letter. takes_along: jobs of the key with lower numbers die with it; then the
-- row goes. Without it the key waits for unblock_key.
CREATE TABLE durable_work.blocked_key (
    queue integer NOT NULL,
    partition_key text NOT NULL,
    job_id bigint NOT NULL,
    blocked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    takes_along bigint,
    PRIMARY KEY (queue, partition_key),
    UNIQUE (queue, job_id)
);

-- Keys of fair queues that get more than one job a round.
CREATE TABLE durable_work.key_weight (
    queue integer NOT NULL,
    partition_key text NOT NULL,
    weight integer NOT NULL,
    PRIMARY KEY (queue, partition_key)
);

CREATE TABLE durable_work.epoch (
    value bigint NOT NULL,
    system_identifier bigint NOT NULL,
    timeline integer NOT NULL,
    database_oid oid NOT NULL,
    table_oid oid NOT NULL,
    raised_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Which slots of the log are in use: jobs from first_id on lie in this one, up to the next one's. Written when the log goes
-- on to another slot, so a new database has no row, and a restored one those of the dump.
CREATE TABLE durable_work.segment (
    slot integer NOT NULL,
    first_id bigint NOT NULL,
    opened_at timestamptz NOT NULL,
    PRIMARY KEY (slot, first_id)
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
    -- They have no key. Where they are published (FOR ALL TABLES), the few rows that are deleted are told as a whole, or
    -- the deletion would be refused.
    FOR n IN 0..7 LOOP
        EXECUTE pg_catalog.format('ALTER TABLE durable_work.job_%s REPLICA IDENTITY FULL', n);
        EXECUTE pg_catalog.format('ALTER TABLE durable_work.outcome_%s REPLICA IDENTITY FULL', n);
    END LOOP;
    ALTER TABLE durable_work.parked_outcome REPLICA IDENTITY FULL;
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

-- Registered workers. Not dumped: those of a copy are none of the original's, and whether one is alive is known in memory
-- only. Their numbers are drawn from a range of their own, so that they are told from numbers that a client makes up.
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

CREATE TABLE durable_work.fence_token (
    resource text PRIMARY KEY,
    token bigint NOT NULL
);
