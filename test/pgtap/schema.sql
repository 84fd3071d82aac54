-- The public objects are exactly those of the reference, with their columns, arguments and defaults; each is
-- commented, and nobody but the owner may use any of them.
BEGIN;
SELECT plan(54);

SELECT has_schema('durable_work');
SELECT is((SELECT nspname::text FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'durable_work'), 'durable_work', 'the extension lives there');
SELECT is((SELECT extrelocatable FROM pg_extension WHERE extname = 'durable_work'), false, 'the extension cannot be moved');
SELECT is((SELECT superuser FROM pg_available_extension_versions WHERE name = 'durable_work' AND installed), true, 'and only a superuser creates it');

SELECT views_are('durable_work', ARRAY['queues', 'queue_grants', 'inbox', 'leases', 'dead_letters', 'attempts', 'segments', 'queue_stats', 'redrives', 'limits', 'wakeups', 'workers', 'key_weights']);
SELECT tables_are('durable_work', ARRAY['topic', 'queue', 'queue_right', 'epoch', 'parked', 'parked_outcome', 'idempotency', 'dead_letter', 'redrive_task', 'segment', 'blocked_key', 'key_weight', 'handled', 'fence_token', 'worker']
    || ARRAY(SELECT 'job_' || n FROM generate_series(0, 7) n) || ARRAY(SELECT 'outcome_' || n FROM generate_series(0, 7) n));
SELECT has_sequence('durable_work', 'job_id_seq', 'job ids have a sequence');
SELECT is((SELECT seqcache FROM pg_sequence WHERE seqrelid = 'durable_work.job_id_seq'::regclass), 1::bigint, 'which keeps no numbers back');
SELECT is((SELECT seqincrement FROM pg_sequence WHERE seqrelid = 'durable_work.job_id_seq'::regclass), 64::bigint, 'and gives them in blocks');

