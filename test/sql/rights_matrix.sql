-- Who may use what: every function and view of the schema, by the owner, a superuser, a role without rights and one role
-- for each right. The functions and views come from the catalog: one that the list does not know is shown.
SET client_min_messages = warning;
DROP ROLE IF EXISTS matrix_owner, matrix_super, matrix_nobody, matrix_enqueue, matrix_work, matrix_operate, matrix_monitor;
CREATE ROLE matrix_owner;
CREATE ROLE matrix_super SUPERUSER;
CREATE ROLE matrix_nobody;
CREATE ROLE matrix_enqueue;
CREATE ROLE matrix_work;
CREATE ROLE matrix_operate;
CREATE ROLE matrix_monitor;
SELECT format('GRANT %I TO matrix_owner', current_user) \gexec
CREATE TEMP TABLE member (place serial, role text, rights text[]);
INSERT INTO member (role, rights) VALUES ('matrix_owner', '{enqueue,work,operate,monitor,none}'), ('matrix_super', '{enqueue,work,operate,monitor,none}'),
    ('matrix_nobody', '{}'), ('matrix_enqueue', '{enqueue}'), ('matrix_work', '{work}'), ('matrix_operate', '{operate}'), ('matrix_monitor', '{monitor}');

SELECT durable_work.create_queue('matrix', lease => '1 h', max_attempts => 1000, backoff => 'fixed', backoff_base => '0', jitter => 0);
SELECT durable_work.create_queue('matrix_other', lease => '1 h');
SELECT durable_work.create_queue('matrix_keys', lease => '1 h', max_attempts => 1, ordering => 'key', on_exhausted => 'hold');
SELECT durable_work.create_queue('matrix_fair', fairness => 'key');
SELECT durable_work.set_key_weight('matrix_fair', 'k', 2);
SELECT durable_work.set_concurrency_limit('matrix', 1000), durable_work.set_concurrency_limit('matrix_other', 1000, 'group', 'matrix_theirs');
SELECT count(durable_work.register_worker('matrix_' || name, queues)) FROM (VALUES ('mine', '{matrix}'::text[]), ('shared', '{matrix,matrix_other}'), ('theirs', '{matrix_other}')) AS worker (name, queues);
SELECT durable_work.grant_queue(queue, 'matrix_' || r, r) FROM unnest('{matrix,matrix_keys,matrix_fair}'::text[]) AS queue, unnest('{enqueue,work,operate,monitor}'::text[]) AS r;
SELECT * FROM durable_work.queue_grants WHERE queue LIKE 'matrix%' ORDER BY queue, role;

-- What each takes: any of these rights. none: only who is granted EXECUTE by hand.
CREATE TEMP TABLE takes (name text PRIMARY KEY, rights text[]);
INSERT INTO takes
SELECT name, CASE rights WHEN 'read' THEN '{work,operate}' WHEN 'see' THEN '{work,operate,monitor}' WHEN 'any' THEN '{enqueue,work,operate,monitor}'
             ELSE ARRAY[rights] END::text[]
