-- Workers that sleep until there is work.

CREATE FUNCTION durable_work.wake_figures(
    OUT queue integer,
    OUT sleeping bigint,
    OUT woken bigint,
    OUT woken_in_vain bigint
) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100
AS 'MODULE_PATHNAME', 'durable_work_wake_figures';
REVOKE ALL ON FUNCTION durable_work.wake_figures() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.wake_figures() IS
'Workers that sleep and were woken for each queue that the user may see, by its number, out of shared memory; what the view wakeups shows.';

CREATE VIEW durable_work.wakeups WITH (security_barrier) AS
SELECT queue.name AS queue,
       figures.sleeping,
       figures.woken,
       figures.woken_in_vain
FROM durable_work.queue AS queue
LEFT JOIN durable_work.wake_figures() AS figures ON figures.queue OPERATOR(pg_catalog.=) queue.id
WHERE durable_work.may(queue.id, 'see');
REVOKE ALL ON durable_work.wakeups FROM PUBLIC;
COMMENT ON VIEW durable_work.wakeups IS
'How many workers sleep until a queue that the user may see has a job, and how often one was woken. Null on a standby, and until the server has read its queues after a start.';
COMMENT ON COLUMN durable_work.wakeups.sleeping IS 'Workers that sleep in wait_for_work or claim';
COMMENT ON COLUMN durable_work.wakeups.woken IS 'How often a sleeping worker was woken for a job since the server started: at most once a job, and once more for each that was woken in vain';
COMMENT ON COLUMN durable_work.wakeups.woken_in_vain IS 'Of those: another worker had taken the job, or the one that was woken did not ask for it';