CREATE FUNCTION pg_temp.columns_of(view text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT (attname::text COLLATE "default") || ' ' || format_type(atttypid, atttypmod) FROM pg_attribute
    WHERE attrelid = ('durable_work.' || view)::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
$$;
SELECT results_eq($$SELECT pg_temp.columns_of('queues')$$, ARRAY['queue text', 'lease interval', 'max_attempts integer', 'backoff text', 'backoff_base interval',
    'backoff_cap interval', 'jitter double precision', 'delivery text', 'max_length bigint', 'overflow text', 'retention interval', 'dedupe_window interval',
    'dead_letter_queue text', 'durable_claims boolean', 'strict boolean', 'max_runtime interval', 'max_payload bigint', 'paused boolean',
    'created_at timestamp with time zone', 'ordering text', 'on_exhausted text', 'fairness text', 'buckets integer'], 'columns of queues');
SELECT results_eq($$SELECT pg_temp.columns_of('queue_grants')$$, ARRAY['queue text', 'role text', 'rights text[]'], 'columns of queue_grants');
SELECT results_eq($$SELECT pg_temp.columns_of('inbox')$$, ARRAY['id bigint', 'queue text', 'partition_key text', 'partition_bucket integer', 'priority integer',
    'payload jsonb', 'headers jsonb', 'idempotency_key text', 'status text', 'available_at timestamp with time zone', 'created_at timestamp with time zone',
    'expires_at timestamp with time zone', 'completed_at timestamp with time zone', 'result jsonb', 'claimed_by text', 'lease_expires_at timestamp with time zone',
    'lease_generation bigint', 'attempts integer', 'max_attempts integer', 'last_error jsonb'], 'columns of inbox');
SELECT results_eq($$SELECT pg_temp.columns_of('queue_stats')$$, ARRAY['queue text', 'ready bigint', 'delayed bigint', 'processing bigint', 'blocked bigint', 'spilled bigint',
    'dead_letter bigint', 'oldest_due_age interval', 'enqueued bigint', 'claimed bigint', 'completed bigint', 'failed bigint', 'expired bigint',
    'dead_lettered bigint', 'cancelled bigint', 'unfinished bigint'],
    'columns of queue_stats');
SELECT results_eq($$SELECT pg_temp.columns_of('limits')$$, ARRAY['queue text', 'kind text', 'scope text', 'limit_group text', 'max_in_flight integer',
    'in_flight bigint', 'jobs integer', 'per_interval interval', 'burst integer', 'available bigint', 'next_start_at timestamp with time zone'], 'columns of limits');
SELECT results_eq($$SELECT pg_temp.columns_of('key_weights')$$, ARRAY['queue text', 'partition_key text', 'weight integer'], 'columns of key_weights');
SELECT results_eq($$SELECT pg_temp.columns_of('wakeups')$$, ARRAY['queue text', 'sleeping bigint', 'woken bigint', 'woken_in_vain bigint'], 'columns of wakeups');
SELECT results_eq($$SELECT pg_temp.columns_of('leases')$$, ARRAY['queue text', 'job_id bigint', 'worker text', 'lease_token bigint', 'attempt integer',
    'leased_at timestamp with time zone', 'lease_expires_at timestamp with time zone', 'progress jsonb'], 'columns of leases');
SELECT results_eq($$SELECT pg_temp.columns_of('dead_letters')$$, ARRAY['job_id bigint', 'queue text', 'partition_key text', 'payload jsonb', 'headers jsonb',
    'attempts integer', 'reason text', 'enqueued_at timestamp with time zone', 'dead_at timestamp with time zone', 'history jsonb'], 'columns of dead_letters');
SELECT results_eq($$SELECT pg_temp.columns_of('redrives')$$, ARRAY['id bigint', 'queue text', 'to_queue text', 'job_ids bigint[]', 'error_like text',
    'since timestamp with time zone', 'until timestamp with time zone', 'max_jobs bigint', 'rate_per_second double precision', 'matched bigint', 'moved bigint',
    'state text', 'error text', 'started_at timestamp with time zone', 'ended_at timestamp with time zone'], 'columns of redrives');
SELECT results_eq($$SELECT pg_temp.columns_of('attempts')$$, ARRAY['job_id bigint', 'queue text', 'attempt integer', 'worker text', 'outcome text',
    'at timestamp with time zone', 'error jsonb'], 'columns of attempts');
SELECT results_eq($$SELECT pg_temp.columns_of('workers')$$, ARRAY['worker text', 'instance bigint', 'state text', 'queues text[]',
    'last_seen_at timestamp with time zone', 'drain_deadline timestamp with time zone', 'in_flight integer', 'buckets_owned integer', 'capacity integer',
    'vnodes integer', 'labels jsonb', 'registered_at timestamp with time zone'], 'columns of workers');
SELECT results_eq($$SELECT pg_temp.columns_of('segments')$$, ARRAY['segment text', 'state text', 'first_id bigint', 'job_pages bigint',
    'job_bytes bigint', 'outcome_pages bigint', 'outcome_bytes bigint', 'oldest_enqueued_at timestamp with time zone',
    'newest_enqueued_at timestamp with time zone'], 'columns of segments');

-- Functions: name, arguments with names and defaults, result.
CREATE TEMP TABLE wanted (name text, arguments text, result text);
INSERT INTO wanted VALUES
('create_queue', 'queue text, lease interval DEFAULT ''00:01:30''::interval, max_attempts integer DEFAULT 20, backoff text DEFAULT ''exponential''::text, backoff_base interval DEFAULT ''00:00:05''::interval, backoff_cap interval DEFAULT ''01:00:00''::interval, jitter double precision DEFAULT 1.0, delivery text DEFAULT ''at_least_once''::text, max_length bigint DEFAULT NULL::bigint, overflow text DEFAULT ''reject''::text, retention interval DEFAULT ''24:00:00''::interval, dedupe_window interval DEFAULT ''7 days''::interval, dead_letter_queue text DEFAULT NULL::text, durable_claims boolean DEFAULT false, strict boolean DEFAULT false, buckets integer DEFAULT 360, max_runtime interval DEFAULT NULL::interval, max_payload text DEFAULT ''1 MB''::text, ordering text DEFAULT ''none''::text, on_exhausted text DEFAULT ''skip''::text, fairness text DEFAULT ''none''::text', 'void'),
('alter_queue', 'queue text, lease interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, backoff text DEFAULT NULL::text, backoff_base interval DEFAULT NULL::interval, backoff_cap interval DEFAULT NULL::interval, jitter double precision DEFAULT NULL::double precision, delivery text DEFAULT NULL::text, max_length bigint DEFAULT NULL::bigint, overflow text DEFAULT NULL::text, retention interval DEFAULT NULL::interval, dedupe_window interval DEFAULT NULL::interval, dead_letter_queue text DEFAULT NULL::text, durable_claims boolean DEFAULT NULL::boolean, strict boolean DEFAULT NULL::boolean, buckets integer DEFAULT NULL::integer, max_runtime interval DEFAULT NULL::interval, max_payload text DEFAULT NULL::text, ordering text DEFAULT NULL::text, on_exhausted text DEFAULT NULL::text, fairness text DEFAULT NULL::text', 'void'),
('blocked_keys', 'queue text', 'TABLE(partition_key text, job_id bigint, blocked_at timestamp with time zone, ending boolean, reason text, error jsonb)'),
('key_status', 'queue text, partition_key text', 'record'),
('unblock_key', 'queue text, partition_key text, action text DEFAULT ''retry''::text', 'void'),
('set_key_weight', 'queue text, partition_key text, weight integer', 'void'),
('drop_queue', 'queue text, force boolean DEFAULT false', 'void'),
('pause_queue', 'queue text', 'void'),
('resume_queue', 'queue text', 'void'),
('set_concurrency_limit', 'queue text, max_in_flight integer, scope text DEFAULT ''queue''::text, limit_group text DEFAULT NULL::text', 'void'),
('set_rate_limit', 'queue text, jobs integer, per_interval interval DEFAULT ''00:00:01''::interval, burst integer DEFAULT NULL::integer, scope text DEFAULT ''queue''::text, limit_group text DEFAULT NULL::text', 'void'),
('grant_queue', 'queue text, role text, "right" text', 'void'),
('revoke_queue', 'queue text, role text, "right" text DEFAULT NULL::text', 'void'),
('enqueue', 'queue text, payload jsonb, partition_key text DEFAULT NULL::text, idempotency_key text DEFAULT NULL::text, priority integer DEFAULT 4, available_at timestamp with time zone DEFAULT NULL::timestamp with time zone, delay interval DEFAULT NULL::interval, max_attempts integer DEFAULT NULL::integer, headers jsonb DEFAULT NULL::jsonb, expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, unique_while text DEFAULT ''window''::text, on_duplicate text DEFAULT ''return''::text', NULL),
('enqueue_many', 'queue text, payloads jsonb[], partition_keys text[] DEFAULT NULL::text[], idempotency_keys text[] DEFAULT NULL::text[], priorities integer[] DEFAULT NULL::integer[], available_ats timestamp with time zone[] DEFAULT NULL::timestamp with time zone[], headers jsonb[] DEFAULT NULL::jsonb[]', NULL),
('cancel', 'job_id bigint, queue text DEFAULT NULL::text', 'boolean'),
('reschedule', 'job_id bigint, available_at timestamp with time zone, queue text DEFAULT NULL::text', 'void'),
('update_payload', 'job_id bigint, payload jsonb', 'void'),
('cancel_many', 'queue text, partition_key text DEFAULT NULL::text, filter jsonpath DEFAULT NULL::jsonpath, older_than interval DEFAULT NULL::interval, max_jobs integer DEFAULT 10000, after_job_id bigint DEFAULT NULL::bigint', NULL),
('reschedule_many', 'queue text, available_at timestamp with time zone, partition_key text DEFAULT NULL::text, filter jsonpath DEFAULT NULL::jsonpath, older_than interval DEFAULT NULL::interval, max_jobs integer DEFAULT 10000, after_job_id bigint DEFAULT NULL::bigint', NULL),
('retry_now_many', 'queue text, partition_key text DEFAULT NULL::text, filter jsonpath DEFAULT NULL::jsonpath, older_than interval DEFAULT NULL::interval, max_jobs integer DEFAULT 10000, after_job_id bigint DEFAULT NULL::bigint', NULL),
('purge_queue', 'queue text, forget_keys boolean DEFAULT false', 'bigint'),
('redrive', 'queue text, job_ids bigint[] DEFAULT NULL::bigint[], error_like text DEFAULT NULL::text, since timestamp with time zone DEFAULT NULL::timestamp with time zone, until timestamp with time zone DEFAULT NULL::timestamp with time zone, to_queue text DEFAULT NULL::text, rate_per_second double precision DEFAULT NULL::double precision, max_jobs bigint DEFAULT NULL::bigint, dry_run boolean DEFAULT false', 'bigint'),
('discard_dead_letter', 'job_id bigint, queue text', 'boolean'),
('claim', 'queue text, worker text, max_jobs integer DEFAULT 25, lease interval DEFAULT NULL::interval, wait interval DEFAULT ''00:00:00''::interval, owned_only boolean DEFAULT false, request_id text DEFAULT NULL::text, instance bigint DEFAULT NULL::bigint', NULL),
('claim', 'queues text[], worker text, max_jobs integer DEFAULT 25, lease interval DEFAULT NULL::interval, wait interval DEFAULT ''00:00:00''::interval, owned_only boolean DEFAULT false, request_id text DEFAULT NULL::text, instance bigint DEFAULT NULL::bigint', NULL),
('complete', 'job_id bigint, lease_token bigint, result jsonb DEFAULT NULL::jsonb', 'boolean'),
('try_complete', 'job_id bigint, lease_token bigint, result jsonb DEFAULT NULL::jsonb', 'text'),
('complete_many', 'job_ids bigint[], lease_tokens bigint[], results jsonb[] DEFAULT NULL::jsonb[]', NULL),
('complete_and_claim', 'job_ids bigint[], lease_tokens bigint[], queue text, worker text, max_jobs integer DEFAULT 25, lease interval DEFAULT NULL::interval, owned_only boolean DEFAULT false, instance bigint DEFAULT NULL::bigint, results jsonb[] DEFAULT NULL::jsonb[]', NULL),
('complete_and_claim', 'job_ids bigint[], lease_tokens bigint[], queues text[], worker text, max_jobs integer DEFAULT 25, lease interval DEFAULT NULL::interval, owned_only boolean DEFAULT false, instance bigint DEFAULT NULL::bigint, results jsonb[] DEFAULT NULL::jsonb[]', NULL),
('fail', 'job_id bigint, lease_token bigint, error jsonb DEFAULT NULL::jsonb, retry_in interval DEFAULT NULL::interval, retryable boolean DEFAULT true', 'text'),
('fail_many', 'job_ids bigint[], lease_tokens bigint[], errors jsonb[] DEFAULT NULL::jsonb[], retry_in interval DEFAULT NULL::interval, retryable boolean DEFAULT true', NULL),
('release', 'job_id bigint, lease_token bigint', 'void'),
('defer', 'job_id bigint, lease_token bigint, until timestamp with time zone', 'void'),
('reject', 'job_id bigint, lease_token bigint, reason text', 'void'),
('extend_lease', 'job_id bigint, lease_token bigint, lease interval DEFAULT NULL::interval', 'timestamp with time zone'),
('explain_waiting', 'queue text', 'TABLE(reason text, jobs bigint, detail text)'),
('heartbeat', 'worker text, lease interval DEFAULT NULL::interval, instance bigint DEFAULT NULL::bigint', 'TABLE(job_id bigint, queue text, lease_expires_at timestamp with time zone, state text)'),
('set_progress', 'job_id bigint, lease_token bigint, progress jsonb', 'void'),
('wait_for_work', 'IN queues text[], IN timeout interval, IN worker text DEFAULT NULL::text, IN instance bigint DEFAULT NULL::bigint', NULL),
('wait_for_job', 'IN job_id bigint, IN timeout interval, INOUT status text DEFAULT NULL::text, INOUT result jsonb DEFAULT NULL::jsonb', NULL),
('mark_handled', 'handler text, key text, dedupe_window interval DEFAULT ''7 days''::interval', 'boolean'),
('fence', 'resource text, lease_token bigint', 'void'),
('explain_job', 'job_id bigint, queue text DEFAULT NULL::text', 'TABLE(job_id bigint, queue text, status text, claimed_by text, lease_expires_at timestamp with time zone, attempts integer, max_attempts integer, next_action text, next_at timestamp with time zone, reason text, progress jsonb)'),
('history', 'job_id bigint, queue text DEFAULT NULL::text', 'TABLE(at timestamp with time zone, event text, attempt integer, worker text, lease_token bigint, detail jsonb)'),
('health', '', 'TABLE("check" text, severity text, seen text, advice text)'),
('reload', '', 'void'),
('resize_buckets', 'queue text, buckets integer', 'void'),
('register_worker', 'worker text, queues text[], capacity integer DEFAULT NULL::integer, vnodes integer DEFAULT 150, labels jsonb DEFAULT NULL::jsonb', 'bigint'),
('deregister_worker', 'worker text, instance bigint DEFAULT NULL::bigint', 'boolean'),
('drain_worker', 'worker text, deadline interval DEFAULT ''00:00:30''::interval, instance bigint DEFAULT NULL::bigint', 'integer'),
('ring_owner', 'queue text, partition_key text', 'text'),
('owned_buckets', 'queue text, worker text', 'integer[]'),
('ring_simulate', 'workers text[], vnodes integer DEFAULT 150, buckets integer DEFAULT 360', NULL),
('ring_moved', 'before text[], after text[], vnodes integer DEFAULT 150, buckets integer DEFAULT 360', NULL),
('bucket', 'partition_key text, buckets integer DEFAULT 360', 'integer'),
('shard_key', 'partition_key text, sub_key text, shards integer', 'text'),
('hot_keys', 'queue text, max_rows integer DEFAULT 20', 'TABLE(partition_key text, key_hash bigint, waiting bigint, due bigint, processing bigint, share double precision, seen double precision)');
-- Only the arguments that go in, as a caller writes them.
CREATE TEMP TABLE found AS
SELECT p.oid, proname::text AS name, prokind, provolatile, proparallel, proisstrict, prosecdef,
       regexp_replace(pg_get_function_arguments(p.oid), ', OUT .*$', '') AS arguments, pg_get_function_result(p.oid) AS result
FROM pg_proc p WHERE pronamespace = 'durable_work'::regnamespace;
SET intervalstyle = postgres;
SELECT set_eq('SELECT name, arguments FROM found WHERE name IN (SELECT name FROM wanted)', 'SELECT name, arguments FROM wanted',
    'functions and their arguments');
SELECT is_empty($$SELECT name, f.result, w.result FROM found f JOIN wanted w USING (name, arguments) WHERE w.result IS NOT NULL AND f.result IS DISTINCT FROM w.result$$,
    'what they return');
SELECT set_eq('SELECT DISTINCT name FROM found', $$SELECT name FROM wanted
    UNION VALUES ('inbox_insert'), ('job_state'), ('may'), ('live_leases'), ('queue_figures'), ('limit_figures'), ('wake_figures'), ('worker_figures'), ('log_slots'), ('outcome_members'), ('attach_database'), ('library_version'), ('rows_arrived')$$,
    'there is no other function');
-- Columns of what comes back, whether they are OUT arguments or those of a row type.
CREATE FUNCTION pg_temp.result_of(wanted text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT DISTINCT string_agg((name COLLATE "default") || ' ' || type, ', ' ORDER BY place) FROM (
        SELECT p.oid, attnum::bigint AS place, attname::text AS name, format_type(atttypid, atttypmod) AS type
        FROM pg_proc p JOIN pg_type t ON t.oid = prorettype JOIN pg_attribute a ON attrelid = typrelid AND attnum > 0
        WHERE pronamespace = 'durable_work'::regnamespace AND proname = wanted
        UNION ALL
        SELECT p.oid, place, name, format_type(type, NULL)
        FROM pg_proc p, unnest(proargmodes, proargnames, proallargtypes) WITH ORDINALITY u (mode, name, type, place)
        WHERE pronamespace = 'durable_work'::regnamespace AND proname = wanted AND mode IN ('o', 't')) c
    GROUP BY oid
$$;
SELECT results_eq($$SELECT pg_temp.result_of('enqueue')$$, ARRAY['job_id bigint, inserted boolean'], 'columns of enqueue');
SELECT results_eq($$SELECT pg_temp.result_of('enqueue_many')$$, ARRAY['ordinal integer, job_id bigint, inserted boolean'], 'columns of enqueue_many');
SELECT results_eq($$SELECT pg_temp.result_of('complete_many')$$, ARRAY['job_id bigint, outcome text'], 'columns of complete_many');
SELECT results_eq($$SELECT pg_temp.result_of('fail_many')$$, ARRAY['job_id bigint, outcome text'], 'columns of fail_many');
SELECT results_eq($$SELECT pg_temp.result_of('claim')$$, ARRAY['job_id bigint, lease_token bigint, queue text, partition_key text, payload jsonb, '
    'headers jsonb, attempt integer, enqueued_at timestamp with time zone, lease_expires_at timestamp with time zone, priority integer'],
    'columns of both claims');
SELECT is((SELECT prokind FROM found WHERE name = 'wait_for_work'), 'p', 'wait_for_work is a procedure');
SELECT results_eq($$SELECT DISTINCT provolatile::text || proparallel::text FROM found WHERE name IN ('bucket', 'shard_key')$$, ARRAY['is'],
    'bucket and shard_key are immutable and parallel safe');
SELECT is_empty($$SELECT name FROM found JOIN wanted USING (name) WHERE name NOT IN ('bucket', 'shard_key', 'ring_simulate', 'ring_moved') AND prokind = 'f' AND proparallel <> 'u'$$,
    'everything that meets the dispatcher is parallel unsafe');
SELECT is_empty($$SELECT name FROM found JOIN wanted USING (name) WHERE name NOT IN ('bucket', 'shard_key', 'ring_simulate', 'ring_moved', 'explain_job', 'history') AND prokind = 'f' AND provolatile <> 'v'$$,
    'and volatile, where it acts');
SELECT is_empty('SELECT name FROM found WHERE prosecdef', 'none is SECURITY DEFINER');

-- Comments and privileges.
SELECT is_empty($$SELECT name FROM found WHERE obj_description(oid, 'pg_proc') IS NULL$$, 'every function has a comment');
SELECT is_empty($$SELECT relname FROM pg_class WHERE relnamespace = 'durable_work'::regnamespace AND relkind IN ('r', 'v', 'S')
    AND obj_description(oid, 'pg_class') IS NULL$$, 'every table, view and sequence has a comment');
SELECT isnt(obj_description('durable_work'::regnamespace, 'pg_namespace'), NULL, 'the schema has a comment');
SELECT is_empty($$SELECT proname FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
    WHERE pronamespace = 'durable_work'::regnamespace AND a.grantee <> proowner$$, 'no function is granted to anybody');
SELECT is_empty($$SELECT relname FROM pg_class, aclexplode(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))) a
    WHERE relnamespace = 'durable_work'::regnamespace AND a.grantee <> relowner$$, 'nor a table, view or sequence');
