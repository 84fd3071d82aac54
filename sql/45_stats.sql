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
COMMENT ON COLUMN durable_work.segments.state IS 'current (new jobs go there), sealed (older jobs that are being written may still come), draining (its jobs only finish; then it is emptied), or empty';
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
Reasons: start_paused (the whole database), paused, no worker asks, workers are busy, workers are waking up, workers get nothing, bucket not owned (due jobs, by who is there to take them); at concurrency limit, rate limited (due jobs that a limit holds back); due later, retry backoff; key busy, key blocked (behind an earlier job of their key); held by workers, waiting for the sweep, being decided (by open transactions), prepared transaction; loading, waiting for room, and due later, on disk (those that are on disk only); server is starting, standby; nothing waits. jobs is null where the number is not known yet. DW002 for an unknown queue.';

-- How many jobs there are -----------------------------------------------------------------------------------------------

CREATE FUNCTION durable_work.queue_figures(
    OUT queue integer,
    OUT ready bigint,
    OUT delayed bigint,
    OUT processing bigint,
    OUT blocked bigint,
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
'Figures of each queue that the user may see, by its number, out of shared memory; what the view queue_stats shows.';

CREATE VIEW durable_work.queue_stats WITH (security_barrier) AS
SELECT queue.name AS queue,
       figures.ready,
       figures.delayed,
       figures.processing,
       figures.blocked,
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
LEFT JOIN durable_work.queue_figures() AS figures ON figures.queue OPERATOR(pg_catalog.=) queue.id
WHERE durable_work.may(queue.id, 'see');
REVOKE ALL ON durable_work.queue_stats FROM PUBLIC;
COMMENT ON VIEW durable_work.queue_stats IS
'How many jobs each queue that the user may see has and had, from shared memory: it costs the same however many there are, but for dead_letter. ready + delayed + processing + blocked + spilled = unfinished. Null on a standby, and until the server has read its queues after a start.';
COMMENT ON COLUMN durable_work.queue_stats.ready IS 'Due and in memory';
COMMENT ON COLUMN durable_work.queue_stats.delayed IS 'In memory and due later, or waiting while an open transaction cancels or changes it';
COMMENT ON COLUMN durable_work.queue_stats.processing IS 'Held by workers';
COMMENT ON COLUMN durable_work.queue_stats.blocked IS 'In memory, behind an earlier job of their key';
COMMENT ON COLUMN durable_work.queue_stats.spilled IS 'On disk only: the rest of a backlog deeper than memory, and jobs due beyond the timer horizon';
COMMENT ON COLUMN durable_work.queue_stats.dead_letter IS 'Dead letters kept now, counted through their index';
COMMENT ON COLUMN durable_work.queue_stats.oldest_due_age IS 'How long the ready job has waited that is due longest; null when none is ready';
COMMENT ON COLUMN durable_work.queue_stats.enqueued IS 'Since the server started, like the next six';
COMMENT ON COLUMN durable_work.queue_stats.failed IS 'Attempts that failed and are tried again';
COMMENT ON COLUMN durable_work.queue_stats.expired IS 'Leases that ran out';
COMMENT ON COLUMN durable_work.queue_stats.unfinished IS 'Enqueued and not completed, cancelled or a dead letter; null while it is being counted after a start';
