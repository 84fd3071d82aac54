-- Names that clients choose: a queue's, a key's, a worker's, a limit group's, a handler's, a role's. Whatever stands in them, they are values:
-- they come back as they were given, and none is read as a part of a statement, however the session wants statements read.
SET client_min_messages = warning;
SET standard_conforming_strings = off;
SET backslash_quote = on;
SET escape_string_warning = off;
SET quote_all_identifiers = on;
CREATE TEMP TABLE nasty (n serial, name text COLLATE "C");
INSERT INTO nasty (name) VALUES
    ($n$it's$n$), ($n$a"b$n$), ($n$'; DROP TABLE durable_work.queue; --$n$), ($n$"; DROP TABLE durable_work.queue; --$n$), ($n$x') RETURNING (SELECT 1/0); --$n$),
    ($n$$$; SELECT 1/0; $$$n$), ($n$$1$n$), ($n$\$n$), ($n$\'; SELECT 1/0; --$n$), ($n$E'\x27$n$), ($n$%s%I%L%n%1$s$n$), ($n$:name :'name' :"name"$n$), ($n$?$n$), ($n$%_\%$n$),
    (E'two\nlines'), (E'\t'), (E'\r\n'), (E'\u0001\u007f'), (' '), (' lead and trail '), ('NULL'), ('null'), ('default'), ('public'), ('PUBLIC'), ('pg_catalog.now()'), ('{a,b}'), ('{}'), ('"'), ('['), ($n${"a": "\u0000"}$n$),
    ('$.payload'), ('/* '), ('-- '), ('Größe'), ('наряд 7'), ('注文'), (E'\u202Eabc'), (E'\U0001F4A9'), (E'e\u0301'), ('..'), ('../../etc/passwd'), ('a' || repeat('b', 126)), (repeat('é', 63)), (repeat('x', 64));
CREATE FUNCTION pg_temp.role_of(name text) RETURNS text LANGUAGE sql AS $$ SELECT CASE WHEN octet_length('names ' || name) <= 63 THEN 'names ' || name END $$;
CREATE TABLE names_seen (n int, what text, same boolean);
CREATE ROLE worker_of_names;
GRANT INSERT ON names_seen TO worker_of_names;
SELECT count(durable_work.grant_queue(NULL, 'worker_of_names', r)) FROM unnest('{enqueue,work,operate,monitor}'::text[]) AS r;

-- One name everywhere, in three transactions. What was told back is written down.
CREATE PROCEDURE pg_temp.produce(n int, nm text) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    q text := 'q' || nm; -- so that none of them is a queue that is there
    role text := pg_temp.role_of(nm);
BEGIN
    IF octet_length(q) > 127 THEN q := nm; END IF;
    PERFORM durable_work.create_queue(q, lease => '1 h', max_attempts => 1, ordering => 'key', on_exhausted => 'hold');
    PERFORM durable_work.create_queue('names fair ' || n, fairness => 'key', dead_letter_queue => q);
    INSERT INTO names_seen SELECT n, 'queue', count(*) = 1 FROM durable_work.queues v WHERE v.queue = q;
    INSERT INTO names_seen SELECT n, 'dead letter queue', v.dead_letter_queue = q FROM durable_work.queues v WHERE v.queue = 'names fair ' || n;
    IF role IS NOT NULL THEN
        EXECUTE format('CREATE ROLE %I', role);
        PERFORM durable_work.grant_queue(q, role, 'enqueue');
        INSERT INTO names_seen SELECT n, 'role', v.role = role FROM durable_work.queue_grants v WHERE v.queue = q;
        PERFORM durable_work.revoke_queue(q, role);
        PERFORM durable_work.grant_queue(q, role, 'enqueue');
    END IF;
    SET LOCAL ROLE worker_of_names;
    PERFORM durable_work.set_concurrency_limit(q, 1000, 'group', limit_group => CASE WHEN octet_length(nm) <= 63 THEN nm ELSE left(nm, 20) END);
    INSERT INTO names_seen SELECT n, 'limit group', bool_and(nm LIKE replace(replace(replace(v.limit_group, '\\', '\\\\'), '%', '\\%'), '_', '\\_') || '%') FROM durable_work.limits v WHERE v.queue = q;
    PERFORM durable_work.enqueue(q, to_jsonb(nm), partition_key => nm, idempotency_key => nm, headers => jsonb_build_object('k', nm));
    BEGIN
        PERFORM durable_work.enqueue(q, '1', idempotency_key => nm);
    EXCEPTION WHEN SQLSTATE 'DW004' THEN
        INSERT INTO names_seen VALUES (n, 'message of DW004', position('"' || nm || '"' IN SQLERRM) > 0);
    END;
    PERFORM durable_work.enqueue_many(q, '{2}', partition_keys => ARRAY[nm], idempotency_keys => ARRAY[nm || '2']);
    INSERT INTO durable_work.inbox (queue, payload, partition_key, idempotency_key) VALUES (q, '3', nm, nm || '3');
    RESET ROLE;
END $$;
CREATE PROCEDURE pg_temp.work(n int, nm text) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    q text := 'q' || nm;
    held record;
BEGIN
    IF octet_length(q) > 127 THEN q := nm; END IF;
    SET LOCAL ROLE worker_of_names;
    INSERT INTO names_seen SELECT n, 'inbox', count(*) FILTER (WHERE v.partition_key = nm) = 3 AND bool_or(v.idempotency_key = nm) FROM durable_work.inbox v WHERE v.queue = q;
    PERFORM durable_work.register_worker(nm, ARRAY[q], labels => jsonb_build_object(nm, nm));
    SELECT * INTO STRICT held FROM durable_work.claim(q, nm, 1, request_id => nm) c;
    INSERT INTO names_seen VALUES (n, 'claim', held.queue = q AND held.partition_key = nm AND held.payload #>> '{}' = nm AND held.headers ->> 'k' = nm);
    INSERT INTO names_seen SELECT n, 'claim again', v.job_id = held.job_id FROM durable_work.claim(ARRAY[q], nm, 1, request_id => nm) v;
    PERFORM durable_work.set_progress(held.job_id, held.lease_token, to_jsonb(nm));
    INSERT INTO names_seen SELECT n, 'leases', v.worker = nm AND v.progress #>> '{}' = nm FROM durable_work.leases v WHERE v.queue = q;
    INSERT INTO names_seen SELECT n, 'heartbeat', count(*) = 1 FROM durable_work.heartbeat(nm) v WHERE v.queue = q;
    INSERT INTO names_seen SELECT n, 'explain_job', v.claimed_by = nm AND v.queue = q FROM durable_work.explain_job(held.job_id, q) v;
    INSERT INTO names_seen VALUES (n, 'reject', durable_work.fail(held.job_id, held.lease_token, to_jsonb(nm)) = 'dead_letter');
    INSERT INTO names_seen SELECT n, 'key_status', v.state IS NOT NULL FROM durable_work.key_status(q, nm) v;
    INSERT INTO names_seen SELECT n, 'explain_waiting', count(*) > 0 FROM durable_work.explain_waiting(q) v;
    PERFORM durable_work.reschedule_many(q, clock_timestamp(), partition_key => nm), durable_work.retry_now_many(q, partition_key => nm), durable_work.cancel_many(q, partition_key => nm, filter => '$ ? (@.payload == 77)');
    PERFORM durable_work.redrive(q, error_like => replace(nm, '\\', '\\\\'), dry_run => true);
    INSERT INTO names_seen SELECT n, 'hot_keys', true FROM durable_work.hot_keys(q) v WHERE v.partition_key = nm;
    INSERT INTO names_seen VALUES (n, 'ring', (SELECT count(*) FROM durable_work.ring_simulate(ARRAY[nm], 1, 2) v WHERE v.owner = nm) = 2 AND durable_work.bucket(nm) >= 0 AND starts_with(durable_work.shard_key(nm, nm, 4), nm || '#'));
    INSERT INTO names_seen VALUES (n, 'handled', durable_work.mark_handled(nm, nm) AND NOT durable_work.mark_handled(nm, nm));
    PERFORM durable_work.fence(nm, 7);
    BEGIN
        PERFORM durable_work.fence(nm, 6);
    EXCEPTION WHEN SQLSTATE 'DW001' THEN
        INSERT INTO names_seen VALUES (n, 'fence', true);
    END;
    RESET ROLE;
    PERFORM durable_work.set_key_weight('names fair ' || n, nm, 2);
    INSERT INTO names_seen SELECT n, 'key_weights', v.partition_key = nm FROM durable_work.key_weights v WHERE v.queue = 'names fair ' || n;
END $$;
CREATE PROCEDURE pg_temp.look(n int, nm text) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    q text := 'q' || nm;
    role text := pg_temp.role_of(nm);
    dead bigint;
BEGIN
    IF octet_length(q) > 127 THEN q := nm; END IF;
    INSERT INTO names_seen SELECT n, 'workers', v.queues = ARRAY[q] AND v.labels ->> nm = nm FROM durable_work.workers v WHERE v.worker = nm;
    INSERT INTO names_seen SELECT n, 'blocked_keys', v.partition_key = nm AND v.error #>> '{}' = nm FROM durable_work.blocked_keys(q) v;
    INSERT INTO names_seen SELECT n, 'dead_letters', v.partition_key = nm AND v.payload #>> '{}' = nm FROM durable_work.dead_letters v WHERE v.queue = q;
    INSERT INTO names_seen SELECT n, 'attempts', v.worker = nm FROM durable_work.attempts v WHERE v.queue = q;
    SELECT v.job_id INTO dead FROM durable_work.dead_letters v WHERE v.queue = q;
    INSERT INTO names_seen SELECT n, 'history', bool_or(v.worker = nm) FROM durable_work.history(dead, q) v;
    PERFORM durable_work.unblock_key(q, nm, 'skip');
    PERFORM durable_work.deregister_worker(nm);
    PERFORM durable_work.purge_queue(q, forget_keys => true);
    PERFORM durable_work.drop_queue('names fair ' || n, force => true);
    PERFORM durable_work.drop_queue(q, force => true);
    IF role IS NOT NULL THEN
        EXECUTE format('DROP OWNED BY %I', role);
        EXECUTE format('DROP ROLE %I', role);
    END IF;
END $$;
DO $$
DECLARE
    step text;
    each record;
BEGIN
    -- One name after the other: a small server has room for workers of few queues.
    FOR each IN SELECT * FROM nasty ORDER BY n LOOP
        FOREACH step IN ARRAY '{produce,work,look}'::text[] LOOP
            EXECUTE format('CALL pg_temp.%I($1, $2)', step) USING each.n, each.name;
            COMMIT;
        END LOOP;
    END LOOP;
END $$;
SELECT what, count(*), string_agg(name, ' | ') FILTER (WHERE same IS NOT TRUE) AS "not told back as given" FROM names_seen JOIN nasty USING (n) GROUP BY what ORDER BY what;
SELECT count(*) AS names, (SELECT count(*) FROM durable_work.queues WHERE queue LIKE 'q%' OR queue LIKE 'names%') AS queues_left, (SELECT count(*) FROM pg_roles WHERE rolname LIKE 'names %') AS roles_left FROM nasty;

-- Too long, by bytes, or not in the encoding.
CREATE TEMP TABLE refused (n serial, statement text);
INSERT INTO refused (statement) VALUES
    ($$SELECT durable_work.create_queue('')$$), ($$SELECT durable_work.create_queue(repeat('x', 128))$$), ($$SELECT durable_work.create_queue(repeat('é', 64))$$),
    ($$SELECT durable_work.grant_queue('nowhere', repeat('x', 64), 'work')$$), ($$SELECT durable_work.grant_queue('nowhere', '', 'work')$$), ($$SELECT durable_work.grant_queue('nowhere', 'public', 'work')$$),
    ($$SELECT durable_work.grant_queue('nowhere', 'x; DROP TABLE durable_work.queue', 'work')$$), ($$SELECT durable_work.grant_queue('nowhere', current_user, 'work; SELECT')$$),
    ($$SELECT durable_work.claim('nowhere', repeat('é', 64))$$), ($$SELECT durable_work.claim('nowhere', '')$$), ($$SELECT durable_work.mark_handled(repeat('x', 256), 'k')$$), ($$SELECT durable_work.fence(repeat('x', 1025), 1)$$),
    ($$SELECT durable_work.enqueue('nowhere', '1', partition_key => repeat('x', 1025))$$), ($$SELECT durable_work.enqueue('nowhere', '1', idempotency_key => repeat('x', 513))$$),
    ($$SELECT durable_work.set_concurrency_limit('nowhere', 1, 'group', repeat('x', 64))$$), ($$SELECT durable_work.cancel_many('nowhere', filter => '$[')$$),
    ($$SELECT durable_work.create_queue(convert_from('\\xff'::bytea, 'UTF8'))$$), ($$SELECT durable_work.drop_queue('q%')$$), ($$SELECT durable_work.drop_queue(repeat('x', 100000))$$);
SELECT n, helper.refusal(statement) FROM refused ORDER BY n;
DROP TABLE names_seen;
SELECT count(durable_work.revoke_queue(NULL, 'worker_of_names'));
DROP OWNED BY worker_of_names;
DROP ROLE worker_of_names;