SELECT is_empty($$SELECT nspname FROM pg_namespace, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a
    WHERE nspname = 'durable_work' AND a.grantee <> nspowner$$, 'nor the schema');
SELECT is_empty($$SELECT typname FROM pg_type, aclexplode(typacl) a WHERE typnamespace = 'durable_work'::regnamespace AND a.grantee <> typowner$$,
    'no type is granted to anybody in particular');

-- The log is appended only: no btree, no dead rows to vacuum, filled pages; the rest has primary keys.
SELECT is_empty($$SELECT i.indexrelid::regclass FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am ON pg_am.oid = x.relam
    WHERE c.relnamespace = 'durable_work'::regnamespace AND c.relname ~ '^(job|outcome)_[0-7]$' AND amname <> 'brin'$$, 'log tables have no btree');
SELECT is((SELECT count(*) FROM pg_class WHERE relnamespace = 'durable_work'::regnamespace AND relname ~ '^(job|outcome)_[0-7]$'
    AND reloptions @> '{fillfactor=100,autovacuum_enabled=false}'), 16::bigint, 'they are filled, and left alone by autovacuum');
SELECT has_pk('durable_work', name, name || ' has a primary key') FROM unnest('{topic,queue,idempotency,dead_letter,handled,fence_token,worker}'::text[]) name;
SELECT is_empty($$SELECT c.relname FROM pg_class c WHERE relnamespace = 'durable_work'::regnamespace AND relkind IN ('r', 'S') AND relname <> 'worker'
    AND c.oid <> ALL ((SELECT extconfig FROM pg_extension WHERE extname = 'durable_work')::oid[])$$, 'every table and sequence is part of a dump, but for registered workers');
SELECT is((SELECT tgenabled FROM pg_trigger WHERE tgrelid = 'durable_work.inbox'::regclass), 'A', 'inserts into inbox work under every replication role');
SELECT is_empty($$SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'durable_work'::regnamespace AND relkind IN ('r', 'v', 'S')
    AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')$$, 'everything belongs to the extension');

SELECT * FROM finish();
ROLLBACK;
