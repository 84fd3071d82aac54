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
