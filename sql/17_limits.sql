-- Limits: how many jobs may be in flight, and how many may start in a time.

CREATE FUNCTION durable_work.set_concurrency_limit(
    queue text,
    max_in_flight integer,
    scope text DEFAULT 'queue',
    limit_group text DEFAULT NULL
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_set_concurrency_limit';
REVOKE ALL ON FUNCTION durable_work.set_concurrency_limit(text, integer, text, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.set_concurrency_limit(text, integer, text, text) IS
'Hands out no job while as many as that are in flight, over all connections. In flight is what a worker holds: from the claim until the lease ends or its completion is committed; a job that was cancelled under its holder until the holder is told. It is in force from the commit on; leases that are out stay.
max_in_flight: 0: none at all; null: the limit is removed.
scope: queue (the jobs of this queue), key (those of each partition_key of this queue; jobs without one are not limited), or group (those of all queues with the same limit_group together).
limit_group: name of the group, up to 63 bytes. The number holds for all of its queues, so it takes operate on each of them; null for max_in_flight takes this queue out of it.';

CREATE FUNCTION durable_work.set_rate_limit(
    queue text,
    jobs integer,
    per_interval interval DEFAULT '1 s',
    burst integer DEFAULT NULL,
    scope text DEFAULT 'queue',
    limit_group text DEFAULT NULL
) RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_set_rate_limit';
REVOKE ALL ON FUNCTION durable_work.set_rate_limit(text, integer, interval, integer, text, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.set_rate_limit(text, integer, interval, integer, text, text) IS
'Lets jobs start (be handed out, also again) by a token bucket. In any time t at most burst + t * jobs / per_interval of them start, over all connections. The bucket is empty when the server starts and when the limit is set to other numbers.
jobs: that may start in each interval (1 to 1000000; null: the limit is removed).
per_interval: 1 ms to 31 days. A token comes each per_interval / jobs.
burst: tokens that are kept at most (1 to 1000000; null: as many as jobs).
scope: queue, key (a bucket for each partition_key), or group; limit_group: see set_concurrency_limit.';

CREATE FUNCTION durable_work.limit_figures(
    OUT queue integer,
    OUT kind text,
    OUT scope text,
    OUT in_flight bigint,
    OUT available bigint,
    OUT next_start_at timestamptz
) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100
AS 'MODULE_PATHNAME', 'durable_work_limit_figures';
REVOKE ALL ON FUNCTION durable_work.limit_figures() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.limit_figures() IS
'How the limits of each queue that the user may see stand, by its number, out of shared memory; what the view limits shows.';

CREATE VIEW durable_work.limits WITH (security_barrier) AS
SELECT queue.name AS queue,
       setting.kind,
       setting.scope,
       setting.limit_group,
       setting.max_in_flight,
       figures.in_flight,
       setting.jobs,
       setting.per_interval,
       setting.burst,
       figures.available,
       figures.next_start_at
FROM durable_work.queue AS queue
CROSS JOIN LATERAL (VALUES
    ('concurrency', 'queue', NULL::text, queue.max_in_flight, NULL::integer, NULL::interval, NULL::integer),
    ('concurrency', 'key', NULL, queue.key_max_in_flight, NULL, NULL, NULL),
    ('concurrency', 'group', queue.concurrency_group, queue.group_max_in_flight, NULL, NULL, NULL),
    ('rate', 'queue', NULL, NULL, queue.rate_jobs, queue.rate_interval, queue.rate_burst),
    ('rate', 'key', NULL, NULL, queue.key_rate_jobs, queue.key_rate_interval, queue.key_rate_burst),
    ('rate', 'group', queue.rate_group, NULL, queue.group_rate_jobs, queue.group_rate_interval, queue.group_rate_burst)
) AS setting (kind, scope, limit_group, max_in_flight, jobs, per_interval, burst)
LEFT JOIN durable_work.limit_figures() AS figures
    ON figures.queue OPERATOR(pg_catalog.=) queue.id
    AND figures.kind OPERATOR(pg_catalog.=) setting.kind
    AND figures.scope OPERATOR(pg_catalog.=) setting.scope
WHERE (setting.max_in_flight IS NOT NULL OR setting.jobs IS NOT NULL) AND durable_work.may(queue.id, 'see');
REVOKE ALL ON durable_work.limits FROM PUBLIC;
COMMENT ON VIEW durable_work.limits IS
'The limits that are set on queues that the user may see, one row for each queue, kind and scope, and how they stand. The last columns are null for scope key, where they would differ from key to key, on a standby, and until the server has read its queues after a start.';
COMMENT ON COLUMN durable_work.limits.kind IS 'concurrency or rate';
COMMENT ON COLUMN durable_work.limits.scope IS 'queue, key or group';
COMMENT ON COLUMN durable_work.limits.in_flight IS 'Now; of a group: of all its queues';
COMMENT ON COLUMN durable_work.limits.burst IS 'Tokens that are kept at most';
COMMENT ON COLUMN durable_work.limits.available IS 'Jobs that this limit lets start now';
COMMENT ON COLUMN durable_work.limits.next_start_at IS 'When there is a token; null while there is one';
