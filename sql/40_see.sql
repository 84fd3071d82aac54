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
'State of a job in a queue, by the numbers of queue and log segment (8: parked). Used by the view inbox; people ask explain_job. Null for a queue that the user may not see; without the right to work or operate result and last_error are null.';

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
COMMENT ON FUNCTION durable_work.live_leases() IS 'Leases of all queues that the user may see, out of shared memory; what the view leases shows.';

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

-- The view inbox --------------------------------------------------------------------------------------------------------

CREATE VIEW durable_work.inbox WITH (security_barrier) AS
SELECT job.id,
       queue.name AS queue,
       CASE WHEN durable_work.may(queue.id, 'read') THEN job.partition_key END AS partition_key,
       ((job.key_hash::bigint OPERATOR(pg_catalog.&) 4294967295) OPERATOR(pg_catalog.%) queue.buckets)::integer AS partition_bucket,
       job.priority::integer AS priority,
       CASE WHEN durable_work.may(queue.id, 'read') THEN job.payload END AS payload,
       CASE WHEN durable_work.may(queue.id, 'read') THEN job.headers END AS headers,
       CASE WHEN durable_work.may(queue.id, 'read') THEN idempotency.key END AS idempotency_key,
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
WHERE state.status IS NOT NULL AND durable_work.may(queue.id, 'see');
REVOKE ALL ON durable_work.inbox FROM PUBLIC;
COMMENT ON VIEW durable_work.inbox IS
'Every retained job, one row for each queue that sees it. INSERT INTO durable_work.inbox (partition_key, payload, idempotency_key) works like enqueue, into queue default unless one is named; so does COPY. Jobs of queues that the user may see; partition_key, payload, headers, idempotency_key, result and last_error only with the right to work or operate, else null.';
COMMENT ON COLUMN durable_work.inbox.partition_bucket IS 'Hash of the partition key modulo the buckets of the queue, see bucket(); without a key the hash of the id';
COMMENT ON COLUMN durable_work.inbox.idempotency_key IS 'While it is remembered, see dedupe_window of create_queue';
COMMENT ON COLUMN durable_work.inbox.status IS 'pending, processing, completed, dead_letter or cancelled';
COMMENT ON COLUMN durable_work.inbox.available_at IS 'When it was or is due, after a failed attempt the time of the retry';
COMMENT ON COLUMN durable_work.inbox.lease_generation IS 'The last token given for it, by a claim or by a change while it waited; tokens pass 2^53, so JSON tools must keep them as text';
COMMENT ON COLUMN durable_work.inbox.attempts IS 'Claims so far that were not given back';
COMMENT ON COLUMN durable_work.inbox.last_error IS 'Error of the last failed attempt, or {"reason": …} when the worker gave none';

-- Inserting into the view inbox ------------------------------------------------------------------------------------------

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
COMMENT ON VIEW durable_work.leases IS 'Jobs that workers hold now, in queues that the user may see, from shared memory; empty on a standby';
COMMENT ON COLUMN durable_work.leases.progress IS 'What its worker has told by set_progress, as long as it is remembered; shown with the right to work or operate';

-- A completion does not store the number of its attempt: it is that of the claim, where claims are recorded, else one more
-- than the highest that failed since the job was last redriven or replaced. What a job that went to parked left behind in
-- its slot is told there.
CREATE VIEW durable_work.attempts WITH (security_barrier) AS
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
       CASE WHEN ended.kind IN ('attempt_failed', 'dead_lettered') AND durable_work.may(ended.queue_id, 'read') THEN
           COALESCE(ended.detail OPERATOR(pg_catalog.->) 'error',
                    CASE WHEN ended.detail OPERATOR(pg_catalog.?) 'reason' THEN
                        pg_catalog.jsonb_build_object('reason', ended.detail OPERATOR(pg_catalog.->) 'reason')
                    END)
       END AS error
FROM (SELECT outcome.job_id,
             queue.name AS queue,
             queue.id AS queue_id,
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
                   pg_catalog.bool_or(member.kind IN ('redriven', 'payload_replaced', 'relocated') AND stored.detail OPERATOR(pg_catalog.?) 'history')
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
      WHERE durable_work.may(queue.id, 'see') AND (outcome.parked OR NOT outcome.moved OR outcome.left_behind)
      WINDOW of_lease AS (PARTITION BY outcome.queue, outcome.job_id, outcome.lease_token),
             of_life AS (PARTITION BY outcome.queue, outcome.job_id, outcome.life)) AS ended
WHERE ended.kind IN ('completed', 'attempt_failed', 'dead_lettered', 'cancelled', 'purged')
   -- A worker's deferral has no detail; what else changed the due time was no end of an attempt.
   OR (ended.kind OPERATOR(pg_catalog.=) 'rescheduled' AND ended.detail IS NULL);
REVOKE ALL ON durable_work.attempts FROM PUBLIC;
COMMENT ON VIEW durable_work.attempts IS
'How attempts ended, out of the whole log: completed, failed, expired, dead_letter, cancelled or deferred. It reads every outcome; for one job ask history(). Those in queues that the user may see; error with the right to work or operate only.';

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
'Where a job stands and what happens to it next, one row for each queue that sees it, or for the one named. Without the right to work or operate progress is null, and so is reason of a dead letter. DW002 when there is no such job.';

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
'What happened to a job, in order: enqueued, then failed, expired, deferred, completed, dead_letter or cancelled as the log has it, and last the lease it has now. detail shows with the right to work or operate only. DW002 when there is no such job.';
