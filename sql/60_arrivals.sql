-- Rows that come past the functions, as COPY of a restore brings them: the housekeeper reads the log again. The
-- triggers fire in replica role too, or a replicated or restored job would sleep until the next restart. Of the table
-- of weights, which is read whole, also rows that are changed or gone.

CREATE FUNCTION durable_work.rows_arrived() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'durable_work_rows_arrived';
REVOKE ALL ON FUNCTION durable_work.rows_arrived() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.rows_arrived() IS
'Trigger of the log''s tables: rows were written past the functions, by a restore or by hand, so everything is loaded again at commit.';

DO $make_triggers$
DECLARE
    name text;
    events text;
BEGIN
    FOR name, events IN
        SELECT pg_catalog.format('%s_%s', kind, n), 'INSERT' FROM pg_catalog.unnest(ARRAY['job', 'outcome']) kind,
            pg_catalog.generate_series(0, 7) n
        UNION ALL
        SELECT pg_catalog.unnest(ARRAY['parked', 'parked_outcome', 'segment', 'queue', 'topic', 'redrive_task', 'blocked_key']), 'INSERT'
        UNION ALL
        SELECT 'key_weight', 'INSERT OR UPDATE OR DELETE OR TRUNCATE'
    LOOP
        EXECUTE pg_catalog.format('CREATE TRIGGER rows_arrived AFTER %s ON durable_work.%I FOR EACH STATEMENT '
            'EXECUTE FUNCTION durable_work.rows_arrived()', events, name);
        EXECUTE pg_catalog.format('ALTER TABLE durable_work.%I ENABLE ALWAYS TRIGGER rows_arrived', name);
    END LOOP;
END
$make_triggers$;

-- Asking for it --------------------------------------------------------------------------------------------------------

CREATE FUNCTION durable_work.reload() RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'durable_work_reload';
REVOKE ALL ON FUNCTION durable_work.reload() FROM PUBLIC;
COMMENT ON FUNCTION durable_work.reload() IS
'Reads queues and jobs again when the transaction commits, and raises the lease tokens. For rows that came into the tables unnoticed: loaded with triggers disabled, or applied by logical replication. Work goes on; jobs that workers hold stay theirs. It returns at once; it is done when unfinished in queue_stats is not null for any queue.';
