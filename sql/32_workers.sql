-- Many workers: the ring of those that are registered, and who owns which bucket.

-- Trying rings out -----------------------------------------------------------------------------------------------------

CREATE FUNCTION durable_work.ring_simulate(
    workers text[],
    vnodes integer DEFAULT 150,
    buckets integer DEFAULT 360,
    OUT bucket integer,
    OUT owner text
) RETURNS SETOF record
LANGUAGE c IMMUTABLE PARALLEL SAFE ROWS 360
AS 'MODULE_PATHNAME', 'durable_work_ring_simulate';
REVOKE ALL ON FUNCTION durable_work.ring_simulate(text[], integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.ring_simulate(text[], integer, integer) IS
'Which of these workers (at most 1024 names of 1 to 127 bytes, each once) would own which of the buckets (1 to 1024), if each has that many virtual nodes (1 to 1024). owner is null when there is no worker. It computes and looks at nothing; it works without preloading.
Virtual node i of a worker, from 0, lies at fmix32(fnv1a32(name || ''#'' || i)), over UTF-8 bytes, with the finaliser of MurmurHash3; bucket b of n lies at floor(b * 2^32 / n). The owner is the worker of the first node there or clockwise after it, round the end; at the same position the smaller name, by bytes.';

CREATE FUNCTION durable_work.ring_moved(
    before text[],
    after text[],
    vnodes integer DEFAULT 150,
    buckets integer DEFAULT 360,
    OUT moved integer,
    OUT total integer,
    OUT fraction double precision
) RETURNS record
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'durable_work_ring_moved';
REVOKE ALL ON FUNCTION durable_work.ring_moved(text[], text[], integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.ring_moved(text[], text[], integer, integer) IS
'How many of the buckets would have another owner after workers have joined or left, see ring_simulate. A worker that joins N others takes about one in N + 1, and no bucket moves between the others.';

-- Registered workers ---------------------------------------------------------------------------------------------------

CREATE FUNCTION durable_work.register_worker(
    worker text,
    queues text[],
    capacity integer DEFAULT NULL,
    vnodes integer DEFAULT 150,
    labels jsonb DEFAULT NULL
) RETURNS bigint
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_register_worker';
REVOKE ALL ON FUNCTION durable_work.register_worker(text, text[], integer, integer, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.register_worker(text, text[], integer, integer, jsonb) IS
'Registers a worker process when the transaction commits, and returns its instance, which it gives to claim, heartbeat and drain_worker. From then on it owns buckets of each of the queues (1 to 64) as long as it is alive: as long as it calls heartbeat or claim, or sleeps in one of them, at least every durable_work.worker_dead_after. A later registration of the same name takes its place, with a higher instance: calls of the earlier process raise DW006, and what it holds stays its own until it ends the jobs or the leases run out.
worker: 1 to 127 bytes, best the same for the same place over restarts, because the name decides which buckets it owns. capacity: jobs of all queues that it may hold at the same time (1 to 1000000; null: any number); claim gives no more. vnodes: virtual nodes (1 to 1024): twice as many get about twice the buckets. labels: a jsonb object (at most 8192 bytes) for people. 53400: more than 1024 workers are registered on the server, or for too many queues. 42501: the name is registered for queues that you may not work on.';

CREATE FUNCTION durable_work.deregister_worker(worker text, instance bigint DEFAULT NULL) RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_deregister_worker';
REVOKE ALL ON FUNCTION durable_work.deregister_worker(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.deregister_worker(text, bigint) IS
'Ends the registration when the transaction commits: others own its buckets, and its calls raise DW006. What it holds stays its own until it ends the jobs or the leases run out; drain_worker is kinder. False: it was not registered. DW006: the instance is not that of the registration; null: whichever it is. It takes work or operate on all queues of the worker.';

CREATE FUNCTION durable_work.drain_worker(
    worker text,
    deadline interval DEFAULT '30 s',
    instance bigint DEFAULT NULL
) RETURNS integer
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_drain_worker';
REVOKE ALL ON FUNCTION durable_work.drain_worker(text, interval, bigint) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.drain_worker(text, interval, bigint) IS
'Lets a registered worker end. Returns at once how many jobs it holds. When the transaction commits others own its buckets and its claims return nothing, also one that is waiting. It is deregistered as soon as it holds nothing; at the deadline (at most 365 days) what it still holds is released, the attempt not counted, and it is deregistered. Jobs that an open transaction is deciding, and those of queues with delivery at_most_once, are left to it. Called again it sets another deadline. DW002: it is not registered; DW006: the instance is not that of the registration; null: whichever it is. It takes work or operate on all queues of the worker.';

CREATE FUNCTION durable_work.worker_figures(
    OUT worker text,
    OUT instance bigint,
    OUT state text,
    OUT last_seen_at timestamptz,
    OUT drain_deadline timestamptz,
    OUT in_flight integer,
    OUT buckets_owned integer
) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 10
AS 'MODULE_PATHNAME', 'durable_work_worker_figures';
REVOKE ALL ON FUNCTION durable_work.worker_figures() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.worker_figures() IS 'What shared memory knows of registered workers of queues that the user may see; the view workers shows it.';

CREATE VIEW durable_work.workers WITH (security_barrier) AS
SELECT worker.name AS worker,
       worker.instance,
       figures.state,
       ARRAY(SELECT queue.name FROM durable_work.queue AS queue
             WHERE queue.id OPERATOR(pg_catalog.=) ANY (worker.queues) AND durable_work.may(queue.id, 'see') ORDER BY queue.name) AS queues,
       figures.last_seen_at,
       COALESCE(figures.drain_deadline, worker.drain_deadline) AS drain_deadline,
       figures.in_flight,
       figures.buckets_owned,
       worker.capacity,
       worker.vnodes,
       worker.labels,
       worker.registered_at
FROM durable_work.worker AS worker
LEFT JOIN durable_work.worker_figures() AS figures
    ON figures.worker OPERATOR(pg_catalog.=) worker.name AND figures.instance OPERATOR(pg_catalog.=) worker.instance
WHERE durable_work.may(0, 'see')
   OR EXISTS (SELECT FROM pg_catalog.unnest(worker.queues) AS one (id) WHERE durable_work.may(one.id, 'see'));
REVOKE ALL ON durable_work.workers FROM PUBLIC;
COMMENT ON VIEW durable_work.workers IS 'Registered workers of queues that the user may see. What only shared memory knows is null on a standby';
COMMENT ON COLUMN durable_work.workers.queues IS 'Those that the user may see';
COMMENT ON COLUMN durable_work.workers.state IS 'alive, draining (see drain_worker), or dead: no sign of life for durable_work.worker_dead_after';
COMMENT ON COLUMN durable_work.workers.in_flight IS 'Jobs that this instance holds';
COMMENT ON COLUMN durable_work.workers.buckets_owned IS 'Of all its queues together';

CREATE FUNCTION durable_work.ring_owner(queue text, partition_key text) RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_ring_owner';
REVOKE ALL ON FUNCTION durable_work.ring_owner(text, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.ring_owner(text, text) IS
'The registered worker that owns the bucket of this key in the queue now; null: no living worker is registered for the queue. Raises DW002 for an unknown queue.';

CREATE FUNCTION durable_work.owned_buckets(queue text, worker text) RETURNS integer[]
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_owned_buckets';
REVOKE ALL ON FUNCTION durable_work.owned_buckets(text, text) FROM PUBLIC;
COMMENT ON FUNCTION durable_work.owned_buckets(text, text) IS
'The buckets of the queue that this worker owns now, in order; none while it is dead or drains. Raises DW002 for an unknown queue or a worker that is not registered.';