FROM (VALUES
    ('create_queue', 'none'), ('alter_queue', 'operate'), ('drop_queue', 'none'), ('pause_queue', 'operate'), ('resume_queue', 'operate'), ('resize_buckets', 'operate'),
    ('set_concurrency_limit', 'operate'), ('set_rate_limit', 'operate'), ('grant_queue', 'none'), ('revoke_queue', 'none'), ('key_status', 'read'), ('blocked_keys', 'read'), ('unblock_key', 'operate'), ('set_key_weight', 'operate'),
    ('enqueue', 'enqueue'), ('enqueue_many', 'enqueue'), ('inbox_insert', 'none'),
    ('cancel', 'operate'), ('reschedule', 'operate'), ('update_payload', 'operate'), ('cancel_many', 'operate'), ('reschedule_many', 'operate'),
    ('retry_now_many', 'operate'), ('purge_queue', 'operate'),
    ('claim', 'work'), ('complete', 'work'), ('try_complete', 'work'), ('complete_many', 'work'), ('complete_and_claim', 'work'), ('fail', 'work'),
    ('fail_many', 'work'), ('release', 'work'), ('defer', 'work'), ('reject', 'work'), ('extend_lease', 'work'), ('heartbeat', 'work'),
    ('set_progress', 'work'), ('wait_for_work', 'work'), ('wait_for_job', 'any'), ('mark_handled', 'work'), ('fence', 'work'),
    ('register_worker', 'work'), ('deregister_worker', 'read'), ('drain_worker', 'read'), ('worker_figures', 'see'), ('ring_owner', 'see'), ('owned_buckets', 'see'),
    ('ring_simulate', 'any'), ('ring_moved', 'any'), ('redrive', 'operate'), ('discard_dead_letter', 'operate'),
    ('bucket', 'any'), ('shard_key', 'any'), ('limit_figures', 'see'), ('wake_figures', 'see'), ('hot_keys', 'read'), ('job_state', 'any'), ('live_leases', 'see'), ('queue_figures', 'see'), ('explain_job', 'see'), ('history', 'see'),
    ('explain_waiting', 'see'), ('health', 'none'), ('log_slots', 'none'), ('outcome_members', 'see'), ('may', 'any'),
    ('attach_database', 'none'), ('library_version', 'any'), ('rows_arrived', 'none'), ('reload', 'none'),
    ('view queues', 'any'), ('view queue_grants', 'any'), ('view inbox', 'any'), ('view leases', 'see'), ('view attempts', 'see'), ('view dead_letters', 'see'),
    ('view redrives', 'see'), ('view queue_stats', 'see'), ('view limits', 'see'), ('view key_weights', 'see'), ('view workers', 'see'), ('view wakeups', 'see'), ('view segments', 'none')) AS said (name, rights);

CREATE TEMP VIEW subject AS
SELECT proname::text AS name, oid::regprocedure::text AS what, oid AS function, NULL::oid AS view FROM pg_proc WHERE pronamespace = 'durable_work'::regnamespace
UNION ALL
SELECT 'view ' || relname, oid::regclass::text, NULL, oid FROM pg_class WHERE relnamespace = 'durable_work'::regnamespace AND relkind IN ('v', 'm');
SELECT coalesce(subject.name, takes.name) AS "only in the catalog or only in the list" FROM subject FULL JOIN takes USING (name)
WHERE subject.name IS NULL OR takes.name IS NULL;

-- What grant_queue gave is that and no more.
SELECT count(*) > 400 AS tried, string_agg(role || ' ' || what, ', ') FILTER (WHERE has <> wanted) AS wrong
FROM (SELECT member.role, subject.what, member.rights && takes.rights AS wanted,
             CASE WHEN view IS NULL THEN has_function_privilege(member.role, function, 'EXECUTE') ELSE has_table_privilege(member.role, view, 'SELECT') END AS has
      FROM member CROSS JOIN subject JOIN takes USING (name)) AS compared;
SELECT role, has_schema_privilege(role, 'durable_work', 'USAGE') AS uses, has_table_privilege(role, 'durable_work.inbox', 'INSERT') AS inserts FROM member ORDER BY place;
-- On tables and sequences nobody has anything, but for the right itself.
SELECT role, relname IN (SELECT 'rights_' || id FROM durable_work.queue WHERE name LIKE 'matrix%') AS on_rights, privilege
FROM member CROSS JOIN pg_class CROSS JOIN unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS privilege
WHERE relnamespace = 'durable_work'::regnamespace AND relkind IN ('r', 'p') AND NOT rights @> '{none}' AND has_any_column_privilege(role, pg_class.oid, 'SELECT') IS NOT NULL
  AND has_table_privilege(role, pg_class.oid, privilege) ORDER BY place, relname;
SELECT role, relname FROM member CROSS JOIN pg_class
WHERE relnamespace = 'durable_work'::regnamespace AND relkind = 'S' AND NOT rights @> '{none}' AND has_sequence_privilege(role, pg_class.oid, 'USAGE,SELECT,UPDATE');

-- The door of each function: EXECUTE alone opens nothing.
GRANT USAGE ON SCHEMA durable_work TO matrix_nobody;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA durable_work TO matrix_nobody, matrix_enqueue, matrix_work, matrix_operate, matrix_monitor;
DO $$
DECLARE
    view text;
