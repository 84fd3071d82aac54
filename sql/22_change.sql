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
