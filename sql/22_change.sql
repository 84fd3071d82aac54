-- Changing jobs that wait: cancel, reschedule, another payload.

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