BEGIN
    FOR view IN SELECT what FROM subject WHERE subject.view IS NOT NULL LOOP
        EXECUTE format('GRANT SELECT, INSERT ON %s TO matrix_nobody, matrix_enqueue, matrix_work, matrix_operate, matrix_monitor', view);
    END LOOP;
END $$;

SELECT job_id AS done FROM durable_work.enqueue('matrix', '{"n": "done"}', partition_key => 'k', headers => '{"h": 1}', idempotency_key => 'done') \gset
SELECT job_id, lease_token AS done_token FROM durable_work.claim('matrix', 'w', 1) \gset
SELECT durable_work.complete(:done, :done_token, '{"r": 1}');
SELECT job_id AS dead FROM durable_work.enqueue('matrix', '{"n": "dead"}', partition_key => 'k') \gset
SELECT lease_token AS dead_token FROM durable_work.claim('matrix', 'w', 1) \gset
SELECT durable_work.fail(:dead, :dead_token, '{"e": 1}', retryable => false);
SELECT job_id AS held FROM durable_work.enqueue('matrix', '{"n": "held"}') \gset
SELECT lease_token AS token FROM durable_work.claim('matrix', 'w', 1) \gset
SELECT durable_work.set_progress(:held, :token, '{"p": 1}');
SELECT job_id AS waiting FROM durable_work.enqueue('matrix', '{"n": "waiting"}', delay => '10 min') \gset
SELECT id AS number FROM durable_work.queue WHERE name = 'matrix' \gset
-- A key that is blocked, and one behind it.
SELECT count(*) FROM durable_work.enqueue_many('matrix_keys', '{1,2}', partition_keys => '{k,k}');
SELECT job_id AS blocking, lease_token AS blocking_token FROM durable_work.claim('matrix_keys', 'w', 1) \gset
SELECT durable_work.fail(:blocking, :blocking_token, '{"e": 1}');

