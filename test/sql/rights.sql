-- grant_queue and revoke_queue: what they give and take back, through which roles it reaches a user, and what becomes of it.
SET client_min_messages = warning;
DROP ROLE IF EXISTS rights_one, rights_two, rights_group, rights_apart, rights_maker;
CREATE ROLE rights_one;
CREATE ROLE rights_two;
CREATE ROLE rights_group;
CREATE ROLE rights_apart NOINHERIT;
CREATE ROLE rights_maker;
SELECT durable_work.create_queue(name, lease => '1 h', max_attempts => 1) FROM unnest('{rights_a,rights_b,rights_c}'::text[]) AS name;
-- What a role may execute of the functions that are made for one right only.
CREATE FUNCTION pg_temp.executes(role text) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', string_agg(CASE WHEN has_function_privilege(role, oid, 'EXECUTE') THEN proname END, ' ' ORDER BY proname),
        CASE WHEN has_schema_privilege(role, 'durable_work', 'USAGE') THEN 'schema' END,
        CASE WHEN has_table_privilege(role, 'durable_work.inbox', 'SELECT') THEN 'inbox' END,
        CASE WHEN has_table_privilege(role, 'durable_work.inbox', 'INSERT') THEN 'insert' END,
        CASE WHEN has_table_privilege(role, 'durable_work.queue_stats', 'SELECT') THEN 'queue_stats' END)
    FROM pg_proc WHERE pronamespace = 'durable_work'::regnamespace AND proname IN ('enqueue', 'complete', 'cancel', 'history', 'health', 'create_queue')
