-- Dead letters: what is there, and what to do with them.

-- The view dead_letters -------------------------------------------------------------------------------------------------

CREATE VIEW durable_work.dead_letters WITH (security_barrier) AS
SELECT dead.job_id,
       queue.name AS queue,
       CASE WHEN durable_work.may(queue.id, 'read') THEN dead.partition_key END AS partition_key,
       CASE WHEN durable_work.may(queue.id, 'read') THEN dead.payload END AS payload,
       CASE WHEN durable_work.may(queue.id, 'read') THEN dead.headers END AS headers,
       dead.attempts,
       CASE WHEN durable_work.may(queue.id, 'read') THEN dead.reason END AS reason,
       dead.enqueued_at,
       dead.dead_at,
       CASE WHEN durable_work.may(queue.id, 'read') THEN dead.history END AS history
FROM durable_work.dead_letter AS dead
JOIN durable_work.queue AS queue ON queue.id OPERATOR(pg_catalog.=) dead.queue
WHERE durable_work.may(queue.id, 'see');
REVOKE ALL ON durable_work.dead_letters FROM PUBLIC;
COMMENT ON VIEW durable_work.dead_letters IS 'Jobs that will not be tried again, with what happened to them, of queues that the user may see; partition_key, payload, headers, reason and history with the right to work or operate only';
COMMENT ON COLUMN durable_work.dead_letters.reason IS 'Why it was given up: attempts exhausted, not retryable, lease expired, what reject() was told, …';
COMMENT ON COLUMN durable_work.dead_letters.history IS 'What happened to it, in order of time; the last element is the end, with the worker''s error';

-- What to do with them -------------------------------------------------------------------------------------------------

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
to_queue: the queue that gets the jobs, which takes the right to enqueue there; null is the one they died in. A full or paused queue takes them.
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

-- The view redrives -----------------------------------------------------------------------------------------------------

CREATE VIEW durable_work.redrives WITH (security_barrier) AS
SELECT task.id,
       queue.name AS queue,
       CASE WHEN durable_work.may(to_queue.id, 'any') THEN to_queue.name END AS to_queue,
       task.job_ids,
       CASE WHEN durable_work.may(queue.id, 'read') THEN task.error_like END AS error_like,
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
LEFT JOIN durable_work.queue AS to_queue ON to_queue.id OPERATOR(pg_catalog.=) task.to_queue
WHERE durable_work.may(queue.id, 'see');
REVOKE ALL ON durable_work.redrives FROM PUBLIC;
COMMENT ON VIEW durable_work.redrives IS 'Redrives at a rate, of queues that the user may see: those that run, and for a week those that have ended';
COMMENT ON COLUMN durable_work.redrives.to_queue IS 'Null also when the user has no right on it';
COMMENT ON COLUMN durable_work.redrives.error_like IS 'Shown with the right to work or operate';
COMMENT ON COLUMN durable_work.redrives.until IS 'The time of the call, if that was earlier: jobs that die again are not moved again';
COMMENT ON COLUMN durable_work.redrives.matched IS 'Dead letters that fitted when it was asked for';
COMMENT ON COLUMN durable_work.redrives.moved IS 'Jobs made so far';
COMMENT ON COLUMN durable_work.redrives.state IS 'running, done or failed';
COMMENT ON COLUMN durable_work.redrives.error IS 'Why it failed';