CREATE TEMP TABLE call (place serial, name text, statement text);
INSERT INTO call (name, statement) VALUES
    ('create_queue', $$durable_work.create_queue('matrix_new')$$),
    ('alter_queue', $$durable_work.alter_queue('matrix', lease => '2 h')$$),
    ('drop_queue', $$durable_work.drop_queue('matrix', force => true)$$),
    ('pause_queue', $$durable_work.pause_queue('matrix')$$),
    ('resume_queue', $$durable_work.resume_queue('matrix')$$),
    ('resize_buckets', $$durable_work.resize_buckets('matrix', 100)$$),
    ('register_worker', $$durable_work.register_worker('matrix_new', '{matrix}')$$),
    ('register_worker', $$durable_work.register_worker('matrix_mine', '{matrix}')$$),
    ('register_worker', $$durable_work.register_worker('matrix_shared', '{matrix}')$$),
    ('register_worker', $$durable_work.register_worker('matrix_theirs', '{matrix}')$$),
    ('deregister_worker', $$durable_work.deregister_worker('matrix_mine')$$),
    ('deregister_worker', $$durable_work.deregister_worker('matrix_shared')$$),
    ('drain_worker', $$durable_work.drain_worker('matrix_mine')$$),
    ('drain_worker', $$durable_work.drain_worker('matrix_shared')$$),
    ('drain_worker', $$durable_work.drain_worker('matrix_theirs')$$),
    ('ring_owner', $$durable_work.ring_owner('matrix', 'k')$$),
    ('owned_buckets', $$durable_work.owned_buckets('matrix', 'matrix_mine')$$),
    ('set_concurrency_limit', $$durable_work.set_concurrency_limit('matrix', 7)$$),
    ('set_rate_limit', $$durable_work.set_rate_limit('matrix', 7)$$),
    ('set_rate_limit', $$durable_work.set_rate_limit('matrix', 7, scope => 'group', limit_group => 'matrix_group')$$),
    ('set_rate_limit', $$durable_work.set_rate_limit('matrix', 7, scope => 'group', limit_group => 'matrix_theirs')$$),
    ('set_concurrency_limit', $$durable_work.set_concurrency_limit('matrix', 7, scope => 'group', limit_group => 'matrix_theirs')$$),
    ('grant_queue', $$durable_work.grant_queue('matrix', 'matrix_nobody', 'monitor')$$),
    ('revoke_queue', $$durable_work.revoke_queue('matrix', 'matrix_monitor')$$),
    ('enqueue', $$durable_work.enqueue('matrix', '1')$$),
    ('enqueue_many', $$durable_work.enqueue_many('matrix', '{1}')$$),
    ('cancel', format('durable_work.cancel(%s)', :waiting)),
    ('cancel', format('durable_work.cancel(%s, %L)', :waiting, 'matrix')),
    ('reschedule', format('durable_work.reschedule(%s, now())', :waiting)),
    ('update_payload', format('durable_work.update_payload(%s, %L)', :waiting, '2')),
    ('cancel_many', $$durable_work.cancel_many('matrix', older_than => '0')$$),
    ('reschedule_many', $$durable_work.reschedule_many('matrix', now())$$),
    ('retry_now_many', $$durable_work.retry_now_many('matrix')$$),
    ('purge_queue', $$durable_work.purge_queue('matrix')$$),
    ('claim', $$durable_work.claim('matrix', 'w')$$),
    ('claim', $$durable_work.claim('{matrix}'::text[], 'w')$$),
    ('complete', format('durable_work.complete(%s, %s)', :held, :token)),
    ('complete', format('durable_work.complete(%s, %s)', :done, :done_token)),
    ('try_complete', format('durable_work.try_complete(%s, %s)', :held, :token)),
    ('complete_many', format('durable_work.complete_many(%L, %L)', ARRAY[:held], ARRAY[:token])),
    ('complete_and_claim', $$durable_work.complete_and_claim('{}', '{}', 'matrix', 'w')$$),
    ('complete_and_claim', $$durable_work.complete_and_claim('{}', '{}', '{matrix}'::text[], 'w')$$),
    ('fail', format('durable_work.fail(%s, %s)', :held, :token)),
    ('fail_many', format('durable_work.fail_many(%L, %L)', ARRAY[:held], ARRAY[:token])),
    ('release', format('durable_work.release(%s, %s)', :held, :token)),
    ('defer', format('durable_work.defer(%s, %s, now())', :held, :token)),
    ('reject', format('durable_work.reject(%s, %s, %L)', :held, :token, 'why')),
    ('extend_lease', format('durable_work.extend_lease(%s, %s)', :held, :token)),
    ('set_progress', format('durable_work.set_progress(%s, %s, %L)', :held, :token, '{"p": 1}')),
    ('redrive', $$durable_work.redrive('matrix')$$),
    ('discard_dead_letter', format('durable_work.discard_dead_letter(%s, %L)', :dead, 'matrix')),
    ('explain_job', format('durable_work.explain_job(%s)', :waiting)),
    ('explain_job', format('durable_work.explain_job(%s, %L)', :waiting, 'matrix')),
    ('history', format('durable_work.history(%s)', :done)),
    ('explain_waiting', $$durable_work.explain_waiting('matrix')$$),
    ('hot_keys', $$durable_work.hot_keys('matrix')$$),
    ('key_status', $$durable_work.key_status('matrix_keys', 'k')$$),
    ('key_status', $$durable_work.key_status('matrix', 'k')$$),
    ('blocked_keys', $$durable_work.blocked_keys('matrix_keys')$$),
    ('unblock_key', $$durable_work.unblock_key('matrix_keys', 'k', 'skip')$$),
    ('unblock_key', $$durable_work.unblock_key('matrix_keys', 'k', 'retry')$$),
    ('unblock_key', $$durable_work.unblock_key('matrix_keys', 'k', 'dead_letter')$$),
    ('unblock_key', $$durable_work.unblock_key('matrix_keys', 'free')$$),
    ('blocked_keys', $$durable_work.blocked_keys('matrix')$$),
    ('unblock_key', $$durable_work.unblock_key('matrix', 'k')$$),
    ('set_key_weight', $$durable_work.set_key_weight('matrix', 'k', 2)$$),
    ('set_key_weight', $$durable_work.set_key_weight('matrix_fair', 'k', 2)$$),
    ('inbox', $$INSERT INTO durable_work.inbox (queue, payload) VALUES ('matrix', '1')$$);