$$;
CREATE FUNCTION pg_temp.try(role text, statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    PERFORM set_config('role', role, true);
    EXECUTE statement INTO answer;
    PERFORM set_config('role', 'none', true);
    RETURN coalesce(answer, 'ok');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

-- Arguments.
\set VERBOSITY terse
SELECT durable_work.grant_queue('rights_a', 'nobody of that name', 'work');
SELECT durable_work.grant_queue('rights_a', 'public', 'work');
SELECT durable_work.grant_queue('rights_a', 'PUBLIC', 'work');
SELECT durable_work.grant_queue('rights_a', NULL, 'work');
SELECT durable_work.grant_queue('rights_a', 'rights_one', 'see');
SELECT durable_work.grant_queue('rights_a', 'rights_one', NULL);
SELECT durable_work.grant_queue('rights_z', 'rights_one', 'work');
SELECT durable_work.grant_queue('', 'rights_one', 'work');
SELECT durable_work.revoke_queue('rights_z', 'rights_one');
SELECT durable_work.revoke_queue('rights_a', 'nobody of that name');
SELECT durable_work.revoke_queue('rights_a', 'rights_one', 'everything');
\set VERBOSITY default
BEGIN READ ONLY;
SELECT durable_work.grant_queue('rights_a', 'rights_one', 'work');
ROLLBACK;
SELECT count(*) AS tables FROM pg_inherits WHERE inhparent = 'durable_work.queue_right'::regclass;
-- Nothing to take is no error.
SELECT durable_work.revoke_queue('rights_a', 'rights_one');

-- Each right by itself, and twice.
SELECT durable_work.grant_queue(queue => 'rights_a', role => 'rights_one', right => 'enqueue');
SELECT durable_work.grant_queue('rights_a', 'rights_one', 'enqueue');
SELECT pg_temp.executes('rights_one');
SELECT durable_work.grant_queue('rights_a', 'rights_one', 'work');
SELECT durable_work.grant_queue('rights_b', 'rights_one', 'work');
SELECT pg_temp.executes('rights_one');
SELECT durable_work.grant_queue('rights_b', 'rights_one', 'monitor');
SELECT durable_work.grant_queue('rights_b', 'rights_two', 'operate');
SELECT * FROM durable_work.queue_grants ORDER BY queue, role;
-- The comment says whose they are.
SELECT obj_description(inhrelid, 'pg_class') FROM pg_inherits WHERE inhparent = 'durable_work.queue_right'::regclass ORDER BY 1;
-- Taken back is what no right of this role needs any more; of others nothing.
SELECT durable_work.revoke_queue('rights_a', 'rights_one', 'work');
SELECT pg_temp.executes('rights_one');
SELECT pg_temp.try('rights_one', $$SELECT count(*) FROM durable_work.claim('rights_a', 'w')$$), pg_temp.try('rights_one', $$SELECT count(*) FROM durable_work.claim('rights_b', 'w')$$);
SELECT durable_work.revoke_queue('rights_b', 'rights_one');
SELECT pg_temp.executes('rights_one');
SELECT durable_work.revoke_queue('rights_a', 'rights_one');
SELECT pg_temp.executes('rights_one') AS one, pg_temp.executes('rights_two') AS two;
-- What the owner has granted by hand stays, unless a right that is taken had it too.
GRANT EXECUTE ON FUNCTION durable_work.health TO rights_one;
SELECT durable_work.grant_queue('rights_a', 'rights_one', 'work');
SELECT durable_work.revoke_queue('rights_a', 'rights_one', 'work');
SELECT pg_temp.executes('rights_one');
REVOKE EXECUTE ON FUNCTION durable_work.health FROM rights_one;

-- With the transaction, and with its savepoints.
BEGIN;
SAVEPOINT s;
SELECT durable_work.grant_queue('rights_a', 'rights_one', 'enqueue');
SELECT pg_temp.try('rights_one', $$SELECT inserted FROM durable_work.enqueue('rights_a', '1')$$);
ROLLBACK TO s;
SELECT pg_temp.try('rights_one', $$SELECT inserted FROM durable_work.enqueue('rights_a', '1')$$);
ROLLBACK;
SELECT count(*) FROM durable_work.queue_grants WHERE role = 'rights_one';

-- Membership counts as it does everywhere: by inheritance, or after SET ROLE.
SELECT durable_work.grant_queue('rights_a', 'rights_group', 'enqueue');
GRANT rights_group TO rights_one, rights_apart;
SELECT pg_temp.try('rights_one', $$SELECT inserted FROM durable_work.enqueue('rights_a', '1')$$);
SELECT pg_temp.try('rights_apart', $$SELECT inserted FROM durable_work.enqueue('rights_a', '1')$$);
SET SESSION AUTHORIZATION rights_apart;
SET ROLE rights_group;
SELECT inserted FROM durable_work.enqueue('rights_a', '1');
SELECT * FROM durable_work.queue_grants;
RESET SESSION AUTHORIZATION;
REVOKE rights_group FROM rights_one;
SELECT pg_temp.try('rights_one', $$SELECT inserted FROM durable_work.enqueue('rights_a', '1')$$);
REVOKE rights_group FROM rights_apart;
-- A function that runs as its owner has its owner's rights, and its caller's nothing.
CREATE FUNCTION rights_order(n int) RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS
$$ SELECT inserted FROM durable_work.enqueue('rights_a', pg_catalog.to_jsonb(n)) $$;
ALTER FUNCTION rights_order(int) OWNER TO rights_group;
SELECT pg_temp.try('rights_one', 'SELECT rights_order(1)');
SELECT pg_temp.try('rights_one', $$SELECT rights_order(1)::text || (SELECT inserted FROM durable_work.enqueue('rights_a', '1'))$$);
DROP FUNCTION rights_order(int);
-- A member of the owner may do everything, and in an open session no longer than he is one.
SELECT durable_work.create_queue('rights_owned');
SELECT durable_work.grant_queue('rights_b', 'rights_one', 'work');
SELECT count(*) FROM durable_work.enqueue_many('rights_owned', ARRAY['1', '2']::jsonb[]);
CREATE TEMP TABLE held AS SELECT row_number() OVER (ORDER BY job_id) AS n, format('SELECT durable_work.complete(%s, %s)', job_id, lease_token) AS call FROM durable_work.claim('rights_owned'::text, 'owner');
DO $$ BEGIN EXECUTE format('GRANT %I TO rights_one', current_user); END $$;
SELECT pg_temp.try('rights_one', (SELECT call FROM held WHERE n = 1));
DO $$ BEGIN EXECUTE format('REVOKE %I FROM rights_one', current_user); END $$;
SELECT left(pg_temp.try('rights_one', (SELECT call FROM held WHERE n = 2)), 5) AS try;
DROP TABLE held;
SELECT durable_work.revoke_queue('rights_b', 'rights_one');
SELECT durable_work.drop_queue('rights_owned', force => true);

-- Rows come in by INSERT and COPY; RETURNING tells of the own row, SELECT of none.
SELECT durable_work.grant_queue('rights_b', 'rights_one', 'enqueue');
SET ROLE rights_one;
INSERT INTO durable_work.inbox (queue, payload) VALUES ('rights_b', '{"n": 1}') RETURNING id > 0 AS id, queue, payload, status;
COPY durable_work.inbox (queue, payload) FROM stdin;
rights_b	{"n": 2}
\.
COPY durable_work.inbox (queue, payload) FROM stdin;
rights_c	{"n": 3}
\.
INSERT INTO durable_work.inbox (payload) VALUES ('{"n": 4}');
SELECT count(*) FROM durable_work.inbox;
SELECT queue, dead_letter_queue FROM durable_work.queues;
RESET ROLE;
-- The queue default is made for those only who may use whatever is made.
SELECT count(*) FROM durable_work.queues WHERE queue = 'default' AND created_at > now() - interval '1 s';
-- A key that is taken is known to those only who may enqueue there.
SELECT inserted FROM durable_work.enqueue('rights_c', '1', idempotency_key => 'taken');
SELECT pg_temp.try('rights_one', $$SELECT inserted FROM durable_work.enqueue('rights_c', '2', idempotency_key => 'taken')$$);
SELECT pg_temp.try('rights_one', $$SELECT inserted FROM durable_work.enqueue('rights_c', '2', idempotency_key => 'free')$$);

-- A function in a query is not shown what the view leaves out.
SELECT durable_work.grant_queue('rights_b', 'rights_one', 'monitor');
CREATE FUNCTION rights_leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE WARNING 'told: %', $1; RETURN true; END $$;
SET ROLE rights_one;
SELECT queue, payload FROM durable_work.inbox WHERE rights_leak(queue) AND rights_leak(payload::text) AND rights_leak(idempotency_key);
SELECT count(*) FROM durable_work.queues WHERE rights_leak(queue);
SELECT count(*) FROM durable_work.queue_stats WHERE rights_leak(queue);
SELECT count(*) FROM durable_work.dead_letters WHERE rights_leak(payload::text);
SELECT count(*) FROM durable_work.attempts WHERE rights_leak(queue);
RESET ROLE;
DROP FUNCTION rights_leak(text);

-- One who may read sees all of his queue and nothing of another.
SELECT durable_work.grant_queue('rights_b', 'rights_two', 'work');
SET ROLE rights_two;
SELECT queue, payload, status FROM durable_work.inbox ORDER BY id;
-- The same name of a worker in two queues.
RESET ROLE;
SELECT count(*) FROM durable_work.claim('rights_a', 'both', 1);
SET ROLE rights_two;
SELECT job_id, lease_token FROM durable_work.claim('rights_b', 'both', 1) \gset
SELECT queue, state FROM durable_work.heartbeat('both');
SELECT queue, worker FROM durable_work.leases;
SELECT durable_work.fail(:job_id, :lease_token, '{"why": "x"}');
SELECT queue, reason, history->0->'error' AS error FROM durable_work.dead_letters;
RESET ROLE;
SELECT queue, state FROM durable_work.heartbeat('both');
SET ROLE rights_one;
SELECT queue, payload, reason, attempts, history FROM durable_work.dead_letters;
SELECT event, attempt, worker, detail FROM durable_work.history(:job_id);
SELECT status, reason, attempts FROM durable_work.explain_job(:job_id);
RESET ROLE;

-- Jobs go to another queue only where the role may enqueue.
SELECT pg_temp.try('rights_two', $$SELECT durable_work.redrive('rights_b', to_queue => 'rights_a')$$);
SELECT pg_temp.try('rights_two', $$SELECT durable_work.alter_queue('rights_b', dead_letter_queue => 'rights_a')$$);
SELECT durable_work.grant_queue('rights_a', 'rights_two', 'monitor');
SELECT pg_temp.try('rights_two', $$SELECT durable_work.alter_queue('rights_b', dead_letter_queue => 'rights_a')$$);
SELECT durable_work.grant_queue('rights_a', 'rights_two', 'enqueue');
SELECT pg_temp.try('rights_two', $$SELECT durable_work.redrive('rights_b', to_queue => 'rights_a', dry_run => true)$$);
-- Names of queues that one has no right on are not told.
SELECT durable_work.alter_queue('rights_a', dead_letter_queue => 'rights_c');
SELECT durable_work.grant_queue('rights_c', 'rights_one', 'operate');
SELECT durable_work.grant_queue('rights_b', 'rights_one', 'operate');
SELECT durable_work.alter_queue('rights_c', dead_letter_queue => 'rights_b');
SET ROLE rights_two;
SELECT queue, dead_letter_queue FROM durable_work.queues ORDER BY 1;
SELECT durable_work.alter_queue('rights_b', dead_letter_queue => 'rights_a');
RESET ROLE;
SELECT durable_work.revoke_queue('rights_a', 'rights_two');
GRANT EXECUTE ON FUNCTION durable_work.drop_queue TO rights_one;
SET ROLE rights_one;
SELECT durable_work.drop_queue('rights_c');
RESET ROLE;
SELECT durable_work.alter_queue(queue, dead_letter_queue => '') FROM durable_work.queues WHERE queue IN ('rights_a', 'rights_c');

-- On every queue, those to come too.
SELECT durable_work.grant_queue(NULL, 'rights_one', 'monitor');
SELECT durable_work.create_queue('rights_d');
SELECT queue, rights FROM durable_work.queue_grants WHERE role = 'rights_one' ORDER BY queue NULLS FIRST;
SELECT pg_temp.try('rights_one', $$SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'rights_d'$$);
SELECT durable_work.revoke_queue('rights_d', 'rights_one');
SELECT pg_temp.try('rights_one', $$SELECT unfinished FROM durable_work.queue_stats WHERE queue = 'rights_d'$$);
SELECT durable_work.revoke_queue(NULL, 'rights_one');
SELECT pg_temp.try('rights_one', $$SELECT count(*) FROM durable_work.queue_stats WHERE queue = 'rights_d'$$);
SELECT pg_temp.executes('rights_one');

-- A role that may make queues has all rights on its own, and on no other; it may pass them on.
SELECT format('GRANT EXECUTE ON FUNCTION %s TO rights_maker', oid::regprocedure) FROM pg_proc
WHERE pronamespace = 'durable_work'::regnamespace AND proname IN ('create_queue', 'drop_queue', 'grant_queue', 'revoke_queue') \gexec
GRANT USAGE ON SCHEMA durable_work TO rights_maker;
SET ROLE rights_maker;
SELECT durable_work.create_queue('rights_mine');
SELECT durable_work.create_queue('rights_mine');
SELECT durable_work.create_queue('rights_a', max_length => 77);
SELECT * FROM durable_work.queue_grants;
SELECT inserted FROM durable_work.enqueue('rights_mine', '1');
SELECT durable_work.grant_queue('rights_mine', 'rights_two', 'work');
SELECT durable_work.grant_queue('rights_a', 'rights_maker', 'work');
SELECT durable_work.grant_queue(NULL, 'rights_maker', 'work');
SELECT durable_work.drop_queue('rights_a');
SELECT durable_work.drop_queue('rights_mine', force => true);
RESET ROLE;
SELECT pg_temp.executes('rights_maker');

-- A queue that is made anew has none of the rights of the one before.
SELECT durable_work.drop_queue('rights_b', force => true);
SELECT durable_work.create_queue('rights_b');
SELECT count(*) FROM durable_work.queue_grants WHERE queue = 'rights_b';
SELECT pg_temp.executes('rights_one') AS one, pg_temp.executes('rights_two') AS two;
SELECT count(*) AS left_behind FROM pg_inherits WHERE inhparent = 'durable_work.queue_right'::regclass
    AND inhrelid::regclass::text NOT IN (SELECT 'durable_work.rights_' || id FROM durable_work.queue);

-- Roles that are renamed keep theirs. One that has rights is not dropped unseen; DROP OWNED takes all of it, and a later role of the
-- same name begins with nothing.
SELECT durable_work.grant_queue('rights_b', 'rights_two', 'work');
ALTER ROLE rights_two RENAME TO "rights 2";
SELECT * FROM durable_work.queue_grants WHERE queue = 'rights_b';
SELECT pg_temp.try('rights 2', $$SELECT count(*) FROM durable_work.claim('rights_b', 'w')$$);
\set VERBOSITY terse
DROP ROLE "rights 2";
\set VERBOSITY default
DROP OWNED BY "rights 2";
SELECT count(*) FROM durable_work.queue_grants WHERE queue = 'rights_b';
DROP ROLE "rights 2";
CREATE ROLE "rights 2";
SELECT pg_temp.try('rights 2', $$SELECT count(*) FROM durable_work.claim('rights_b', 'w')$$), count(*) FROM durable_work.queue_grants WHERE role LIKE 'rights 2';
SELECT durable_work.grant_queue('rights_b', 'rights 2', 'monitor');
SELECT durable_work.revoke_queue('rights_b', 'rights 2', 'monitor');
SELECT pg_temp.executes('rights 2');

-- What the server gives on all tables, now or by default, gives no right.
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
SELECT durable_work.grant_queue('rights_d', 'rights_one', 'enqueue');
ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC;
SELECT item.grantee::regrole, string_agg(privilege_type, ' ') FROM pg_class, aclexplode(relacl) AS item
WHERE pg_class.oid = format('durable_work.rights_%s', (SELECT id FROM durable_work.queue WHERE name = 'rights_d'))::regclass AND item.grantee <> relowner GROUP BY 1;
GRANT pg_read_all_data, pg_write_all_data TO rights_maker;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA durable_work TO rights_maker;
SELECT pg_temp.try('rights_maker', $$SELECT count(*) FROM durable_work.claim('rights_b', 'w')$$), pg_temp.try('rights_maker', $$SELECT count(*) FROM durable_work.inbox$$);
-- No row ever lies in the tables of rights.
SELECT format('INSERT INTO durable_work.rights_%s VALUES (%s)', id, id) AS insertion FROM durable_work.queue WHERE name = 'rights_d' \gset
\set VERBOSITY sqlstate
SET ROLE rights_one;
:insertion;
RESET ROLE;
\set VERBOSITY default

SELECT durable_work.drop_queue(queue, force => true) FROM durable_work.queues WHERE queue LIKE 'rights%';
SELECT count(*) AS tables FROM pg_inherits WHERE inhparent = 'durable_work.queue_right'::regclass;
DROP OWNED BY rights_one, "rights 2", rights_group, rights_apart, rights_maker;
DROP ROLE rights_one, "rights 2", rights_group, rights_apart, rights_maker;
