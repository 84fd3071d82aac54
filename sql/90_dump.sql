-- What the tables are, who may use them, and what a dump contains: all of their rows, for they are the truth, but for
-- those of registered workers.

COMMENT ON SEQUENCE durable_work.job_id_seq IS 'Numbers of jobs';
COMMENT ON SEQUENCE durable_work.topic_id_seq IS 'Numbers of topics; never given again';
COMMENT ON SEQUENCE durable_work.queue_id_seq IS 'Numbers of queues; never given again, so rows of a dropped queue in the log belong to nobody';
COMMENT ON TABLE durable_work.topic IS 'What producers write to';
COMMENT ON TABLE durable_work.queue IS 'Queues; each reads one topic. Changed by create_queue, alter_queue, drop_queue, pause_queue, resume_queue, set_concurrency_limit and set_rate_limit only';
COMMENT ON TABLE durable_work.epoch IS 'Upper half of the lease tokens: one row for each start of the server, the highest counts';
COMMENT ON TABLE durable_work.segment IS 'Slots of the log that are in use, and the first job number of each';
COMMENT ON TABLE durable_work.parked IS 'Jobs due beyond the timer horizon, redriven or changed ones, and those that were left in a slot of the log';
COMMENT ON TABLE durable_work.parked_outcome IS 'What became of parked jobs';
COMMENT ON TABLE durable_work.idempotency IS 'Idempotency keys and the jobs that have them; they outlive the jobs';
COMMENT ON TABLE durable_work.dead_letter IS 'Jobs that will not be tried again; shown by the view dead_letters';
COMMENT ON TABLE durable_work.blocked_key IS 'Keys of ordered queues that wait for unblock_key; see blocked_keys';
COMMENT ON TABLE durable_work.key_weight IS 'Keys of fair queues that get more than one job a round; see set_key_weight and the view key_weights';
COMMENT ON SEQUENCE durable_work.redrive_id_seq IS 'Numbers of redrives at a rate';
COMMENT ON TABLE durable_work.redrive_task IS 'Redrives at a rate, see the view redrives. Deleting a row stops one';
COMMENT ON TABLE durable_work.handled IS 'Keys of effects that happened, see mark_handled';
COMMENT ON SEQUENCE durable_work.worker_instance_seq IS 'Numbers of registrations of workers';
COMMENT ON TABLE durable_work.worker IS 'Registered workers, see register_worker and the view workers; not in a dump';
COMMENT ON TABLE durable_work.fence_token IS 'Highest lease token seen for a resource, see fence';

DO $log_tables$
DECLARE
    relation pg_catalog.regclass;
BEGIN
    FOR n IN 0..7 LOOP
        EXECUTE pg_catalog.format('COMMENT ON TABLE durable_work.job_%s IS %L', n, 'Slot of the log: jobs, appended only');
        EXECUTE pg_catalog.format('COMMENT ON TABLE durable_work.outcome_%s IS %L', n,
            'Slot of the log: what became of the jobs of the same slot, appended only');
    END LOOP;
    FOR relation IN
        SELECT oid FROM pg_catalog.pg_class
        WHERE relnamespace OPERATOR(pg_catalog.=) 'durable_work'::pg_catalog.regnamespace AND relkind IN ('r', 'S')
          AND relname OPERATOR(pg_catalog.<>) 'worker'
        ORDER BY relname
    LOOP
        PERFORM pg_catalog.pg_extension_config_dump(relation, '');
    END LOOP;
END
$log_tables$;

-- Whatever ALTER DEFAULT PRIVILEGES may have granted.
REVOKE ALL ON ALL TABLES IN SCHEMA durable_work FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA durable_work FROM PUBLIC;
REVOKE ALL ON ALL ROUTINES IN SCHEMA durable_work FROM PUBLIC;