CREATE FUNCTION pg_temp.try(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('role', role, true);
    EXECUTE CASE WHEN statement LIKE 'INSERT%' THEN statement ELSE 'SELECT ' || statement END;
    RAISE EXCEPTION 'all of it is taken back' USING ERRCODE = 'UNDO0';
EXCEPTION WHEN OTHERS THEN
    RETURN CASE SQLSTATE WHEN 'UNDO0' THEN 'ok' ELSE SQLSTATE END;
END $$;
SELECT call.place, call.name, string_agg(pg_temp.try(role, statement), ' ' ORDER BY member.place) AS "owner super nobody enqueue work operate monitor"
FROM call CROSS JOIN member GROUP BY call.place, call.name ORDER BY call.place;
CREATE FUNCTION pg_temp.told(role text, query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    PERFORM set_config('role', role, true);
    EXECUTE query INTO answer;
    PERFORM set_config('role', 'none', true);
    RETURN answer;
END $$;
-- The same words for what is not there as for what the caller has no right on.
CREATE FUNCTION pg_temp.words(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text; hint text;
BEGIN
    PERFORM set_config('role', role, true);
    EXECUTE 'SELECT ' || statement;
    RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' / ', message, nullif(detail, ''), nullif(hint, ''));
END $$;
SELECT count(*) AS tried, string_agg(DISTINCT name, ', ') FILTER (WHERE there <> missing) AS told_apart
FROM (SELECT name, replace(pg_temp.words('matrix_nobody', statement), 'matrix', 'missing') AS there,
             pg_temp.words('matrix_nobody', replace(statement, $$'matrix'$$, $$'missing'$$)) AS missing
      FROM call WHERE statement LIKE $$%'matrix'%$$ AND name <> 'inbox') AS words;
SELECT count(*) AS tried, string_agg(DISTINCT name, ', ') FILTER (WHERE there <> missing) AS told_apart
FROM (SELECT name, regexp_replace(pg_temp.words('matrix_nobody', statement), '\m' || job || '\M', 'n', 'g') AS there,
             regexp_replace(pg_temp.words('matrix_nobody', replace(statement, '(' || job, '(999999999')), '\m999999999\M', 'n', 'g') AS missing
      FROM call CROSS JOIN LATERAL (SELECT job FROM unnest(ARRAY[:held, :waiting, :done]) AS job WHERE statement LIKE '%(' || job || '%') AS known
      WHERE name NOT IN ('try_complete', 'complete_many', 'fail_many')) AS words;
-- Those that say it in place of raising it.
SELECT pg_temp.told('matrix_nobody', format('SELECT durable_work.try_complete(%s, %s)', :held, :token)) AS try_complete,
       pg_temp.told('matrix_nobody', format('SELECT outcome FROM durable_work.complete_many(%L, %L)', ARRAY[:held], ARRAY[:token])) AS complete_many,
       pg_temp.told('matrix_nobody', format('SELECT outcome FROM durable_work.fail_many(%L, %L)', ARRAY[:held], ARRAY[:token])) AS fail_many,
       pg_temp.told('matrix_nobody', format('SELECT durable_work.try_complete(%s, %s)', :done, :done_token)) AS done;
SELECT pg_temp.words('matrix_nobody', $$durable_work.enqueue('matrix', '1')$$);
SELECT pg_temp.words('matrix_monitor', $$durable_work.enqueue('matrix', '1')$$);
SELECT pg_temp.words('matrix_enqueue', $$durable_work.explain_waiting('matrix')$$);
SELECT pg_temp.words('matrix_nobody', format('durable_work.complete(%s, 5)', 999999999));

-- What is not a question of one call that fails.
CREATE TEMP TABLE question (place serial, name text, query text);
INSERT INTO question (name, query) VALUES
    ('queues', 'SELECT count(*) FROM durable_work.queues WHERE queue LIKE ''matrix%'''),
    ('queue_grants', 'SELECT count(*) FROM durable_work.queue_grants WHERE queue LIKE ''matrix%'''),
    ('inbox', 'SELECT count(*) FROM durable_work.inbox WHERE queue LIKE ''matrix%'''),
    ('inbox, data', 'SELECT concat_ws('','', count(payload), count(headers), count(partition_key), count(idempotency_key), count(result), count(last_error)) FROM durable_work.inbox WHERE queue LIKE ''matrix%'''),
    ('leases', 'SELECT count(*) || '','' || count(progress) FROM durable_work.leases WHERE queue LIKE ''matrix%'''),
    ('attempts', 'SELECT count(*) || '','' || count(error) FROM durable_work.attempts WHERE queue LIKE ''matrix%'''),
    ('dead_letters', 'SELECT concat_ws('','', count(*), count(payload), count(partition_key), count(reason), count(history)) FROM durable_work.dead_letters WHERE queue LIKE ''matrix%'''),
    ('queue_stats', 'SELECT count(*) FROM durable_work.queue_stats WHERE queue LIKE ''matrix%'''),
    ('wakeups', 'SELECT count(*) FROM durable_work.wakeups WHERE queue LIKE ''matrix%'''),
    ('wake_figures', format('SELECT count(*) FROM durable_work.wake_figures() WHERE queue >= %s', :number)),
    ('key_weights', 'SELECT count(*) || '','' || count(partition_key) FROM durable_work.key_weights WHERE queue LIKE ''matrix%'''),
    ('limits', 'SELECT count(*) FROM durable_work.limits WHERE queue LIKE ''matrix%'''),
    ('limit_figures', format('SELECT count(*) FROM durable_work.limit_figures() WHERE queue >= %s', :number)),
    ('workers', 'SELECT count(*) || '','' || count(*) FILTER (WHERE ''matrix_other'' = ANY (queues)) FROM durable_work.workers WHERE worker LIKE ''matrix%'''),
    ('worker_figures', 'SELECT count(*) FROM durable_work.worker_figures() WHERE worker LIKE ''matrix%'''),
    ('shard_key', 'SELECT durable_work.shard_key(''k'', ''s'', 1)'),
    ('live_leases', 'SELECT count(*) FROM durable_work.live_leases() WHERE queue LIKE ''matrix%'''),
    ('queue_figures', format('SELECT count(*) FROM durable_work.queue_figures() WHERE queue >= %s', :number)),
    ('job_state', format('SELECT count(status) || '','' || count(result) FROM durable_work.job_state(%s, %s, 0)', :done, :number)),
    ('explain_job, progress', format('SELECT count(progress) FROM durable_work.live_leases() WHERE job_id = %s', :held)),
    ('heartbeat', 'SELECT count(*) FROM durable_work.heartbeat(''w'')'),
    ('may see', format('SELECT durable_work.may(%s, ''see'')', :number)),
    ('may read', format('SELECT durable_work.may(%s, ''read'')', :number));
SELECT question.place, question.name, string_agg(pg_temp.told(role, query), ' ' ORDER BY member.place) AS "owner super nobody enqueue work operate monitor"
FROM question CROSS JOIN member GROUP BY question.place, question.name ORDER BY question.place;
-- Functions that are in neither list need no queue.
SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'durable_work'::regnamespace
    AND proname NOT IN (SELECT name FROM call UNION ALL SELECT name FROM question) AND proname <> 'may' ORDER BY 1;

-- Procedures sleep outside of a transaction only.
SET ROLE matrix_nobody;
CALL durable_work.wait_for_work('{matrix}', '0');
\set VERBOSITY sqlstate
CALL durable_work.wait_for_job(:done, '0');
\set VERBOSITY default
SET ROLE matrix_monitor;
CALL durable_work.wait_for_work('{matrix}', '0');
CALL durable_work.wait_for_job(:done, '0');
SET ROLE matrix_work;
CALL durable_work.wait_for_work('{matrix}', '0');
CALL durable_work.wait_for_job(:done, '0');
CALL durable_work.wait_for_work('{matrix,matrix_other}', '0');
SET ROLE matrix_enqueue;
CALL durable_work.wait_for_job(:done, '0');
RESET ROLE;

SELECT count(durable_work.deregister_worker(worker)) FROM durable_work.workers WHERE worker LIKE 'matrix%';
SELECT durable_work.drop_queue(queue, force => true) FROM durable_work.queues WHERE queue LIKE 'matrix%';
DROP OWNED BY matrix_nobody, matrix_enqueue, matrix_work, matrix_operate, matrix_monitor;
DROP ROLE matrix_owner, matrix_super, matrix_nobody, matrix_enqueue, matrix_work, matrix_operate, matrix_monitor;
